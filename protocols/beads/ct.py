"""Find the steel balls in a CT and locate their centers to a fraction of a voxel.

Metal ends the Hounsfield scale: inside a ball all voxels read the highest value, and only its flanks tell where it is.
So each ball is fitted as a blurred ball whose values are cut off where the scan's are.
"""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float
from scipy import ndimage
from scipy.optimize import least_squares
from scipy.spatial import cKDTree

from drrkit.errors import InputError
from drrkit.geometry import rigid
from drrkit.volume import Volume
from protocols.beads.profile import blurred_ball

# Brighter than any bone of the trunk; contrast agent in vessels stays below too.
METAL_HU = 2000.0
# The brightest voxel of a ball of steel, unless the scale ends earlier; a bony island stays below.
PEAK_HU = 2800.0
# A ball of steel reads more than this even where a scanner smears it over several voxels; dense bone does not.
STEEL_HU = (4500.0, 60000.0)
# A component is a ball where its size is that of a blurred ball of steel, within these factors and smear.
SMALLEST, LARGEST, SMEAR_MM = 0.55, 1.3, 1.2
# Longest over shortest axis of a single ball; coarse voxels make small balls uneven.
LONGEST = 1.7
# Fitted diameters off by more than this share are told in the note.
DIAMETER_SHARE = 0.2
# Weight of a voxel: noise, and the share of its height by which point spreads differ from Gaussians.
NOISE_HU, MODEL_SHARE = 30.0, 0.06
# What streaks do to the center of a ball, beside what the fit says of itself.
SIGMA_FLOOR_MM = 0.015
# More bright components than this are no balls but an implant or a scan in other units.
COMPONENTS = 5000


@dataclass(frozen=True, eq=False)
class CtBall:
    """One steel ball of a CT.

    Args:
        center_world: (3,) LPS mm.
        sigma_mm: Standard deviation of the center along its worst axis.
        diameter_mm: As fitted, with one point spread and one steel for all balls of the scan.
        peak_hu: The brightest voxel.
        note: What is unusual about it, such as a ball that touches it; empty if nothing.
    """

    center_world: Float[np.ndarray, " 3"]
    sigma_mm: float
    diameter_mm: float
    peak_hu: float
    note: str = ""


@dataclass(frozen=True, eq=False)
class _Patch:
    """Voxels around one or two balls: offsets from ``origin`` along the voxel axes in mm, and their values."""

    origin_voxel: Float[np.ndarray, " 3"]
    points_mm: Float[np.ndarray, "n 3"]
    hu: Float[np.ndarray, " n"]
    starts_mm: Float[np.ndarray, "k 3"]
    peak_hu: float


def find_ct_balls(volume: Volume, diameter_mm: float, expected: int | None = None) -> list[CtBall]:
    """Find all steel balls of one size, from head to foot.

    Args:
        volume: The CT.
        diameter_mm: Of the balls.
        expected: How many were placed, if known.

    Returns:
        The balls, sorted from head to foot, then from right to left.

    Raises:
        InputError: No metal in the CT, no ball of this size, or a count far from the expected one (more than a
            third off).
    """
    if not 0.5 <= diameter_mm <= 20:
        raise InputError("ball diameter_mm", diameter_mm, "0.5 to 20 mm")
    brightest = float(volume.hu.max())
    if brightest <= METAL_HU:
        raise InputError(
            "CT", f"no voxel above {brightest:g} HU", "steel balls (is the scale cut off, or the wrong CT?)"
        )
    patches, refused = _patches(volume, diameter_mm, brightest)
    balls = _located(volume, patches, diameter_mm, brightest, refused)
    found = f"{len(balls)} steel balls" + _because(refused)
    wanted = f"balls of {diameter_mm:g} mm"
    if not balls:
        raise InputError("CT", found, f"{wanted} (is the diameter right?)")
    if expected is not None and abs(len(balls) - expected) > max(1, expected / 3):
        raise InputError("CT", found, f"{expected} {wanted}")
    return sorted(balls, key=lambda ball: (round(-ball.center_world[2], 1), *ball.center_world.round(1)))


def _because(refused: list[str]) -> str:
    reasons = [f"{refused.count(reason)} {reason}" for reason in sorted(set(refused))]
    return f" (refused: {', '.join(reasons)})" if reasons else ""


