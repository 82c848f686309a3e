"""Look for spots of the size of a ball: bright against their surroundings in every direction.

Images come in as something like a line integral, balls bright. Edges of bones and collimators, wires and screws are as
bright as what lies along them; a ball is brighter than the mean of any two opposite points around it.
"""

import numpy as np
from jaxtyping import Float, Float32
from scipy import ndimage

from drrkit.radiograph import Radiograph

# Intensities below this share of the brightest ones are noise of the detector; their logarithm would be all noise.
DARKEST_SHARE = 0.002
# The spot filter is the difference of two Gaussians, widths in ball radii; scales grow by this factor.
INNER, OUTER, SCALE_STEP = 0.45, 1.1, 1.35
# Opposite points are looked at on a ring of so many radii, in so many directions.
RING, DIRECTIONS = 1.8, 8
# The lowest height is at least this share of the highest: along an edge it is next to nothing.
EVEN = 0.2
# The best of so many maxima of the filter are looked at, and so many are kept.
MAXIMA, KEPT = 500, 80
# Spots below this share of the strength of the one that comes at this place are none.
WEAKEST, TYPICAL = 0.12, 7


def binned(pixels: Float32[np.ndarray, "h w"], factor: int) -> Float32[np.ndarray, "h2 w2"]:
    """Average blocks of ``factor`` x ``factor`` pixels; incomplete ones at the right and lower rim are left out."""
    if factor == 1:
        return pixels
    height, width = (size // factor for size in pixels.shape)
    blocks = pixels[: height * factor, : width * factor].reshape(height, factor, width, factor)
    return blocks.mean(axis=(1, 3), dtype=np.float32)


def spot_images(radiograph: Radiograph, factor: int) -> list[Float32[np.ndarray, "h w"]]:
    """Bring a radiograph to a form in which balls are bright; displayed images may be either way round."""
    pixels = binned(radiograph.pixels, factor)
    if radiograph.domain == "line_integral":
        return [pixels]
    if radiograph.domain == "intensity":
        brightest = max(float(np.percentile(pixels[::4, ::4], 99.5)), 1e-6)
        return [-np.log(np.maximum(pixels / brightest, DARKEST_SHARE))]
    low, high = (float(value) for value in np.percentile(pixels[::4, ::4], [1, 99]))
    scaled = (pixels - low) / max(high - low, 1e-6)
    return [-scaled, scaled]


def find_spots(
    image: Float32[np.ndarray, "h w"], radius_px: tuple[float, float]
) -> tuple[Float[np.ndarray, "n 2"], Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """Find spots that may be balls.

    Args:
        image: Balls bright.
        radius_px: Smallest and largest radius of a ball.

    Returns:
        Centers (u, v), radii and strengths (height above the surroundings in the weakest direction), best first.
    """
    count = max(1, int(np.ceil(np.log(radius_px[1] / radius_px[0]) / np.log(SCALE_STEP))))
    middle = (np.arange(count) + 0.5) / count
    radii = radius_px[0] * (radius_px[1] / radius_px[0]) ** middle
    spots: list[tuple[np.ndarray, ...]] = []
    for radius in radii:
        inner = ndimage.gaussian_filter(image, INNER * radius, truncate=3.0)
        outer = ndimage.gaussian_filter(image, OUTER * radius, truncate=2.5)
        response = inner - outer
        reach = max(1, int(0.8 * radius))
        peaks = (response == ndimage.maximum_filter(response, 2 * reach + 1)) & (response > 0)
        v, u = np.nonzero(peaks)
        best = np.argsort(-response[v, u], kind="stable")[:MAXIMA]
        centers = np.stack([u[best], v[best]], axis=1).astype(float)
        spots.append((centers, np.full(len(best), radius), _strengths(inner, centers, radius)))
    centers, all_radii, strengths = (np.concatenate(part) for part in zip(*spots, strict=True))
    order = np.argsort(-strengths, kind="stable")
    strong = WEAKEST * strengths[order[min(TYPICAL, len(order) - 1)]] if len(order) else 0.0
    order = order[strengths[order] > max(strong, 0.0)]
    kept = order[_apart(centers[order], 0.7 * all_radii[order])][:KEPT]
    return centers[kept], all_radii[kept], strengths[kept]


def _strengths(
    smooth: Float32[np.ndarray, "h w"], centers: Float[np.ndarray, "n 2"], radius: float
) -> Float[np.ndarray, " n"]:
    """Height of each spot over the mean of two opposite points on a ring, in the direction where it is least."""
    angles = np.arange(2 * DIRECTIONS) * np.pi / DIRECTIONS
    ring_u = centers[:, :1] + RING * radius * np.cos(angles)
    ring_v = centers[:, 1:] + RING * radius * np.sin(angles)
    ring = ndimage.map_coordinates(smooth, [ring_v, ring_u], order=1, mode="nearest", output=np.float64)
    # Beyond the rim of the image, the opposite point speaks for both.
    height, width = smooth.shape
    beyond = (ring_u < 0) | (ring_u > width - 1) | (ring_v < 0) | (ring_v > height - 1)
    ring = np.where(beyond, np.roll(ring, DIRECTIONS, axis=1), ring)
    pairs = (ring[:, :DIRECTIONS] + ring[:, DIRECTIONS:]) / 2
    tops = smooth[centers[:, 1].astype(int), centers[:, 0].astype(int)].astype(np.float64)
    heights = tops[:, None] - pairs
    lowest = heights.min(axis=1)
    return np.where(lowest > EVEN * heights.max(axis=1), lowest, 0.0)


def _apart(centers: Float[np.ndarray, "n 2"], distances: Float[np.ndarray, " n"]) -> np.ndarray:
    """Indices of the spots, best first, that no better one lies close to."""
    kept: list[int] = []
    for number, center in enumerate(centers):
        if len(kept) >= KEPT:
            break
        others = centers[kept]
        if not kept or (np.hypot(*(others - center).T) > np.maximum(distances[kept], distances[number])).all():
            kept.append(number)
    return np.array(kept, dtype=int)
