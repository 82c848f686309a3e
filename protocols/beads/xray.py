"""Find the steel balls in an X-ray image and locate their centers to a fraction of a pixel."""

import itertools
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32

from drrkit.errors import InputError
from drrkit.radiograph import Radiograph
from protocols.beads.blobs import find_spots, spot_images
from protocols.beads.elongation import elongations, motion_px, settle_pairs
from protocols.beads.shadows import (
    HEIGHT,
    LOG_BLUR,
    LOG_RADIUS,
    Fit,
    fit_shadows,
    open_windows,
    overlapping,
)

# Balls of this radius or more are looked for in an image with larger pixels.
FINEST_RADIUS_PX = 3.0
# Images of more pixels are searched with still larger ones, as long as balls keep this radius.
MOST_PIXELS, COARSEST_RADIUS_PX = 700_000, 2.2
# One search covers radii up to this ratio; wider ranges take another search at half the size.
OCTAVE = 2.3
# What a fitted ball must have: explained share of its window, height over noise, and score.
EXPLAINED, HEIGHT_OVER_NOISE, LOWEST_SCORE = 0.6, 3.0, 0.5
# Balls are at most blurred to this share of their radius; motion apart.
BLURRED = 0.35
# What is not explained counts once more by this share where it is structure; noise takes nothing from a ball.
STRUCTURE_SHARE = 0.4
# Two merged balls are not well explained by one.
MERGED_BONUS = 0.15
# Radii may leave the range by this factor.
RADIUS_ROOM = 1.2
# So many of the clearest balls tell radius and blur of the others, which differ by these logarithms.
CLEAREST, RADIUS_LOOSE, BLUR_LOOSE = 10, 0.15, 0.3
# Residuals are alike in neighboring pixels, so a fit knows less than it thinks; and never better than the floor.
SIGMA_FACTOR, SIGMA_FLOOR_PX = 1.6, 0.02
# A ball that was smeared over some length is this share of it less certain.
MOTION_SHARE = 0.15
# A shadow that is longer than the others by some pixels is this share of them less certain.
UNEVEN_SHARE = 0.25
# Shadows of overlapping balls do not quite add up: scatter and hard beams; in radii.
PAIRED_SHARE = 0.04
# Balls of one image differ in radius by this factor at most from the clearest ones: the patient is no deeper.
RADIUS_SPREAD = 1.5
# Above this share of black or white pixels the image is not to be trusted.
SATURATED_SHARE = 0.5


@dataclass(frozen=True, eq=False)
class XrayBalls:
    """Balls of one image, the clearest first; false ones may be among them.

    Args:
        centers_px: (N, 2) centers (u, v).
        sigmas_px: (N,) standard deviation of each center, in each direction.
        radii_px: (N,) apparent radii.
        scores: (N,) share of its window's variance that each ball explains, less what sets it apart from the clearest
            balls in size, blur and height; 0 to 1.
        saturated: Whether so much of the image is black or white that it cannot be trusted.
    """

    centers_px: Float[np.ndarray, "n 2"]
    sigmas_px: Float[np.ndarray, " n"]
    radii_px: Float[np.ndarray, " n"]
    scores: Float[np.ndarray, " n"]
    saturated: bool

    def __len__(self) -> int:
        return len(self.centers_px)


def find_xray_balls(radiograph: Radiograph, radius_px: tuple[float, float]) -> XrayBalls:
    """Find all steel balls of one size.

    Args:
        radiograph: Balls are dark in ``intensity``, bright in ``line_integral``, and may be either in ``display``.
        radius_px: Smallest and largest apparent radius in pixels.

    Raises:
        InputError: A range of radii that is empty, or below 1.5 pixels, or larger than a tenth of the image.
    """
    low, high = float(radius_px[0]), float(radius_px[1])
    largest = min(radiograph.pixels.shape) / 10
    if not 1.5 <= low < high <= largest:
        raise InputError("ball radius_px", f"{low:g} to {high:g}", f"a range within 1.5 to {largest:g} px")
    searches = max(1, int(np.ceil(np.log(high / low) / np.log(OCTAVE))))
    edges = low * (high / low) ** (np.arange(searches + 1) / searches)
    parts = []
    for first, last in itertools.pairwise(edges):
        factor = max(1, int(first / FINEST_RADIUS_PX))
        if radiograph.pixels.size > MOST_PIXELS * factor**2 and first / (factor + 1) >= COARSEST_RADIUS_PX:
            factor += 1
        table = _detected(spot_images(radiograph, factor), (first / factor, last / factor))
        table[:, :2] = table[:, :2] * factor + (factor - 1) / 2
        table[:, 2:4] *= factor
        parts.append(table)
    table = np.concatenate(parts)
    table = table[np.argsort(-table[:, 4], kind="stable")]
    if len(table):
        table = table[_distinct(table[:, :2], table[:, 3])]
        table = table[np.abs(np.log(table[:, 3] / np.median(table[:CLEAREST, 3]))) < np.log(RADIUS_SPREAD)]
    inside = ((table[:, :2] >= -0.5) & (table[:, :2] <= np.array(radiograph.pixels.shape[::-1]) - 0.5)).all(axis=1)
    table = table[inside]
    return XrayBalls(table[:, :2], table[:, 2], table[:, 3], table[:, 4], is_saturated(radiograph))


