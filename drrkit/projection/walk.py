"""The exact walk of a ray through voxels, compiled: chord lengths summed (Siddon) or levels noted (silhouettes).

Siddon (Med. Phys. 12 (1985) 252) sorts all crossings of a ray with voxel faces. Here the ray is cut by the faces of its
principal axis alone, the axis along which it crosses most voxels. Within one such slab it moves by at most one voxel
along either other axis, so it meets at most three voxels, and their chords follow from the two crossings without a
branch: slabs are independent, and the compiler works on eight of them at a time.

Coordinates here have voxel i from i to i + 1. A ray that lies in a face belongs to the voxel of the higher index.
All that is compiled stands in this one file: numba's cache of a function does not see changes in other files.
"""

import numba
import numpy as np
from jaxtyping import Float, Float32, UInt8, UInt32

# Reordering and contracting is allowed; infinities and NaN do not occur.
_FAST = {"reassoc", "contract", "nsz", "arcp", "nnan", "ninf"}
# Slabs this close (in voxels) to the sides of the volume are walked with checked indices.
_MARGIN = 1e-9
# Slopes below this count as parallel: across the largest volume they add up to less than the margin.
_PARALLEL = 1e-13


@numba.njit(cache=True, parallel=True, fastmath=_FAST)
def line_integrals(
    attenuation: Float32[np.ndarray, "z y x"],
    rays: Float[np.ndarray, "4 3"],
    mm_from_voxel: Float[np.ndarray, "3 3"],
    tile: tuple[int, int],
    image: Float32[np.ndarray, "h w"],
) -> None:
    """Write the integral of ``attenuation`` along every ray into ``image``.

    Args:
        attenuation: Contiguous.
        rays: From :func:`drrkit.projection.rays.rays_in_voxels`.
        mm_from_voxel: Voxel steps to millimeters in the world.
        tile: From :func:`drrkit.projection.rays.tile_shape`.
        image: The result.
    """
    depth, height, width = attenuation.shape
    voxels = attenuation.reshape(-1)
    tiles_down, tiles_across = -(-image.shape[0] // tile[0]), -(-image.shape[1] // tile[1])
    for number in numba.prange(tiles_down * tiles_across):
        top, left = number // tiles_across * tile[0], number % tiles_across * tile[1]
        for v in range(top, min(top + tile[0], image.shape[0])):
            for u in range(left, min(left + tile[1], image.shape[1])):
                axes, start, slope_b, slope_c, entry, exit_, mm = _ray(rays, u, v, mm_from_voxel, depth, height, width)
                image[v, u] = mm * _integral(voxels, axes, start, slope_b, slope_c, entry, exit_)


@numba.njit(cache=True, parallel=True, fastmath=_FAST)
def levels_met(
    labels: UInt8[np.ndarray, "z y x"],
    rays: Float[np.ndarray, "4 3"],
    tile: tuple[int, int],
    bits: UInt32[np.ndarray, "h w"],
) -> None:
    """Set bit n of a pixel where its ray has a chord in a voxel labelled n (1 to 31); see :func:`line_integrals`."""
    depth, height, width = labels.shape
    voxels = labels.reshape(-1)
    no_metric = np.zeros((3, 3))
    tiles_down, tiles_across = -(-bits.shape[0] // tile[0]), -(-bits.shape[1] // tile[1])
    for number in numba.prange(tiles_down * tiles_across):
        top, left = number // tiles_across * tile[0], number % tiles_across * tile[1]
        for v in range(top, min(top + tile[0], bits.shape[0])):
            for u in range(left, min(left + tile[1], bits.shape[1])):
                axes, start, slope_b, slope_c, entry, exit_, _ = _ray(rays, u, v, no_metric, depth, height, width)
                bits[v, u] = _labels_met(voxels, axes, start, slope_b, slope_c, entry, exit_)


@numba.njit(fastmath=_FAST)
def _ray(rays, u, v, mm_from_voxel, depth, height, width):  # type: ignore[no-untyped-def]
    """Clip the ray of pixel (u, v) to the volume.

    Returns:
        The sizes and strides of the principal axis a and the others, b and c; where the ray would be (b, c) at a = 0;
        its slopes db/da and dc/da; where it enters and leaves the volume along a; millimeters for each step along a.
    """
    source_x, source_y, source_z = rays[0, 0] + 0.5, rays[0, 1] + 0.5, rays[0, 2] + 0.5
    x = rays[1, 0] + u * rays[2, 0] + v * rays[3, 0] + 0.5 - source_x
    y = rays[1, 1] + u * rays[2, 1] + v * rays[3, 1] + 0.5 - source_y
    z = rays[1, 2] + u * rays[2, 2] + v * rays[3, 2] + 0.5 - source_z
    squared_mm = 0.0
    for row in range(3):
        squared_mm += (mm_from_voxel[row, 0] * x + mm_from_voxel[row, 1] * y + mm_from_voxel[row, 2] * z) ** 2
    # Order the axes so that a is the principal one.
    if abs(y) >= abs(x) and abs(y) >= abs(z):
        axes = (height, width, depth, width, 1, height * width)
        a, b, c, along, slope_b, slope_c = source_y, source_x, source_z, y, x / y, z / y
    elif abs(x) >= abs(z):
        axes = (width, height, depth, 1, width, height * width)
        a, b, c, along, slope_b, slope_c = source_x, source_y, source_z, x, y / x, z / x
    else:
        axes = (depth, width, height, height * width, 1, width)
        a, b, c, along, slope_b, slope_c = source_z, source_x, source_y, z, x / z, y / z
    entry, exit_ = max(0.0, min(a, a + along)), min(float(axes[0]), max(a, a + along))
    entry, exit_, slope_b = _clip(entry, exit_, a, b, slope_b, axes[1], 0.0)
    entry, exit_, slope_c = _clip(entry, exit_, a, c, slope_c, axes[2], 0.0)
    return axes, (b - a * slope_b, c - a * slope_c), slope_b, slope_c, entry, exit_, np.sqrt(squared_mm) / abs(along)


@numba.njit(fastmath=_FAST)
def _clip(entry, exit_, a, b, slope, size, margin):  # type: ignore[no-untyped-def]
    """Shorten [entry, exit_] to where margin <= b < size - margin, given one point (a, b) of the ray."""
    if abs(slope) < _PARALLEL:
        return (entry, exit_, 0.0) if margin <= b < size - margin else (entry, entry, 0.0)
    first, second = a + (margin - b) / slope, a + (size - margin - b) / slope
    return max(entry, min(first, second)), min(exit_, max(first, second)), slope


@numba.njit(fastmath=_FAST)
def _unchecked_slabs(axes, start, slope_b, slope_c, entry, exit_):  # type: ignore[no-untyped-def]
    """First and one past the last of the whole slabs in which no index needs a check."""
    entry, exit_, _ = _clip(entry, exit_, 0.0, start[0], slope_b, axes[1], _MARGIN)
    entry, exit_, _ = _clip(entry, exit_, 0.0, start[1], slope_c, axes[2], _MARGIN)
    first = int(np.ceil(entry))
    return first, max(first, int(np.floor(exit_)))


@numba.njit(fastmath=_FAST)
def _whole_slab(b, c, sides, strides):  # type: ignore[no-untyped-def]
    """Meet the voxels of a whole slab, entered at (b, c).

    Returns:
        How far along the slab the first and the second crossing lie, and the offsets of the three voxels met.
    """
    floor_b, floor_c = np.floor(b), np.floor(c)
    cross_b = min(1.0, (floor_b + sides[0] - b) * sides[2])
    cross_c = min(1.0, (floor_c + sides[1] - c) * sides[3])
    lower, upper = min(cross_b, cross_c), max(cross_b, cross_c)
    first = int(floor_b) * strides[0] + int(floor_c) * strides[1]
    step_b = strides[2] if cross_b < 1.0 else 0
    step_c = strides[3] if cross_c < 1.0 else 0
    second = step_b if cross_b < cross_c else step_c
    return lower, upper, first, first + second, first + step_b + step_c


@numba.njit(fastmath=_FAST)
def _sides(slope_b, slope_c, stride_b, stride_c):  # type: ignore[no-untyped-def]
    """Prepare :func:`_whole_slab`: the face ahead, 0 or 1, and the inverse slopes; strides and signed strides."""
    ahead_b, ahead_c = (1.0 if slope_b >= 0 else 0.0), (1.0 if slope_c >= 0 else 0.0)
    inverse_b = 1 / slope_b if slope_b != 0 else 1e30
    inverse_c = 1 / slope_c if slope_c != 0 else 1e30
    signed = (stride_b if slope_b >= 0 else -stride_b, stride_c if slope_c >= 0 else -stride_c)
    return (ahead_b, ahead_c, inverse_b, inverse_c), (stride_b, stride_c, signed[0], signed[1])


@numba.njit(fastmath=_FAST)
def _part_slab(b, c, slope_b, slope_c, length, axes):  # type: ignore[no-untyped-def]
    """Meet the voxels of a slab of which only ``length`` is walked; like :func:`_whole_slab`, with checked indices."""
    last_b, last_c = axes[1] - 1, axes[2] - 1
    in_b, in_c = min(max(int(np.floor(b)), 0), last_b), min(max(int(np.floor(c)), 0), last_c)
    out_b, out_c = in_b, in_c
    cross_b = cross_c = length
    if slope_b > 0:
        cross_b, out_b = (in_b + 1 - b) / slope_b, min(in_b + 1, last_b)
    elif slope_b < 0:
        cross_b, out_b = (in_b - b) / slope_b, max(in_b - 1, 0)
    if slope_c > 0:
        cross_c, out_c = (in_c + 1 - c) / slope_c, min(in_c + 1, last_c)
    elif slope_c < 0:
        cross_c, out_c = (in_c - c) / slope_c, max(in_c - 1, 0)
    cross_b, cross_c = min(max(cross_b, 0.0), length), min(max(cross_c, 0.0), length)
    first = in_b * axes[4] + in_c * axes[5]
    last = out_b * axes[4] + out_c * axes[5]
    second = out_b * axes[4] + in_c * axes[5] if cross_b < cross_c else in_b * axes[4] + out_c * axes[5]
    return min(cross_b, cross_c), max(cross_b, cross_c), first, second, last


@numba.njit(fastmath=_FAST)
def _integral(voxels, axes, start, slope_b, slope_c, entry, exit_):  # type: ignore[no-untyped-def]
    if not entry < exit_:
        return 0.0
    whole, end = _unchecked_slabs(axes, start, slope_b, slope_c, entry, exit_)
    sides, strides = _sides(slope_b, slope_c, axes[4], axes[5])
    total = 0.0
    for slab in range(whole, end):
        lower, upper, first, second, third = _whole_slab(
            start[0] + slab * slope_b, start[1] + slab * slope_c, sides, strides
        )
        base = slab * axes[3]
        # Unsigned, so that numba does not look for negative indices.
        total += lower * voxels[np.uint64(base + first)]
        total += (upper - lower) * voxels[np.uint64(base + second)]
        total += (1 - upper) * voxels[np.uint64(base + third)]
    slab = int(entry)
    while slab < axes[0] and slab < exit_:
        if whole <= slab < end:
            slab = end
            continue
        near = max(entry, float(slab))
        length = min(exit_, slab + 1.0) - near
        lower, upper, first, second, third = _part_slab(
            start[0] + near * slope_b, start[1] + near * slope_c, slope_b, slope_c, length, axes
        )
        base = slab * axes[3]
        total += lower * voxels[base + first] + (upper - lower) * voxels[base + second]
        total += (length - upper) * voxels[base + third]
        slab += 1
    return total


@numba.njit(fastmath=_FAST)
def _labels_met(voxels, axes, start, slope_b, slope_c, entry, exit_):  # type: ignore[no-untyped-def]
    bits = np.uint32(0)
    if not entry < exit_:
        return bits
    whole, end = _unchecked_slabs(axes, start, slope_b, slope_c, entry, exit_)
    sides, strides = _sides(slope_b, slope_c, axes[4], axes[5])
    one = np.uint32(1)
    for slab in range(whole, end):
        lower, upper, first, second, third = _whole_slab(
            start[0] + slab * slope_b, start[1] + slab * slope_c, sides, strides
        )
        base = slab * axes[3]
        bits |= one << voxels[np.uint64(base + first)] if lower > 0 else np.uint32(0)
        bits |= one << voxels[np.uint64(base + second)] if upper > lower else np.uint32(0)
        bits |= one << voxels[np.uint64(base + third)] if upper < 1 else np.uint32(0)
    slab = int(entry)
    while slab < axes[0] and slab < exit_:
        if whole <= slab < end:
            slab = end
            continue
        near = max(entry, float(slab))
        length = min(exit_, slab + 1.0) - near
        lower, upper, first, second, third = _part_slab(
            start[0] + near * slope_b, start[1] + near * slope_c, slope_b, slope_c, length, axes
        )
        base = slab * axes[3]
        bits |= one << voxels[base + first] if lower > 0 else np.uint32(0)
        bits |= one << voxels[base + second] if upper > lower else np.uint32(0)
        bits |= one << voxels[base + third] if upper < length else np.uint32(0)
        slab += 1
    return bits
