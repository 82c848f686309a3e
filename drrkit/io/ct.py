"""CT volumes in and out: a DICOM series, NIfTI, NRRD or MHA."""

from pathlib import Path

import numpy as np
from jaxtyping import Num

from drrkit.errors import InputError
from drrkit.io import volumefile
from drrkit.io.grid import Grid
from drrkit.io.labels import read_labels
from drrkit.volume import AIR_HU, Volume

_INT16 = np.iinfo(np.int16)


def read_volume(ct_path: Path | str, labels_path: Path | str | None = None, scheme: str | None = None) -> Volume:
    """Read a CT and, if there are any, its labels.

    Args:
        ct_path: As for :func:`read_ct`.
        labels_path: As for :func:`drrkit.io.labels.read_labels`.
        scheme: The label scheme, needed with labels.

    Raises:
        InputError: As :func:`read_ct` and :func:`drrkit.io.labels.read_labels`, or labels without a scheme.
    """
    volume = read_ct(ct_path)
    if labels_path is None:
        if scheme is not None:
            raise InputError(ct_path, f"a label scheme ({scheme}) without labels", "both, or neither")
        return volume
    return volume.with_labels(read_labels(labels_path, scheme, volume))


def read_ct(path: Path | str) -> Volume:
    """Read a CT in Hounsfield units.

    Values below -1024, with which scanners pad the field of view, become -1024. Voxels are int16 where all values are
    whole numbers, else float32.

    Args:
        path: A .nii, .nii.gz, .nrrd or .mha file, a folder with one DICOM series, or a multi-frame DICOM file.

    Raises:
        InputError: Nothing there, another format, truncated, damaged, NaN voxels, zero spacing, sheared axes, or a
            DICOM series that :func:`drrkit.io.series.read` refuses.
    """
    values, grid = volumefile.read(Path(path))
    return Volume(_hounsfield(values, Path(path)), grid.world_from_voxel)


def read_ct_geometry(path: Path | str) -> Grid:
    """Read where the voxels of a CT lie, from headers only.

    Raises:
        InputError: As :func:`read_ct`, as far as the headers tell.
    """
    return volumefile.read_grid(Path(path))


def write_ct(volume: Volume, path: Path | str) -> None:
    """Write the Hounsfield units of a volume as .nii, .nii.gz (compressed), .nrrd or .mha.

    Raises:
        InputError: Another suffix, or a disk that cannot be written.
    """
    volumefile.write(Path(path), volume.hu, volume.world_from_voxel)


def write_labels(volume: Volume, path: Path | str) -> None:
    """Write the labels of a volume with the numbers of VerSe, as .nii, .nii.gz (compressed), .nrrd or .mha.

    Raises:
        InputError: No labels, another suffix, or a disk that cannot be written.
    """
    if volume.labels is None:
        raise InputError(path, "a volume without labels", "a labelled volume")
    volumefile.write(Path(path), volume.labels, volume.world_from_voxel)


def _hounsfield(values: Num[np.ndarray, "z y x"], where: Path) -> Num[np.ndarray, "z y x"]:
    """Clamp to the Hounsfield scale and choose the voxel type, slice by slice to spare memory."""
    if values.dtype.kind == "f":
        bad = sum(int(np.count_nonzero(~np.isfinite(plane))) for plane in values)
        if bad:
            raise InputError(where, f"{bad} NaN or infinite voxels", "finite Hounsfield units")
        whole = all(np.array_equal(plane, np.rint(plane)) for plane in values)
    else:
        whole = True
    fits = whole and values.max() <= _INT16.max
    hu = np.empty(values.shape, np.int16 if fits else np.float32)
    # Types that cannot hold -1024 have nothing to clamp.
    clamps = values.dtype.kind == "f" or np.iinfo(values.dtype).min < AIR_HU
    for plane, target in zip(values, hu, strict=True):
        target[:] = np.maximum(plane, AIR_HU) if clamps else plane
    return hu
