"""X-ray images in and out: DICOM XA, RF, DX and CR, and PNG or TIFF with a JSON sidecar."""

import json
from pathlib import Path
from typing import Any, get_args

import cv2
import numpy as np
from jaxtyping import Float32, Integer, Num
from pydicom.dataset import Dataset
from pydicom.pixels import apply_modality_lut

from drrkit.errors import InputError
from drrkit.geometry.camera import Camera
from drrkit.io import dicom
from drrkit.io.store import write_bytes, write_json
from drrkit.io.xray_header import parse_header, read_xray_header
from drrkit.radiograph import ImageDomain, Radiograph

__all__ = ["line_integral_from_intensity", "read_xray", "read_xray_header", "write_xray"]

SIDECAR_CONVENTION = "drrkit-xray/1"

_PNG, _TIFF = (".png",), (".tif", ".tiff")
_EXAMPLE = f'{{"convention": "{SIDECAR_CONVENTION}", "domain": "intensity", "camera": null}}'
_PNG_HIGHEST = 65535


def read_xray(path: Path | str) -> list[Radiograph]:
    """Read an X-ray file, one radiograph a frame.

    The pixels of DICOM files become

    - ``intensity`` where the file says that they are linear in the beam's intensity, or brings the table that makes
      them so (PixelIntensityRelationship, its Sign, the Modality LUT of XA and RF files, TO_LINEAR of enhanced ones);
    - ``display`` otherwise, rescaled as the file says and bright where the file means bright. Logarithmic pixels
      without a table are among these: DICOM does not tell their scale and zero.

    Their cameras are nominal (see :mod:`drrkit.io.xray_header`), and None where :func:`read_xray_header` lists
    something as missing.

    Args:
        path: A DICOM file, or a .png, .tif or .tiff of 8 or 16 bits or float32 with ``<name>.json`` beside it.

    Raises:
        InputError: Nothing there, truncated, damaged, color, another modality, or no valid sidecar.
    """
    path = Path(path)
    if path.suffix.lower() in _PNG + _TIFF:
        return [_read_picture(path)]
    dataset = dicom.read_dataset(path)
    header = parse_header(dataset, path)
    stored = dicom.stored_pixels(dataset, path)
    if stored.shape != (len(header.frames), header.height, header.width):
        raise InputError(path, f"{len(stored)} frames", f"{len(header.frames)} frames, as the header says")
    radiographs = []
    for index, frame in enumerate(stored):
        pixels, domain = _interpreted(frame, dataset, index, path)
        radiographs.append(_radiograph(pixels, domain, header.camera(index), path))
    return radiographs


