"""De-identify a DICOM file or a whole acquisition: all of it, or nothing is written."""

import os
import shutil
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path

from pydicom.dataset import Dataset

from drrkit.errors import InputError
from drrkit.io import dicom
from drrkit.io.store import PARTIAL_PREFIX, write_bytes, write_json, writing
from drrkit.io.study import save
from protocols.deidentify import whitelist
from protocols.deidentify.clean import cleaned
from protocols.deidentify.personal import first_found, personal_words
from protocols.deidentify.pixels import Rectangle, check_pixel_kind, clean_pixels
from protocols.deidentify.plan import Job, dicom_files, jobs
from protocols.deidentify.pseudonyms import Pseudonyms
from protocols.deidentify.report import REPORT_NAME, Report, Tally

SHEET_NAME = "acquisition.yaml"
# Without these pixels are bytes.
_NEEDED = (
    *("Modality", "Rows", "Columns", "SamplesPerPixel", "PhotometricInterpretation"),
    *("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation"),
)
_DERIVATION = "Rectangles with marks in the pixel data were blanked"


def anonymize(
    source: Path | str,
    out: Path | str,
    key: Path | str | bytes,
    *,
    cleared: bool = False,
    cleared_modalities: Collection[str] = (),
    blank: Sequence[Rectangle] = (),
    patient: str | None = None,
    include_yaml: bool = False,
) -> Report:
    """Write a de-identified copy of a DICOM file or of an acquisition folder (CT and X-rays of one patient).

    Only what :mod:`protocols.deidentify.whitelist` names is kept; names of files, patient and UIDs are replaced, dates
    moved and times dropped (PS3.15 Annex E). The new folder has ``ct/`` (``ct-1/``, ``ct-2/`` with several series),
    ``xrays/`` in the order in which they were taken, and ``deidentification.json``. The same key gives the same
    pseudonyms and the same bytes.

    Args:
        source: A DICOM file, or a folder; files that are not DICOM are left out and counted.
        out: The folder to make.
        key: The lab's secret, as for :class:`Pseudonyms`. It is not stored.
        cleared: Somebody looked at all images: no marks are in the pixels, whatever BurnedInAnnotation says.
        cleared_modalities: The same for some modalities, such as ("CT",): CT slices rarely have the tag.
        blank: Rectangles (left, top, right, bottom, inclusive pixels) to blank in every X-ray, which clears it.
        patient: Who this is, if files do not agree on PatientID; the pseudonym follows from it.
        include_yaml: Copy acquisition.yaml too, if it holds no word that points to the patient.

    Raises:
        InputError: A folder in the way, a file that is damaged, no CT or X-ray image, or may show marks; several
            patients, no DICOM files, a bad key, or personal words in acquisition.yaml. Then nothing is written.
    """
    source, out = Path(source), Path(out)
    pseudonyms = Pseudonyms(key)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(out, "something that is already there", "a new folder")
    if source.is_dir() and source.resolve() in (out.resolve(), *out.resolve().parents):
        raise InputError(out, "a folder inside the source", "a folder elsewhere")
    files, left_out = dicom_files(source)
    headers = {file: dicom.read_dataset(file, with_pixels=False) for file in files}
    for file, header in headers.items():
        _check_image(file, header)
        _check_marks(file, header, cleared or header.get("Modality") in cleared_modalities, bool(blank))
    patient_id = _patient_id(source, headers, patient)
    sheet = _checked_sheet(source, headers) if include_yaml else None
    tally, done, dates, modalities = Tally(), Counter[str](), set[str](), Counter[str]()
    partial = out.with_name(f"{PARTIAL_PREFIX}{os.getpid()}-{out.name}")
    try:
        with writing(out):
            partial.mkdir(parents=True)
            for job in jobs(headers):
                image = _write_one(job, partial, patient_id, pseudonyms, blank, tally, done)
                modalities[str(image.Modality)] += 1
                dates |= {str(image.StudyDate)} if image.get("StudyDate") else set()
            if sheet is not None:
                write_bytes(partial / SHEET_NAME, sheet)
            report = Report(
                patient=pseudonyms.patient(patient_id),
                study_dates=tuple(f"{date[:4]}-{date[4:6]}-{date[6:]}" for date in sorted(dates)),
                files=dict(sorted(modalities.items())),
                kept=dict(sorted(tally.kept.items())),
                removed=dict(sorted(tally.removed.items())),
                unfit=dict(sorted(tally.unfit.items())),
                decompressed=done["decompressed"],
                hidden_bits_cleared=done["hidden_bits"],
                blanked=done["blanked"],
                declared_clean=done["declared_clean"],
                left_out=left_out,
                sheet_copied=sheet is not None,
            )
            write_json(partial / REPORT_NAME, report.to_record())
            partial.replace(out)
    finally:
        if partial.exists():
            shutil.rmtree(partial)
    return report


