"""What a linter wants to know of a labelled spine, measured once a level, in millimeters and in the world."""

from collections import Counter
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from jaxtyping import Float, Num, UInt8
from scipy import ndimage
from scipy.spatial import cKDTree

from drrkit.cohort.anatomy import HEAD_TO_FOOT, PRESACRAL
from drrkit.geometry import rigid
from drrkit.volume import LEVEL_CODES

# Axes of the world, LPS: what lies at the lower and at the upper end of x, y and z.
WORLD_ENDS = (("right", "left"), ("front", "back"), ("foot", "head"))
_AXIS_NAMES = ("left-right", "front-back", "head-foot")
# Flips of a mask are judged on so many of its voxels; means of thousands are steady to a few HU.
_FLIP_SAMPLES = 100_000
_TOUCHING = np.ones((3, 3, 3), dtype=bool)


@dataclass(frozen=True)
class LevelMeasure:
    """One labelled level.

    Args:
        level: Its name.
        volume_mm3: Volume of all its voxels.
        centroid_world: (3,) mean of its voxel centers.
        width_mm: Left-right extent of its largest part, voxels included.
        cut_at: The ends of the CT that it touches (``head``, ``foot``, ``left``, ...): there it is incomplete.
        parts_mm3: Volumes of its connected parts, largest first.
        farthest_part_mm: Gap between the largest part's box and that of the part farthest from it; 0 for one part.
        mean_hu: Mean CT value inside it; NaN without a CT.
    """

    level: str
    volume_mm3: float
    centroid_world: Float[np.ndarray, " 3"]
    width_mm: float
    cut_at: tuple[str, ...]
    parts_mm3: tuple[float, ...]
    farthest_part_mm: float
    mean_hu: float


@dataclass(frozen=True)
class SpineMeasures:
    """All labelled levels of one CT.

    Args:
        levels: From head to foot, by name.
        contact_mm2: Area in which two levels touch, by their names in the order of ``levels``.
        sacrum_gap_mm: Smallest distance from each presacral level to the sacrum; empty without a sacrum.
        mean_hu: Mean CT value of all labelled voxels; NaN without a CT.
        flipped_mean_hu: The same if the mask were mirrored along the named voxel axes.
    """

    levels: tuple[LevelMeasure, ...]
    contact_mm2: dict[tuple[str, str], float]
    sacrum_gap_mm: dict[str, float]
    mean_hu: float
    flipped_mean_hu: dict[str, float]

    @property
    def presacral(self) -> list[LevelMeasure]:
        """The levels above the sacrum."""
        return [level for level in self.levels if level.level in PRESACRAL]


def measure_spine(
    labels: UInt8[np.ndarray, "z y x"],
    world_from_voxel: Float[np.ndarray, "4 4"],
    hu: Num[np.ndarray, "z y x"] | None = None,
) -> SpineMeasures:
    """Measure every labelled level.

    Args:
        labels: ``LEVEL_CODES`` on the voxel grid, 0 elsewhere.
        world_from_voxel: (4, 4) affine of the grid.
        hu: The CT on the same grid, if it is to be judged together with the labels.
    """
    boxes = dict(enumerate(ndimage.find_objects(labels), start=1))
    present = [name for name in HEAD_TO_FOOT if boxes.get(LEVEL_CODES[name])]
    levels = tuple(_measure_level(name, labels, boxes[LEVEL_CODES[name]], world_from_voxel, hu) for name in present)
    mean_hu, flipped = _flips(labels, world_from_voxel, hu) if present and hu is not None else (np.nan, {})
    return SpineMeasures(
        levels,
        _contacts(labels, world_from_voxel) if present else {},
        _sacrum_gaps(labels, boxes, world_from_voxel, present),
        mean_hu,
        flipped,
    )


def _measure_level(
    name: str,
    labels: np.ndarray,
    box: tuple[slice, slice, slice],
    world_from_voxel: np.ndarray,
    hu: np.ndarray | None,
) -> LevelMeasure:
    mask = labels[box] == LEVEL_CODES[name]
    start = np.array([axis.start for axis in box])
    voxel_mm3 = float(abs(np.linalg.det(world_from_voxel[:3, :3])))
    parts, _ = ndimage.label(mask, _TOUCHING)
    sizes = np.bincount(parts.ravel())[1:]
    order = np.argsort(-sizes, kind="stable")
    part_boxes = ndimage.find_objects(parts)
    spacing_zyx = np.linalg.norm(world_from_voxel[:3, :3], axis=0)[::-1]
    main = part_boxes[order[0]]
    zyx = np.argwhere(mask) + start
    main_zyx = np.argwhere(parts[main] == order[0] + 1) + start + [axis.start for axis in main]
    x_mm = rigid.apply(world_from_voxel, main_zyx[:, ::-1])[:, 0]
    return LevelMeasure(
        level=name,
        volume_mm3=float(sizes.sum()) * voxel_mm3,
        centroid_world=rigid.apply(world_from_voxel, zyx.mean(axis=0)[::-1]),
        width_mm=float(np.ptp(x_mm) + np.abs(world_from_voxel[0, :3]).sum()),
        cut_at=_touched_ends(box, labels.shape, world_from_voxel),
        parts_mm3=tuple(float(size) * voxel_mm3 for size in sizes[order]),
        farthest_part_mm=max(_box_gap_mm(main, other, spacing_zyx) for other in part_boxes),
        mean_hu=float(hu[box][mask].mean()) if hu is not None else float("nan"),
    )


