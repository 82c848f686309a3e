"""Meshes for the page: true and reconstructed vertebrae with surface errors, made light by merging near vertices."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Int32

from drrkit.errors import InputError
from reconstruction.report.files import read_arrays
from reconstruction.report.settings import LEVELS, TRUTH


@dataclass(frozen=True, eq=False)
class Surface:
    """One vertebra.

    Args:
        vertices_mm: (N, 3) in mm, LPS.
        faces: (M, 3) indices of vertices.
        error_mm: (N,) a value for each vertex, or None.
    """

    vertices_mm: Float32[np.ndarray, "n 3"]
    faces: Int32[np.ndarray, "m 3"]
    error_mm: Float32[np.ndarray, " n"] | None


def read_meshes(folder: Path, rungs: Sequence[str], cell_mm: float) -> dict[str, dict[str, Surface]]:
    """Read the true vertebrae and those of some rungs.

    Returns:
        Rung or ``truth`` -> level -> surface. A level that a rung missed has no vertices and is left out.

    Raises:
        InputError: A file or an array is missing, or arrays that are no mesh.
    """
    return {name: _read(folder / f"{name}.npz", name != TRUTH, cell_mm) for name in (*rungs, TRUTH)}


def read_mean_vertebra(path: Path) -> dict[str, Surface]:
    """Read the mean vertebra of each level with the mean distance of reconstructions at each vertex.

    A level that was never found is left out.

    Raises:
        InputError: A file or an array is missing, arrays that are no mesh, or no level with errors.
    """
    names = [f"{kind}_{level}" for level in LEVELS for kind in ("vertices", "error_mm")]
    arrays = read_arrays(path, ["faces", *names], "study")
    surfaces = {
        level: _surface(path, level, arrays[f"vertices_{level}"], arrays["faces"], arrays[f"error_mm_{level}"])
        for level in LEVELS
        if np.isfinite(arrays[f"error_mm_{level}"]).any()
    }
    if not surfaces:
        raise InputError(path, "no level with errors", "errors of at least one level")
    return surfaces


def merged(surface: Surface, cell_mm: float) -> Surface:
    """Merge the vertices in each cell of a grid into their mean; faces that lose a corner go.

    Args:
        surface: Any mesh.
        cell_mm: Edge of a cell; 0 changes nothing.
    """
    if not cell_mm or not len(surface.vertices_mm):
        return surface
    cells = np.floor(surface.vertices_mm.astype(np.float64) / cell_mm).astype(np.int64)
    _, new_of_old, counts = np.unique(cells, axis=0, return_inverse=True, return_counts=True)
    new_of_old = new_of_old.reshape(-1)

    def mean(values: np.ndarray) -> Float32[np.ndarray, " n"]:
        return (np.bincount(new_of_old, weights=values, minlength=len(counts)) / counts).astype(np.float32)

    vertices_mm = np.stack([mean(column) for column in surface.vertices_mm.T], axis=1)
    faces = new_of_old[surface.faces]
    whole = (faces[:, 0] != faces[:, 1]) & (faces[:, 1] != faces[:, 2]) & (faces[:, 2] != faces[:, 0])
    error_mm = None if surface.error_mm is None else mean(surface.error_mm)
    return Surface(vertices_mm, faces[whole].astype(np.int32), error_mm)


def _read(path: Path, with_errors: bool, cell_mm: float) -> dict[str, Surface]:
    arrays = read_arrays(path, (), "evaluate")
    surfaces = {}
    for level in LEVELS:
        # A level that was missed has no mesh.
        if len(arrays.get(f"faces_{level}", ())):
            kinds = ("vertices", "faces", "error_mm") if with_errors else ("vertices", "faces")
            missing = [f"{kind}_{level}" for kind in kinds if f"{kind}_{level}" not in arrays]
            if missing:
                raise InputError(path, f"no array {missing[0]}", f"{', '.join(kinds)} of {level}")
            parts = [arrays[f"{kind}_{level}"] for kind in kinds]
            surfaces[level] = merged(_surface(path, level, *parts), cell_mm)
    if not surfaces:
        raise InputError(path, "no vertebra", "at least one level with faces")
    return surfaces


def _surface(
    path: Path, level: str, vertices: np.ndarray, faces: np.ndarray, error_mm: np.ndarray | None = None
) -> Surface:
    whole = vertices.ndim == 2 and vertices.shape[1] == 3 and faces.ndim == 2 and faces.shape[1] == 3
    if not whole or not 0 <= faces.min() <= faces.max() < len(vertices):
        raise InputError(f"{path}, {level}", "no mesh", "vertices (N, 3), and faces (M, 3) of their indices")
    if error_mm is not None and error_mm.shape != (len(vertices),):
        raise InputError(f"{path}, error_mm_{level}", f"shape {error_mm.shape}", f"({len(vertices)},)")
    errors = None if error_mm is None else error_mm.astype(np.float32)
    return Surface(vertices.astype(np.float32), faces.astype(np.int32), errors)