def _check_image(file: Path, header: Dataset) -> None:
    sop_class = header.get("SOPClassUID")
    if sop_class not in whitelist.CT_CLASSES + whitelist.XRAY_CLASSES:
        name = getattr(sop_class, "name", None) or "no image"
        raise InputError(
            file, f"{name} ({header.get('Modality') or 'no modality'})", "CT and X-ray images only (take it out)"
        )
    if header.get("Modality") not in whitelist.CODES["Modality"]:
        raise InputError(file, f"modality {header.get('Modality')}", ", ".join(sorted(whitelist.CODES["Modality"])))
    for keyword in sorted(whitelist.UIDS - {"FrameOfReferenceUID"}):
        if not header.get(keyword):
            raise InputError(file, f"no {dicom.tag_name(keyword)}", "a complete DICOM file")
    check_pixel_kind(header, file)


def _check_marks(file: Path, header: Dataset, cleared: bool, blanked: bool) -> None:
    says = str(header.get("BurnedInAnnotation") or "").strip()
    is_ct = header.SOPClassUID in whitelist.CT_CLASSES
    if says == "NO" or cleared or (blanked and not is_ct):
        return
    found = f"{dicom.tag_name('BurnedInAnnotation')} {says or 'not given'}: names may be written in the picture"
    looked = (
        "look at all CT slices, then declare CT cleared" if is_ct else "blank the marks, or look and declare it cleared"
    )
    raise InputError(file, found, f"NO; {looked}")


def _patient_id(source: Path, headers: dict[Path, Dataset], patient: str | None) -> str:
    if patient is not None:
        if not patient.strip():
            raise InputError("patient", "nothing", "a word for who it is")
        return patient.strip()
    found = {str(header.get("PatientID") or "").strip() for header in headers.values()}
    if len(found) > 1 or "" in found:
        what = f"{len(found)} different PatientIDs" if len(found) > 1 else "no PatientID"
        raise InputError(source, what, "files of one patient, or a word for who it is (patient)")
    return found.pop()


def _checked_sheet(source: Path, headers: dict[Path, Dataset]) -> bytes:
    """Read acquisition.yaml if nothing in it points to the patient."""
    path = source / SHEET_NAME
    try:
        content = path.read_bytes()
        text = content.decode()
    except OSError as error:
        raise InputError(path, error.strerror or error, f"{SHEET_NAME} beside the images, or none asked for") from error
    except UnicodeDecodeError as error:
        raise InputError(path, "bytes that are no text", "UTF-8 text") from error
    words = {file.stem.casefold(): "the name of a file" for file in headers if len(file.stem) > 2}
    for header in headers.values():
        words |= personal_words(header)
    word = first_found(text, words)
    if word is not None:
        raise InputError(path, f"what {words[word]} holds in the DICOM files", "a sheet without it (edit the copy)")
    return content


def _write_one(
    job: Job,
    folder: Path,
    patient_id: str,
    pseudonyms: Pseudonyms,
    blank: Sequence[Rectangle],
    tally: Tally,
    done: Counter[str],
) -> Dataset:
    source = dicom.read_dataset(job.source)
    if "PixelData" not in source:
        raise InputError(job.source, "no PixelData", "an image")
    is_xray = source.SOPClassUID in whitelist.XRAY_CLASSES
    pixels = clean_pixels(source, job.source, blank if is_xray else ())
    declared = not pixels.blanked and str(source.get("BurnedInAnnotation") or "").strip() != "NO"
    image = cleaned(source, patient_id, pseudonyms, pixels.blanked or declared, tally)
    lost = [keyword for keyword in _NEEDED if keyword not in image]
    if lost:
        raise InputError(job.source, f"no {dicom.tag_name(lost[0])} as the standard writes it", "a sound file")
    if tally.unfit[whitelist.LOOKUP_DATA]:
        # Without it the pixels would mean something else.
        found = f"{dicom.tag_name(whitelist.LOOKUP_DATA)} of another length than its descriptor says"
        raise InputError(job.source, found, "a lookup table with nothing behind it")
    if pixels.blanked:
        # What was changed is no longer the original (PS3.15 E.3.1).
        image.ImageType = ["DERIVED", *list(image.get("ImageType") or ["", "PRIMARY"])[1:]]
        image.setdefault("DerivationDescription", _DERIVATION)
    image.add_new("PixelData", "OW" if image.BitsAllocated > 8 else "OB", pixels.content)
    tally.kept["PixelData"] += 1
    done["decompressed"] += pixels.decompressed
    done["hidden_bits"] += pixels.hidden_bits
    done["blanked"] += pixels.blanked
    done["declared_clean"] += declared
    save(image, folder / job.name)
    return image
