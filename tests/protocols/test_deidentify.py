"""Nothing personal survives: files stuffed with marks in every attribute of the standard, searched byte by byte."""

import datetime
import itertools
import shutil

import numpy as np
import pydicom
import pytest
from pydicom import config
from pydicom.datadict import DicomDictionary, RepeatersDictionary, keyword_for_tag, tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from drrkit.io.ct_dicom import write_ct_dicom
from drrkit.io.study import Study
from drrkit.io.xa import Technique, XaDescription, log_table, write_xa
from drrkit.io.xray import read_xray
from drrkit.volume import Volume
from protocols.deidentify import anonymize
from protocols.deidentify.whitelist import EMPTIED, KEPT, NUMBERS

KEY = bytes(range(200, 232))
STUDY = Study(patient_id="MKPATIENT", seed="s", taken=datetime.datetime(1955, 5, 17, 13, 14, 15), simulated=False)
PIXELS = np.random.default_rng(2).integers(0, 4096, (20, 24)).astype(np.uint16)
DESCRIPTION = XaDescription(
    study=STUDY,
    technique=Technique(kvp=80, tube_current_ma=3, exposure_time_ms=12),
    primary_deg=33.3 / 7,
    secondary_deg=-20 / 3,
    source_to_detector_mm=1000,
    source_to_isocenter_mm=600,
    imager_spacing_mm=(1.0, 1.25),
    quarter_turns=1,
    intensity_from_stored=log_table(5, 50000),
)
WRITTEN = {
    *("PatientName", "PatientID", "PositionReferenceIndicator", "BurnedInAnnotation", "PatientIdentityRemoved"),
    *("DeidentificationMethod", "DeidentificationMethodCodeSequence", "LongitudinalTemporalInformationModified"),
    *("CodeValue", "CodingSchemeDesignator", "CodeMeaning", *EMPTIED),
}


class Marks:
    """Values that are found again, one for each attribute, as valid as their VR lets them be."""

    def __init__(self):
        self.count = itertools.count(1)
        self.found_as: list[bytes] = []

    def text(self, most=16) -> str:
        return self.note(f"MK{next(self.count):06d}Q"[:most])

    def note(self, text: str) -> str:
        self.found_as.append(text.encode())
        return text

    def value(self, vr):
        number = next(self.count)
        date = f"{datetime.date(1801, 1, 1) + datetime.timedelta(days=number):%Y%m%d}"
        if vr in ("PN", "AE", "CS", "LO", "LT", "SH", "ST", "UC", "UT", "UR"):
            return self.text()
        if vr in ("DA", "DT", "TM"):
            return self.note({"DA": date, "DT": f"{date}1112", "TM": f"112233.{number:06d}"}[vr])
        if vr == "UI":
            return self.note(f"1.2.999.77.{number}8")
        if vr in ("DS", "IS"):
            return self.note(f"977{number:06d}")
        if vr in ("OB", "OW", "OD", "OF", "OL", "OV", "UN"):
            return self.note(f"MK{number:06d}QQQQQQQQ").encode()
        return {"AS": "077Y", "AT": Tag(0x00100010), "FL": 7.5, "FD": 7.5}.get(vr, 77)


def add(dataset, tag, vr, value):
    dataset.add(DataElement(tag, vr, value, validation_mode=config.IGNORE))


def stuffed_item(marks, depth=1) -> Dataset:
    item = Dataset()
    for keyword, vr in (("PatientName", "PN"), ("InstitutionName", "LO"), ("PatientBirthDate", "DA")):
        add(item, tag_for_keyword(keyword), vr, marks.value(vr))
    add(item, 0x00290010, "LO", marks.text())
    add(item, 0x00291001, "UN", marks.value("UN"))
    if depth:
        add(item, tag_for_keyword("ReferencedStudySequence"), "SQ", [stuffed_item(marks, depth - 1)])
        add(item, tag_for_keyword("FrameContentSequence"), "SQ", [stuffed_item(marks, depth - 1)])
    return item


