"""The words in a file that point to a person, to be looked for where text is kept."""

import datetime
import re
from collections.abc import Iterable

from pydicom.dataset import Dataset

_NAMES = (
    *("PatientName", "OtherPatientNames", "PatientBirthName", "PatientMotherBirthName", "ReferringPhysicianName"),
    *("PerformingPhysicianName", "OperatorsName", "PhysiciansOfRecord", "NameOfPhysiciansReadingStudy"),
    *("RequestingPhysician", "ResponsiblePerson"),
)
_IDENTIFIERS = (
    *("PatientID", "OtherPatientIDs", "AccessionNumber", "InstitutionName", "InstitutionAddress", "StationName"),
    *("InstitutionalDepartmentName", "DeviceSerialNumber", "PatientAddress", "PatientTelephoneNumbers"),
    *("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID"),
)
_DATES = ("PatientBirthDate", "StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate")
_DATE_FORMS = ("%Y%m%d", "%Y-%m-%d", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%Y/%m/%d", "%d-%m-%Y")
# What stands in name fields and names nobody.
_NOBODY = ("simulated", "anonymous", "pseudonym", "phantom", "cadaver", "specimen", "donor", "unknown", "none")
# Shorter ones turn up in any text.
_SHORTEST = 3

PERSONAL_KEYWORDS = (*_NAMES, *_IDENTIFIERS, *_DATES)


def personal_words(dataset: Dataset) -> dict[str, str]:
    """Collect the words of a file that point to a person; each with the attribute that holds it."""
    words: dict[str, str] = {}
    for keyword in PERSONAL_KEYWORDS:
        for text in _texts(dataset, keyword):
            if keyword in _NAMES:
                found = re.split(r"[\^=\s,;.]+", text)
            elif keyword in _DATES:
                found = _date_forms(text)
            else:
                found = [text]
            words |= {word.strip().casefold(): keyword for word in found if len(word.strip()) >= _SHORTEST}
    return {word: keyword for word, keyword in words.items() if word not in _NOBODY}


def first_found(text: str, words: Iterable[str]) -> str | None:
    """Return one of these words that stands in a text, on its own and in any case; None if none does."""
    text = text.casefold()
    for word in words:
        if word in text and re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text):
            return word
    return None


def _texts(dataset: Dataset, keyword: str) -> list[str]:
    if keyword not in dataset:
        return []
    value = dataset[keyword].value
    items = [value] if isinstance(value, str) or not hasattr(value, "__iter__") or keyword in _NAMES else list(value)
    return [str(item) for item in items if item is not None]


def _date_forms(text: str) -> list[str]:
    try:
        date = datetime.datetime.strptime(text.strip(), "%Y%m%d").date()
    except ValueError:
        return [text]
    return [date.strftime(form) for form in _DATE_FORMS]
