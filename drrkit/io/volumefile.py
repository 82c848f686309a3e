"""Three-dimensional images of any kind that we read: the format goes by the name."""

from pathlib import Path
from types import ModuleType

import numpy as np
from jaxtyping import Float, Num

from drrkit.errors import InputError
from drrkit.io import dicom, itk, nifti, series
from drrkit.io.grid import Grid

WRITABLE = (*nifti.SUFFIXES, *itk.SUFFIXES)


def read(path: Path) -> tuple[Num[np.ndarray, "z y x"], Grid]:
    """Read voxels, rescaled as the file says, and their place.

    Raises:
        InputError: Nothing there, another format, or what the format's own module refuses.
    """
    voxels, grid = _door(path).read(path)
    return voxels, grid


def read_grid(path: Path) -> Grid:
    """Read where the voxels lie, from headers only.

    Raises:
        InputError: As :func:`read`, as far as the headers tell.
    """
    grid: Grid = _door(path).read_grid(path)
    return grid


def write(path: Path, voxels: Num[np.ndarray, "z y x"], world_from_voxel: Float[np.ndarray, "4 4"]) -> None:
    """Write voxels and their place under a temporary name, then rename; .nii.gz alone is compressed.

    Raises:
        InputError: A name that ends in no format that we write, or a disk that cannot be written.
    """
    for module in (nifti, itk):
        if path.name.endswith(module.SUFFIXES):
            module.write(path, voxels, world_from_voxel)
            return
    raise InputError(path, "a name without a known ending", f"one of {', '.join(WRITABLE)}")


def _door(path: Path) -> ModuleType:
    if path.is_dir():
        return series
    if not path.exists():
        raise InputError(path, "no such file or folder", f"a DICOM folder or one of {', '.join(WRITABLE)}")
    for module in (nifti, itk):
        if path.name.endswith(module.SUFFIXES):
            return module
    if dicom.is_dicom(path):
        return series
    raise InputError(path, "an unknown format", f"a DICOM folder or one of {', '.join(WRITABLE)}")
