"""Backend ``siddon``: exact line integrals through voxels taken as boxes of constant attenuation, on all processors."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Float32

from drrkit.geometry.camera import Camera
from drrkit.projection import walk
from drrkit.projection.rays import KERNELS, rays_in_voxels, tile_shape


def project(
    attenuation: Float32[np.ndarray, "z y x"],
    voxel_from_world: Float[np.ndarray, "4 4"],
    cameras: Sequence[Camera],
) -> Float32[np.ndarray, "b h w"]:
    """Integrate attenuation along every ray, by chord lengths; rays run from the source to the pixel and end there.

    Args:
        attenuation: (Z, Y, X) in mm^-1, zero outside.
        voxel_from_world: Where it lies; any invertible affine.
        cameras: Views of one image size, at least one.

    Returns:
        (B, H, W) line integrals, dimensionless.
    """
    voxels = np.ascontiguousarray(attenuation)
    mm_from_voxel = np.linalg.inv(voxel_from_world[:3, :3])
    images = np.empty((len(cameras), cameras[0].height, cameras[0].width), np.float32)
    for camera, image in zip(cameras, images, strict=True):
        rays = rays_in_voxels(voxel_from_world, camera)
        with KERNELS:
            walk.line_integrals(voxels, rays, mm_from_voxel, tile_shape(rays, *image.shape), image)
    return images
