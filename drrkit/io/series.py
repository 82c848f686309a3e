"""A CT from the slices of a DICOM series, checked slice by slice."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Num
from pydicom.dataset import Dataset

from drrkit.errors import InputError
from drrkit.io import dicom
from drrkit.io.grid import Grid
from drrkit.volume import check_affine

# Slices closer than this lie at one place.
SAME_PLACE_MM = 0.01
# How far a slice may lie from where even spacing puts it; headers round positions to 0.1 mm at worst.
UNEVEN_LIMIT_MM = 0.1
# Below this the slices drift by 0.3 mm over 300 mm, and the volume's own check lets it pass.
TILT_LIMIT_DEG = 0.05
DIRECTION_LIMIT = 1e-3

_HEADER_TAGS = (
    *("SOPClassUID", "Modality", "ImageType", "SeriesInstanceUID", "SeriesNumber", "SeriesDescription"),
    *("Rows", "Columns", "NumberOfFrames", "PixelSpacing", "ImagePositionPatient", "ImageOrientationPatient"),
    *("RescaleSlope", "RescaleIntercept", "RescaleType"),
    *("PerFrameFunctionalGroupsSequence", "SharedFunctionalGroupsSequence"),
)
# A file that bears one of these was meant to be DICOM.
_DICOM_SUFFIXES = (".dcm", ".dicom", ".ima")


@dataclass(frozen=True, eq=False)
class Slice:
    """One image of a series: where it lies and how its values become Hounsfield units."""

    path: Path
    frame: int
    shape: tuple[int, int]
    spacing_mm: tuple[float, float]
    row_direction: Float[np.ndarray, " 3"]
    column_direction: Float[np.ndarray, " 3"]
    position: Float[np.ndarray, " 3"]
    slope: float
    intercept: float

    @property
    def normal(self) -> Float[np.ndarray, " 3"]:
        """Unit normal of the image plane."""
        return np.cross(self.row_direction, self.column_direction)


def read_grid(path: Path) -> Grid:
    """Read from the headers of a series where the voxels lie.

    Args:
        path: A folder with one series, or a multi-frame file.

    Raises:
        InputError: As :func:`read`, as far as the headers tell.
    """
    return stack(_find_slices(path), path)[1]


def read(path: Path) -> tuple[Num[np.ndarray, "z y x"], Grid]:
    """Read the Hounsfield units of a series and their place.

    Args:
        path: A folder with one series, or a multi-frame file.

    Raises:
        InputError: No CT, more than one series, slices that differ, are missing, doubled, uneven or tilted, no
            rescaling to Hounsfield units, or pixels that cannot be read.
    """
    slices, grid = stack(_find_slices(path), path)
    whole = all(item.slope.is_integer() and item.intercept.is_integer() for item in slices)
    hu = np.empty(grid.shape, np.int32 if whole else np.float32)
    number = np.int64 if whole else np.float64
    file, pixels = None, np.empty(0)
    for index, item in enumerate(slices):
        if item.path != file:
            file, pixels = item.path, dicom.stored_pixels(dicom.read_dataset(item.path), item.path)
        if item.frame >= len(pixels):
            raise InputError(item.path, f"{len(pixels)} frames", f"frame {item.frame + 1}, which the header describes")
        hu[index] = pixels[item.frame] * number(item.slope) + number(item.intercept)
    return hu, grid


def stack(slices: Sequence[Slice], where: Path) -> tuple[list[Slice], Grid]:
    """Order slices along their normal and check that they fill an even, upright grid.

    Raises:
        InputError: One slice, or slices that differ, are missing, doubled, uneven or tilted.
    """
    if len(slices) < 2:
        raise InputError(where, f"{len(slices)} slice", "the folder with all slices of the series")
    first = slices[0]
    for item in slices[1:]:
        _check_alike(first, item, where)
    ordered = sorted(slices, key=lambda item: float(item.position @ first.normal))
    positions = np.stack([item.position for item in ordered])
    heights_mm = positions @ first.normal
    _check_even(heights_mm, ordered, where)
    step = (positions[-1] - positions[0]) / (len(ordered) - 1)
    _check_upright(step, first.normal, where)
    aside_mm = np.linalg.norm(positions - (positions[0] + np.arange(len(ordered))[:, None] * step), axis=1)
    if aside_mm.max() > UNEVEN_LIMIT_MM:
        worst = ordered[int(aside_mm.argmax())]
        raise InputError(where, f"{worst.path.name} {aside_mm.max():.2f} mm out of the stack", "slices in one line")
    affine = np.eye(4)
    row_mm, column_mm = first.spacing_mm
    affine[:3] = np.stack(
        [first.row_direction * column_mm, first.column_direction * row_mm, step, positions[0]], axis=1
    )
    return ordered, Grid((len(ordered), *first.shape), check_affine(affine, str(where)))


def _find_slices(path: Path) -> list[Slice]:
    images = [(file, header) for file, header in _headers(path) if _is_image(header)]
    if not images:
        raise InputError(path, "no DICOM images", "a folder with the slices of one CT series")
    _check_one_series(path, [header for _, header in images])
    for file, header in images:
        if header.get("Modality") != "CT":
            raise InputError(file, f"modality {header.get('Modality')}", "CT")
    return [
        _slice(file, header, frame)
        for file, header in images
        for frame in range(int(dicom.number(header, "NumberOfFrames", file) or 1))
    ]


def _headers(path: Path) -> list[tuple[Path, Dataset]]:
    if path.is_file():
        return [(path, dicom.read_dataset(path, with_pixels=False, only=_HEADER_TAGS))]
    found = []
    for file in sorted(path.rglob("*")):
        if file.is_file() and not file.name.startswith("."):
            if dicom.is_dicom(file):
                found.append((file, dicom.read_dataset(file, with_pixels=False, only=_HEADER_TAGS)))
            elif file.suffix.lower() in _DICOM_SUFFIXES:
                raise InputError(file, "no DICOM file", "an intact slice (copy it again), or no such file here")
    return found


def _is_image(header: Dataset) -> bool:
    # Reports and directories have no rows; a localizer is a projection, not a slice.
    return "Rows" in header and "LOCALIZER" not in (header.get("ImageType") or [])


def _check_one_series(path: Path, headers: Sequence[Dataset]) -> None:
    counts = Counter(str(header.get("SeriesInstanceUID", "")) for header in headers)
    if len(counts) > 1:
        by_series = {str(header.get("SeriesInstanceUID", "")): header for header in headers}
        names = "; ".join(
            f"{header.get('SeriesNumber', '?')} {str(header.get('SeriesDescription', '')).strip()!r} "
            f"{header.get('Modality', '?')}, {counts[series]} images"
            for series, header in by_series.items()
        )
        raise InputError(path, f"{len(counts)} series ({names})", "one series in a folder")


def _slice(file: Path, header: Dataset, frame: int) -> Slice:
    directions = np.array(_needed(file, header, "ImageOrientationPatient", 6, frame)).reshape(2, 3)
    if np.abs(directions @ directions.T - np.eye(2)).max() > DIRECTION_LIMIT:
        raise InputError(file, f"ImageOrientationPatient {directions.tolist()}", "two unit vectors at a right angle")
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    row_mm, column_mm = _needed(file, header, "PixelSpacing", 2, frame)
    if row_mm <= 0 or column_mm <= 0:
        raise InputError(file, f"PixelSpacing {[row_mm, column_mm]} mm", "two positive spacings")
    slope = _needed(file, header, "RescaleSlope", 1, frame)[0]
    if slope == 0:
        raise InputError(file, "RescaleSlope 0", "a slope that leads to Hounsfield units")
    unit = str(dicom.value(header, "RescaleType", frame) or "HU").strip()
    # US is "unspecified": scanners and anonymizers write it on Hounsfield units.
    if unit not in ("HU", "US"):
        raise InputError(file, f"RescaleType {unit}", "HU")
    return Slice(
        path=file,
        frame=frame,
        shape=(int(header.Rows), int(_needed(file, header, "Columns", 1, frame)[0])),
        spacing_mm=(row_mm, column_mm),
        row_direction=directions[0],
        column_direction=directions[1],
        position=np.array(_needed(file, header, "ImagePositionPatient", 3, frame)),
        slope=slope,
        intercept=_needed(file, header, "RescaleIntercept", 1, frame)[0],
    )


def _needed(file: Path, header: Dataset, keyword: str, count: int, frame: int) -> list[float]:
    found = dicom.numbers(header, keyword, file, count, frame)
    if found is None:
        raise InputError(file, f"no {dicom.tag_name(keyword)}", "a CT slice that says it")
    return found


def _check_alike(first: Slice, other: Slice, where: Path) -> None:
    pair = f"{first.path.name} and {other.path.name}"
    if other.shape != first.shape:
        found = f"slices of {first.shape} and {other.shape} pixels ({pair})"
        raise InputError(where, found, "slices of one size")
    if not np.allclose(other.spacing_mm, first.spacing_mm, rtol=1e-3, atol=0):
        found = f"PixelSpacing {first.spacing_mm} and {other.spacing_mm} mm ({pair})"
        raise InputError(where, found, "slices of one pixel spacing")
    turned = max(
        np.abs(other.row_direction - first.row_direction).max(),
        np.abs(other.column_direction - first.column_direction).max(),
    )
    if turned > DIRECTION_LIMIT:
        raise InputError(where, f"another ImageOrientationPatient from slice to slice ({pair})", "parallel slices")


def _check_even(heights_mm: Float[np.ndarray, " n"], ordered: Sequence[Slice], where: Path) -> None:
    gaps_mm = np.diff(heights_mm)
    for index in np.flatnonzero(gaps_mm < SAME_PLACE_MM).tolist():
        pair = f"{ordered[index].path.name} and {ordered[index + 1].path.name}"
        raise InputError(
            where, f"two slices at {heights_mm[index]:.2f} mm ({pair})", "each slice once, one phase in a folder"
        )
    spacing_mm = float(np.median(gaps_mm))
    for index in np.flatnonzero(gaps_mm > 1.5 * spacing_mm).tolist():
        missing = round(float(gaps_mm[index]) / spacing_mm) - 1
        if abs(gaps_mm[index] - (missing + 1) * spacing_mm) <= UNEVEN_LIMIT_MM:
            pair = f"{ordered[index].path.name} and {ordered[index + 1].path.name}"
            found = f"{missing} missing slice{'s' * (missing > 1)} between {pair} ({gaps_mm[index]:.2f} mm apart)"
            raise InputError(where, found, f"every slice, {spacing_mm:.2f} mm apart")
    even_mm = np.linspace(heights_mm[0], heights_mm[-1], len(heights_mm))
    # A quarter of a slice, where slices are thinner than the rounding of headers.
    limit_mm = min(UNEVEN_LIMIT_MM, spacing_mm / 4)
    if np.abs(heights_mm - even_mm).max() > limit_mm:
        raise InputError(
            where,
            f"uneven slices, {gaps_mm.min():.2f} to {gaps_mm.max():.2f} mm apart",
            f"even spacing (within {limit_mm:.2f} mm); resample the series first",
        )


def _check_upright(step: Float[np.ndarray, " 3"], normal: Float[np.ndarray, " 3"], where: Path) -> None:
    along_mm = float(step @ normal)
    tilt_deg = float(np.degrees(np.arctan2(np.linalg.norm(step - along_mm * normal), along_mm)))
    if tilt_deg > TILT_LIMIT_DEG:
        raise InputError(
            where,
            f"a gantry tilt of {tilt_deg:.2f} degrees (slices are not stacked along their normal)",
            "an upright stack; resample the series first, for example with dcm2niix",
        )
