"""NRRD and MetaImage files, through SimpleITK."""

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedIOBase
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from jaxtyping import Float, Num

from drrkit.errors import InputError
from drrkit.io.grid import Grid
from drrkit.io.store import atomic_path
from drrkit.volume import check_affine

SUFFIXES = (".nrrd", ".mha")

_ITEM_BYTES = {
    sitk.sitkInt8: 1,
    sitk.sitkUInt8: 1,
    sitk.sitkInt16: 2,
    sitk.sitkUInt16: 2,
    sitk.sitkInt32: 4,
    sitk.sitkUInt32: 4,
    sitk.sitkFloat32: 4,
    sitk.sitkInt64: 8,
    sitk.sitkUInt64: 8,
    sitk.sitkFloat64: 8,
}
# Those that ITK turns to LPS; it takes any other frame for LPS without a word.
_NRRD_SPACES = ("left-posterior-superior", "lps", "right-anterior-superior", "ras", "left-anterior-superior", "las")
_HEADER_LIMIT_BYTES = 1 << 20
# Air packs a thousand to one: a small chunk in is a large one out.
_CHUNK_BYTES = 1 << 16


def read_grid(path: Path) -> Grid:
    """Read where the voxels lie, without the voxels.

    Raises:
        InputError: As :func:`read`, as far as the header tells.
    """
    _check_header(path)
    return _grid(path, _header_reader(path))


def read(path: Path) -> tuple[Num[np.ndarray, "z y x"], Grid]:
    """Read voxels and their place.

    Raises:
        InputError: Not there, truncated, damaged, detached, not three-dimensional, not scalar, zero spacing, or no
            spacing or patient frame given.
    """
    compressed, offset = _check_header(path)
    reader = _header_reader(path)
    grid = _grid(path, reader)
    # ITK warns about missing voxels and unpacks damaged ones without a word, so look first.
    _check_content(path, offset, compressed, int(np.prod(grid.shape)) * _ITEM_BYTES[reader.GetPixelID()])
    try:
        with quiet():
            return sitk.GetArrayFromImage(reader.Execute()), grid
    except RuntimeError as error:
        raise InputError(path, last_line(error), "a readable NRRD or MHA file") from error


def write(path: Path, voxels: Num[np.ndarray, "z y x"], world_from_voxel: Float[np.ndarray, "4 4"]) -> None:
    """Write voxels, uncompressed, and their place."""
    image = sitk.GetImageFromArray(voxels)
    spacing_mm = np.linalg.norm(world_from_voxel[:3, :3], axis=0)
    image.SetSpacing(spacing_mm.tolist())
    image.SetDirection((world_from_voxel[:3, :3] / spacing_mm).ravel().tolist())
    image.SetOrigin(world_from_voxel[:3, 3].tolist())
    with atomic_path(path) as temporary:
        # Opened by us first, so that a missing permission is told by its name.
        temporary.touch()
        try:
            with quiet():
                sitk.WriteImage(image, temporary, useCompression=False)
        except RuntimeError as error:
            raise InputError(path, f"a failed write ({last_line(error)})", "a disk with room for the file") from error
        if temporary.stat().st_size < voxels.nbytes:
            raise InputError(path, "a write that ended too early", "a disk with room for the file")


@contextmanager
def quiet() -> Iterator[None]:
    """Keep ITK's warnings off the terminal; what matters is raised."""
    before = sitk.ProcessObject.GetGlobalWarningDisplay()
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    try:
        yield
    finally:
        sitk.ProcessObject.SetGlobalWarningDisplay(before)


def last_line(error: Exception) -> str:
    """Return the line of a library's message that says what happened."""
    return (str(error).strip() or type(error).__name__).splitlines()[-1].strip()


def _header_reader(path: Path) -> sitk.ImageFileReader:
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        with quiet():
            reader.ReadImageInformation()
    except RuntimeError as error:
        raise InputError(path, f"an unreadable header ({last_line(error)})", "an NRRD or MHA file") from error
    return reader


