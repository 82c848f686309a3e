"""NIfTI-1 and -2 files. They place voxels in RAS; nothing outside this file sees that."""

import gzip
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BufferedIOBase
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from jaxtyping import Float, Num
from nibabel.spatialimages import HeaderDataError

from drrkit.errors import InputError
from drrkit.io.grid import Grid
from drrkit.io.store import atomic_path
from drrkit.volume import check_affine

SUFFIXES = (".nii", ".nii.gz")

_LPS_FROM_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
_HEADERS = {348: nib.Nifti1Header, 540: nib.Nifti2Header}
# xyzt_units & 7: unknown is taken as millimeters, as every tool does.
_MM_PER_UNIT = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 0.001}


def read_grid(path: Path) -> Grid:
    """Read where the voxels lie; of a compressed file only the first bytes are unpacked.

    Raises:
        InputError: As :func:`read`, as far as the header tells.
    """
    with _opened(path) as stream:
        header, grid = _read_header(path, stream)
    if not path.name.endswith(".gz"):
        _check_length(path, header, path.stat().st_size - _offset(header))
    return grid


def read(path: Path) -> tuple[Num[np.ndarray, "z y x"], Grid]:
    """Read voxels, rescaled as the header says, and their place.

    Raises:
        InputError: Not there, truncated, damaged, not three-dimensional, not scalar, zero spacing, or not placed.
    """
    with _opened(path) as stream:
        header, grid = _read_header(path, stream)
        stream.seek(_offset(header))
        content = stream.read(_byte_count(header))
        _check_length(path, header, len(content))
        # gzip compares its checksum at the very end only.
        stream.read()
    voxels = np.frombuffer(content, header.get_data_dtype()).reshape(grid.shape)
    try:
        slope, intercept = header.get_slope_inter()
    except HeaderDataError as error:
        raise InputError(path, f"scl_inter {header['scl_inter']}", "a finite intercept") from error
    # A slope of zero means that the header does not rescale.
    if slope is None or (slope, intercept) == (1.0, 0.0):
        return voxels, grid
    return (voxels * np.float32(slope) + np.float32(intercept)).astype(np.float32), grid


def write(path: Path, voxels: Num[np.ndarray, "z y x"], world_from_voxel: Float[np.ndarray, "4 4"]) -> None:
    """Write voxels and their place; compressed only when the name ends in .gz."""
    image = nib.Nifti1Image(voxels.transpose(2, 1, 0), _LPS_FROM_RAS @ world_from_voxel)
    image.header.set_xyzt_units("mm")
    image.set_sform(image.affine, code=1)
    image.set_qform(image.affine, code=1)
    with atomic_path(path) as temporary:
        image.to_filename(temporary)


@contextmanager
def _opened(path: Path) -> Iterator[BufferedIOBase]:
    open_file: Callable[..., Any] = gzip.open if path.name.endswith(".gz") else open
    try:
        with open_file(path, "rb") as stream:
            yield stream
    except EOFError as error:
        raise InputError(path, "a compressed file that ends too early", "the whole file (copy it again)") from error
    except (zlib.error, gzip.BadGzipFile) as error:
        raise InputError(path, f"damaged compressed data ({error})", "an intact file (copy it again)") from error
    except OSError as error:
        raise InputError(path, error.strerror or error, "a readable NIfTI file") from error


def _read_header(path: Path, stream: BufferedIOBase) -> tuple[nib.Nifti1Header, Grid]:
    first = stream.read(4)
    sizes = (int.from_bytes(first, "little"), int.from_bytes(first, "big"))
    size = next((size for size in sizes if size in _HEADERS), None)
    if size is None:
        raise InputError(path, "no NIfTI header", "a NIfTI file")
    content = first + stream.read(size - len(first))
    if len(content) < size:
        raise InputError(path, "a header that ends too early", "the whole file (copy it again)")
    # Unchecked, because nibabel mends a zero spacing to 1 mm; we refuse it below.
    header = _HEADERS[size](content, check=False)
    if bytes(header["magic"])[:3] not in (b"n+1", b"n+2"):
        raise InputError(path, "a header without voxels behind it (.hdr/.img pair)", "a single .nii or .nii.gz file")
    shape = tuple(int(size) for size in header.get_data_shape())
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) != 3 or min(shape) < 1:
        raise InputError(path, f"an image of size {' x '.join(map(str, shape))}", "one three-dimensional volume")
    try:
        kind = header.get_data_dtype().kind
    except (HeaderDataError, KeyError) as error:
        raise InputError(path, f"data type {int(header['datatype'])}", "integer or real voxels") from error
    if kind not in "iuf":
        raise InputError(path, "complex or color voxels", "integer or real voxels")
    width, height, depth = shape
    return header, Grid((depth, height, width), _affine(path, header))


def _affine(path: Path, header: nib.Nifti1Header) -> Float[np.ndarray, "4 4"]:
    spacing_mm = header["pixdim"][1:4].astype(float)
    if not (np.isfinite(spacing_mm).all() and spacing_mm.all()):
        raise InputError(path, f"voxel spacing {spacing_mm.round(6).tolist()} mm", "three positive spacings")
    try:
        ras_from_voxel = header.get_sform(coded=True)[0]
        if ras_from_voxel is None:
            ras_from_voxel = header.get_qform(coded=True)[0]
    except (HeaderDataError, ValueError) as error:
        raise InputError(path, f"an unusable qform ({error})", "a valid qform or sform") from error
    if ras_from_voxel is None:
        raise InputError(path, "neither qform nor sform (left and right are unknown)", "a file with one of them set")
    unit = int(header["xyzt_units"]) & 7
    if unit not in _MM_PER_UNIT:
        raise InputError(path, f"length unit {unit}", "millimeters, micrometers or meters")
    affine = _LPS_FROM_RAS @ ras_from_voxel
    affine[:3] *= _MM_PER_UNIT[unit]
    return check_affine(affine, str(path))


def _offset(header: nib.Nifti1Header) -> int:
    # Some writers leave vox_offset at 0; the voxels then follow the header and its four bytes of extension flags.
    return max(int(header["vox_offset"]), int(header["sizeof_hdr"]) + 4)


def _byte_count(header: nib.Nifti1Header) -> int:
    shape = [int(size) for size in header.get_data_shape()]
    return int(np.prod(shape, dtype=np.int64)) * int(header.get_data_dtype().itemsize)


def _check_length(path: Path, header: nib.Nifti1Header, byte_count: int) -> None:
    wanted = _byte_count(header)
    if byte_count < wanted:
        raise InputError(
            path,
            f"a truncated file: {byte_count} of {wanted} voxel bytes",
            "the whole file (copy it again)",
        )
