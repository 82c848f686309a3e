"""Pixels that carry nothing but the image: plain, of exactly the right length, without hidden bits, marks blanked."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Integer
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRBigEndian

from drrkit.errors import InputError
from drrkit.io import dicom

# left, top, right, bottom: inclusive pixels.
Rectangle = tuple[int, int, int, int]


@dataclass(frozen=True)
class CleanPixels:
    """Pixel data, ready to be written.

    Args:
        content: Plain bytes, little endian, of even length.
        decompressed: Whether they were packed.
        hidden_bits: Whether bits beside the image's own were set, and cleared.
        blanked: Whether a rectangle was blanked.
    """

    content: bytes
    decompressed: bool
    hidden_bits: bool
    blanked: bool


def clean_pixels(dataset: Dataset, where: Path, blank: Sequence[Rectangle]) -> CleanPixels:
    """Take the pixels of an image; plain ones stay as they are, bit by bit.

    Raises:
        InputError: Color, a palette, floating point, a truncated file, packing that cannot be undone, big-endian
            bytes, or a rectangle outside the image.
    """
    check_pixel_kind(dataset, where)
    height, width, bits = (whole_number(dataset, name, where) for name in ("Rows", "Columns", "BitsStored"))
    count = whole_number(dataset, "NumberOfFrames", where) or 1
    signed = whole_number(dataset, "PixelRepresentation", where) == 1
    kind = np.dtype(f"<{'i' if signed else 'u'}{whole_number(dataset, 'BitsAllocated', where) // 8}")
    syntax = dataset.file_meta.TransferSyntaxUID
    if syntax.is_encapsulated:
        pixels = dicom.stored_pixels(dataset, where).astype(kind)
        if pixels.shape != (count, height, width):
            raise InputError(where, f"pixels of shape {pixels.shape}", f"{(count, height, width)}, as the header says")
    else:
        size = count * height * width * kind.itemsize
        if len(dataset.PixelData) < size:
            raise InputError(where, f"{len(dataset.PixelData)} bytes of pixels", f"{size} (copy the file again)")
        # Something may hide behind the last pixel.
        pixels = np.frombuffer(dataset.PixelData, kind, size // kind.itemsize).reshape(count, height, width).copy()
    shown = _within_bits_stored(pixels, bits, signed)
    hidden_bits = not np.array_equal(shown, pixels)
    for left, top, right, bottom in blank:
        if not (0 <= left <= right < width and 0 <= top <= bottom < height):
            found = f"the rectangle {(left, top, right, bottom)}"
            raise InputError(where, found, f"left, top, right, bottom inside {width} x {height} pixels")
        shown[:, top : bottom + 1, left : right + 1] = 0
    content = shown.tobytes()
    return CleanPixels(content + b"\0" * (len(content) % 2), syntax.is_encapsulated, hidden_bits, bool(blank))


def check_pixel_kind(dataset: Dataset, where: Path) -> None:
    """Check, from the header, that the pixels are of a kind that can be cleaned.

    Raises:
        InputError: As :func:`clean_pixels`.
    """
    syntax = getattr(dataset, "file_meta", {}).get("TransferSyntaxUID")
    if syntax is None or syntax.is_private or not syntax.is_transfer_syntax or syntax == ExplicitVRBigEndian:
        found = f"transfer syntax {syntax.name if syntax else 'not given'}"
        raise InputError(where, found, "a standard little-endian DICOM file (convert it first)")
    photometric = dataset.get("PhotometricInterpretation")
    samples = whole_number(dataset, "SamplesPerPixel", where)
    if samples != 1 or photometric not in ("MONOCHROME1", "MONOCHROME2"):
        raise InputError(where, f"{photometric or 'unnamed'} pixels", "grayscale: MONOCHROME1 or MONOCHROME2")
    allocated, bits, high = (whole_number(dataset, name, where) for name in ("BitsAllocated", "BitsStored", "HighBit"))
    if allocated not in (8, 16) or not 0 < bits <= allocated or high != bits - 1:
        raise InputError(where, f"{bits} bits up to bit {high} in {allocated}", "the lowest bits of 8 or 16")
    if min(whole_number(dataset, name, where) for name in ("Rows", "Columns")) < 1:
        raise InputError(where, "no Rows or Columns", "an image")


def whole_number(dataset: Dataset, keyword: str, where: Path) -> int:
    """Look a whole number up; 0 where it is missing or empty.

    Raises:
        InputError: Something else under this name.
    """
    try:
        value = dataset.get(keyword)
        if value is None or value == "":
            return 0
        if int(value) == float(value):
            return int(value)
    except (TypeError, ValueError) as error:
        raise InputError(where, f"{dicom.tag_name(keyword)} that is no number", "a whole number") from error
    raise InputError(where, f"{dicom.tag_name(keyword)} {value}", "a whole number")


def _within_bits_stored(
    pixels: Integer[np.ndarray, "frames h w"], bits: int, signed: bool
) -> Integer[np.ndarray, "frames h w"]:
    """Clear the bits above BitsStored, where retired overlays lie; in signed pixels these repeat the sign."""
    spare = 8 * pixels.dtype.itemsize - bits
    unsigned = pixels.view(pixels.dtype.str.replace("i", "u"))
    raised = (unsigned << spare).astype(unsigned.dtype)
    return raised.view(pixels.dtype) >> spare if signed else raised >> spare
