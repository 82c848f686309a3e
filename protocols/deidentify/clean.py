"""One DICOM dataset in, a new one out that holds only what the whitelist lets through."""

import re
from collections.abc import Iterable
from typing import Any

import numpy as np
from pydicom.datadict import dictionary_VR, keyword_for_tag, tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag
from pydicom.valuerep import DSfloat

from drrkit.io.study import SIMULATED, SIMULATED_COMMENT
from protocols.deidentify import whitelist
from protocols.deidentify.personal import first_found, personal_words
from protocols.deidentify.pseudonyms import Pseudonyms
from protocols.deidentify.report import Tally

METHOD = (
    "DICOM PS3.15 Annex E Basic Application Confidentiality Profile",
    "drrkit whitelist of geometry and technique",
)
# PS3.16 CID 7050.
BASIC_PROFILE = ("113100", "Basic Application Confidentiality Profile")
MODIFIED_DATES = ("113107", "Retain Longitudinal Temporal Information Modified Dates Option")
CLEAN_PIXELS = ("113101", "Clean Pixel Data Option")

_DECIMAL = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?")
_WHOLE = re.compile(r"[+-]?\d{1,11}")
_DEVICE = re.compile(r"[A-Za-z0-9 ._/()+-]{1,64}")
_WHOLE_VRS = ("US", "SS", "UL", "SL")
_LONGEST_DECIMAL = 16
_CURVES, _OVERLAYS = range(0x5000, 0x5100), range(0x6000, 0x6100)


def cleaned(source: Dataset, patient_id: str, pseudonyms: Pseudonyms, pixels_cleaned: bool, tally: Tally) -> Dataset:
    """Return what may be kept of an image, without its pixels, with the statements that PS3.15 E.1.1 asks for.

    Args:
        source: The image; it is not changed.
        patient_id: Who it is, in the lab's words.
        pseudonyms: What stands for patient, UIDs and dates.
        pixels_cleaned: Whether somebody cleared the pixels of marks or looked at them.
        tally: Counts, added to.
    """
    image = Dataset()
    image.SOPClassUID = source.SOPClassUID
    tally.kept["SOPClassUID"] += 1
    _copy_kept(source, image, patient_id, pseudonyms, frozenset(personal_words(source)), tally)
    simulated = source.get("DerivationDescription") == SIMULATED_COMMENT
    pseudonym = pseudonyms.patient(patient_id)
    image.PatientID = pseudonym
    image.PatientName = f"{SIMULATED if simulated else 'ANONYMOUS'}^{pseudonym}"
    for keyword in whitelist.EMPTIED:
        setattr(image, keyword, "")
    image.setdefault("StudyDate", "")
    if "FrameOfReferenceUID" in image:
        image.PositionReferenceIndicator = ""
    if simulated:
        image.ImageComments = image.DerivationDescription = SIMULATED_COMMENT
    image.BurnedInAnnotation = "NO"
    image.PatientIdentityRemoved = "YES"
    image.DeidentificationMethod = list(METHOD)
    codes = [BASIC_PROFILE, MODIFIED_DATES] + [CLEAN_PIXELS] * pixels_cleaned
    image.DeidentificationMethodCodeSequence = [_code(*code) for code in codes]
    image.LongitudinalTemporalInformationModified = "MODIFIED"
    return image


def _copy_kept(
    source: Dataset,
    image: Dataset,
    patient_id: str,
    pseudonyms: Pseudonyms,
    personal: frozenset[str],
    tally: Tally,
) -> None:
    """Copy what may be kept, item by item into sequences; other elements are not even decoded."""
    for tag in sorted(source.keys()):
        keyword = keyword_for_tag(tag)
        if keyword in ("PixelData", "SOPClassUID"):
            continue
        if tag.is_private or keyword not in whitelist.KEPT:
            tally.removed[_kind(tag)] += 1
            continue
        if keyword in whitelist.SEQUENCES:
            items = []
            for item in source[tag].value or []:
                items.append(Dataset())
                _copy_kept(item, items[-1], patient_id, pseudonyms, personal, tally)
            # Frames go by position: an empty item stays among others.
            kept = DataElement(tag, "SQ", items) if any(items) else None
        elif keyword in whitelist.DATES | whitelist.UIDS:
            kept = _replaced(keyword, tag, _items(source, tag), patient_id, pseudonyms)
        else:
            kept = _checked(keyword, tag, source, personal)
        if kept is None:
            tally.removed["unfit"] += 1
            tally.unfit[keyword] += 1
            continue
        image[tag] = kept
        tally.kept[keyword] += 1


def _kind(tag: BaseTag) -> str:
    if tag.is_private:
        return "private"
    return "overlay or curve" if tag.group in _CURVES or tag.group in _OVERLAYS else "standard"