def write_xray(radiograph: Radiograph, path: Path | str) -> None:
    """Write an X-ray with its sidecar: float32 as .tif or .tiff, or rounded to 16 bits as .png.

    Raises:
        InputError: Another suffix, or a disk that cannot be written.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in _PNG + _TIFF:
        raise InputError(path, f"the suffix {suffix!r}", ".png, .tif or .tiff")
    scale, offset, values = (1.0, 0.0, radiograph.pixels) if suffix in _TIFF else _quantized(radiograph.pixels)
    options = [cv2.IMWRITE_TIFF_COMPRESSION, 1] if suffix in _TIFF else []
    encoded, buffer = cv2.imencode(suffix, values, options)
    if not encoded:
        raise InputError(path, f"{values.dtype} pixels that OpenCV cannot encode", f"an image for {suffix}")
    sidecar = {
        "convention": SIDECAR_CONVENTION,
        "domain": radiograph.domain,
        "camera": None if radiograph.camera is None else radiograph.camera.to_record(path.stem),
        "scale": scale,
        "offset": offset,
    }
    # Never a new image beside an old sidecar, even if we are killed in between.
    _sidecar_path(path).unlink(missing_ok=True)
    write_bytes(path, buffer.tobytes())
    write_json(_sidecar_path(path), sidecar)


def line_integral_from_intensity(
    radiograph: Radiograph, open_field: float | Float32[np.ndarray, "h w"], lowest: float | None = None
) -> Radiograph:
    """Turn counts into line integrals, -log(I / I0).

    Args:
        radiograph: An image in the ``intensity`` domain.
        open_field: I0, the intensity of the open beam: one number, or an image of it.
        lowest: Raise intensities below this to it: dead pixels and the shadow of the collimator have none.

    Raises:
        InputError: Another domain, an open field that is not positive, or intensities that are not and no ``lowest``.
    """
    if radiograph.domain != "intensity":
        raise InputError("radiograph domain", radiograph.domain, "intensity")
    if not (np.isfinite(open_field).all() and np.min(open_field) > 0):
        raise InputError("open_field", f"a value of {np.min(open_field):g}", "finite positive intensities")
    if lowest is not None and not lowest > 0:
        raise InputError("lowest", lowest, "a positive intensity")
    intensity = radiograph.pixels if lowest is None else np.maximum(radiograph.pixels, np.float32(lowest))
    starved = int(np.count_nonzero(intensity <= 0))
    if starved:
        raise InputError("radiograph", f"{starved} pixels without intensity", "positive pixels, or `lowest`")
    pixels = np.log(np.float32(open_field)) - np.log(intensity)
    return Radiograph(pixels.astype(np.float32), "line_integral", radiograph.camera)


# ---- DICOM ---------------------------------------------------------------------------------------------------


def _interpreted(
    stored: Integer[np.ndarray, "h w"], dataset: Dataset, index: int, where: Path
) -> tuple[Float32[np.ndarray, "h w"], ImageDomain]:
    relationship = str(dicom.value(dataset, "PixelIntensityRelationship", index) or "")
    to_linear = _linear_table(dataset, relationship, index)
    if to_linear is not None:
        return _looked_up(stored, to_linear, dataset, where), "intensity"
    # LIN alone means proportional; a sign of -1 means c - I with a c that no tag tells.
    if relationship == "LIN" and dicom.number(dataset, "PixelIntensityRelationshipSign", where, index) != -1:
        return stored.astype(np.float32), "intensity"
    if dataset.get("PhotometricInterpretation") == "MONOCHROME1":
        stored = _inverted(stored, dataset)
    tables = dicom.value(dataset, "ModalityLUTSequence", index)
    if tables:
        return _looked_up(stored, tables[0], dataset, where), "display"
    slope = dicom.number(dataset, "RescaleSlope", where, index)
    intercept = dicom.number(dataset, "RescaleIntercept", where, index)
    pixels = stored * (1.0 if slope is None else slope) + (intercept or 0.0)
    return pixels.astype(np.float32), "display"


def _linear_table(dataset: Dataset, relationship: str, index: int) -> Dataset | None:
    """Find the table that leads back to the beam's intensity."""
    for table in dicom.value(dataset, "PixelIntensityRelationshipLUTSequence", index) or []:
        if table.get("LUTFunction") == "TO_LINEAR":
            return table
    # In XA and RF files the Modality LUT does this, and is not meant for display (PS3.3 C.8.7.1.1.2).
    tables = dicom.value(dataset, "ModalityLUTSequence", index)
    if tables and dataset.Modality in ("XA", "RF") and relationship in ("LOG", "DISP"):
        return tables[0]
    return None


def _looked_up(
    stored: Integer[np.ndarray, "h w"], table: Dataset, dataset: Dataset, where: Path
) -> Float32[np.ndarray, "h w"]:
    # pydicom looks for the table in a dataset, and for the byte order of the table in its file meta.
    holder = Dataset()
    holder.file_meta = dataset.file_meta
    holder.ModalityLUTSequence = [table]
    try:
        return apply_modality_lut(stored, holder).astype(np.float32)
    except (AttributeError, IndexError, TypeError, ValueError) as error:
        raise InputError(where, f"an unusable lookup table ({error})", "a table as DICOM PS3.3 C.11.1 says") from error


def _inverted(stored: Integer[np.ndarray, "h w"], dataset: Dataset) -> Integer[np.ndarray, "h w"]:
    """Turn MONOCHROME1 (low is white) to MONOCHROME2 within the range of the stored bits."""
    signed = dataset.get("PixelRepresentation", 0) == 1
    # The smallest and largest value add up to this.
    return (-1 if signed else (1 << int(dataset.BitsStored)) - 1) - stored.astype(np.int64)


