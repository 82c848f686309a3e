"""Rays in voxel coordinates, for the renderers that walk them on the CPU."""

import threading

import numpy as np
from jaxtyping import Float

from drrkit.geometry import rigid
from drrkit.geometry.camera import Camera

# numba's fallback thread pool ends the process when two Python threads enter it at once, and a kernel takes all
# processors anyway.
KERNELS = threading.Lock()


def rays_in_voxels(voxel_from_world: Float[np.ndarray, "4 4"], camera: Camera) -> Float[np.ndarray, "4 3"]:
    """Describe a camera's rays in voxel coordinates (x, y, z), integers at voxel centers.

    Args:
        voxel_from_world: The volume's inverse affine; any invertible affine will do.
        camera: The view. A ray runs from its source to the center of a pixel on its detector, and ends there.

    Returns:
        Four rows: the source, the center of pixel (0, 0), the step to the next column, the step to the next row.
    """
    corner, u_step, v_step = camera.detector_frame_world()
    points = rigid.apply(voxel_from_world, [camera.source_world, corner])
    steps = np.stack([u_step, v_step]) @ voxel_from_world[:3, :3].T
    return np.concatenate([points, steps])


def tile_shape(rays: Float[np.ndarray, "4 3"], height: int, width: int) -> tuple[int, int]:
    """Choose which pixels (rows, columns) are walked one after another, for the sake of the processor's caches.

    Voxels lie along x in memory. Rays that cross x share its cache lines with their neighbors along x, so whole rows
    (or columns, whichever run more along x) come in turn; rays that run along x share memory pages in square tiles.
    """
    source, corner, u_step, v_step = rays
    central = corner + u_step * (width - 1) / 2 + v_step * (height - 1) / 2 - source
    if np.abs(central).argmax() == 0:
        return min(32, height), min(32, width)
    return (1, width) if abs(u_step[0]) >= abs(v_step[0]) else (height, 1)
