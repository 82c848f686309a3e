"""X-ray angiographic images (XA) out: 12-bit DICOM files that carry the geometry and technique of a C-arm.

The stored pixels are written as they are. DICOM describes the detector as seen looking toward the source: the mirror
image of what ``CArm.camera`` gives. Pixels rendered for a ``CArm.camera`` must therefore be flipped horizontally first
(``pixels[..., ::-1]``), turned clockwise by ``quarter_turns`` and flipped once more where ``flipped`` says so. The
camera that :func:`drrkit.io.xray.read_xray` gives then fits the pixels that it gives.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float, Integer, UInt16
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.uid import XRayAngiographicImageStorage

from drrkit.errors import InputError
from drrkit.geometry.camera import Camera
from drrkit.io.study import Study, image_type, new_image, number, save
from drrkit.io.xray_header import parse_header

BITS_STORED = 12
STORED_VALUES = 1 << BITS_STORED

FilterMaterial = Literal["ALUMINUM", "COPPER"]

# Parts of a direction below the sine of this angle are not named in PatientOrientation.
_NAMED_FROM_DEG = 5.0
_LETTERS = (("R", "L"), ("A", "P"), ("F", "H"))


@dataclass(frozen=True, kw_only=True)
class Technique:
    """How an exposure was made; valid when it exists.

    Args:
        kvp: Peak tube voltage in kV (0018,0060).
        tube_current_ma: Tube current (0018,1151).
        exposure_time_ms: Duration (0018,1150).
        filters: Material and thickness in mm of what filters the beam (0018,7050 to 7054).
        fluoroscopy: Whether this is fluoroscopy (SC) or a single shot (GR) (0018,1155).

    Raises:
        InputError: A number that is not positive.
    """

    kvp: float
    tube_current_ma: float
    exposure_time_ms: float
    filters: tuple[tuple[FilterMaterial, float], ...] = ()
    fluoroscopy: bool = False

    def __post_init__(self) -> None:
        for name in ("kvp", "tube_current_ma", "exposure_time_ms"):
            _check_positive(f"technique {name}", getattr(self, name))
        for material, thickness_mm in self.filters:
            _check_positive(f"technique filters, {material} in mm", thickness_mm)


@dataclass(frozen=True, kw_only=True, eq=False)
class XaDescription:
    """What an XA file says beside its pixels; valid when it exists.

    Args:
        study: Whose image it is, and whether it is simulated.
        technique: How it was made.
        primary_deg: Positioner primary angle (0018,1510); one for each frame if the C-arm moves.
        secondary_deg: Positioner secondary angle (0018,1511), likewise.
        source_to_detector_mm: Focal spot to detector (0018,1110).
        source_to_isocenter_mm: Focal spot to isocenter, which XA files call Distance Source to Patient (0018,1111).
        imager_spacing_mm: (row, column) spacing of the stored pixels at the detector (0018,1164).
        instance_number: Place in its series (0020,0013), from 1. Study and instance number make the UID.
        series_number: (0020,0011), from 1.
        quarter_turns: How often the field of view was turned clockwise by 90 degrees before storing (0018,7032).
        flipped: Whether it was then flipped horizontally (0018,7034).
        round_field_mm: Diameter of a round field of view (image intensifiers); None for one that the pixels fill.
        collimator_px: (left, top, right, bottom) outermost columns and rows that the collimator leaves open; None
            without a collimator.
        frame_time_ms: Time from frame to frame (0018,1063); needed with several frames.
        intensity_from_stored: (4096,) the intensity that each stored value stands for, written as Modality LUT beside
            ``PixelIntensityRelationship LOG``; None where stored values are proportional to the intensity (``LIN``).

    Raises:
        InputError: A value that no machine has or DICOM cannot hold.
    """

    study: Study
    technique: Technique
    primary_deg: float | tuple[float, ...]
    secondary_deg: float | tuple[float, ...]
    source_to_detector_mm: float
    source_to_isocenter_mm: float
    imager_spacing_mm: tuple[float, float]
    instance_number: int = 1
    series_number: int = 1
    quarter_turns: int = 0
    flipped: bool = False
    round_field_mm: float | None = None
    collimator_px: tuple[int, int, int, int] | None = None
    frame_time_ms: float | None = None
    intensity_from_stored: UInt16[np.ndarray, " 4096"] | None = None

    def __post_init__(self) -> None:
        for name in ("source_to_detector_mm", "source_to_isocenter_mm", "round_field_mm", "frame_time_ms"):
            if (value := getattr(self, name)) is not None:
                _check_positive(f"XA {name}", value)
        for spacing_mm in self.imager_spacing_mm:
            _check_positive("XA imager_spacing_mm", spacing_mm)
        if self.source_to_isocenter_mm >= self.source_to_detector_mm:
            raise InputError("XA source_to_isocenter_mm", f"{self.source_to_isocenter_mm:g}", "less than to detector")
        for name, limit_deg in (("primary_deg", 180.0), ("secondary_deg", 90.0)):
            angles = np.atleast_1d(getattr(self, name))
            if angles.ndim != 1 or not angles.size or not np.abs(angles).max() <= limit_deg:
                raise InputError(f"XA {name}", getattr(self, name), f"-{limit_deg:g} to {limit_deg:g} (PS3.3 C.8.7.5)")
        if self.quarter_turns not in range(4):
            raise InputError("XA quarter_turns", self.quarter_turns, "0, 1, 2 or 3")
        table = self.intensity_from_stored
        if table is not None and not (
            table.shape == (STORED_VALUES,) and table.dtype == np.uint16 and (np.diff(table.astype(int)) >= 0).all()
        ):
            raise InputError("XA intensity_from_stored", "another table", f"{STORED_VALUES} growing uint16 numbers")


def write_xa(path: Path | str, stored: UInt16[np.ndarray, "*frames h w"], description: XaDescription) -> None:
    """Write stored pixels as an X-Ray Angiographic Image (PS3.3 A.14).

    The same arguments give the same bytes.

    Args:
        path: The file.
        stored: (H, W) or (F, H, W) values of 12 bits, as seen looking toward the source (see above).
        description: The rest of the file.

    Raises:
        InputError: Values above 12 bits, no pixels, another number of angles than frames, several frames without a
            frame time, or a disk that cannot be written.
    """
    path = Path(path)
    frames = _frames(stored)
    count, height, width = frames.shape
    image = new_image(
        description.study, XRayAngiographicImageStorage, "XA", description.series_number, description.instance_number
    )
    image.ImageType = image_type(description.study, "SINGLE PLANE")
    image.SamplesPerPixel = 1
    image.PhotometricInterpretation = "MONOCHROME2"
    image.Rows, image.Columns = height, width
    image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = (
        16,
        BITS_STORED,
        BITS_STORED - 1,
        0,
    )
    if count > 1:
        if description.frame_time_ms is None:
            raise InputError("XA frame_time_ms", "none", f"a frame time, with {count} frames")
        image.NumberOfFrames = count
        image.FrameTime = number(description.frame_time_ms)
        image.FrameIncrementPointer = Tag("FrameTime")
    _add_positioner(image, description, count)
    _add_field_of_view(image, description)
    _add_technique(image, description.technique)
    _add_intensity(image, description.intensity_from_stored)
    image.PatientOrientation = _patient_orientation(image, path, count)
    image.PixelData = frames.astype("<u2").tobytes()
    save(image, path)


def log_table(lowest: float, highest: float) -> UInt16[np.ndarray, " 4096"]:
    """Return the intensities that stored values of 12 bits stand for on a logarithmic scale.

    Args:
        lowest: The intensity of stored value 0.
        highest: The intensity of stored value 4095. From 32768 on the table uses all 16 bits that it says it has, as
            the validator dciodvfy demands; scale intensities up for it.

    Raises:
        InputError: Not 1 <= lowest < highest <= 65535, the range of the table.
    """
    if not 1 <= lowest < highest <= np.iinfo(np.uint16).max:
        raise InputError("log_table", f"{lowest:g} to {highest:g}", "1 <= lowest < highest <= 65535")
    return np.rint(np.geomspace(lowest, highest, STORED_VALUES)).astype(np.uint16)


def stored_from_intensity(
    intensity: Float[np.ndarray, "*shape"], table: UInt16[np.ndarray, " 4096"]
) -> UInt16[np.ndarray, "*shape"]:
    """Return the stored values whose intensity in ``table`` comes closest; beyond its ends, the ends."""
    halfway = (table[1:].astype(np.float64) + table[:-1]) / 2
    return np.searchsorted(halfway, intensity).astype(np.uint16)


def _check_positive(where: str, value: float) -> None:
    if not 0 < value < np.inf:
        raise InputError(where, value, "a positive number")


def _frames(stored: Integer[np.ndarray, "..."]) -> UInt16[np.ndarray, "frames h w"]:
    if stored.ndim not in (2, 3) or 0 in stored.shape or stored.dtype != np.uint16:
        raise InputError("XA pixels", f"{stored.dtype} of shape {stored.shape}", "uint16 of (H, W) or (F, H, W)")
    if stored.max() >= STORED_VALUES:
        raise InputError("XA pixels", f"values up to {stored.max()}", f"0 to {STORED_VALUES - 1} ({BITS_STORED} bits)")
    return stored.reshape(-1, *stored.shape[-2:])


def _add_positioner(image: Dataset, description: XaDescription, count: int) -> None:
    """Add the XA Positioner module (PS3.3 C.8.7.5)."""
    image.DistanceSourceToDetector = number(description.source_to_detector_mm)
    image.DistanceSourceToPatient = number(description.source_to_isocenter_mm)
    image.EstimatedRadiographicMagnificationFactor = number(
        description.source_to_detector_mm / description.source_to_isocenter_mm
    )
    moves = False
    for keyword, angles in (("Primary", description.primary_deg), ("Secondary", description.secondary_deg)):
        each_deg = np.atleast_1d(np.asarray(angles, float))
        if len(each_deg) not in (1, count):
            raise InputError(f"XA {keyword.lower()}_deg", f"{len(each_deg)} angles", f"1, or {count}: one a frame")
        each_deg = np.broadcast_to(each_deg, count)
        setattr(image, f"Positioner{keyword}Angle", number(each_deg[0]))
        # One for each frame, counted from the start as the file rounds it (C.8.7.5.1.3).
        offsets = each_deg - float(number(each_deg[0]))
        offsets[0] = 0.0
        setattr(image, f"Positioner{keyword}AngleIncrement", [number(offset) for offset in offsets])
        moves |= bool(np.ptp(each_deg))
    if count > 1:
        image.PositionerMotion = "DYNAMIC" if moves else "STATIC"
    if not moves:
        del image.PositionerPrimaryAngleIncrement, image.PositionerSecondaryAngleIncrement


def _add_field_of_view(image: Dataset, description: XaDescription) -> None:
    """Add what X-Ray Acquisition (C.8.7.2), DX Detector (C.8.11.4) and X-Ray Collimator (C.8.7.3) say of the field."""
    image.ImagerPixelSpacing = [number(spacing_mm) for spacing_mm in description.imager_spacing_mm]
    if description.round_field_mm is None:
        image.FieldOfViewShape = "RECTANGLE"
        sizes_mm = np.multiply(description.imager_spacing_mm, (image.Rows, image.Columns))
        # Of the field before it was turned.
        image.FieldOfViewDimensions = [round(size_mm) for size_mm in np.roll(sizes_mm, description.quarter_turns)]
    else:
        image.FieldOfViewShape = "ROUND"
        image.FieldOfViewDimensions = round(description.round_field_mm)
        image.IntensifierSize = number(description.round_field_mm)
    image.FieldOfViewRotation = number(90.0 * description.quarter_turns)
    image.FieldOfViewHorizontalFlip = "YES" if description.flipped else "NO"
    if description.collimator_px is None:
        return
    left, top, right, bottom = description.collimator_px
    if not (0 <= left <= right < image.Columns and 0 <= top <= bottom < image.Rows):
        raise InputError("XA collimator_px", description.collimator_px, "left, top, right, bottom inside the image")
    image.CollimatorShape = "RECTANGULAR"
    # The upper left pixel is 1\1.
    image.CollimatorLeftVerticalEdge, image.CollimatorRightVerticalEdge = left + 1, right + 1
    image.CollimatorUpperHorizontalEdge, image.CollimatorLowerHorizontalEdge = top + 1, bottom + 1


def _add_technique(image: Dataset, technique: Technique) -> None:
    """Add X-Ray Acquisition (C.8.7.2) and X-Ray Filtration (C.8.7.10)."""
    image.KVP = number(technique.kvp)
    image.RadiationSetting = "SC" if technique.fluoroscopy else "GR"
    exposure_mas = technique.tube_current_ma * technique.exposure_time_ms / 1000
    # Whole numbers for everybody, and again in thousandths for those who read them.
    image.XRayTubeCurrent, image.ExposureTime = round(technique.tube_current_ma), round(technique.exposure_time_ms)
    image.Exposure = round(exposure_mas)
    image.XRayTubeCurrentInuA = number(1000 * technique.tube_current_ma)
    image.ExposureTimeInuS = number(1000 * technique.exposure_time_ms)
    image.ExposureInuAs = round(1000 * exposure_mas)
    image.FilterType = "FLAT" if technique.filters else "NONE"
    if technique.filters:
        image.FilterMaterial = [material for material, _ in technique.filters]
        image.FilterThicknessMinimum = image.FilterThicknessMaximum = [number(mm) for _, mm in technique.filters]


def _add_intensity(image: Dataset, table: UInt16[np.ndarray, " 4096"] | None) -> None:
    """Say how stored values depend on the beam's intensity: X-Ray Image (C.8.7.1) and Modality LUT (C.11.1)."""
    image.PixelIntensityRelationship = "LIN" if table is None else "LOG"
    image.PixelIntensityRelationshipSign = 1
    if table is None:
        return
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [STORED_VALUES, 0, 16])
    item.ModalityLUTType = "US"
    item.add_new("LUTData", "OW", table.astype("<u2").tobytes())
    image.ModalityLUTSequence = [item]


def _patient_orientation(image: Dataset, path: Path, count: int) -> list[str]:
    """Name where rows and columns run to; nothing where that changes from frame to frame (type 2C may be empty)."""
    header = parse_header(image, path)
    names = {_direction_names(header.camera(index)) for index in range(count)}
    return list(names.pop()) if len(names) == 1 else []


def _direction_names(camera: Camera | None) -> tuple[str, str]:
    if camera is None:
        raise AssertionError("a valid description has a camera")
    _, u_step, v_step = camera.detector_frame_world()
    return _direction_name(u_step), _direction_name(v_step)


def _direction_name(step: Float[np.ndarray, " 3"]) -> str:
    step = step / np.linalg.norm(step)
    axes = sorted(range(3), key=lambda axis: -abs(step[axis]))
    named = [axis for axis in axes if abs(step[axis]) > np.sin(np.radians(_NAMED_FROM_DEG))]
    return "".join(_LETTERS[axis][int(step[axis] > 0)] for axis in named)
