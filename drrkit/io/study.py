"""The part of a DICOM file that says whose image it is: written alike into CT slices and X-rays of one study."""

import datetime
import re
from dataclasses import dataclass
from pathlib import Path

from pydicom import dcmwrite
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, generate_uid
from pydicom.valuerep import DSfloat

from drrkit.errors import InputError
from drrkit.io.store import atomic_path

SIMULATED = "SIMULATED"
SIMULATED_COMMENT = f"{SIMULATED}: computed by drrkit, not an image of a patient or specimen"

# LO holds 64 characters; backslash parts values, caret parts the components of a name.
_TEXT = re.compile(r"[A-Za-z0-9 ._:()/+-]{0,64}")


def uid_from(*parts: object) -> UID:
    """Return the UID that belongs to these words, the same ones each time, under pydicom's root."""
    return generate_uid(entropy_srcs=["drrkit\0" + "\0".join(str(part) for part in parts)])


IMPLEMENTATION_UID = uid_from("implementation")
# Without our version: the same image stays the same file.
IMPLEMENTATION_NAME = "DRRKIT"


@dataclass(frozen=True, kw_only=True)
class Study:
    """Whose images these are, and which of them belong together; valid when it exists.

    Args:
        patient_id: A pseudonym (0010,0020); the patient's name is the same behind ``PSEUDONYM^`` or ``SIMULATED^``.
        seed: All UIDs follow from it. Files written with one seed belong to one study.
        study_id: Study ID (0020,0010), at most 16 characters.
        taken: Date and time of the study; None leaves them empty.
        manufacturer: Of the machine (0008,0070).
        model: The machine (0008,1090).
        simulated: Whether the pixels were computed. Then image type, names and comments say so.

    Raises:
        InputError: A text that DICOM cannot hold, or no patient or seed.
    """

    patient_id: str
    seed: str
    study_id: str = ""
    taken: datetime.datetime | None = None
    manufacturer: str = ""
    model: str = ""
    simulated: bool = False

    def __post_init__(self) -> None:
        for name in ("patient_id", "study_id", "manufacturer", "model"):
            text = getattr(self, name)
            if not _TEXT.fullmatch(text):
                raise InputError(f"study {name}", repr(text), "at most 64 letters, digits and ._:()/+-")
        if len(self.study_id) > 16:
            raise InputError("study study_id", repr(self.study_id), "at most 16 characters")
        for name in ("patient_id", "seed"):
            if not getattr(self, name).strip():
                raise InputError(f"study {name}", "nothing", "a word")

    @property
    def uid(self) -> UID:
        """Study Instance UID."""
        return uid_from(self.seed, "study")


def number(value: float) -> DSfloat:
    """Round a number to the 16 characters of a decimal string (PS3.5 6.2), which keeps at least 9 digits."""
    return DSfloat(float(value), auto_format=True)


def new_image(study: Study, sop_class: UID, modality: str, series_number: int, instance_number: int) -> Dataset:
    """Begin an image: Patient, General Study, Series, Equipment and Image, SOP Common (PS3.3 C.7, C.12.1).

    Raises:
        InputError: A series or instance number below 1.
    """
    for name, found in (("series_number", series_number), ("instance_number", instance_number)):
        if found < 1:
            raise InputError(name, found, "1 or more")
    image = Dataset()
    image.SpecificCharacterSet = "ISO_IR 100"
    image.SOPClassUID = sop_class
    image.SOPInstanceUID = uid_from(study.seed, modality, series_number, instance_number)
    image.PatientName = f"{SIMULATED if study.simulated else 'PSEUDONYM'}^{study.patient_id}"
    image.PatientID = study.patient_id
    image.PatientBirthDate = image.PatientSex = ""
    image.StudyInstanceUID = study.uid
    image.StudyID = study.study_id
    image.AccessionNumber = image.ReferringPhysicianName = ""
    image.SeriesInstanceUID = uid_from(study.seed, modality, series_number)
    image.Modality = modality
    image.SeriesNumber, image.InstanceNumber = series_number, instance_number
    date, time = ("", "") if study.taken is None else (f"{study.taken:%Y%m%d}", f"{study.taken:%H%M%S}")
    for event in ("Study", "Series", "Acquisition", "Content"):
        setattr(image, f"{event}Date", date)
        setattr(image, f"{event}Time", time)
    image.Manufacturer = study.manufacturer
    if study.model:
        image.ManufacturerModelName = study.model
    image.BodyPartExamined = "LSPINE"
    image.BurnedInAnnotation = "NO"
    if study.simulated:
        image.ImageComments = image.DerivationDescription = SIMULATED_COMMENT
        image.SeriesDescription = SIMULATED
    return image


def image_type(study: Study, kind: str) -> list[str]:
    """Return Image Type (PS3.3 C.7.6.1.1.2): a simulated image is derived, and no result of an examination."""
    return ["DERIVED", "SECONDARY", kind] if study.simulated else ["ORIGINAL", "PRIMARY", kind]


def save(image: Dataset, path: Path) -> None:
    """Write a dataset as a DICOM file (PS3.10), explicit VR little endian.

    Raises:
        InputError: A disk that cannot be written.
    """
    image.file_meta = file_meta(image)
    with atomic_path(path) as temporary:
        dcmwrite(temporary, image, enforce_file_format=True)


def file_meta(image: Dataset) -> FileMetaDataset:
    """Return the file meta information of an image that we write: ours, and nothing else."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = image.SOPClassUID
    meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = IMPLEMENTATION_UID
    meta.ImplementationVersionName = IMPLEMENTATION_NAME
    return meta