def stuff(path, marks) -> int:
    """Put a mark into every attribute of the standard that is not kept, and wherever else one could hide."""
    dataset = pydicom.dcmread(path)
    count = 0
    for tag, (vr, *_, keyword) in DicomDictionary.items():
        group = tag >> 16
        if group in (0x0000, 0x0002, 0xFFFE) or keyword in KEPT or keyword in ("SpecificCharacterSet", "PatientID"):
            continue
        vr = vr.split(" or ")[0]
        if vr == "NONE" or not keyword or keyword == "BurnedInAnnotation":
            continue
        add(dataset, tag, vr, [stuffed_item(marks)] if vr == "SQ" else marks.value(vr))
        count += 1
    for mask, (vr, *_) in RepeatersDictionary.items():
        vr = vr.split(" or ")[0]
        if mask[:2] in ("50", "60") and vr != "NONE":
            add(
                dataset, int(mask.replace("xx", "02"), 16), vr, [stuffed_item(marks)] if vr == "SQ" else marks.value(vr)
            )
    add(dataset, 0x00190010, "LO", marks.text())
    for element in range(0x1001, 0x1020):
        add(dataset, 0x00190000 + element, "UN", marks.value("UN"))
    # Words where only numbers or terms belong, and a second name behind the model.
    for keyword in ("CineRate", "FrameTime", "DetectorBinning", "TableHeight"):
        add(dataset, tag_for_keyword(keyword), "LO", marks.text())
    for keyword in ("BodyPartExamined", "RadiationMode", "Grid", "RescaleType", "FilterMaterial"):
        add(dataset, tag_for_keyword(keyword), "LO", marks.text())
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "SINGLE PLANE", marks.text()]
    dataset.ManufacturerModelName = f"C9 of {dataset.PatientName}"
    dataset.Manufacturer = "Acme^" + marks.text()
    dataset.SharedFunctionalGroupsSequence = [stuffed_item(marks)]
    dataset.PixelData += marks.value("UN")
    dataset.preamble = marks.note("MKPREAMBLE").encode().ljust(128, b"M")
    meta = dataset.file_meta
    for keyword in ("SourceApplicationEntityTitle", "SendingApplicationEntityTitle", "ReceivingApplicationEntityTitle"):
        setattr(meta, keyword, marks.text())
    meta.ImplementationVersionName, meta.ImplementationClassUID = marks.text(), marks.value("UI")
    meta.PrivateInformationCreatorUID, meta.PrivateInformation = marks.value("UI"), marks.value("UN")
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
        marks.note(str(dataset[keyword].value))
    dataset.save_as(path)
    return count


@pytest.fixture(scope="module")
def stuffed(tmp_path_factory):
    """An acquisition of CT and X-rays full of marks, and what de-identification makes of it."""
    root = tmp_path_factory.mktemp("stuffed")
    source, out, marks = root / "MKFOLDER", root / "out", Marks()
    hu = np.random.default_rng(0).integers(-1000, 2000, (2, 6, 7)).astype(np.int16)
    files = write_ct_dicom(Volume(hu, np.eye(4)), source / "MKCT", STUDY, kvp=120)
    write_xa(source / "MKSHOTS" / "MKSMITH.dcm", PIXELS, DESCRIPTION)
    files.append(source / "MKSHOTS" / "MKSMITH.dcm")
    shutil.copytree(source, root / "before")
    counts = [stuff(file, marks) for file in files]
    (source / "MKNOTES.MKSUFFIX").write_text("MKNOTE")
    for text in ("MKFOLDER", "MKCT", "MKSHOTS", "MKSMITH", "MKNOTES", "MKSUFFIX", "MKPATIENT", "19550517"):
        marks.note(text)
    report = anonymize(source, out, KEY)
    return source, out, marks, counts, report


def test_the_files_were_full_of_marks(stuffed):
    source, _, marks, counts, _ = stuffed
    assert min(counts) > 4500
    written = b"".join(file.read_bytes() for file in source.rglob("*") if file.is_file())
    names = " ".join(str(file.relative_to(source.parent)) for file in source.rglob("*")).encode()
    # A sample, for time; the search below is for all of them.
    sample = marks.found_as[::30] + marks.found_as[-50:]
    assert [mark for mark in sample if mark not in written and mark not in names] == []
    assert len(marks.found_as) > 10000


def test_no_mark_survives_in_bytes_or_names(stuffed):
    _, out, marks, _, _ = stuffed
    files = sorted(out.rglob("*"))
    text = b"\n".join([*(str(file.relative_to(out)).encode() for file in files)])
    text += b"\n".join(file.read_bytes() for file in files if file.is_file())
    assert [mark for mark in marks.found_as if mark in text] == []
    assert b"MK" not in b"".join(file.read_bytes()[:20000] for file in out.rglob("*.json"))


