"""Closed surfaces to voxels: what share of every voxel lies inside."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Int32
from numba import njit

from drrkit.geometry import rigid

COLUMNS = 2  # rays per voxel along each of x and y; along z the share is exact


@dataclass(frozen=True, eq=False)
class Coverage:
    """The share of each voxel inside a surface, in the box that holds it.

    Args:
        box: Slices along z, y, x of the grid.
        share: (dz, dy, dx) from 0 to 1.
    """

    box: tuple[slice, slice, slice]
    share: Float32[np.ndarray, "z y x"]


def coverage(
    vertices_world: Float[np.ndarray, "n 3"],
    faces: Int32[np.ndarray, "m 3"],
    voxel_from_world: Float[np.ndarray, "4 4"],
    shape: tuple[int, int, int],
) -> Coverage:
    """Voxelize a closed surface; what lies outside the grid is cut off.

    Args:
        vertices_world: Millimeters.
        faces: Vertex numbers, counterclockwise from outside.
        voxel_from_world: The grid, axes parallel to the world's.
        shape: (Z, Y, X) of the grid.
    """
    box, turns = winding(vertices_world, faces, voxel_from_world, shape)
    return Coverage(box, np.clip(turns, 0, 1))


def winding(
    vertices_world: Float[np.ndarray, "n 3"],
    faces: Int32[np.ndarray, "m 3"],
    voxel_from_world: Float[np.ndarray, "4 4"],
    shape: tuple[int, int, int],
) -> tuple[tuple[slice, slice, slice], Float32[np.ndarray, "z y x"]]:
    """Average over each voxel how often a surface winds around its points: 1 inside, 0 outside, else where it folds.

    Every ray along z enters and leaves the surface; the entries and exits below a point, counted with their sign, are
    the winding number there.

    Returns:
        The box of the grid (slices along z, y, x) that holds the surface, and the means of its voxels.
    """
    voxels = rigid.apply(voxel_from_world, vertices_world)
    limit = np.array(shape[::-1])
    low = np.clip(np.floor(voxels.min(axis=0) + 0.5).astype(int), 0, limit)
    high = np.clip(np.floor(voxels.max(axis=0) + 0.5).astype(int) + 1, low, limit)
    x, y, z = (slice(int(start), int(stop)) for start, stop in zip(low, high, strict=True))
    width, height, depth = (int(extent) for extent in high - low)
    if 0 in (width, height, depth):
        return (z, y, x), np.zeros((depth, height, width), dtype=np.float32)
    # Half a voxel up, so that cell k spans [k, k + 1).
    change = _crossings(voxels - low + 0.5, faces, width, height, depth)
    return (z, y, x), np.cumsum(change[:-1], axis=0, dtype=np.float32)


@njit(cache=True)
def _edge(ax: float, ay: float, bx: float, by: float, x: float, y: float) -> float:
    return (bx - ax) * (y - ay) - (by - ay) * (x - ax)


@njit(cache=True)
def _left_of(points: np.ndarray, start: int, end: int, x: float, y: float) -> int:
    """Say on which side of an edge a column lies; the two faces at an edge always give opposite answers.

    Both compute the same number from the edge's lower vertex number to its higher one, and a tie goes to one of them.
    """
    if start < end:
        return 1 if _edge(points[start, 0], points[start, 1], points[end, 0], points[end, 1], x, y) >= 0 else -1
    return -1 if _edge(points[end, 0], points[end, 1], points[start, 0], points[start, 1], x, y) >= 0 else 1


@njit(cache=True)
def _crossings(points: np.ndarray, faces: np.ndarray, width: int, height: int, depth: int) -> np.ndarray:
    """Sum, for every voxel, by how much the covered share changes from the voxel below it."""
    change = np.zeros((depth + 1, height, width), dtype=np.float32)
    weight = 1.0 / (COLUMNS * COLUMNS)
    for face in range(faces.shape[0]):
        a, b, c = faces[face, 0], faces[face, 1], faces[face, 2]
        area = _edge(points[a, 0], points[a, 1], points[b, 0], points[b, 1], points[c, 0], points[c, 1])
        if area == 0:
            continue
        low_x = max(int(np.ceil(min(points[a, 0], points[b, 0], points[c, 0]) * COLUMNS - 0.5)), 0)
        high_x = min(int(np.floor(max(points[a, 0], points[b, 0], points[c, 0]) * COLUMNS - 0.5)), width * COLUMNS - 1)
        low_y = max(int(np.ceil(min(points[a, 1], points[b, 1], points[c, 1]) * COLUMNS - 0.5)), 0)
        high_y = min(int(np.floor(max(points[a, 1], points[b, 1], points[c, 1]) * COLUMNS - 0.5)), height * COLUMNS - 1)
        for row in range(low_y, high_y + 1):
            y = (row + 0.5) / COLUMNS
            for column in range(low_x, high_x + 1):
                x = (column + 0.5) / COLUMNS
                side = _left_of(points, a, b, x, y)
                if _left_of(points, b, c, x, y) != side or _left_of(points, c, a, x, y) != side:
                    continue
                to_b = _edge(points[a, 0], points[a, 1], x, y, points[c, 0], points[c, 1]) / area
                to_c = _edge(points[a, 0], points[a, 1], points[b, 0], points[b, 1], x, y) / area
                z = points[a, 2] + to_b * (points[b, 2] - points[a, 2]) + to_c * (points[c, 2] - points[a, 2])
                z = min(max(z, 0.0), float(depth))
                cell = min(int(z), depth - 1)
                # A face seen from below (area < 0) opens the solid, one seen from above closes it.
                step = -weight if side > 0 else weight
                inside = cell + 1 - z
                change[cell, row // COLUMNS, column // COLUMNS] += step * inside
                change[cell + 1, row // COLUMNS, column // COLUMNS] += step * (1 - inside)
    return change
