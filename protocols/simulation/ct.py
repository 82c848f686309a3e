"""Put simulated steel balls into a CT, as a scanner would show them."""

import numpy as np
from jaxtyping import Float
from scipy.ndimage import gaussian_filter

from drrkit.errors import InputError
from drrkit.geometry import rigid
from drrkit.geometry.rigid import ArrayLike
from drrkit.volume import AIR_HU, Volume
from protocols.beads.profile import blurred_ball

# What steel would read if the scale went on: 7.9 g/cm3 at about 70 keV, less the beam hardening of some millimeters.
STEEL_HU = 18000.0
# Values above the scale of a usual scanner are written as its end.
HIGHEST_HU = 3071
# Points for each voxel edge over which the blurred ball is averaged: partial volume.
SUPERSAMPLING = 3
# Streaks fade to a third over so many ball radii.
STREAK_REACH = 4.0


def insert_balls(
    volume: Volume,
    centers_world: ArrayLike,
    diameter_mm: float,
    *,
    highest_hu: float = HIGHEST_HU,
    blur_mm: float = 0.5,
    noise_hu: float = 0.0,
    streak_hu: float = 150.0,
    seed: int = 0,
) -> Volume:
    """Insert simulated steel balls.

    Each ball is blurred by the scanner's point spread, averaged over the voxels (partial volume), surrounded by
    simulated dark and bright streaks in the slices, and cut off at the end of the Hounsfield scale. Without noise,
    only voxels near a ball change.

    Args:
        volume: The CT; its labels stay as they are.
        centers_world: (M, 3) ball centers.
        diameter_mm: Of the balls.
        highest_hu: Where the scanner's scale ends.
        blur_mm: Standard deviation of the scanner's point spread.
        noise_hu: Standard deviation of white noise that is added everywhere.
        streak_hu: Height of the streaks at the ball's surface; 0 for none.
        seed: Of streaks and noise.

    Returns:
        A new volume of the same type of voxels.

    Raises:
        InputError: Centers of another shape or outside the CT, a diameter, blur or noise that is impossible.
    """
    centers = np.asarray(centers_world, dtype=np.float64)
    if centers.ndim != 2 or centers.shape[1] != 3 or not np.isfinite(centers).all():
        raise InputError("ball centers", f"an array of shape {centers.shape}", "finite centers of shape (M, 3)")
    for name, value, lowest in (
        ("diameter_mm", diameter_mm, 0.5),
        ("blur_mm", blur_mm, 0.05),
        ("noise_hu", noise_hu, 0),
    ):
        if not lowest <= value < np.inf:
            raise InputError(f"simulated balls, {name}", value, f"at least {lowest:g}")
    spacing_mm = np.array(volume.spacing_mm)
    voxels = rigid.apply(volume.voxel_from_world, centers)
    size = np.array(volume.shape[::-1])
    outside = ((voxels < 0) | (voxels > size - 1)).any(axis=1)
    if outside.any():
        raise InputError("ball centers", f"{centers[outside][0].round(1).tolist()} mm", "centers inside the CT")

    rng = np.random.default_rng(seed)
    hu = volume.hu.astype(np.float32)
    if noise_hu > 0:
        hu += np.float32(noise_hu) * rng.standard_normal(hu.shape, dtype=np.float32)
    radius_mm = diameter_mm / 2
    reach_mm = max(radius_mm + 5 * blur_mm, (1 + 2.5 * STREAK_REACH) * radius_mm if streak_hu > 0 else 0.0)
    for center in voxels:
        low = np.maximum(np.floor(center - reach_mm / spacing_mm).astype(int), 0)
        high = np.minimum(np.ceil(center + reach_mm / spacing_mm).astype(int) + 1, size)
        box = tuple(slice(first, last) for first, last in zip(low[::-1], high[::-1], strict=True))
        offsets_mm = [(np.arange(low[axis], high[axis]) - center[axis]) * spacing_mm[axis] for axis in range(3)]
        if streak_hu > 0:
            hu[box] += _simulated_streaks(offsets_mm, radius_mm, streak_hu, rng)
        steel = _coverage(offsets_mm, spacing_mm, radius_mm, blur_mm)
        hu[box] += steel * (STEEL_HU - hu[box])
    np.clip(hu, AIR_HU, highest_hu, out=hu)
    if volume.hu.dtype == np.int16:
        hu = np.rint(hu).astype(np.int16)
    return Volume(hu, volume.world_from_voxel, volume.labels)


def _coverage(
    offsets_mm: list[Float[np.ndarray, " n"]], spacing_mm: Float[np.ndarray, " 3"], radius_mm: float, blur_mm: float
) -> Float[np.ndarray, "z y x"]:
    """Share of steel in each voxel, averaged over the voxel's box."""
    steps = (np.arange(SUPERSAMPLING) + 0.5) / SUPERSAMPLING - 0.5
    squares = [(o[:, None] + steps * s) ** 2 for o, s in zip(offsets_mm, spacing_mm, strict=True)]
    x2, y2, z2 = squares
    total = np.zeros((len(z2), len(y2), len(x2)))
    for k in range(SUPERSAMPLING):
        for j in range(SUPERSAMPLING):
            for i in range(SUPERSAMPLING):
                square = z2[:, None, None, k] + y2[None, :, None, j] + x2[None, None, :, i]
                near = square < (radius_mm + 5 * blur_mm) ** 2
                total[near] += blurred_ball(np.sqrt(square[near]), radius_mm, blur_mm)
    return (total / SUPERSAMPLING**3).astype(np.float32)


def _simulated_streaks(
    offsets_mm: list[Float[np.ndarray, " n"]], radius_mm: float, streak_hu: float, rng: np.random.Generator
) -> Float[np.ndarray, "z y x"]:
    """Dark and bright rays within the slices that the ball lies in; random, and fading with distance."""
    x, y, z = offsets_mm
    distance = np.hypot(y[:, None], x[None, :])
    spokes = gaussian_filter(rng.standard_normal(180), 2.5, mode="wrap")
    spokes /= spokes.std()
    angle = np.mod(np.arctan2(y[:, None], x[None, :]) / (2 * np.pi), 1.0) * 180
    rays = np.interp(angle, np.arange(181), np.append(spokes, spokes[0]))
    fade = np.exp(-np.maximum(distance - radius_mm, 0) / (STREAK_REACH * radius_mm)) * np.minimum(
        distance / radius_mm, 1
    )
    slab = np.exp(-0.5 * (z / radius_mm) ** 2)
    return (streak_hu * slab[:, None, None] * (rays * fade)[None]).astype(np.float32)
