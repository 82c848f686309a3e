"""What each file of a session says about itself, gathered once for all rules."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from drrkit.errors import InputError
from drrkit.io import dicom
from drrkit.io.xray import read_xray
from drrkit.io.xray_header import MODALITIES, FrameGeometry, XrayHeader, parse_header
from drrkit.radiograph import ImageDomain
from protocols.acquisition.damage import reading
from protocols.acquisition.findings import Finding
from protocols.acquisition.load import PICTURE_SUFFIXES, Exposure, header_exposures, picture_exposure
from protocols.acquisition.nominal import completed, silent_header
from protocols.acquisition.schema import ExposureNote, Sheet

_COLLIMATOR = ("LeftVertical", "RightVertical", "UpperHorizontal", "LowerHorizontal")
_SAYS_SIMULATED = (
    *("SeriesDescription", "StudyDescription", "ImageComments", "DerivationDescription", "PatientName"),
    *("PatientComments", "Manufacturer", "ManufacturerModelName", "InstitutionName", "ContentDescription"),
)
_PERSONAL = ("PatientBirthDate", "PatientAddress", "PatientTelephoneNumbers", "EthnicGroup", "Occupation")


@dataclass(frozen=True)
class Identity:
    """Whose image a DICOM file says it is, and how it came about; empty where it does not say."""

    patient_id: str
    study_uid: str
    instance_uid: str
    date: str
    position: str
    image_type: str
    says_simulated: bool
    is_deidentified: bool
    persons: tuple[tuple[str, str], ...]

    @property
    def is_derived(self) -> bool:
        """Whether the pixels were computed from other images."""
        return self.image_type == "DERIVED"


@dataclass(frozen=True, eq=False)
class Shot:
    """One exposure with everything that rules compare.

    Args:
        exposure: As the loader makes it.
        header: Of its file; a picture's says nothing but its size.
        said: The geometry that the header gives.
        filled: The same after acquisition.yaml.
        identity: None for pictures.
        device: Manufacturer and model.
        detector: flat_panel or image_intensifier, as far as tags tell; else empty.
        relationship: PixelIntensityRelationship.
        intent: PresentationIntentType.
        field_mm: Sides of a rectangular field of view, ascending; or none.
        collimator: The four edges; or none.
        domain: What the file says its pixels are.
        brightest: The 99.9th percentile of the pixels.
        pixels_sha256: Hash of the pixels.
    """

    exposure: Exposure
    header: XrayHeader
    said: FrameGeometry
    filled: FrameGeometry
    identity: Identity | None
    device: str
    detector: str
    relationship: str
    intent: str
    field_mm: tuple[float, ...]
    collimator: tuple[float, ...]
    domain: ImageDomain
    brightest: float
    pixels_sha256: str

    @property
    def name(self) -> str:
        """The exposure's name."""
        return self.exposure.exposure_id


def survey_file(path: Path, folder: Path, sheet: Sheet) -> tuple[list[Shot], list[Finding]]:
    """Read one X-ray file as far as it can be read."""
    where = str(path.relative_to(folder))
    try:
        with reading(path):
            if path.suffix.lower() in PICTURE_SUFFIXES:
                return [_picture(path, sheet)], []
            dataset = dicom.read_dataset(path, with_pixels=False)
            modality = str(dataset.get("Modality", ""))
            if modality not in MODALITIES:
                found = f"modality {modality or 'not given'}"
                wanted = f"an X-ray ({', '.join(MODALITIES)}); put this file elsewhere"
                return [], [Finding("error", "modality", where, found, wanted)]
            return _frames(path, dataset, parse_header(dataset, path), sheet), []
    except InputError as error:
        # The checker's trade: what stops a reader is its finding, and the other files are still looked at.
        place = error.where.replace(str(path), where)
        return [], [Finding("error", "unreadable", place, error.found, error.wanted)]


def identity_of(dataset: Any, where: Path) -> Identity:
    """Read whose image it is.

    Raises:
        InputError: A tag that cannot be read.
    """
    with reading(where):
        return _identity(dataset)