def _patches(volume: Volume, diameter_mm: float, brightest: float) -> tuple[list[_Patch], list[str]]:
    """Cut out every component of metal that can be one ball or two that touch; say why others cannot."""
    spacing = np.array(volume.spacing_mm)
    labels, count = ndimage.label(volume.hu > METAL_HU, np.ones((3, 3, 3)))
    if count > COMPONENTS:
        raise InputError("CT", f"{count} separate bright spots above {METAL_HU:g} HU", "a CT in Hounsfield units")
    refused: list[str] = []
    patches = []
    steel_needed = min(0.9 * brightest, PEAK_HU)
    for number, box in enumerate(ndimage.find_objects(labels), start=1):
        mask = labels[box] == number
        index = np.argwhere(mask)[:, ::-1] + [box[2].start, box[1].start, box[0].start]
        values = volume.hu[box][mask].astype(np.float64)
        # Blooming: steel is so bright that voxels count as metal which the ball only grazes.
        size_mm = (6 / np.pi * len(index) * spacing.prod()) ** (1 / 3)
        if size_mm < SMALLEST * diameter_mm or values.max() < steel_needed:
            refused.append("too small or too dim")
            continue
        axes_mm, main_axis = _axes(index * spacing, spacing)
        length_mm = 2 * np.sqrt(5) * axes_mm[2]
        largest_mm = LARGEST * diameter_mm + SMEAR_MM * max(1.0, spacing.max())
        center = (values @ index) / values.sum()
        round_enough = size_mm <= largest_mm and axes_mm[2] <= LONGEST * axes_mm[0]
        if not round_enough and (size_mm > 1.26 * largest_mm or length_mm > 2.0 * largest_mm):
            refused.append("too long or too large")
            continue
        pair_mm = None if round_enough else np.outer([-0.5, 0.5], main_axis * diameter_mm)
        patches.append(_cut(volume, center, pair_mm, diameter_mm, float(values.max())))
    return patches, refused


def _axes(
    points_mm: Float[np.ndarray, "n 3"], spacing: Float[np.ndarray, " 3"]
) -> tuple[Float[np.ndarray, " 3"], Float[np.ndarray, " 3"]]:
    """Standard deviations of a component along its axes, shortest first, and its longest axis."""
    spread = np.cov(points_mm.T, bias=True) if len(points_mm) > 1 else np.zeros((3, 3))
    values, vectors = np.linalg.eigh(spread + np.diag(spacing**2 / 12))
    return np.sqrt(values), vectors[:, 2]


def _cut(
    volume: Volume,
    center_voxel: Float[np.ndarray, " 3"],
    pair_mm: Float[np.ndarray, "2 3"] | None,
    diameter_mm: float,
    peak_hu: float,
) -> _Patch:
    spacing = np.array(volume.spacing_mm)
    reach_mm = diameter_mm / 2 + 1.2 + 0.5 * spacing.max()
    starts_mm = np.zeros((1, 3)) if pair_mm is None else pair_mm
    far_mm = reach_mm + np.abs(starts_mm).max(axis=0)
    low = np.maximum(np.floor(center_voxel - far_mm / spacing).astype(int), 0)
    high = np.minimum(np.ceil(center_voxel + far_mm / spacing).astype(int) + 1, volume.shape[::-1])
    z, y, x = np.meshgrid(*(np.arange(low[axis], high[axis]) for axis in (2, 1, 0)), indexing="ij")
    points_mm = (np.stack([x, y, z], axis=-1).reshape(-1, 3) - center_voxel) * spacing
    hu = volume.hu[low[2] : high[2], low[1] : high[1], low[0] : high[0]].astype(np.float64).ravel()
    near = (np.linalg.norm(points_mm[:, None] - starts_mm, axis=-1) <= reach_mm).any(axis=1)
    return _Patch(center_voxel, points_mm[near], hu[near], starts_mm, peak_hu)


@dataclass(frozen=True, eq=False)
class _Fit:
    """What a fit found: centers in mm from the patch's origin, and the scan's properties as logarithms."""

    centers_mm: Float[np.ndarray, "k 3"]
    radius_mm: float
    steel_hu: float
    blur_mm: float
    smear_mm: float
    background_hu: float
    sigma_mm: float
    misfit: float


def _located(
    volume: Volume, patches: list[_Patch], diameter_mm: float, brightest: float, refused: list[str]
) -> list[CtBall]:
    """Fit all patches, first each on its own, then with the point spread and the steel that most of them share."""
    ceiling = _ceiling(patches, brightest)
    fits = []
    for patch in patches:
        patch, fit = _one_or_two(patch, diameter_mm / 2, ceiling)
        if fit.steel_hu < STEEL_HU[0]:
            refused.append("not bright enough for steel of this size")
        else:
            fits.append((patch, fit))
    if not fits:
        return []
    shared = tuple(
        float(np.median([getattr(fit, name) for _, fit in fits])) for name in ("steel_hu", "blur_mm", "smear_mm")
    )
    balls = []
    for patch, first in fits:
        sized = _fitted(patch, diameter_mm / 2, ceiling, shared)
        diameter = 2 * sized.radius_mm
        if not 0.5 <= diameter / diameter_mm <= 1.8:
            refused.append(f"of a diameter near {diameter:.1f} mm")
            continue
        notes = ["touches another ball"] if len(patch.starts_mm) > 1 else []
        if abs(diameter / diameter_mm - 1) > DIAMETER_SHARE:
            notes.append(f"diameter {diameter:.1f} mm")
        sigma_mm = float(np.hypot(first.sigma_mm, SIGMA_FLOOR_MM)) * (2.0 if notes else 1.0)
        for center_mm in first.centers_mm:
            world = rigid.apply(volume.world_from_voxel, patch.origin_voxel + center_mm / volume.spacing_mm)
            balls.append(CtBall(world, sigma_mm, diameter, patch.peak_hu, "; ".join(notes)))
    return _noting_neighbors(balls, diameter_mm)