def _detected(images: list[Float32[np.ndarray, "h w"]], radius_px: tuple[float, float]) -> Float[np.ndarray, "n 5"]:
    """Search one image, given either way round if need be: center (u, v), sigma, radius and score of each ball."""
    blur_px = 0.22 * float(np.sqrt(radius_px[0] * radius_px[1]))
    fits = []
    for image in images:
        centers, radii, _ = find_spots(image, radius_px)
        fits.append(fit_shadows(open_windows(image, centers, radii, radius_px, blur_px), 6, neighbors=False))
    best = int(np.argmax([_likeness(fit) for fit in fits]))
    image, fit = images[best], fits[best]
    fit = fit.chosen(_plausible(fit, radius_px))
    order = np.argsort(-fit.explained, kind="stable")
    fit = fit.chosen(order[_distinct(fit.shadows.centers[order], fit.shadows.radii[order])])
    if not len(fit.shadows):
        return np.zeros((0, 5))
    # All balls of an image are blurred alike, and are much of one size.
    expected = fit.shadows.values[_clearest(fit)]
    log_radius, log_blur = np.median(expected[:, [LOG_RADIUS, LOG_BLUR]], axis=0)
    shadows = open_windows(image, fit.shadows.centers, fit.shadows.radii, radius_px, float(np.exp(log_blur)))
    shadows.values[:, : HEIGHT + 1] = fit.shadows.values[:, : HEIGHT + 1]
    shadows.prior[:] = log_radius, log_blur
    shadows.looseness[:] = RADIUS_LOOSE, BLUR_LOOSE
    fit = fit_shadows(shadows, 6, neighbors=True)
    fit = fit.chosen(_scores(fit) > LOWEST_SCORE - MERGED_BONUS)
    if not len(fit.shadows):
        return np.zeros((0, 5))
    fit, paired = settle_pairs(image, fit, radius_px)
    scores = _scores(fit)
    keep = _plausible(fit, radius_px) & (scores > LOWEST_SCORE)
    fit, paired, scores = fit.chosen(keep), paired[keep], scores[keep]
    if not len(fit.shadows):
        return np.zeros((0, 5))
    return np.column_stack([fit.shadows.centers, _sigmas(fit, paired), fit.shadows.radii, scores])


def _likeness(fit: Fit) -> float:
    """How much the spots of an image are like balls, to tell which way round it is."""
    values = fit.shadows.values
    blurred = np.exp(values[:, LOG_BLUR]) / fit.shadows.radii
    strength = np.clip(values[:, HEIGHT] / fit.noise, 0, 30)
    return float((np.maximum(fit.explained - EXPLAINED, 0) * strength * (blurred < 2 * BLURRED)).sum())


def _plausible(fit: Fit, radius_px: tuple[float, float]) -> Bool[np.ndarray, " n"]:
    """Whether a fit describes a ball at all."""
    values, radii = fit.shadows.values, fit.shadows.radii
    return (
        (fit.explained > EXPLAINED)
        & (values[:, HEIGHT] > HEIGHT_OVER_NOISE * fit.noise)
        & (radii > radius_px[0] / RADIUS_ROOM)
        & (radii < radius_px[1] * RADIUS_ROOM)
        & (np.exp(values[:, LOG_BLUR]) < 0.9 * radii)
        & np.isfinite(values).all(axis=1)
    )


def _clearest(fit: Fit) -> np.ndarray:
    """Indices of the balls that show best what the others look like: well explained, sharp and high."""
    values = fit.shadows.values
    sharpness = fit.shadows.radii / np.exp(values[:, LOG_BLUR])
    return np.argsort(-(fit.explained**2) * sharpness * np.sqrt(np.maximum(values[:, HEIGHT], 0)), kind="stable")[
        :CLEAREST
    ]


