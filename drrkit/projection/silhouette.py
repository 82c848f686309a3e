"""Where the labelled levels appear in a view: masks, boxes and visibility, by the renderers' own rays."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numba
import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from drrkit.errors import InputError
from drrkit.geometry.camera import Camera
from drrkit.projection import walk
from drrkit.projection.box import nonzero_box, world_from_box
from drrkit.projection.rays import KERNELS, rays_in_voxels, tile_shape
from drrkit.volume import LEVEL_CODES, Volume

Box = tuple[int, int, int, int]


@dataclass(frozen=True, eq=False)
class LabelledLevels:
    """The labels of one CT, cut to their bounding box, ready for many views; from :func:`prepare_levels`."""

    labels: UInt8[np.ndarray, "z y x"]
    world_from_voxel: Float[np.ndarray, "4 4"]
    voxel_counts: Mapping[str, int]

    @property
    def levels(self) -> tuple[str, ...]:
        """Names of the labelled levels, from head to foot."""
        return tuple(self.voxel_counts)


@dataclass(frozen=True, eq=False)
class LevelProjection:
    """One level in one view.

    Args:
        mask: (H, W) true where the ray of the pixel meets the level's voxels, taken as boxes.
        box: (left, top, right, bottom) of the mask in whole pixels, all inclusive; None where it is empty.
        visibility: Fraction of the level's voxels whose centers project into the image.
    """

    mask: Bool[np.ndarray, "h w"]
    box: Box | None
    visibility: float


def prepare_levels(volume: Volume) -> LabelledLevels:
    """Cut the labels to their bounding box, once for many views; without labels there are no levels."""
    if volume.labels is None or not volume.levels:
        return LabelledLevels(np.zeros((1, 1, 1), np.uint8), volume.world_from_voxel, MappingProxyType({}))
    box = nonzero_box(np.ascontiguousarray(volume.labels))
    labels = np.ascontiguousarray(volume.labels[box])
    counts = np.bincount(labels.ravel(), minlength=256)
    voxel_counts = {level: int(counts[LEVEL_CODES[level]]) for level in volume.levels}
    return LabelledLevels(labels, world_from_box(volume.world_from_voxel, box), MappingProxyType(voxel_counts))


def project_levels(
    labelled: LabelledLevels | Volume, camera: Camera, levels: Sequence[str] | None = None
) -> dict[str, LevelProjection]:
    """Project levels into a view.

    Args:
        labelled: A labelled volume, or its labels as :func:`prepare_levels` returns them, which saves time from the
            second view on.
        camera: The view.
        levels: Names; None for all that are labelled.

    Returns:
        One projection for each level, whether or not it is in view.

    Raises:
        InputError: A level that is not labelled.
    """
    prepared = prepare_levels(labelled) if isinstance(labelled, Volume) else labelled
    names = prepared.levels if levels is None else tuple(levels)
    for name in names:
        if name not in prepared.voxel_counts:
            labelled_names = ", ".join(prepared.levels) or "nothing"
            raise InputError(f"level {name}", f"labels for {labelled_names}", "a labelled level")
    if not names:
        return {}
    bits = np.empty((camera.height, camera.width), np.uint32)
    rays = rays_in_voxels(np.linalg.inv(prepared.world_from_voxel), camera)
    with KERNELS:
        walk.levels_met(prepared.labels, rays, tile_shape(rays, camera.height, camera.width), bits)
        inside = _count_inside(
            prepared.labels, camera.pixel_from_world @ prepared.world_from_voxel, camera.height, camera.width
        ).sum(axis=0)
    projections = {}
    for name in names:
        mask = (bits >> np.uint32(LEVEL_CODES[name]) & 1).astype(bool)
        visibility = inside[LEVEL_CODES[name]] / prepared.voxel_counts[name]
        projections[name] = LevelProjection(mask, _bounding_box(mask), float(visibility))
    return projections


def _bounding_box(mask: Bool[np.ndarray, "h w"]) -> Box | None:
    columns, rows = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
    if columns.size == 0:
        return None
    return int(columns[0]), int(rows[0]), int(columns[-1]), int(rows[-1])


@numba.njit(cache=True, parallel=True)
def _count_inside(
    labels: UInt8[np.ndarray, "z y x"], pixel_from_voxel: Float[np.ndarray, "3 4"], height: int, width: int
) -> Int[np.ndarray, "z 256"]:
    """Count, for each slice and label, the voxel centers that project into the image's outer edges."""
    counts = np.zeros((labels.shape[0], 256), np.int64)
    p = pixel_from_voxel
    for z in numba.prange(labels.shape[0]):
        for y in range(labels.shape[1]):
            for x in range(labels.shape[2]):
                label = labels[z, y, x]
                if label != 0:
                    depth = p[2, 0] * x + p[2, 1] * y + p[2, 2] * z + p[2, 3]
                    u = p[0, 0] * x + p[0, 1] * y + p[0, 2] * z + p[0, 3]
                    v = p[1, 0] * x + p[1, 1] * y + p[1, 2] * z + p[1, 3]
                    across = -0.5 * depth <= u < (width - 0.5) * depth
                    down = -0.5 * depth <= v < (height - 0.5) * depth
                    if depth > 0 and across and down:
                        counts[z, label] += 1
    return counts
