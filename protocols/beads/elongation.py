"""Shadows that are longer than wide: two balls merged into one, or a ball that moved during the exposure."""

import numpy as np
from jaxtyping import Bool, Float, Float32
from scipy.optimize import least_squares

from protocols.beads.shadows import (
    HEIGHT,
    LEVEL,
    LOG_BLUR,
    LOG_RADIUS,
    Fit,
    fit_shadows,
    modelled,
    open_windows,
    profile,
)

# A shadow is taken for two balls where it is so much longer (variance in squared radii), so much more surely.
MERGED_VARIANCE, MERGED_SURE = 0.05, 4.0
# Two balls must leave so much less than one, and be as high as each other within this share.
TWO_BETTER, ALIKE = 0.6, 0.4
# Merged balls that are looked at in one image, the highest first.
MOST_SPLITS = 6
# Motion must be this sure to count.
MOTION_SURE = 2.0


def elongations(fit: Fit) -> tuple[Float[np.ndarray, "n 2"], Float[np.ndarray, " n"]]:
    """Measure how much longer each shadow is than the round one fitted to it.

    Returns:
        (N, 2) traceless part of the extra variance in square pixels, along (u - v) / 2 and uv; its standard deviation.
    """
    shadows = fit.shadows
    radius = shadows.radii[:, None]
    values, step = shadows.values, 0.12
    # Second derivatives of the shadow as differences: no further table, and as smooth as the first.
    bent = []
    for axis in ((1.0, 0.0), (0.0, 1.0), (np.sqrt(0.5), np.sqrt(0.5)), (np.sqrt(0.5), -np.sqrt(0.5))):
        moved = []
        for sign in (-1, 1):
            shifted = values.copy()
            shifted[:, :2] += sign * step * radius * np.array(axis)
            moved.append(profile(shifted, shadows.offsets, shadows.grid)[0])
        bent.append((moved[0] + moved[1]) / (step * radius) ** 2)
    height = values[:, HEIGHT][:, None]
    columns = np.stack([height * (bent[0] - bent[1]) / 2, height * (bent[2] - bent[3]) / 2], axis=-1)
    jacobian = np.concatenate([columns, fit.jacobian], axis=-1)
    weighted = jacobian * fit.weights[..., None]
    normal = np.matmul(jacobian.transpose(0, 2, 1), weighted)
    diagonal = np.einsum("npp->np", normal)
    diagonal *= 1 + 1e-6
    diagonal += 1e-12
    inverse = np.linalg.inv(normal)
    solved = np.matmul(inverse, np.einsum("nkp,nk->np", weighted, fit.residuals)[..., None])[..., 0]
    spread = np.sqrt((fit.weights * fit.residuals**2).sum(axis=1) / np.maximum(fit.weights.sum(axis=1) - 12, 1))
    sigma = spread * np.sqrt((inverse[:, 0, 0] + inverse[:, 1, 1]) / 2)
    return solved[:, :2], sigma


def motion_px(extra: Float[np.ndarray, "n 2"], sigma: Float[np.ndarray, " n"]) -> float:
    """Length over which all balls of an image were smeared; 0 unless it is sure."""
    common = np.median(extra, axis=0)
    sure = 1.25 * np.median(sigma) / np.sqrt(len(extra)) + 1.25 * np.median(np.abs(extra - common)) / np.sqrt(
        len(extra)
    )
    length = float(np.hypot(*common))
    return float(np.sqrt(24 * length)) if length > MOTION_SURE * sure else 0.0


