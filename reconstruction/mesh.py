"""From the margin of a class over all others to a closed surface in world millimeters."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import trimesh
from jaxtyping import Float, Float32, Int
from scipy import ndimage
from skimage.measure import marching_cubes

from drrkit.errors import InputError
from drrkit.geometry import rigid
from drrkit.io.store import write_bytes
from reconstruction.grid import Grid

MeshFormat = Literal["stl", "ply"]

# Shrink and inflate by these shares in turn (Taubin, SIGGRAPH 1995): smooth and of about the same volume.
TAUBIN_SHRINK, TAUBIN_INFLATE = 0.5, 0.53


@dataclass(frozen=True, eq=False)
class Mesh:
    """A closed triangle mesh; counterclockwise from outside, so that normals point outward.

    Args:
        vertices_world: (N, 3) in world millimeters (LPS).
        faces: (M, 3) indices into the vertices.
        dropped_mm3: Volume of each smaller component that was left out, largest first.
    """

    vertices_world: Float[np.ndarray, "n 3"]
    faces: Int[np.ndarray, "m 3"]
    dropped_mm3: tuple[float, ...] = ()

    @property
    def volume_mm3(self) -> float:
        """Enclosed volume by the divergence theorem; positive when normals point outward."""
        corners = self.vertices_world[self.faces] - self.vertices_world.mean(axis=0)
        return float(np.linalg.det(corners).sum() / 6)


def mesh_from_margin(
    margins: Float32[np.ndarray, "z y x"], grid: Grid, largest_only: bool, smoothing_steps: int
) -> Mesh | None:
    """Extract the surface where a margin is zero (marching cubes of Lewiner et al. 2003).

    Args:
        margins: (Z, Y, X) positive inside, negative outside; see :mod:`reconstruction.upsampling`.
        grid: Where the voxels lie; what touches its border is closed at the outer face of the voxels there.
        largest_only: Keep the largest component by volume; the others are told in ``dropped_mm3``.
        smoothing_steps: Pairs of Taubin's steps; 0 leaves the surface as it was found.

    Returns:
        The mesh, or None where no voxel is inside.

    Raises:
        InputError: Margins of another shape than the grid's, or not finite.
    """
    if margins.shape != grid.shape:
        raise InputError("mesh", f"margins of shape {margins.shape}", f"the grid's {grid.shape}")
    if not np.isfinite(margins).all():
        raise InputError("mesh", "NaN or infinite margins", "finite margins")
    inside = margins > 0
    if not inside.any():
        return None
    dropped_mm3: tuple[float, ...] = ()
    if largest_only:
        # Neighbors by faces only.
        components, count = ndimage.label(inside)
        if count > 1:
            sizes = np.bincount(components.ravel())[1:]
            kept = int(sizes.argmax()) + 1
            voxel_mm3 = float(np.prod(grid.spacing_mm))
            dropped_mm3 = tuple(sorted((float(size) * voxel_mm3 for size in np.delete(sizes, kept - 1)), reverse=True))
            # Outside by as much as it was inside, which leaves the kept component's own surface untouched.
            margins = np.where(inside & (components != kept), -margins, margins)
    mesh = _closed_surface(margins, grid)
    if largest_only:
        # Marching cubes may still part what hangs together by a face of voxels only just inside, or enclose a cavity.
        mesh, more_mm3 = _largest_component(mesh)
        dropped_mm3 = tuple(sorted((*dropped_mm3, *more_mm3), reverse=True))
    return smoothed(replace(mesh, dropped_mm3=dropped_mm3), smoothing_steps)


def smoothed(mesh: Mesh, steps: int) -> Mesh:
    """Take out staircases by Taubin's filter, which does not shrink as plain averaging does."""
    if steps == 0:
        return mesh
    body = trimesh.Trimesh(mesh.vertices_world, mesh.faces, process=False)
    trimesh.smoothing.filter_taubin(body, lamb=TAUBIN_SHRINK, nu=TAUBIN_INFLATE, iterations=2 * steps)
    return replace(mesh, vertices_world=np.asarray(body.vertices, np.float64))


def check_format(mesh_format: str, where: str = "mesh format") -> MeshFormat:
    """Return a known mesh format.

    Raises:
        InputError: Another one.
    """
    for known in get_args(MeshFormat):
        if known == mesh_format:
            return known
    raise InputError(where, mesh_format, " or ".join(get_args(MeshFormat)))