# ---- PNG and TIFF --------------------------------------------------------------------------------------------


def _read_picture(path: Path) -> Radiograph:
    pixels = _decoded(path)
    sidecar = _read_sidecar(path)
    where = _sidecar_path(path)
    record = sidecar["camera"]
    camera = None if record is None else Camera.from_record(record, f"{where}, camera")
    values = pixels.astype(np.float64) * sidecar.get("scale", 1.0) + sidecar.get("offset", 0.0)
    return _radiograph(values.astype(np.float32), sidecar["domain"], camera, path)


def _decoded(path: Path) -> Num[np.ndarray, "h w"]:
    try:
        content = np.frombuffer(path.read_bytes(), dtype=np.uint8)
    except OSError as error:
        raise InputError(path, error.strerror or error, "an X-ray image") from error
    decoded, pages = cv2.imdecodemulti(content, cv2.IMREAD_UNCHANGED) if content.size else (False, ())
    if not decoded:
        raise InputError(path, "no readable image", "an intact PNG or TIFF (copy it again)")
    if len(pages) != 1:
        raise InputError(path, f"{len(pages)} pages", "one image in a file")
    pixels = np.asarray(pages[0])
    if pixels.ndim != 2 or pixels.dtype not in (np.uint8, np.uint16, np.float32):
        raise InputError(path, f"{pixels.dtype} pixels of shape {pixels.shape}", "one channel, 8 or 16 bits or float32")
    return pixels


def _sidecar_path(path: Path) -> Path:
    return path.with_suffix(".json")


def _read_sidecar(path: Path) -> dict[str, Any]:
    where = _sidecar_path(path)
    try:
        content = json.loads(where.read_text())
    except FileNotFoundError as error:
        raise InputError(where, f"no sidecar for {path.name}", f"a file such as {_EXAMPLE}") from error
    except OSError as error:
        raise InputError(where, error.strerror or error, "a readable sidecar") from error
    except ValueError as error:
        raise InputError(where, f"no JSON ({error})", f"a file such as {_EXAMPLE}") from error
    convention = content.get("convention") if isinstance(content, dict) else None
    if convention != SIDECAR_CONVENTION:
        raise InputError(where, f"convention {convention!r}", f"a file such as {_EXAMPLE}")
    missing = [name for name in ("domain", "camera") if name not in content]
    if missing:
        raise InputError(where, f"no {' and no '.join(missing)}", f"a file such as {_EXAMPLE}")
    if content["domain"] not in get_args(ImageDomain):
        raise InputError(where, f"domain {content['domain']!r}", " or ".join(get_args(ImageDomain)))
    if not isinstance(content["camera"], dict | None):
        raise InputError(where, f"camera {content['camera']!r}", "null or a camera of drrkit-camera/1")
    for name in ("scale", "offset"):
        number = content.get(name, 1.0)
        if isinstance(number, bool) or not isinstance(number, int | float) or not np.isfinite(number):
            raise InputError(where, f"{name} {number!r}", "a finite number")
    return content


def _quantized(pixels: Float32[np.ndarray, "h w"]) -> tuple[float, float, np.ndarray]:
    """Map pixels to 16 bits: as they are where they are whole and fit, else over their range."""
    lowest, highest = float(pixels.min()), float(pixels.max())
    if lowest >= 0 and highest <= _PNG_HIGHEST and np.array_equal(pixels, np.rint(pixels)):
        return 1.0, 0.0, pixels.astype(np.uint16)
    scale = (highest - lowest) / _PNG_HIGHEST or 1.0
    return scale, lowest, np.rint((pixels.astype(np.float64) - lowest) / scale).astype(np.uint16)


def _radiograph(
    pixels: Float32[np.ndarray, "h w"], domain: ImageDomain, camera: Camera | None, where: Path
) -> Radiograph:
    try:
        return Radiograph(pixels, domain, camera)
    except InputError as error:
        raise InputError(f"{where}, {error.where}", error.found, error.wanted) from error
