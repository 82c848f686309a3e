"""What the header of an X-ray file says about its geometry, and the nominal camera that follows from it.

Angles and distances are those of the machine: a prior, on mobile C-arms off by degrees and centimeters. What a file
does not say is listed in ``missing``, and then there is no camera; nothing is filled in.

The world of a nominal camera is LPS with its origin in the isocenter. DICOM describes the detector as seen looking
toward the source (PS3.3 C.8.19.6.13.1.2), the patient's head up: the mirror image of what ``CArm.camera`` gives. The
stored pixels are that image, turned clockwise by FieldOfViewRotation and then flipped if FieldOfViewHorizontalFlip says
so (C.8.11.4).
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset

from drrkit.errors import InputError
from drrkit.geometry.camera import Camera
from drrkit.geometry.carm import CArm
from drrkit.io import dicom

MODALITIES = ("XA", "RF", "DX", "CR")
# In these files DistanceSourceToPatient is the distance to the isocenter (PS3.3 C.8.7.5, C.8.7.6); in DX files it ends
# at the table.
_ISOCENTRIC_MODALITIES = ("XA", "RF")

_EQUIPMENT_ANGLES = (
    "PositionerIsocenterPrimaryAngle",
    "PositionerIsocenterSecondaryAngle",
    "PositionerIsocenterDetectorRotationAngle",
)
_LPS = {"L": (1, 0, 0), "R": (-1, 0, 0), "P": (0, 1, 0), "A": (0, -1, 0), "H": (0, 0, 1), "F": (0, 0, -1)}


@dataclass(frozen=True)
class FrameGeometry:
    """The geometry of one frame, as far as the file says it; None where it does not.

    Args:
        primary_deg: Positioner primary angle, patient-based.
        secondary_deg: Positioner secondary angle, patient-based.
        equipment_angles_deg: Primary, secondary and detector rotation with respect to the room (0018,9463 to 9465).
            They say nothing about the patient and are not used for the camera.
        source_to_detector_mm: Focal spot to detector.
        source_to_isocenter_mm: Focal spot to isocenter.
        imager_spacing_mm: (row, column) spacing of the stored pixels at the detector.
        isocenter_px: (u, v) where the isocenter falls on the field of view before it was turned and flipped; None for
            its center, which XA files take for granted (PS3.17 FFF.2.1.5.2).
        quarter_turns: How often the field of view was turned clockwise by 90 degrees.
        flipped: Whether it was then flipped horizontally.
        patient_orientation: Where rows and columns of the stored pixels run to, such as ("L", "F").
        missing: What stands between this header and a camera; empty when there is one.
        collimator_px: (left, top, right, bottom) outermost columns and rows that rectangular blades leave open
            (0018,1702 to 1708, counted there from 1); None where the file names none.
    """

    primary_deg: float | None
    secondary_deg: float | None
    equipment_angles_deg: tuple[float, float, float] | None
    source_to_detector_mm: float | None
    source_to_isocenter_mm: float | None
    imager_spacing_mm: tuple[float, float] | None
    isocenter_px: tuple[float, float] | None
    quarter_turns: int
    flipped: bool
    patient_orientation: tuple[str, str] | None
    missing: tuple[str, ...]
    collimator_px: tuple[float, float, float, float] | None = None


@dataclass(frozen=True)
class XrayHeader:
    """What an X-ray file says about itself.

    Args:
        modality: XA, RF, DX or CR.
        device: Manufacturer and model.
        height: Rows of a frame.
        width: Columns of a frame.
        burned_in_annotation: YES, NO, or empty when the file does not say (0028,0301).
        frames: The geometry of each frame.
    """

    modality: str
    device: str
    height: int
    width: int
    burned_in_annotation: str
    frames: tuple[FrameGeometry, ...]

    @property
    def missing(self) -> tuple[str, ...]:
        """What keeps one frame or another from having a camera."""
        return tuple(dict.fromkeys(reason for frame in self.frames for reason in frame.missing))

    def camera(self, frame: int = 0) -> Camera | None:
        """Return the nominal camera of one frame, or None when ``frames[frame].missing`` says why not."""
        return None if self.frames[frame].missing else _nominal_camera(self.frames[frame], (self.height, self.width))


def read_xray_header(path: Path | str) -> XrayHeader:
    """Read the header of a DICOM X-ray.

    Raises:
        InputError: Not there, no DICOM file, damaged, another modality, or a tag with an impossible value.
    """
    path = Path(path)
    return parse_header(dicom.read_dataset(path, with_pixels=False), path)


def parse_header(dataset: Dataset, where: Path) -> XrayHeader:
    """Read what a DICOM dataset says about its X-ray.

    Raises:
        InputError: Another modality, no image, or a tag with an impossible value.
    """
    modality = str(dataset.get("Modality", ""))
    if modality not in MODALITIES:
        raise InputError(where, f"modality {modality or 'not given'}", f"an X-ray ({', '.join(MODALITIES)})")
    size = [dicom.number(dataset, keyword, where) for keyword in ("Rows", "Columns")]
    if None in size:
        raise InputError(where, "no Rows or Columns", "an image")
    height, width = (int(count or 0) for count in size)
    count = int(dicom.number(dataset, "NumberOfFrames", where) or 1)
    return XrayHeader(
        modality=modality,
        device=" ".join(str(dataset.get(word, "")) for word in ("Manufacturer", "ManufacturerModelName")).strip(),
        height=height,
        width=width,
        burned_in_annotation=str(dataset.get("BurnedInAnnotation") or ""),
        frames=tuple(_frame(dataset, where, index, count, (height, width)) for index in range(count)),
    )


def _frame(dataset: Dataset, where: Path, index: int, count: int, size: tuple[int, int]) -> FrameGeometry:
    to_isocenter_mm = _distance(dataset, where, "DistanceSourceToIsocenter", index)
    if to_isocenter_mm is None and dataset.Modality in _ISOCENTRIC_MODALITIES:
        to_isocenter_mm = _distance(dataset, where, "DistanceSourceToPatient", index)
    turns_deg = dicom.number(dataset, "FieldOfViewRotation", where, index) or 0.0
    if turns_deg % 90:
        raise InputError(where, f"{dicom.tag_name('FieldOfViewRotation')} {turns_deg:g}", "0, 90, 180 or 270")
    quarter_turns = int(turns_deg // 90) % 4
    spacing_mm = _pair(dataset, where, "ImagerPixelSpacing", index)
    geometry = FrameGeometry(
        primary_deg=_angle(dataset, where, "PositionerPrimaryAngle", index, count),
        secondary_deg=_angle(dataset, where, "PositionerSecondaryAngle", index, count),
        equipment_angles_deg=_equipment_angles(dataset, where, index),
        source_to_detector_mm=_distance(dataset, where, "DistanceSourceToDetector", index),
        source_to_isocenter_mm=to_isocenter_mm,
        imager_spacing_mm=spacing_mm if spacing_mm and min(spacing_mm) > 0 else None,
        isocenter_px=_isocenter_px(dataset, where, index, spacing_mm, quarter_turns),
        quarter_turns=quarter_turns,
        flipped=dicom.value(dataset, "FieldOfViewHorizontalFlip", index) == "YES",
        patient_orientation=_patient_orientation(dataset, index),
        missing=(),
        collimator_px=_collimator_px(dataset, where, index),
    )
    missing = tuple(_obstacles(dataset, where, index, geometry))
    camera = None if missing else _nominal_camera(geometry, size)
    if camera is not None and not fits_patient_orientation(geometry, camera):
        rows, columns = geometry.patient_orientation or ("", "")
        missing = (f"angles that agree with {dicom.tag_name('PatientOrientation')} {rows}, {columns}",)
    return replace(geometry, missing=missing)


def _obstacles(dataset: Dataset, where: Path, index: int, frame: FrameGeometry) -> Iterator[str]:
    """Say one by one what a camera lacks."""
    for keyword, angle_deg in (
        ("PositionerPrimaryAngle", frame.primary_deg),
        ("PositionerSecondaryAngle", frame.secondary_deg),
    ):
        if angle_deg is None:
            has_start = dicom.value(dataset, keyword, index) is not None
            yield dicom.tag_name(f"{keyword}Increment" if has_start else keyword)
    for keyword, found in (
        ("DistanceSourceToDetector", frame.source_to_detector_mm),
        ("DistanceSourceToIsocenter", frame.source_to_isocenter_mm),
        # PixelSpacing must not stand in: it may be calibrated to the patient's plane.
        ("ImagerPixelSpacing", frame.imager_spacing_mm),
    ):
        if found is None:
            yield dicom.tag_name(keyword)
    to_detector_mm, to_isocenter_mm = frame.source_to_detector_mm, frame.source_to_isocenter_mm
    if to_detector_mm and to_isocenter_mm and to_isocenter_mm >= to_detector_mm:
        yield f"an isocenter before the detector (it lies at {to_isocenter_mm:g} of {to_detector_mm:g} mm)"
    for keyword in ("DetectorPrimaryAngle", "DetectorSecondaryAngle"):
        if lean_deg := dicom.number(dataset, keyword, where, index):
            yield f"a beam at a right angle to the detector ({dicom.tag_name(keyword)} is {lean_deg:g})"
    if frame.equipment_angles_deg and frame.equipment_angles_deg[2]:
        yield f"a detector without roll ({dicom.tag_name(_EQUIPMENT_ANGLES[2])} is {frame.equipment_angles_deg[2]:g})"
    if dicom.value(dataset, "PositionOfIsocenterProjection", index) is not None and frame.isocenter_px is None:
        yield f"{dicom.tag_name('FieldOfViewOrigin')} and {dicom.tag_name('DetectorElementSpacing')}"


def _angle(dataset: Dataset, where: Path, keyword: str, index: int, count: int) -> float | None:
    start_deg = dicom.number(dataset, keyword, where, index)
    motion = dataset.get("PositionerMotion")
    if start_deg is None or count == 1 or motion == "STATIC" or "PerFrameFunctionalGroupsSequence" in dataset:
        return start_deg
    # PS3.3 C.8.7.5.1.3: one average step a frame, or one offset from the start for each frame.
    steps_deg = dicom.numbers(dataset, f"{keyword}Increment", where)
    if steps_deg is None:
        return start_deg if motion != "DYNAMIC" or index == 0 else None
    if len(steps_deg) == 1:
        return start_deg + index * steps_deg[0]
    return start_deg + steps_deg[index] if len(steps_deg) == count else None


def _distance(dataset: Dataset, where: Path, keyword: str, index: int) -> float | None:
    distance_mm = dicom.number(dataset, keyword, where, index)
    # Machines that do not know a distance write 0.
    return distance_mm if distance_mm and distance_mm > 0 else None


def _pair(dataset: Dataset, where: Path, keyword: str, index: int) -> tuple[float, float] | None:
    found = dicom.numbers(dataset, keyword, where, 2, index)
    return None if found is None else (found[0], found[1])


def _collimator_px(dataset: Dataset, where: Path, index: int) -> tuple[float, float, float, float] | None:
    shapes = dicom.value(dataset, "CollimatorShape", index) or ()
    if "RECTANGULAR" not in ([shapes] if isinstance(shapes, str) else list(shapes)):
        return None
    keywords = ("LeftVerticalEdge", "UpperHorizontalEdge", "RightVerticalEdge", "LowerHorizontalEdge")
    left, top, right, bottom = (dicom.number(dataset, f"Collimator{keyword}", where, index) for keyword in keywords)
    if left is None or top is None or right is None or bottom is None:
        return None
    # PS3.3 C.8.7.3: the upper left pixel is 1\\1.
    return left - 1, top - 1, right - 1, bottom - 1


def _equipment_angles(dataset: Dataset, where: Path, index: int) -> tuple[float, float, float] | None:
    primary, secondary, roll = (dicom.number(dataset, keyword, where, index) for keyword in _EQUIPMENT_ANGLES)
    return None if primary is None or secondary is None or roll is None else (primary, secondary, roll)


def _isocenter_px(
    dataset: Dataset, where: Path, index: int, spacing_mm: tuple[float, float] | None, quarter_turns: int
) -> tuple[float, float] | None:
    """Find the isocenter (u, v) on the field of view, before that was turned and flipped.

    PositionOfIsocenterProjection counts detector elements from the center of the first one, FieldOfViewOrigin from its
    corner; both are row, then column (PS3.3 C.8.19.5, C.8.19.6.2).
    """
    isocenter = _pair(dataset, where, "PositionOfIsocenterProjection", index)
    origin = _pair(dataset, where, "FieldOfViewOrigin", index)
    element_mm = _pair(dataset, where, "DetectorElementSpacing", index)
    if isocenter is None or origin is None or element_mm is None or spacing_mm is None or min(spacing_mm) <= 0:
        return None
    unturned_mm = spacing_mm[::-1] if quarter_turns % 2 else spacing_mm
    from_corner_mm = (np.array(isocenter) + 0.5 - origin) * element_mm
    v, u = from_corner_mm / unturned_mm - 0.5
    return float(u), float(v)


def _patient_orientation(dataset: Dataset, index: int) -> tuple[str, str] | None:
    found = dicom.value(dataset, "PatientOrientation", index)
    if found is None or isinstance(found, str) or len(found) != 2:
        return None
    rows, columns = str(found[0]), str(found[1])
    return (rows, columns) if rows and columns and set(rows + columns) <= set(_LPS) else None


def _nominal_camera(frame: FrameGeometry, size: tuple[int, int]) -> Camera | None:
    if frame.primary_deg is None or frame.secondary_deg is None or frame.imager_spacing_mm is None:
        return None
    if frame.source_to_detector_mm is None or frame.source_to_isocenter_mm is None:
        return None
    turned = frame.quarter_turns % 2 == 1
    height, width = size[::-1] if turned else size
    spacing_mm = frame.imager_spacing_mm[::-1] if turned else frame.imager_spacing_mm
    # The C-arm's own image is as the source sees it: u counts from the other side.
    principal_px = None if frame.isocenter_px is None else (width - 1 - frame.isocenter_px[0], frame.isocenter_px[1])
    carm = CArm(frame.source_to_detector_mm, frame.source_to_isocenter_mm, height, width, spacing_mm, principal_px)
    camera = carm.camera(frame.primary_deg, frame.secondary_deg).flipped_horizontally()
    camera = camera.rotated90(-frame.quarter_turns)
    return camera.flipped_horizontally() if frame.flipped else camera


def fits_patient_orientation(frame: FrameGeometry, camera: Camera) -> bool:
    """Whether a camera's rows and columns run where the frame's PatientOrientation says, taken together.

    A mirror image, a quarter turn and a half turn are told apart from it; a machine that writes L, F on every oblique
    view is not blamed.
    """
    if frame.patient_orientation is None:
        return True
    _, u_step, v_step = camera.detector_frame_world()
    agreement = 0.0
    for letters, step in zip(frame.patient_orientation, (u_step, v_step), strict=True):
        direction = np.sum([_LPS[letter] for letter in letters], axis=0)
        agreement += float(direction @ step / (np.linalg.norm(direction) * np.linalg.norm(step)))
    return agreement > 0.25