def _touched_ends(box: tuple[slice, ...], shape: tuple[int, ...], world_from_voxel: np.ndarray) -> tuple[str, ...]:
    ends = []
    for voxel_axis, axis_box, size in zip((2, 1, 0), box, shape, strict=True):
        direction = world_from_voxel[:3, voxel_axis]
        world_axis = int(np.argmax(np.abs(direction)))
        lower, upper = WORLD_ENDS[world_axis] if direction[world_axis] > 0 else WORLD_ENDS[world_axis][::-1]
        if axis_box.start == 0:
            ends.append(lower)
        if axis_box.stop == size:
            ends.append(upper)
    return tuple(ends)


def _box_gap_mm(box: tuple[slice, ...], other: tuple[slice, ...], spacing_zyx: np.ndarray) -> float:
    gaps = [max(b.start - a.stop, a.start - b.stop, 0) for a, b in zip(box, other, strict=True)]
    return float(np.linalg.norm(gaps * spacing_zyx))


def _contacts(labels: np.ndarray, world_from_voxel: np.ndarray) -> dict[tuple[str, str], float]:
    """Add up the voxel faces at which one level meets another."""
    names = {LEVEL_CODES[name]: name for name in HEAD_TO_FOOT}
    spacing_zyx = np.linalg.norm(world_from_voxel[:3, :3], axis=0)[::-1]
    labelled = labels[ndimage.find_objects((labels > 0).view(np.uint8))[0]]
    area_mm2: Counter[tuple[str, str]] = Counter()
    for axis, spacing_mm in enumerate(spacing_zyx):
        near = np.delete(labelled, -1, axis)
        far = np.delete(labelled, 0, axis)
        faces = (near > 0) & (far > 0) & (near != far)
        codes, counts = np.unique(np.sort(np.stack([near[faces], far[faces]]), axis=0), axis=1, return_counts=True)
        for (one, other), count in zip(codes.T.tolist(), counts.tolist(), strict=True):
            pair = sorted((names[one], names[other]), key=HEAD_TO_FOOT.index)
            area_mm2[pair[0], pair[1]] += count * float(np.prod(spacing_zyx) / spacing_mm)
    return dict(area_mm2)


def _sacrum_gaps(
    labels: np.ndarray, boxes: dict[int, tuple[slice, slice, slice]], world_from_voxel: np.ndarray, present: list[str]
) -> dict[str, float]:
    if "sacrum" not in present:
        return {}
    sacrum = cKDTree(_surface_world(labels, boxes, "sacrum", world_from_voxel))
    # Two levels suffice: the lowest one, and the next for a lowest one that is only a speck.
    lowest = [name for name in present if name in PRESACRAL][-2:]
    return {
        name: float(sacrum.query(_surface_world(labels, boxes, name, world_from_voxel))[0].min()) for name in lowest
    }


def _surface_world(
    labels: np.ndarray, boxes: dict[int, tuple[slice, slice, slice]], name: str, world_from_voxel: np.ndarray
) -> np.ndarray:
    box = boxes[LEVEL_CODES[name]]
    mask = labels[box] == LEVEL_CODES[name]
    surface = mask & ~ndimage.binary_erosion(mask)
    zyx = np.argwhere(surface) + [axis.start for axis in box]
    return rigid.apply(world_from_voxel, zyx[:, ::-1])


def _flips(labels: np.ndarray, world_from_voxel: np.ndarray, hu: np.ndarray) -> tuple[float, dict[str, float]]:
    """Return the mean CT value in the mask, and in the mask mirrored along each set of voxel axes."""
    zyx = np.argwhere(labels)
    zyx = zyx[:: max(1, len(zyx) // _FLIP_SAMPLES)]
    # Voxel axes by the body axis that each follows best, to speak of them in words.
    words = [_AXIS_NAMES[int(np.argmax(np.abs(world_from_voxel[:3, axis])))] for axis in (2, 1, 0)]
    means = {}
    for axes in (combination for count in (1, 2, 3) for combination in combinations(range(3), count)):
        mirrored = zyx.copy()
        mirrored[:, axes] = np.array(labels.shape)[list(axes)] - 1 - zyx[:, axes]
        means[" and ".join(words[axis] for axis in axes)] = float(hu[tuple(mirrored.T)].mean())
    return float(hu[tuple(zyx.T)].mean()), means