def _scores(fit: Fit) -> Float[np.ndarray, " n"]:
    """Explained share, less what sets a ball apart from the clearest ones: all are of one steel, size and blur."""
    values = fit.shadows.values[:, [LOG_RADIUS, LOG_BLUR]]
    logs = np.column_stack([values, np.log(np.maximum(fit.shadows.values[:, HEIGHT], 1e-9))])
    unlike = np.abs(logs - np.median(logs[_clearest(fit)], axis=0))
    blurred = logs[:, 1] - np.median(logs[_clearest(fit), 1])
    extra, _ = elongations(fit)
    uneven = np.hypot(*(extra - np.median(extra, axis=0)).T) / fit.shadows.radii**2
    penalty = 0.5 * np.maximum(unlike[:, 0] - 0.2, 0) + 0.4 * np.maximum(blurred - 0.2, 0)
    # However blurred all spots are: beyond this they may be anything.
    penalty += 0.4 * np.maximum(logs[:, 1] - logs[:, 0] - np.log(BLURRED), 0)
    penalty += 0.35 * np.maximum(unlike[:, 2] - 0.4, 0) + np.clip(uneven - 0.05, 0, 0.15)
    penalty += STRUCTURE_SHARE * (1 - fit.explained) * _structured(fit)
    return np.clip(fit.explained - penalty, 0, 1)


def _structured(fit: Fit) -> Float[np.ndarray, " n"]:
    """Whether residuals are structures, not noise: 1 where neighboring pixels have all but the same residual."""
    weights = np.minimum(fit.weights[:, 1:], fit.weights[:, :-1])
    steps = (weights * np.diff(fit.residuals, axis=1) ** 2).sum(axis=1) / 2
    alike = 1 - steps / np.maximum((weights * fit.residuals[:, 1:] ** 2).sum(axis=1), 1e-20)
    # Blur makes neighboring noise alike by about a half.
    return np.clip(2 * alike - 1, 0, 1)


def _sigmas(fit: Fit, paired: Bool[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Standard deviation of the centers: covariance of the fit and its residuals, company, motion, uneven shape."""
    weighted = fit.jacobian * fit.weights[..., None]
    normal = np.matmul(fit.jacobian.transpose(0, 2, 1), weighted)
    spread = np.sqrt((fit.weights * fit.residuals**2).sum(axis=1) / np.maximum(fit.weights.sum(axis=1) - 10, 1))
    stiff = spread[:, None] ** 2 / fit.shadows.looseness**2
    for column, index in enumerate((LOG_RADIUS, LOG_BLUR)):
        normal[:, index, index] += stiff[:, column]
    covariance = np.linalg.inv(normal + 1e-12 * np.eye(normal.shape[-1])) * spread[:, None, None] ** 2
    sigmas = SIGMA_FACTOR * np.sqrt((covariance[:, 0, 0] + covariance[:, 1, 1]) / 2)
    sigmas *= np.where(overlapping(fit.shadows).any(axis=1), 1.2, 1.0)
    sigmas = np.where(paired, np.hypot(1.3 * sigmas, PAIRED_SHARE * fit.shadows.radii), sigmas)
    extra, unsure = elongations(fit)
    own = np.maximum(np.hypot(*(extra - np.median(extra, axis=0)).T) - 2 * unsure, 0)
    return np.sqrt(
        sigmas**2 + SIGMA_FLOOR_PX**2 + UNEVEN_SHARE**2 * own + (MOTION_SHARE * motion_px(extra, unsure)) ** 2
    )


def _distinct(centers: Float[np.ndarray, "n 2"], radii: Float[np.ndarray, " n"]) -> np.ndarray:
    """Indices of balls that no better one coincides with; the best come first."""
    kept: list[int] = []
    for number, center in enumerate(centers):
        if not kept or (np.hypot(*(centers[kept] - center).T) > 0.6 * radii[number]).all():
            kept.append(number)
    return np.array(kept, dtype=int)


def is_saturated(radiograph: Radiograph) -> bool:
    """Whether so much of an image is at the black or the white end that it cannot be trusted."""
    pixels = radiograph.pixels[::2, ::2]
    span = max(float(pixels.max() - pixels.min()), 1e-12)
    black = float((pixels <= pixels.min() + 0.002 * span).mean())
    white = float((pixels >= pixels.max() - 0.002 * span).mean())
    return max(black, white) > SATURATED_SHARE or span <= 1e-12
