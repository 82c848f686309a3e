"""Label maps on their own grid, and what identifies a CT whatever file it lies in."""

import hashlib
from pathlib import Path

import numpy as np

from drrkit.io.ct import read_ct_geometry
from drrkit.io.grid import Grid
from drrkit.io.labels import read_labels
from drrkit.io.volumefile import WRITABLE
from drrkit.volume import Volume

_INT16 = np.iinfo(np.int16)


def labels_grid(path: Path) -> Grid:
    """Read where the voxels of a label map lie; of a folder of masks, the first mask tells.

    Raises:
        InputError: Not there, or not readable.
    """
    masks = sorted(mask for mask in path.glob("*") if mask.name.endswith(WRITABLE)) if path.is_dir() else []
    return read_ct_geometry(masks[0] if masks else path)


def read_own_labels(path: Path, scheme: str) -> Volume:
    """Read labels on the grid of their own file, be it that of the CT or not.

    Returns:
        The labels as a volume without CT values: its ``hu`` is one zero, seen everywhere.

    Raises:
        InputError: As :func:`drrkit.io.labels.read_labels`.
    """
    grid = labels_grid(path)
    blank = Volume(np.broadcast_to(np.int16(0), grid.shape), grid.world_from_voxel)
    return blank.with_labels(read_labels(path, scheme, blank))


def voxels_sha256(volume: Volume) -> str:
    """Hash shape and rounded Hounsfield units: equal for one CT in two formats, compressed twice, or renamed."""
    digest = hashlib.sha256(repr(volume.shape).encode())
    for plane in volume.hu:
        # Rounding a plane at a time, as int16 CTs need none and others should not be copied whole.
        whole = plane if plane.dtype == np.int16 else np.clip(np.rint(plane), _INT16.min, _INT16.max)
        digest.update(np.ascontiguousarray(whole, "<i2").tobytes())
    return digest.hexdigest()
