"""Surfaces of one test donor, true and of rungs, with the distance of every vertex to the true surface."""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from drrkit.geometry import rigid
from drrkit.io.store import write_bytes
from reconstruction.grid import Grid
from reconstruction.judging.evaluation import EvaluationCase
from reconstruction.judging.prediction import Predictor
from reconstruction.ladder.rungs import MeshParameters
from reconstruction.mesh import Mesh, mesh_from_margin
from reconstruction.metrics import Truth
from reconstruction.model import ModelSpec
from reconstruction.surface_distance import signed_distances_mm
from reconstruction.upsampling import finer, grid_of, margins_on

TRUTH_NAME = "truth"


@dataclass(frozen=True, eq=False)
class JudgedMesh:
    """A surface, and how far each vertex is from the true one: positive outside of the bone.

    Args:
        mesh: The surface.
        error_mm: (N,) of its vertices; None for the truth.
    """

    mesh: Mesh
    error_mm: Float[np.ndarray, " n"] | None


def true_meshes(loaded: EvaluationCase, parameters: MeshParameters) -> dict[str, JudgedMesh]:
    """Make the surface of every labelled level."""
    meshes = {}
    for level in loaded.levels:
        truth = loaded.truths[level]
        margins = np.where(truth.mask, np.float32(1), np.float32(-1))
        mesh = mesh_from_margin(margins, _grid_of_box(truth, loaded), True, parameters.smoothing_steps)
        if mesh is not None:
            meshes[level] = JudgedMesh(mesh, None)
    return meshes


def rung_meshes(
    predictor: Predictor,
    spec: ModelSpec,
    case: EvaluationCase,
    view_count: int,
    truths: Mapping[str, JudgedMesh],
    parameters: MeshParameters,
) -> dict[str, JudgedMesh]:
    """Make the surface of every level that a rung finds, of those that the truth has.

    Args:
        predictor: Of the rung.
        spec: Of its network, of mode ``lumbar``.
        case: As the rung sees it.
        view_count: Number of views, the first ones.
        truths: Of :func:`true_meshes`.
        parameters: Of the meshes.
    """
    grid = Grid.centered(case.lumbar_center_world, spec.grid_shape, spec.grid_spacing_mm)
    radiographs = [case.radiographs[view] for view in case.case.views[:view_count]]
    fine = finer(grid, parameters.spacing_mm)
    meshes = {}
    for number, margin in margins_on(predictor(radiographs, grid), grid, fine).items():
        level = spec.classes[number - 1]
        if level in truths:
            mesh = mesh_from_margin(margin.values, grid_of(margin, fine), True, parameters.smoothing_steps)
            if mesh is not None:
                error_mm = signed_distances_mm(mesh.vertices_world, truths[level].mesh)
                meshes[level] = JudgedMesh(mesh, error_mm)
    return {level: meshes[level] for level in truths if level in meshes}


def write_meshes(path: Path, meshes: Mapping[str, JudgedMesh]) -> None:
    """Write meshes by level as ``.npz``.

    ``vertices_<level>`` (N, 3) float32 world mm (LPS), ``faces_<level>`` (M, 3) int32, and for surfaces that were
    judged ``error_mm_<level>`` (N,) float32.
    """
    arrays: dict[str, np.ndarray] = {}
    for level, judged in meshes.items():
        arrays[f"vertices_{level}"] = judged.mesh.vertices_world.astype(np.float32)
        arrays[f"faces_{level}"] = judged.mesh.faces.astype(np.int32)
        if judged.error_mm is not None:
            arrays[f"error_mm_{level}"] = judged.error_mm.astype(np.float32)
    stream = io.BytesIO()
    np.savez_compressed(stream, allow_pickle=False, **arrays)
    write_bytes(path, stream.getvalue())


def _grid_of_box(truth: Truth, loaded: EvaluationCase) -> Grid:
    z, y, x = (part.start for part in truth.box)
    corner = rigid.from_rotation_translation(np.eye(3), [x, y, z])
    depth, height, width = truth.mask.shape
    return Grid((depth, height, width), loaded.world_from_voxel @ corner)
