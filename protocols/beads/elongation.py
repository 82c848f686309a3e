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
    shadows_of,
)

# A shadow is taken for two balls where it is so much longer (variance in squared radii), so much more surely.
MERGED_VARIANCE, MERGED_SURE = 0.015, 4.0
# Two balls must leave so much less than one, and be as high as each other within this share.
TWO_BETTER, ALIKE = 0.6, 0.4
# Balls closer than this many radii hide each other; so many pairs are looked at in one image.
CLOSE, MOST_PAIRS = 2.0, 8
# Pairs are settled to a thousandth of a pixel.
TOLERANCES = {"ftol": 1e-5, "xtol": 1e-5, "gtol": 1e-5}
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


def settle_pairs(
    image: Float32[np.ndarray, "h w"], fit: Fit, radius_px: tuple[float, float]
) -> tuple[Fit, Bool[np.ndarray, " n"]]:
    """Fit balls that hide each other two by two: those close together, and shadows that may be two merged ones.

    Returns:
        The fit with two balls in the place of each merged one, and which balls belong to such pairs.
    """
    centers = fit.shadows.centers
    pairs: dict[tuple[int, ...], np.ndarray] = {}
    for members, start in [*_close_pairs(fit), *_merged_balls(fit)][:MOST_PAIRS]:
        free = not any(number in settled for settled in pairs for number in members)
        if free and (two := _two_balls(image, fit, np.array(members), start, radius_px)) is not None:
            pairs[members] = two
    if not pairs:
        return fit, np.zeros(len(centers), dtype=bool)
    single = np.setdiff1d(np.arange(len(centers)), [number for members in pairs for number in members])
    values = np.concatenate([fit.shadows.values[single], *pairs.values()])
    shadows = open_windows(image, values[:, :2], np.exp(values[:, LOG_RADIUS]), radius_px, 1.0)
    shadows.values[:, : HEIGHT + 1] = values[:, : HEIGHT + 1]
    shadows.prior, shadows.looseness = np.tile(fit.shadows.prior[0], (len(values), 1)), fit.shadows.looseness
    return fit_shadows(shadows, 3, neighbors=True), np.arange(len(values)) >= len(single)


def _close_pairs(fit: Fit) -> list[tuple[tuple[int, ...], Float[np.ndarray, "2 2"]]]:
    """Balls whose shadows overlap, the closest first, and where they are."""
    centers, radius = fit.shadows.centers, float(np.exp(fit.shadows.prior[0, 0]))
    apart = np.hypot(*(centers[:, None] - centers[None]).transpose(2, 0, 1))
    first, second = np.nonzero(np.triu(apart < CLOSE * radius, 1))
    order = np.argsort(apart[first, second], kind="stable")
    return [((int(i), int(j)), centers[[i, j]]) for i, j in zip(first[order], second[order], strict=True)]


def _merged_balls(fit: Fit) -> list[tuple[tuple[int, ...], Float[np.ndarray, "2 2"]]]:
    """Shadows that are longer than the others, the surest first, and where two balls in their place would be."""
    extra, sigma = elongations(fit)
    common = np.median(extra, axis=0)
    own = extra - common
    size = np.hypot(own[:, 0], own[:, 1])
    heights = fit.shadows.values[:, HEIGHT]
    longer = np.maximum(MERGED_VARIANCE * fit.shadows.radii**2, np.hypot(*common))
    merged = np.flatnonzero((size > longer) & (size > MERGED_SURE * sigma) & (heights > ALIKE * np.median(heights)))
    found: list[tuple[tuple[int, ...], np.ndarray]] = []
    for number in merged[np.argsort(-(size / sigma)[merged], kind="stable")]:
        radius, angle = float(np.exp(fit.shadows.prior[0, 0])), np.arctan2(own[number, 1], own[number, 0]) / 2
        along = 0.5 * radius * np.array([np.cos(angle), np.sin(angle)])
        center = fit.shadows.centers[number]
        found.append(((int(number),), np.stack([center - along, center + along])))
    return found


def _two_balls(
    image: Float32[np.ndarray, "h w"],
    fit: Fit,
    members: np.ndarray,
    start: Float[np.ndarray, "2 2"],
    radius_px: tuple[float, float],
) -> Float[np.ndarray, "2 10"] | None:
    """Fit two balls of one size to one window; None where they are unlike, or where one in their place is as good."""
    middle, (expected, blur) = start.mean(axis=0), fit.shadows.prior[0]
    radius, half = float(np.exp(expected)), float(np.hypot(*(start[1] - start[0]))) / 2
    reach = (radius_px[0], max(radius_px[1], radius + half))
    window = open_windows(image, middle[None], np.array([radius + half]), reach, float(np.exp(blur)))
    others = np.setdiff1d(np.arange(len(fit.shadows)), members)
    data = window.pixels[0] - shadows_of(fit.shadows.values[others], window.offsets[0], window.grid).sum(axis=0)
    background, root = modelled(window)[1][0, :, LEVEL:], np.sqrt(window.weights[0])
    noise, looseness = float(np.median(fit.noise[members])), float(fit.shadows.looseness[0])
    terms = np.zeros(0)

    def balls(unknowns: np.ndarray) -> np.ndarray:
        values = np.zeros((len(unknowns) // 2, fit.shadows.values.shape[1]))
        values[:, :2] = unknowns[:-1].reshape(-1, 2)
        values[:, LOG_RADIUS], values[:, LOG_BLUR], values[:, HEIGHT] = unknowns[-1], blur, 1.0
        return values

    def residuals(unknowns: np.ndarray) -> np.ndarray:
        nonlocal terms
        columns = np.column_stack([*shadows_of(balls(unknowns), window.offsets[0], window.grid), background])
        columns *= root[:, None]
        # Heights and background are linear: solved for at every step.
        terms = np.linalg.solve(columns.T @ columns + 1e-9 * np.eye(columns.shape[1]), columns.T @ (data * root))
        return np.append(columns @ terms - data * root, noise * (unknowns[-1] - expected) / looseness)

    def solved(centers: np.ndarray, evaluations: int) -> tuple[np.ndarray, float]:
        found = least_squares(residuals, np.append(centers, expected), method="lm", max_nfev=evaluations, **TOLERANCES)
        return found.x, float((residuals(found.x) ** 2).sum())

    if len(members) == 1:
        _, one = solved(middle, 30)
    unknowns, two = solved(start, 80)
    values = balls(unknowns)
    values[:, HEIGHT] = terms[:2]
    apart = float(np.hypot(*(values[0, :2] - values[1, :2])))
    inside = (np.hypot(*(values[:, :2] - middle).T) < 2.0 * radius).all()
    alike = terms[:2].min() > ALIKE * terms[:2].max()
    better = len(members) == 2 or two < TWO_BETTER * one
    return values if better and inside and alike and apart > 0.3 * radius else None