def write_mesh(path: Path, mesh: Mesh) -> None:
    """Write binary STL or PLY, by the ending of the name; coordinates are world millimeters (LPS).

    Neither format has a place for the frame: 3D Slicer takes both as LPS when the header says so, so it does.

    Raises:
        InputError: Another ending, or a file that cannot be written.
    """
    mesh_format = check_format(path.suffix.removeprefix("."), str(path))
    body = trimesh.Trimesh(mesh.vertices_world, mesh.faces, process=False)
    content = body.export(file_type=mesh_format)
    assert isinstance(content, bytes)  # both formats are binary
    write_bytes(path, _with_space(content, mesh_format))


def read_mesh(path: Path) -> Mesh:
    """Read a mesh that :func:`write_mesh` wrote; STL's repeated corners are merged again."""
    body = trimesh.load_mesh(path, process=False)
    body.merge_vertices()
    return Mesh(np.asarray(body.vertices, np.float64), np.asarray(body.faces, np.int64))


def _closed_surface(margins: Float32[np.ndarray, "z y x"], grid: Grid) -> Mesh:
    # Only the box of the class is searched, with a margin of one voxel; beyond the grid lies outside.
    inside = margins > 0
    bounds = []
    for axis in range(3):
        hit = np.flatnonzero(inside.any(axis=tuple(other for other in range(3) if other != axis)))
        bounds.append((int(hit[0]) - 1, int(hit[-1]) + 2))
    padded = np.pad(margins, 1, constant_values=-1.0)
    part = padded[tuple(slice(low + 1, high + 1) for low, high in bounds)]
    # Exactly zero puts several vertices on one corner, and degenerate triangles with them.
    part = np.where(part == 0, np.float32(-1e-6), part)
    # At the grid's border the outside mirrors the inside, so that the surface lies on the outer face of the voxels.
    part = _mirrored_at_border(part, bounds, margins.shape)
    corners_zyx, faces, _, _ = marching_cubes(part, 0.0, allow_degenerate=False)
    corners_zyx = corners_zyx + [low for low, _ in bounds]
    vertices_world = rigid.apply(grid.world_from_grid, corners_zyx[:, ::-1])
    mesh = Mesh(vertices_world, faces.astype(np.int64))
    # From z, y, x to x, y, z the triangles turn over, and once more on a grid with left-handed axes.
    return mesh if mesh.volume_mm3 > 0 else replace(mesh, faces=mesh.faces[:, ::-1].copy())


def _mirrored_at_border(
    part: Float32[np.ndarray, "z y x"], bounds: Sequence[tuple[int, int]], shape: tuple[int, ...]
) -> Float32[np.ndarray, "z y x"]:
    part = part.copy()
    for axis, (low, high) in enumerate(bounds):
        for edge, at_border in ((0, low < 0), (-1, high > shape[axis])):
            if at_border:
                outer: list[slice | int] = [slice(None)] * 3
                inner = outer.copy()
                outer[axis], inner[axis] = edge, 1 if edge == 0 else -2
                part[tuple(outer)] = -np.abs(part[tuple(inner)])
    return part


def _largest_component(mesh: Mesh) -> tuple[Mesh, tuple[float, ...]]:
    body = trimesh.Trimesh(mesh.vertices_world, mesh.faces, process=False)
    groups = trimesh.graph.connected_components(body.face_adjacency, nodes=np.arange(len(mesh.faces)))
    if len(groups) == 1:
        return mesh, ()
    parts = [_compact(Mesh(mesh.vertices_world, mesh.faces[group])) for group in groups]
    parts.sort(key=lambda part: part.volume_mm3, reverse=True)
    return parts[0], tuple(abs(part.volume_mm3) for part in parts[1:])


def _compact(mesh: Mesh) -> Mesh:
    used, faces = np.unique(mesh.faces, return_inverse=True)
    return Mesh(mesh.vertices_world[used], faces.reshape(mesh.faces.shape))


def _with_space(content: bytes, mesh_format: MeshFormat) -> bytes:
    if mesh_format == "stl":
        # The first 80 bytes are free text; 3D Slicer looks for SPACE=LPS there.
        return b"drrkit SPACE=LPS".ljust(80) + content[80:]
    head, rest = content.split(b"\n", 1)
    form, rest = rest.split(b"\n", 1)
    return head + b"\n" + form + b"\ncomment SPACE=LPS\n" + rest
