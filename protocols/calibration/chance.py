"""How likely chance alone would match as many balls as closely: the number of false alarms.

The a-contrario test of Moisan and Stival (2004, "A probabilistic criterion to detect rigid point matches between two
images", IJCV 57(3)) for a cloud of balls and a set of detections. If the detections had nothing to do with the balls,
each further ball would fall within r of one of N detections with probability p = N pi r^2 / A. Among all cameras that a
few pairs of balls and detections could define, the expected number that match k balls within r by chance is

    tests * (M - s) * C(M - s, k - s) * p^(k - s),

with M balls on the image and s pairs spent on the camera. The radius r is the k-th smallest residual, so no gate has to
be known; the best k counts.
"""

from math import factorial, lgamma, log, log10, pi

import numpy as np
from jaxtyping import Float
from scipy.stats import binom


def log10_false_alarms(
    residuals_px: Float[np.ndarray, " k"],
    balls_on_image: int,
    points_px: Float[np.ndarray, "n 2"],
    size_px: tuple[int, int],
    search_deg: float,
    spent_pairs: int = 3,
    floor_px: float = 1.0,
) -> float:
    """Return the decimal logarithm of the expected number of equally good matches by chance.

    Args:
        residuals_px: Distances of the matched balls to their detections.
        balls_on_image: Balls that the camera puts on the image, matched or not.
        points_px: All detections.
        size_px: (height, width) of the image.
        search_deg: Orientations up to this angle from the expected one were tried.
        spent_pairs: Pairs of ball and detection that fix the free parameters.
        floor_px: Residuals below this count as this: a fitted camera makes them smaller than they are.
    """
    residuals = np.maximum(np.sort(np.asarray(residuals_px, dtype=np.float64)), floor_px)
    balls, points = max(balls_on_image, len(residuals)), len(points_px)
    if len(residuals) <= spent_pairs or points <= spent_pairs:
        return float("inf")
    # Detections fill the image unevenly; where they are dense, chance is better.
    spread = np.prod(np.maximum(np.ptp(points_px, axis=0), 1.0))
    area = min(float(np.prod(size_px)), 1.3 * float(spread) + 1.0)
    log10_tests = _log10_choose(balls, spent_pairs) + _log10_choose(points, spent_pairs)
    log10_tests += log10(factorial(spent_pairs)) + log10(max(balls - spent_pairs, 1))
    # Only orientations in a cone were tried: that share of all rotations.
    angle = np.radians(min(search_deg, 180.0))
    log10_tests += log10((angle - np.sin(angle)) / pi)
    best = float("inf")
    for used in range(spent_pairs + 1, len(residuals) + 1):
        chance = min(1.0, points * pi * residuals[used - 1] ** 2 / area)
        more = used - spent_pairs
        best = min(best, log10_tests + _log10_choose(balls - spent_pairs, more) + more * log10(chance))
    return best


def near_misses(
    balls_px: Float[np.ndarray, "m 2"], points_px: Float[np.ndarray, "n 2"], radius_px: float, size_px: tuple[int, int]
) -> int:
    """Count unmatched balls that have an unmatched detection near by, if that is more than chance would give.

    A hidden ball leaves nothing near its place. Where many have a detection just beside it, the camera fits a part of
    the balls only because its model is wrong: an intensifier's distortion left out, or balls that have moved.

    Args:
        balls_px: Where the camera puts the balls on the image that were not matched.
        points_px: Detections that were not matched.
        radius_px: What is near.
        size_px: (height, width) of the image.

    Returns:
        The number, or 0 where chance explains it (more often than once in a thousand exposures).
    """
    if len(balls_px) == 0 or len(points_px) == 0:
        return 0
    apart = np.linalg.norm(balls_px[:, None] - points_px[None], axis=2)
    near = int((apart.min(axis=1) < radius_px).sum())
    chance = 1.0 - float(np.exp(-len(points_px) * pi * radius_px**2 / float(np.prod(size_px))))
    tail = float(binom.sf(near - 1, len(balls_px), min(2.0 * chance, 1.0)))  # twice: balls and bones crowd the middle
    return near if tail < 1e-3 else 0


def _log10_choose(total: int, chosen: int) -> float:
    return (lgamma(total + 1) - lgamma(chosen + 1) - lgamma(total - chosen + 1)) / log(10)