def every_element(dataset):
    for element in dataset:
        yield element
        if element.VR == "SQ":
            for item in element.value:
                yield from every_element(item)


def test_only_the_whitelist_is_left(stuffed):
    _, out, _, _, _ = stuffed
    for file in out.rglob("*.dcm"):
        dataset = pydicom.dcmread(file)
        found = {keyword_for_tag(element.tag) for element in every_element(dataset)}
        assert found <= KEPT | WRITTEN
        assert file.read_bytes()[:128] == bytes(128)
        assert {element.keyword for element in dataset.file_meta} == {
            *("FileMetaInformationGroupLength", "FileMetaInformationVersion", "MediaStorageSOPClassUID"),
            *("MediaStorageSOPInstanceUID", "TransferSyntaxUID", "ImplementationClassUID", "ImplementationVersionName"),
        }
        assert dataset.file_meta.ImplementationVersionName == "DRRKIT"
        assert dataset.file_meta.MediaStorageSOPInstanceUID == dataset.SOPInstanceUID
        assert list(dataset.ImageType)[:2] == ["ORIGINAL", "PRIMARY"]
        assert "Manufacturer" not in dataset
        assert "ManufacturerModelName" not in dataset


def test_camera_pixels_and_hounsfield_units_survive(stuffed):
    source, out, _, _, _ = stuffed
    source = source.with_name("before")
    (before,) = read_xray(source / "MKSHOTS" / "MKSMITH.dcm")
    (after,) = read_xray(out / "xrays" / "0001.dcm")
    assert after.domain == before.domain == "intensity"
    assert np.array_equal(after.pixels, before.pixels)
    assert np.array_equal(after.camera.pixel_from_camera, before.camera.pixel_from_camera)
    assert np.array_equal(after.camera.camera_from_world, before.camera.camera_from_world)
    assert pydicom.dcmread(out / "xrays" / "0001.dcm").PixelData == PIXELS.tobytes()
    for number in (1, 2):
        name = f"{number:04d}.dcm"
        kept, true = pydicom.dcmread(out / "ct" / name), pydicom.dcmread(source / "MKCT" / name)
        assert (kept.pixel_array == true.pixel_array).all()
        for keyword in ("RescaleIntercept", "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "KVP"):
            assert kept[keyword].value == true[keyword].value


def test_the_files_name_the_profile(stuffed):
    _, out, _, _, _ = stuffed
    dataset = pydicom.dcmread(out / "xrays" / "0001.dcm")
    assert dataset.PatientIdentityRemoved == "YES"
    assert dataset.LongitudinalTemporalInformationModified == "MODIFIED"
    assert dataset.DeidentificationMethod[0] == "DICOM PS3.15 Annex E Basic Application Confidentiality Profile"
    assert max(len(line) for line in dataset.DeidentificationMethod) <= 64
    codes = [(item.CodeValue, item.CodingSchemeDesignator) for item in dataset.DeidentificationMethodCodeSequence]
    assert codes == [("113100", "DCM"), ("113107", "DCM")]
    assert dataset.PatientBirthDate == dataset.PatientSex == dataset.StudyTime == dataset.AccessionNumber == ""


def test_the_report_counts_and_names_nobody(stuffed):
    _, out, _, counts, report = stuffed
    assert report.files == {"CT": 2, "XA": 1}
    assert report.left_out == {"other": 1}
    assert report.kept["PixelData"] == 3
    assert report.kept["PositionerPrimaryAngle"] == 1
    assert report.removed["standard"] > sum(counts)
    assert report.removed["private"] > 3 * 32
    assert report.removed["overlay or curve"] > 3 * 40
    assert report.removed["unfit"] == sum(report.unfit.values())
    assert report.removed["unfit"] >= 3 * 11
    assert pydicom.dcmread(out / "ct" / "0001.dcm").PatientID == report.patient
    assert (out / "deidentification.json").is_file()


@pytest.mark.parametrize("keyword", sorted(NUMBERS))
def test_numbers_are_numbers(keyword):
    assert pydicom.datadict.dictionary_VR(keyword) in ("DS", "IS", "US", "SS", "UL", "SL", "FL", "FD", "US or SS")


def test_names_on_the_whitelist_are_of_the_standard():
    assert [keyword for keyword in KEPT | WRITTEN if tag_for_keyword(keyword) is None] == []
