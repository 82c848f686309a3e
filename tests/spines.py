"""Synthetic spines for the linter: ellipsoids of the size, spacing and span of vertebrae, in a block of soft tissue."""

import numpy as np

from drrkit.volume import LEVEL_CODES, Volume

# Left-right span and volume of each level, and its distance from the level above.
SPAN_MM = {"T10": 58, "T11": 52, "T12": 47, "T13": 46, "L1": 71, "L2": 76, "L3": 86, "L4": 79, "L5": 93, "L6": 90}
VOLUME_CM3 = {"T10": 32, "T11": 36, "T12": 40, "T13": 41, "L1": 46, "L2": 52, "L3": 57, "L4": 58, "L5": 56, "L6": 55}
STEP_MM = {"T10": 26, "T11": 27, "T12": 29, "T13": 30, "L1": 31, "L2": 33, "L3": 34, "L4": 34, "L5": 34, "L6": 34}

SPINE = ("T11", "T12", "L1", "L2", "L3", "L4", "L5")
BONE_HU, TISSUE_HU = 300, 40


def spine_volume(
    names: tuple[str, ...] = SPINE,
    shapes: tuple[str, ...] | None = None,
    voxel_mm: float = 3.0,
    tilt_deg: float = 0.0,
    sacrum: bool = False,
    skip_after: str = "",
) -> Volume:
    """Make a CT with labels.

    Args:
        names: The names that the labels give, head to foot.
        shapes: The levels that the vertebrae really are; the names, if not given.
        voxel_mm: Spacing.
        tilt_deg: Turn of the whole spine about the left-right axis.
        sacrum: Whether a labelled sacrum follows.
        skip_after: A vertebra of bone without a label follows the one of this name.
    """
    shapes = shapes or names
    centers, below_mm = [], 0.0
    for index, shape in enumerate(shapes):
        below_mm += STEP_MM[shape] * bool(index)
        centers.append((8.0 * np.sin(below_mm / 60), 12.0 * np.sin(below_mm / 80), -below_mm))
        if names[index] == skip_after:
            below_mm += STEP_MM[shape]
    bodies = [
        (LEVEL_CODES[name], np.array(center), _radii(shape))
        for name, shape, center in zip(names, shapes, centers, strict=True)
    ]
    if sacrum:
        _, last, radii = bodies[-1]
        size = np.array([45.0, 30.0, 35.0])
        bodies.append((LEVEL_CODES["sacrum"], last - [0, 0, radii[2] + size[2] + 2], size))
    angle = np.radians(tilt_deg)
    turn = np.array([[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]])
    return _draw([(code, turn @ center, turn, radii) for code, center, radii in bodies], voxel_mm)


def _radii(shape: str) -> np.ndarray:
    half_span, half_height = SPAN_MM[shape] / 2, 0.38 * STEP_MM[shape]
    return np.array([half_span, VOLUME_CM3[shape] * 1000 / (4 / 3 * np.pi * half_span * half_height), half_height])


def _draw(bodies: list, voxel_mm: float) -> Volume:
    corners = np.concatenate([[center - radii.max(), center + radii.max()] for _, center, _, radii in bodies])
    # More room on one side than on the other: the spine never lies in the middle of a real CT.
    lower = corners.min(axis=0) - [20, 40, 15]
    shape = np.ceil((corners.max(axis=0) - lower + np.array([50, 10, 45])) / voxel_mm).astype(int)
    z, y, x = np.meshgrid(*(np.arange(count) * voxel_mm for count in shape[::-1]), indexing="ij")
    points = np.stack([x, y, z], axis=-1) + lower
    labels = np.zeros(points.shape[:3], np.uint8)
    for code, center, turn, radii in bodies:
        labels[(((points - center) @ turn / radii) ** 2).sum(axis=-1) <= 1] = code
    hu = np.where(labels > 0, BONE_HU, TISSUE_HU).astype(np.int16)
    affine = np.diag([voxel_mm] * 3 + [1.0])
    affine[:3, 3] = lower
    return Volume(hu, affine, labels)
