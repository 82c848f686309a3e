"""Placing steel balls as the protocol asks: in soft tissue around the lumbar spine, spread out, off bone and gas."""

import numpy as np
from jaxtyping import Float
from scipy import ndimage
from scipy.spatial import cKDTree

from drrkit.errors import InputError
from drrkit.geometry import rigid
from drrkit.volume import LEVEL_CODES, LUMBAR_LEVELS, Volume

SOFT_TISSUE_HU = (-150.0, 150.0)
GAS_HU, BONE_HU = -350.0, 180.0
FROM_BONE_MM, FROM_GAS_MM = 5.0, 8.0
APART_MM = 16.0
# Off the axis of the column: no nearer, or the ball sits in the vertebra; no further, or the detector misses it.
FROM_AXIS_MM = (24.0, 68.0)
BEYOND_CENTERS_MM = 12.0
_COARSE_MM = 2.5


def vertebral_centers(volume: Volume) -> dict[str, Float[np.ndarray, " 3"]]:
    """Find the middle of each labelled lumbar vertebra, processes included, in world millimeters.

    Raises:
        InputError: No lumbar level is labelled.
    """
    if volume.labels is None:
        raise InputError("CT for a simulated session", "no labelled lumbar vertebra", "labels of L1 to L5")
    boxes = ndimage.find_objects(volume.labels)
    centers = {}
    for level in LUMBAR_LEVELS:
        code = LEVEL_CODES[level]
        if code <= len(boxes) and boxes[code - 1] is not None:
            here = boxes[code - 1]
            voxels = np.argwhere(volume.labels[here] == code) + [part.start for part in here]
            centers[level] = rigid.apply(volume.world_from_voxel, voxels.mean(axis=0)[::-1])
    if not centers:
        raise InputError("CT for a simulated session", "no labelled lumbar vertebra", "labels of L1 to L5")
    return centers


def place_balls(volume: Volume, count: int, rng: np.random.Generator) -> Float[np.ndarray, "m 3"]:
    """Choose places for balls.

    Args:
        volume: Labelled CT.
        count: How many.
        rng: Of the choice.

    Returns:
        (count, 3) centers in world millimeters, head to foot.

    Raises:
        InputError: No labels, or too little soft tissue for so many balls.
    """
    centers = np.stack(list(vertebral_centers(volume).values()))
    steps = [max(1, round(_COARSE_MM / spacing)) for spacing in volume.spacing_mm]
    coarse = volume.hu[:: steps[2], :: steps[1], :: steps[0]]
    spacing_mm = np.array(volume.spacing_mm) * steps
    from_bone = ndimage.distance_transform_edt(coarse < BONE_HU, sampling=spacing_mm[::-1])
    from_gas = ndimage.distance_transform_edt(coarse > GAS_HU, sampling=spacing_mm[::-1])
    soft = (coarse > SOFT_TISSUE_HU[0]) & (coarse < SOFT_TISSUE_HU[1])
    z, y, x = np.nonzero(soft & (from_bone > FROM_BONE_MM) & (from_gas > FROM_GAS_MM))
    points = rigid.apply(volume.world_from_voxel, np.stack([x, y, z], axis=-1) * steps)
    axis_mm, along_mm = _off_axis(points, centers)
    reach_mm = np.ptp(centers[:, 2]) / 2 + BEYOND_CENTERS_MM
    points = points[(axis_mm > FROM_AXIS_MM[0]) & (axis_mm < FROM_AXIS_MM[1]) & (np.abs(along_mm) < reach_mm)]
    chosen: list[Float[np.ndarray, " 3"]] = []
    for point in rng.permutation(points):
        if not chosen or np.linalg.norm(np.stack(chosen) - point, axis=1).min() > APART_MM:
            chosen.append(point + rng.uniform(-1, 1, 3))
        if len(chosen) == count:
            placed = np.stack(chosen)
            return placed[np.argsort(-placed[:, 2])]
    raise InputError(
        "ball_count", count, f"at most {len(chosen)}: there is no soft tissue for more, {APART_MM} mm apart"
    )


def _off_axis(
    points: Float[np.ndarray, "n 3"], centers: Float[np.ndarray, "m 3"]
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """Measure how far points lie from the curve through the vertebrae, and how far up or down from its middle."""
    order = np.argsort(centers[:, 2])
    heights = np.linspace(centers[:, 2].min() - 40, centers[:, 2].max() + 40, 200)
    curve = np.stack([np.interp(heights, centers[order, 2], centers[order, axis]) for axis in (0, 1)] + [heights], -1)
    distance_mm, _ = cKDTree(curve).query(points)
    return distance_mm, points[:, 2] - centers[:, 2].mean()
