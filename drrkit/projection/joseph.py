"""Backend ``joseph``: interpolating line integrals (Joseph, IEEE Trans. Med. Imaging 1 (1982) 192), on all processors.

A ray is sampled where it crosses the planes of voxel centers of its principal axis, the axis along which it crosses
most voxels, by bilinear interpolation in the plane. Attenuation falls off to zero one voxel beyond the outermost
centers: outside is zero, and interpolated like any voxel, so cropping zeros away or padding with them changes no image.
Along the ray the samples are joined linearly; a ray that starts or ends inside takes only its part.
"""

from collections.abc import Sequence

import numba
import numpy as np
from jaxtyping import Float, Float32

from drrkit.geometry.camera import Camera
from drrkit.projection.rays import KERNELS, rays_in_voxels, tile_shape

# Reordering and contracting is allowed; infinities and NaN do not occur.
_FAST = {"reassoc", "contract", "nsz", "arcp", "nnan", "ninf"}
# Samples this close (in voxels) to the outermost centers are taken with checked indices.
_MARGIN = 1e-9
# Slopes below this count as parallel: across the largest volume they add up to less than the margin.
_PARALLEL = 1e-13


def project(
    attenuation: Float32[np.ndarray, "z y x"],
    voxel_from_world: Float[np.ndarray, "4 4"],
    cameras: Sequence[Camera],
) -> Float32[np.ndarray, "b h w"]:
    """Integrate interpolated attenuation along every ray; rays run from the source to the pixel and end there.

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
            _line_integrals(voxels, rays, mm_from_voxel, tile_shape(rays, *image.shape), image)
    return images


@numba.njit(cache=True, parallel=True, fastmath=_FAST)
def _line_integrals(
    attenuation: Float32[np.ndarray, "z y x"],
    rays: Float[np.ndarray, "4 3"],
    mm_from_voxel: Float[np.ndarray, "3 3"],
    tile: tuple[int, int],
    image: Float32[np.ndarray, "h w"],
) -> None:
    depth, height, width = attenuation.shape
    voxels = attenuation.reshape(-1)
    tiles_down, tiles_across = -(-image.shape[0] // tile[0]), -(-image.shape[1] // tile[1])
    for number in numba.prange(tiles_down * tiles_across):
        top, left = number // tiles_across * tile[0], number % tiles_across * tile[1]
        for v in range(top, min(top + tile[0], image.shape[0])):
            for u in range(left, min(left + tile[1], image.shape[1])):
                x = rays[1, 0] + u * rays[2, 0] + v * rays[3, 0] - rays[0, 0]
                y = rays[1, 1] + u * rays[2, 1] + v * rays[3, 1] - rays[0, 1]
                z = rays[1, 2] + u * rays[2, 2] + v * rays[3, 2] - rays[0, 2]
                squared_mm = 0.0
                for row in range(3):
                    step_mm = mm_from_voxel[row, 0] * x + mm_from_voxel[row, 1] * y + mm_from_voxel[row, 2] * z
                    squared_mm += step_mm**2
                # Sizes and strides with the principal axis a first; the others are b and c.
                if abs(y) >= abs(x) and abs(y) >= abs(z):
                    axes = (height, width, depth, width, 1, height * width)
                    a, b, c, along, slope_b, slope_c = rays[0, 1], rays[0, 0], rays[0, 2], y, x / y, z / y
                elif abs(x) >= abs(z):
                    axes = (width, height, depth, 1, width, height * width)
                    a, b, c, along, slope_b, slope_c = rays[0, 0], rays[0, 1], rays[0, 2], x, y / x, z / x
                else:
                    axes = (depth, width, height, height * width, 1, width)
                    a, b, c, along, slope_b, slope_c = rays[0, 2], rays[0, 0], rays[0, 1], z, x / z, y / z
                start = (b - a * slope_b, c - a * slope_c)
                samples = _sum_of_samples(voxels, axes, start, slope_b, slope_c, min(a, a + along), max(a, a + along))
                image[v, u] = samples * np.sqrt(squared_mm) / abs(along)


@numba.njit(fastmath=_FAST)
def _sum_of_samples(voxels, axes, start, slope_b, slope_c, near, far):  # type: ignore[no-untyped-def]
    """Sum the samples at all planes, each weighted by its share of the ray's reach from ``near`` to ``far``."""
    entry, exit_ = _clip(max(near, -1.0), min(far, float(axes[0])), start[0], slope_b, -1.0, float(axes[1]))
    entry, exit_ = _clip(entry, exit_, start[1], slope_c, -1.0, float(axes[2]))
    if not entry < exit_:
        return 0.0
    inner, outer = _clip(max(near + 1, 0.0), min(far - 1, axes[0] - 1.0), start[0], slope_b, 0.0, axes[1] - 1.0)
    inner, outer = _clip(inner, outer, start[1], slope_c, 0.0, axes[2] - 1.0)
    whole = int(np.ceil(inner))
    end = max(whole, int(np.floor(outer)) + 1)
    total = 0.0
    for plane in range(whole, end):
        b, c = start[0] + plane * slope_b, start[1] + plane * slope_c
        floor_b, floor_c = np.floor(b), np.floor(c)
        part_b, part_c = b - floor_b, c - floor_c
        first = plane * axes[3] + int(floor_b) * axes[4] + int(floor_c) * axes[5]
        # Unsigned, so that numba does not look for negative indices.
        corner = np.float64(voxels[np.uint64(first)])
        along_b = voxels[np.uint64(first + axes[4])]
        along_c = voxels[np.uint64(first + axes[5])]
        across = voxels[np.uint64(first + axes[4] + axes[5])]
        total += (1 - part_c) * (corner + part_b * (along_b - corner)) + part_c * (
            along_c + part_b * (across - along_c)
        )
    plane, last = max(0, int(np.floor(entry))), min(axes[0] - 1, int(np.ceil(exit_)))
    while plane <= last:
        if whole <= plane < end:
            plane = end
            continue
        weight = _reached(far - plane) - _reached(near - plane)
        total += weight * _checked_sample(voxels, axes, plane, start[0] + plane * slope_b, start[1] + plane * slope_c)
        plane += 1
    return total


