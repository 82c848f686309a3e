"""The bounding box of what is not zero: all that a renderer needs of a volume."""

import numba
import numpy as np
from jaxtyping import Float, Int, Num

from drrkit.projection.rays import KERNELS

Slices = tuple[slice, slice, slice]


def nonzero_box(voxels: Num[np.ndarray, "z y x"]) -> Slices:
    """Bound the voxels that are not exactly zero; three empty slices where there are none."""
    with KERNELS:
        bounds = _nonzero_bounds(voxels)
    if bounds[0, 0] > bounds[0, 1]:
        return slice(0, 0), slice(0, 0), slice(0, 0)
    z, y, x = (slice(int(first), int(last) + 1) for first, last in bounds)
    return z, y, x


def world_from_box(world_from_voxel: Float[np.ndarray, "4 4"], box: Slices) -> Float[np.ndarray, "4 4"]:
    """Shift a voxel affine to the first voxel of a box."""
    shifted = world_from_voxel.copy()
    shifted[:3, 3] += world_from_voxel[:3, :3] @ [box[2].start, box[1].start, box[0].start]
    return shifted


@numba.njit(parallel=True, cache=True)
def _nonzero_bounds(voxels: Num[np.ndarray, "z y x"]) -> Int[np.ndarray, "3 2"]:
    depth, height, width = voxels.shape
    rows = np.empty((depth, 4), np.int64)
    for z in numba.prange(depth):
        y_first, y_last, x_first, x_last = height, -1, width, -1
        for y in range(height):
            for x in range(width):
                if voxels[z, y, x] != 0:
                    y_first, y_last = min(y_first, y), y
                    x_first, x_last = min(x_first, x), max(x_last, x)
        rows[z] = y_first, y_last, x_first, x_last
    bounds = np.array([[depth, -1], [height, -1], [width, -1]])
    for z in range(depth):
        if rows[z, 1] >= 0:
            bounds[0, 0], bounds[0, 1] = min(bounds[0, 0], z), z
            bounds[1, 0], bounds[1, 1] = min(bounds[1, 0], rows[z, 0]), max(bounds[1, 1], rows[z, 1])
            bounds[2, 0], bounds[2, 1] = min(bounds[2, 0], rows[z, 2]), max(bounds[2, 1], rows[z, 3])
    return bounds
