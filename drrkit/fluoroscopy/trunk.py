"""A body that does not end where its CT does."""

import numpy as np
from scipy import ndimage

from drrkit.errors import InputError
from drrkit.volume import Volume

_SKIN_HU = -300  # above it lies the body
_FAT_HU, _MUSCLE_HU = -110, 60


def extend_trunk(volume: Volume, beyond_mm: float) -> Volume:
    """Continue the first and last slices as soft tissue, so that no open beam passes above and below a short CT.

    Bone and gas of these slices end; what was measured is not changed. The new voxels are simulated, and unlabelled.

    Args:
        volume: The CT.
        beyond_mm: How far to go on at either end; 0 changes nothing.

    Raises:
        InputError: A length that is negative or more than half a meter.
    """
    if not 0 <= beyond_mm <= 500:
        raise InputError("extend_trunk beyond_mm", beyond_mm, "0 to 500 mm")
    count = round(beyond_mm / volume.spacing_mm[2])
    if count == 0:
        return volume
    ends = [np.broadcast_to(_soft(volume.hu[end]), (count, *volume.shape[1:])) for end in (0, -1)]
    hu = np.concatenate([ends[0], volume.hu, ends[1]])
    affine = volume.world_from_voxel.copy()
    affine[:3, 3] -= count * affine[:3, 2]
    labels = None if volume.labels is None else np.pad(volume.labels, ((count, count), (0, 0), (0, 0)))
    return Volume(hu, affine, labels)


def _soft(hu: np.ndarray) -> np.ndarray:
    body = ndimage.binary_fill_holes(ndimage.binary_opening(hu > _SKIN_HU, iterations=2))
    return np.where(body, np.clip(hu, _FAT_HU, _MUSCLE_HU), np.minimum(hu, _SKIN_HU)).astype(hu.dtype)