@numba.njit(fastmath=_FAST)
def _clip(entry, exit_, start, slope, lowest, highest):  # type: ignore[no-untyped-def]
    """Shorten [entry, exit_] to where start + slope * a stays a margin inside [lowest, highest]."""
    lowest, highest = lowest + _MARGIN, highest - _MARGIN
    if highest < lowest or (abs(slope) < _PARALLEL and not lowest <= start <= highest):
        return entry, entry - 1
    if abs(slope) < _PARALLEL:
        return entry, exit_
    first, second = (lowest - start) / slope, (highest - start) / slope
    return max(entry, min(first, second)), min(exit_, max(first, second))


@numba.njit(fastmath=_FAST)
def _reached(distance):  # type: ignore[no-untyped-def]
    """Share of a plane's linear tent, one plane apart to either side, that lies before ``distance`` past the plane."""
    if distance <= -1:
        return 0.0
    if distance < 0:
        return (1 + distance) ** 2 / 2
    return 1 - (1 - distance) ** 2 / 2 if distance < 1 else 1.0


@numba.njit(fastmath=_FAST)
def _checked_sample(voxels, axes, plane, b, c):  # type: ignore[no-untyped-def]
    first_b, first_c = int(np.floor(b)), int(np.floor(c))
    value = 0.0
    for index_b in range(max(first_b, 0), min(first_b + 2, axes[1])):
        for index_c in range(max(first_c, 0), min(first_c + 2, axes[2])):
            weight = (1 - abs(b - index_b)) * (1 - abs(c - index_c))
            value += weight * voxels[plane * axes[3] + index_b * axes[4] + index_c * axes[5]]
    return value