def _grid(path: Path, reader: sitk.ImageFileReader) -> Grid:
    size = reader.GetSize()
    if len(size) != 3 or min(size) < 1 or reader.GetNumberOfComponents() != 1:
        found = f"an image of size {' x '.join(map(str, size))}, {reader.GetNumberOfComponents()} values a voxel"
        raise InputError(path, found, "one three-dimensional volume with one value a voxel")
    if reader.GetPixelID() not in _ITEM_BYTES:
        raise InputError(path, sitk.GetPixelIDValueAsString(reader.GetPixelID()), "integer or real voxels")
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(reader.GetDirection(), (3, 3)) * reader.GetSpacing()
    affine[:3, 3] = reader.GetOrigin()
    if not all(reader.GetSpacing()):
        # A direction over a zero spacing is NaN; name the cause.
        raise InputError(path, f"voxel spacing {list(reader.GetSpacing())} mm", "three positive spacings")
    return Grid((size[2], size[1], size[0]), check_affine(affine, str(path)))


def _check_header(path: Path) -> tuple[bool, int]:
    """Refuse what ITK would fill in by itself; return whether the voxels are compressed and where they begin."""
    try:
        with path.open("rb") as stream:
            return (_check_nrrd if path.suffix == ".nrrd" else _check_mha)(path, stream)
    except OSError as error:
        raise InputError(path, error.strerror or error, "a readable NRRD or MHA file") from error


def _check_nrrd(path: Path, stream: BufferedIOBase) -> tuple[bool, int]:
    if not stream.readline().startswith(b"NRRD"):
        raise InputError(path, "no NRRD header", "an NRRD file")
    fields = {}
    while (line := stream.readline(_HEADER_LIMIT_BYTES).strip()) and stream.tell() < _HEADER_LIMIT_BYTES:
        name, separator, value = line.decode("latin-1").partition(": ")
        if separator:
            fields[name.lower()] = value.strip().lower()
    if "data file" in fields or "datafile" in fields:
        raise InputError(path, "a header with its voxels in another file", "one .nrrd file with both")
    if fields.get("space") not in _NRRD_SPACES or "space directions" not in fields:
        found = f"space {fields.get('space')!r}, space directions {fields.get('space directions')!r}"
        raise InputError(path, found, "a patient frame (left-posterior-superior or RAS) and space directions")
    encoding = fields.get("encoding", "")
    if encoding not in ("raw", "gzip", "gz"):
        raise InputError(path, f"encoding {encoding!r}", "raw or gzip")
    return encoding != "raw", stream.tell()


def _check_mha(path: Path, stream: BufferedIOBase) -> tuple[bool, int]:
    fields: dict[str, str] = {}
    while "ElementDataFile" not in fields:
        line = stream.readline(_HEADER_LIMIT_BYTES)
        name, separator, value = line.decode("latin-1").partition("=")
        if not separator or stream.tell() > _HEADER_LIMIT_BYTES:
            raise InputError(path, "no MetaImage header", "an MHA file")
        fields[name.strip()] = value.strip()
    if fields["ElementDataFile"].upper() != "LOCAL":
        raise InputError(path, "a header with its voxels in another file", "one .mha file with both")
    if "ElementSpacing" not in fields:
        raise InputError(path, "no ElementSpacing", "a header with ElementSpacing")
    return fields.get("CompressedData", "False").lower() == "true", stream.tell()


def _check_content(path: Path, offset: int, compressed: bool, wanted: int) -> None:
    if not compressed:
        found = path.stat().st_size - offset
        ended = True
    else:
        found, ended = _unpacked_length(path, offset)
    if found < wanted or not ended:
        raise InputError(
            path,
            f"a truncated file: {found} of {wanted} voxel bytes",
            "the whole file (copy it again)",
        )


def _unpacked_length(path: Path, offset: int) -> tuple[int, bool]:
    """Unpack a zlib or gzip stream and drop it; return its length and whether it ended with a right checksum."""
    unpacker = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
    length = 0
    with path.open("rb") as stream:
        stream.seek(offset)
        while not unpacker.eof and (chunk := stream.read(_CHUNK_BYTES)):
            try:
                length += len(unpacker.decompress(chunk))
            except zlib.error as error:
                raise InputError(
                    path, f"damaged compressed data ({error})", "an intact file (copy it again)"
                ) from error
    return length, unpacker.eof
