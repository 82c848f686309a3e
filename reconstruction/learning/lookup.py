"""Labels on a grid: for every voxel of the grid the label of the nearest voxel of a label volume."""

import numpy as np
from jaxtyping import Float, UInt8

from reconstruction.grid import Grid

# Far below a thousandth of a voxel across any grid: then the axes are parallel.
_PARALLEL_LIMIT = 1e-6


def codes_on_grid(
    codes: UInt8[np.ndarray, "z y x"], world_from_voxel: Float[np.ndarray, "4 4"], grid: Grid
) -> UInt8[np.ndarray, "grid_z grid_y grid_x"]:
    """Look up the nearest voxel; 0 outside of the label volume."""
    voxel_from_grid = np.linalg.inv(world_from_voxel) @ grid.world_from_grid
    steps, start = voxel_from_grid[:3, :3], voxel_from_grid[:3, 3]
    depth, height, width = codes.shape
    # A shell of zeros takes everything outside; it also keeps every index positive, so that a cast rounds.
    shelled = np.zeros((depth + 2, height + 2, width + 2), np.uint8)
    shelled[1:-1, 1:-1, 1:-1] = codes
    sizes = (width, height, depth)
    grid_depth, grid_height, grid_width = grid.shape
    along = [np.arange(grid_width), np.arange(grid_height), np.arange(grid_depth)]
    if np.abs(steps - np.diag(np.diag(steps))).max() < _PARALLEL_LIMIT:
        x, y, z = (_index(along[axis] * steps[axis, axis] + start[axis], size) for axis, size in enumerate(sizes))
        return shelled[np.ix_(z, y, x)]
    x, y, z = (_index(_positions(steps[axis], float(start[axis]), along), size) for axis, size in enumerate(sizes))
    return shelled.ravel()[(z * (height + 2) + y) * (width + 2) + x]


def _positions(
    step: Float[np.ndarray, " 3"], start: float, along: list[np.ndarray]
) -> Float[np.ndarray, "grid_z grid_y grid_x"]:
    """Coordinate along one axis of the label volume; float32 is exact to 1e-4 of a voxel and half the work."""
    x, y, z = (np.float32(part) * steps.astype(np.float32) for part, steps in zip(step, along, strict=True))
    return ((z + np.float32(start))[:, None, None] + y[:, None]) + x


def _index(positions: np.ndarray, size: int) -> np.ndarray:
    """Nearest index into the shelled axis."""
    return np.clip(positions + positions.dtype.type(1.5), 0, size + 1).astype(np.int32)