def _identity(dataset: Any) -> Identity:
    def text(keyword: str) -> str:
        return str(dataset.get(keyword) or "").strip()

    kinds = dataset.get("ImageType") or []
    return Identity(
        patient_id=text("PatientID"),
        study_uid=text("StudyInstanceUID"),
        instance_uid=text("SOPInstanceUID"),
        date=(text("AcquisitionDate") or text("StudyDate"))[:8],
        position=text("PatientPosition"),
        image_type=str(kinds if isinstance(kinds, str) else kinds[0] if len(kinds) else ""),
        says_simulated=any("simulat" in text(keyword).lower() for keyword in _SAYS_SIMULATED),
        is_deidentified=text("PatientIdentityRemoved") == "YES",
        persons=_persons(dataset),
    )


def words_of(name: str) -> list[str]:
    """Split a person's name into its words of three letters or more, in lower case."""
    return [word.lower() for word in re.split(r"[^\w]+|_", name) if len(word) >= 3 and not word.isdigit()]


def _persons(dataset: Any) -> tuple[tuple[str, str], ...]:
    """List tags that name a person or point to one, with their values."""
    found = []
    for element in dataset.iterall():
        value = str(element.value or "").strip() if element.VR != "SQ" else ""
        if value and (element.VR == "PN" or element.keyword in _PERSONAL):
            found.append((element.keyword or str(element.tag), value))
    return tuple(dict.fromkeys(found))


def _picture(path: Path, sheet: Sheet) -> Shot:
    radiograph = read_xray(path)[0]
    exposure = picture_exposure(path, radiograph, sheet)
    header = silent_header(*radiograph.pixels.shape)
    note = sheet.xrays.exposures.get(exposure.exposure_id, ExposureNote())
    filled = completed(header, 0, sheet.device, note)
    brightest, pixels_sha256 = _pixel_facts(radiograph.pixels)
    return Shot(
        exposure=exposure,
        header=header,
        said=header.frames[0],
        filled=filled,
        identity=None,
        device="",
        detector="",
        relationship="",
        intent="",
        field_mm=(),
        collimator=(),
        domain=radiograph.domain,
        brightest=brightest,
        pixels_sha256=pixels_sha256,
    )


def _frames(path: Path, dataset: Any, header: XrayHeader, sheet: Sheet) -> list[Shot]:
    radiographs = read_xray(path)
    identity = identity_of(dataset, path)
    sides_mm = dicom.numbers(dataset, "FieldOfViewDimensions", path) or []
    edges = [dicom.number(dataset, f"Collimator{edge}Edge", path) for edge in _COLLIMATOR]
    shots = []
    for frame, exposure in enumerate(header_exposures(path, header, sheet)):
        note = sheet.xrays.exposures.get(exposure.exposure_id, ExposureNote())
        brightest, pixels_sha256 = _pixel_facts(radiographs[frame].pixels)
        shots.append(
            Shot(
                exposure=exposure,
                header=header,
                said=header.frames[frame],
                filled=completed(header, frame, sheet.device, note),
                identity=identity,
                device=header.device,
                detector=_detector(dataset),
                relationship=str(dicom.value(dataset, "PixelIntensityRelationship", frame) or ""),
                intent=str(dataset.get("PresentationIntentType") or ""),
                field_mm=tuple(sorted(sides_mm)) if len(sides_mm) == 2 else (),
                collimator=tuple(edge for edge in edges if edge is not None),
                domain=radiographs[frame].domain,
                brightest=brightest,
                pixels_sha256=pixels_sha256,
            )
        )
    return shots


def _pixel_facts(pixels: np.ndarray) -> tuple[float, str]:
    return float(np.quantile(pixels, 0.999)), hashlib.sha256(np.ascontiguousarray(pixels).tobytes()).hexdigest()


def _detector(dataset: Any) -> str:
    if dataset.get("XRayReceptorType") == "IMG_INTENSIFIER" or dataset.get("FieldOfViewShape") == "ROUND":
        return "image_intensifier"
    if dataset.get("XRayReceptorType") == "DIGITAL_DETECTOR" or dataset.get("DetectorType"):
        return "flat_panel"
    return ""


def usable(shots: Sequence[Shot]) -> list[Shot]:
    """Leave out what the lab excluded."""
    return [shot for shot in shots if not shot.exposure.excluded]