def split_merged(
    image: Float32[np.ndarray, "h w"], fit: Fit, radius_px: tuple[float, float]
) -> tuple[Fit, Bool[np.ndarray, " n"]]:
    """Replace shadows that are two merged balls by two; say which ones are of that kind."""
    alone = np.zeros(len(fit.shadows), dtype=bool)
    extra, sigma = elongations(fit)
    own = extra - np.median(extra, axis=0)
    size = np.hypot(own[:, 0], own[:, 1])
    radii = fit.shadows.radii
    heights = fit.shadows.values[:, HEIGHT]
    high = heights > ALIKE * np.median(heights)
    merged = np.flatnonzero((size > MERGED_VARIANCE * radii**2) & (size > MERGED_SURE * sigma) & high)
    merged = merged[np.argsort(-fit.shadows.values[merged, HEIGHT], kind="stable")][:MOST_SPLITS]
    pairs = {int(number): _two_balls(fit, int(number), own[number]) for number in merged}
    pairs = {number: pair for number, pair in pairs.items() if pair is not None}
    if not pairs:
        return fit, alone
    single = np.setdiff1d(np.arange(len(radii)), list(pairs))
    values = np.concatenate([fit.shadows.values[single], *pairs.values()])
    shadows = open_windows(image, values[:, :2], np.exp(values[:, LOG_RADIUS]), radius_px, 1.0)
    shadows.values[:, : HEIGHT + 1] = values[:, : HEIGHT + 1]
    shadows.prior, shadows.looseness = np.tile(fit.shadows.prior[0], (len(values), 1)), fit.shadows.looseness
    return fit_shadows(shadows, 3, neighbors=True), np.arange(len(values)) >= len(single)


def _two_balls(fit: Fit, number: int, own: Float[np.ndarray, " 2"]) -> Float[np.ndarray, "2 10"] | None:
    """Fit two balls of one size to one window; None where one is as good, or where the two are unlike."""
    shadows = fit.shadows.chosen(np.array([number]))
    values, weight = shadows.values[0], np.sqrt(fit.shadows.weights[number])
    expected, blur = shadows.prior[0]
    radius = float(np.exp(expected))
    angle = np.arctan2(own[1], own[0]) / 2
    apart = np.clip(np.sqrt(8 * np.hypot(*own)), 0.5 * radius, 2.0 * radius) / 2
    along = apart * np.array([np.cos(angle), np.sin(angle)])
    background = modelled(shadows)[1][0, :, LEVEL:]
    # What other balls add to the window was taken off in the fit; it is what model and residuals leave of the pixels.
    data = modelled(shadows)[0][0] + fit.residuals[number]
    noise = float(fit.noise[number])

    def balls(unknowns: np.ndarray) -> np.ndarray:
        two = np.zeros((2, len(values)))
        two[:, :2] = unknowns[:4].reshape(2, 2)
        two[:, LOG_RADIUS], two[:, LOG_BLUR] = unknowns[4], blur
        return two

    def residuals(unknowns: np.ndarray) -> np.ndarray:
        offsets = np.repeat(shadows.offsets, 2, axis=0)
        columns = np.column_stack([*profile(balls(unknowns), offsets, shadows.grid)[0], background]) * weight[:, None]
        # Heights and background are linear: solved for at every step.
        terms[:] = np.linalg.lstsq(columns, data * weight, rcond=None)[0]
        return np.append(columns @ terms - data * weight, noise * (unknowns[4] - expected) / shadows.looseness[0])

    terms = np.zeros(2 + background.shape[1])
    start = np.append([values[:2] - along, values[:2] + along], expected)
    found = least_squares(residuals, start, method="lm", x_scale=np.append(np.full(4, radius), 1.0), max_nfev=120)
    left = float((residuals(found.x) ** 2).sum())
    one = float((weight**2 * fit.residuals[number] ** 2).sum())
    two = balls(found.x)
    two[:, HEIGHT], two[:, LEVEL:] = terms[:2], terms[2:]
    apart = float(np.hypot(*(two[0, :2] - two[1, :2])))
    inside = (np.hypot(*(two[:, :2] - values[:2]).T) < 2.0 * radius).all()
    alike = terms[:2].min() > ALIKE * terms[:2].max()
    return two if left < TWO_BETTER * one and inside and alike and apart > 0.3 * radius else None