def _items(source: Dataset, tag: BaseTag) -> list[Any] | None:
    """Return the values of an element as a list; None where its bytes are not what its VR says."""
    try:
        value = source[tag].value
    except (ValueError, TypeError, OverflowError, NotImplementedError):
        return None
    if value is None or (isinstance(value, str | bytes) and not value):
        return []
    return [value] if isinstance(value, str | bytes) or not isinstance(value, Iterable) else list(value)


def _replaced(
    keyword: str, tag: BaseTag, items: list[Any] | None, patient_id: str, pseudonyms: Pseudonyms
) -> DataElement | None:
    """Put another UID or date in place of a true one."""
    if items is None or len(items) > 1:
        return None
    text = str(items[0]) if items else ""
    if keyword in whitelist.UIDS:
        return DataElement(tag, "UI", pseudonyms.uid(text)) if text else None
    moved = pseudonyms.date(text.strip(), patient_id) if text else ""
    return None if moved is None else DataElement(tag, "DA", moved)


def _checked(keyword: str, tag: BaseTag, source: Dataset, personal: frozenset[str]) -> DataElement | None:
    """Copy an element if it holds what such an element may hold, else None."""
    items = _items(source, tag)
    if items is None:
        return None
    vr = dictionary_VR(tag)
    if keyword == whitelist.LOOKUP_DATA:
        return _lookup_data(tag, source, items)
    if vr == "US or SS":
        return _short_numbers(tag, source, items)
    if keyword == whitelist.FRAME_POINTER:
        pointed = [tag_for_keyword(name) for name in whitelist.FRAME_POINTED]
        return DataElement(tag, "AT", items) if all(item in pointed for item in items) else None
    if keyword in whitelist.TEXTS:
        fits = all(_DEVICE.fullmatch(str(item)) and first_found(str(item), personal) is None for item in items)
        return DataElement(tag, vr, [str(item) for item in items]) if fits else None
    if keyword in whitelist.CODES:
        terms = [str(item).strip() for item in items]
        # The values of Image Type have their places: what follows an unknown one goes with it.
        known = [term in whitelist.CODES[keyword] for term in terms]
        if not all(known):
            terms = terms[: known.index(False)]
            return DataElement(tag, vr, terms) if keyword == "ImageType" and terms else None
        return DataElement(tag, vr, terms)
    return _numbers(tag, vr, items)


def _numbers(tag: BaseTag, vr: str, items: list[Any]) -> DataElement | None:
    if vr in ("DS", "IS"):
        texts = [str(getattr(item, "original_string", item)).strip() for item in items]
        pattern = _DECIMAL if vr == "DS" else _WHOLE
        if not all(pattern.fullmatch(text) for text in texts):
            return None
        # Too long for the standard, as some machines write them: round what cannot be kept.
        kept = [text if len(text) <= _LONGEST_DECIMAL else DSfloat(float(text), auto_format=True) for text in texts]
        return DataElement(tag, vr, kept)
    wanted = int if vr in _WHOLE_VRS else float | int
    return DataElement(tag, vr, items) if all(isinstance(item, wanted) for item in items) else None


def _short_numbers(tag: BaseTag, source: Dataset, items: list[Any]) -> DataElement | None:
    """Copy 16-bit numbers, signed or not, which files without VRs leave as bytes."""
    signed = source.get("PixelRepresentation") == 1
    if len(items) == 1 and isinstance(items[0], bytes) and len(items[0]) % 2 == 0:
        items = np.frombuffer(items[0], "<i2" if signed else "<u2").tolist()
    if not items or not all(isinstance(item, int) and -0x8000 <= item <= 0xFFFF for item in items):
        return None
    # A table's descriptor counts entries up to 65535 even where its second value is signed.
    if max(items) > 0x7FFF:
        return DataElement(tag, "US", [item % 0x10000 for item in items])
    return DataElement(tag, "SS" if signed or min(items) < 0 else "US", items)


def _lookup_data(tag: BaseTag, source: Dataset, items: list[Any]) -> DataElement | None:
    """Copy a table of numbers if it is exactly as long as its descriptor says: nothing hides behind it."""
    descriptor = _items(source, BaseTag(tag_for_keyword("LUTDescriptor") or 0))
    if descriptor and len(descriptor) == 1 and isinstance(descriptor[0], bytes) and len(descriptor[0]) == 6:
        descriptor = np.frombuffer(descriptor[0], "<u2").tolist()
    if not descriptor or len(descriptor) != 3 or not items:
        return None
    entries = int(descriptor[0]) % 0x10000 or 0x10000
    if isinstance(items[0], bytes):
        data = items[0]
    elif all(isinstance(item, int) and 0 <= item <= 0xFFFF for item in items):
        data = np.array(items, "<u2").tobytes()
    else:
        return None
    lengths = (2 * entries, entries + entries % 2) if descriptor[2] <= 8 else (2 * entries,)
    return DataElement(tag, "OW", data) if len(data) in lengths else None


def _code(value: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "DCM", meaning
    return item