def _one_or_two(patch: _Patch, radius_mm: float, ceiling: float) -> tuple[_Patch, _Fit]:
    """Fit the patch as it stands; one that may hold two balls also as one, and keep what fits better."""
    fit = _fitted(patch, radius_mm, ceiling, None)
    if len(patch.starts_mm) == 1:
        return patch, fit
    alone = replace(patch, starts_mm=np.zeros((1, 3)))
    single = _fitted(alone, radius_mm, ceiling, None)
    apart_mm = float(np.linalg.norm(fit.centers_mm[0] - fit.centers_mm[1]))
    if apart_mm < 1.4 * radius_mm or single.misfit < 1.3 * fit.misfit:
        return alone, single
    return patch, fit


def _ceiling(patches: list[_Patch], brightest: float) -> float:
    """The value at which the scan is cut off; without a cut, nothing reaches it."""
    top = sum(int((patch.hu >= brightest - 1).sum()) for patch in patches)
    return brightest if top > len(patches) else np.inf


def _fitted(patch: _Patch, radius_mm: float, ceiling: float, shared: tuple[float, ...] | None) -> _Fit:
    """Fit one or two blurred, cut-off balls; with ``shared`` steel, blur and smear, the radius is free instead."""
    count = len(patch.starts_mm)
    background = float(np.percentile(patch.hu, 15))
    flank = np.clip(patch.hu, None, ceiling) - background
    weight = 1 / np.hypot(NOISE_HU, MODEL_SHARE * np.maximum(flank, 0))

    def unpack(values: np.ndarray) -> tuple[np.ndarray, float, float, float, float, float]:
        centers = values[: 3 * count].reshape(count, 3)
        if shared is None:
            steel, blur, smear = np.exp(values[3 * count : 3 * count + 3])
            return centers, radius_mm, steel, blur, smear, values[-1] * 100
        return centers, float(np.exp(values[3 * count])), *shared, values[-1] * 100

    def residuals(values: np.ndarray) -> np.ndarray:
        centers, radius, steel, blur, smear, level = unpack(values)
        share = sum(_smeared_ball(patch.points_mm - center, radius, blur, smear) for center in centers)
        return (np.minimum(level + steel * share, ceiling) - np.minimum(patch.hu, ceiling)) * weight

    start = [*patch.starts_mm.ravel()]
    start += [np.log(radius_mm)] if shared is not None else [np.log(12000.0), np.log(0.6), np.log(0.3)]
    start.append(background / 100)
    step = 3 * count
    room = 1.0 if count == 1 else 0.7
    lower, upper = np.array(start) - room * radius_mm - 0.3, np.array(start) + room * radius_mm + 0.3
    if shared is None:
        lower[step : step + 3] = np.log([STEEL_HU[0] / 2, 0.15, 0.02])
        upper[step : step + 3] = np.log([STEEL_HU[1], 2.0, 2.0])
    else:
        lower[step], upper[step] = np.log([0.4 * radius_mm, 2.0 * radius_mm])
    lower[-1], upper[-1] = start[-1] - 3, start[-1] + 3
    solution = least_squares(residuals, start, bounds=(lower, upper), loss="soft_l1", max_nfev=60)
    centers, radius, steel, blur, smear, level = unpack(solution.x)
    plain = residuals(solution.x)
    scale = float(np.sqrt(np.mean(plain**2)))
    covariance = np.linalg.pinv(solution.jac.T @ solution.jac) * max(scale, 0.3) ** 2
    worst = max(
        float(np.sqrt(np.linalg.eigvalsh(covariance[3 * k : 3 * k + 3, 3 * k : 3 * k + 3])[-1])) for k in range(count)
    )
    return _Fit(centers.copy(), radius, steel, blur, smear, level, worst, scale)


def _smeared_ball(
    offsets_mm: Float[np.ndarray, "n 3"], radius_mm: float, blur_mm: float, smear_mm: float
) -> Float[np.ndarray, " n"]:
    """A blurred ball that is smeared further along z, as thick slices do (Gauss-Hermite, three nodes)."""
    across = offsets_mm[:, 0] ** 2 + offsets_mm[:, 1] ** 2
    total = np.zeros(len(offsets_mm))
    for node, weight in ((-np.sqrt(3.0), 1 / 6), (0.0, 2 / 3), (np.sqrt(3.0), 1 / 6)):
        total += weight * blurred_ball(np.sqrt(across + (offsets_mm[:, 2] + node * smear_mm) ** 2), radius_mm, blur_mm)
    return total


def _noting_neighbors(balls: list[CtBall], diameter_mm: float) -> list[CtBall]:
    """Say of balls closer than two diameters that they are: their shadows merge in many views."""
    if len(balls) < 2:
        return balls
    tree = cKDTree([ball.center_world for ball in balls])
    close = {number for pair in tree.query_pairs(1.5 * diameter_mm) for number in pair}
    return [
        replace(ball, note="close to another ball") if number in close and not ball.note else ball
        for number, ball in enumerate(balls)
    ]
