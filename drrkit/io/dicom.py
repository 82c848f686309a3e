"""What CT and X-ray files have in common: headers, functional groups and stored pixels of DICOM files."""

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import SimpleITK as sitk
from jaxtyping import Integer
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.errors import InvalidDicomError
from pydicom.pixels import get_decoder
from pydicom.uid import MultiFrameGrayscaleWordSecondaryCaptureImageStorage, generate_uid

from drrkit.errors import InputError
from drrkit.io.itk import last_line, quiet

# What pydicom raises on a damaged file, depending on where the damage is.
_DAMAGE = (AttributeError, EOFError, IndexError, KeyError, NotImplementedError, RuntimeError, TypeError, ValueError)

_PIXEL_KEYWORDS = (
    *("Rows", "Columns", "SamplesPerPixel", "PhotometricInterpretation", "NumberOfFrames", "PixelRepresentation"),
    *("BitsAllocated", "BitsStored", "HighBit", "PixelData"),
)


def read_dataset(path: Path, with_pixels: bool = True, only: Sequence[str] | None = None) -> Dataset:
    """Read a DICOM file.

    Args:
        path: The file.
        with_pixels: Read all of it, or stop at the pixels.
        only: Keywords to read; everything when None.

    Raises:
        InputError: Not there, no DICOM file, or damaged.
    """
    try:
        return pydicom.dcmread(path, stop_before_pixels=not with_pixels, specific_tags=list(only) if only else None)
    except InvalidDicomError as error:
        raise InputError(path, "no DICOM file", "a DICOM file") from error
    except OSError as error:
        raise InputError(path, error.strerror or error, "a readable DICOM file") from error
    except _DAMAGE as error:
        raise InputError(
            path, f"a damaged DICOM file ({last_line(error)})", "the whole file (copy it again)"
        ) from error


def is_dicom(path: Path) -> bool:
    """Whether the file says that it is DICOM (PS3.10: 128 bytes, then DICM).

    Raises:
        InputError: A file that cannot be opened.
    """
    try:
        with path.open("rb") as stream:
            stream.seek(128)
            return stream.read(4) == b"DICM"
    except OSError as error:
        raise InputError(path, error.strerror or error, "a readable file") from error


def tag_name(keyword: str) -> str:
    """Spell an attribute for people: its keyword and tag, such as ``Rows (0028,0010)``."""
    tag = tag_for_keyword(keyword) or 0
    return f"{keyword} ({tag >> 16:04X},{tag & 0xFFFF:04X})"


def value(dataset: Dataset, keyword: str, frame: int = 0) -> Any:
    """Look an attribute up for one frame; None where it is missing or empty.

    Enhanced files keep it in the frame's functional groups or in the shared ones, others at the top.
    """
    for holder in _holders(dataset, frame):
        found = holder.get(keyword)
        if found is not None and not (isinstance(found, str | Sequence) and len(found) == 0):
            return found
    return None


def numbers(
    dataset: Dataset, keyword: str, where: Path, count: int | None = None, frame: int = 0
) -> list[float] | None:
    """Look up numbers for one frame; None where they are missing.

    Raises:
        InputError: Something that is not a finite number, or another count of numbers.
    """
    found = value(dataset, keyword, frame)
    if found is None:
        return None
    items = list(found) if isinstance(found, Sequence) and not isinstance(found, str) else [found]
    try:
        parsed = [float(item) for item in items]
    except (TypeError, ValueError) as error:
        raise InputError(where, f"{tag_name(keyword)} {found!r}", "numbers") from error
    if not np.isfinite(parsed).all() or (count is not None and len(parsed) != count):
        wanted = "finite numbers" if count is None else f"{count} finite number{'s' * (count > 1)}"
        raise InputError(where, f"{tag_name(keyword)} {parsed}", wanted)
    return parsed


def number(dataset: Dataset, keyword: str, where: Path, frame: int = 0) -> float | None:
    """Look up one number for one frame; None where it is missing.

    Raises:
        InputError: Something that is not one finite number.
    """
    found = numbers(dataset, keyword, where, 1, frame)
    return None if found is None else found[0]


def stored_pixels(dataset: Dataset, where: Path) -> Integer[np.ndarray, "frames rows columns"]:
    """Decode the stored values of all frames, before any rescaling.

    Raises:
        InputError: No pixels, color, truncated, or a compression that neither pydicom nor GDCM unpacks.
    """
    if "PixelData" not in dataset:
        raise InputError(where, "no PixelData", "an image")
    if dataset.get("SamplesPerPixel", 1) != 1:
        raise InputError(
            where, f"{dataset.get('PhotometricInterpretation')} pixels", "a grayscale image, not a screenshot"
        )
    syntax = getattr(dataset, "file_meta", {}).get("TransferSyntaxUID")
    if syntax is None:
        raise InputError(where, f"no {tag_name('TransferSyntaxUID')}", "a complete DICOM file (PS3.10)")
    decode = _decoded_by_gdcm if syntax.is_compressed and not _has_decoder(syntax) else _decoded_by_pydicom
    pixels = decode(dataset, where)
    return pixels.reshape(-1, int(dataset.Rows), int(dataset.Columns))


def _holders(dataset: Dataset, frame: int) -> Iterator[Dataset]:
    for keyword, index in (("PerFrameFunctionalGroupsSequence", frame), ("SharedFunctionalGroupsSequence", 0)):
        groups = dataset.get(keyword) or []
        if index < len(groups):
            for element in groups[index]:
                if element.VR == "SQ":
                    yield from element.value
    yield dataset


def _has_decoder(syntax: pydicom.uid.UID) -> bool:
    try:
        return bool(get_decoder(syntax).is_available)
    except NotImplementedError:
        return False


def _decoded_by_pydicom(dataset: Dataset, where: Path) -> Integer[np.ndarray, "*frames rows columns"]:
    try:
        return dataset.pixel_array
    except _DAMAGE as error:
        raise InputError(where, f"unreadable pixels ({last_line(error)})", "the whole file (copy it again)") from error


def _decoded_by_gdcm(dataset: Dataset, where: Path) -> Integer[np.ndarray, "*frames rows columns"]:
    """Let GDCM unpack what pydicom cannot, such as lossless JPEG.

    GDCM rescales by tags of its own choice. It is therefore given a file that has the pixels and nothing else.
    """
    bare = Dataset()
    for keyword in _PIXEL_KEYWORDS:
        if keyword in dataset:
            bare[keyword] = dataset[keyword]
    bare.SOPClassUID, bare.SOPInstanceUID = MultiFrameGrayscaleWordSecondaryCaptureImageStorage, generate_uid()
    bare.file_meta = FileMetaDataset()
    bare.file_meta.TransferSyntaxUID = dataset.file_meta.TransferSyntaxUID
    with tempfile.TemporaryDirectory() as folder, quiet():
        file = Path(folder) / "pixels.dcm"
        pydicom.dcmwrite(file, bare, enforce_file_format=True)
        try:
            return sitk.GetArrayFromImage(sitk.ReadImage(file, imageIO="GDCMImageIO"))
        except RuntimeError as error:
            syntax = dataset.file_meta.TransferSyntaxUID
            raise InputError(
                where,
                f"pixels packed as {syntax.name} ({syntax}) that cannot be read ({last_line(error)})",
                "intact pixels, plain or packed as RLE, JPEG, JPEG-LS or JPEG 2000 (unpack with gdcmconv --raw)",
            ) from error
