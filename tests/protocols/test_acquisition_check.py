"""A sound session has no findings; each spoiled one has the finding that names what was done to it, and no other."""

import shutil

import pydicom
import pytest
import yaml

from acquisition_folder import (
    DONOR,
    FIRST,
    NAME,
    SECOND,
    check,
    edit,
    only,
    retag,
    whole_session,
    xray,
)
from drrkit.errors import InputError
from protocols.acquisition import check_acquisition, new_acquisition, read_acquisition


@pytest.fixture(scope="session")
def sound(tmp_path_factory):
    return whole_session(tmp_path_factory.mktemp("sound"))


@pytest.fixture
def folder(sound, tmp_path):
    return shutil.copytree(sound, tmp_path / NAME)


def test_a_sound_session_has_no_findings(sound):
    assert check(sound) == []


def test_a_new_folder_is_told_all_that_is_to_be_done(tmp_path):
    new_acquisition(tmp_path / "x1", "x1")
    found = [(finding.severity, finding.rule) for finding in check(tmp_path / "x1")]
    assert found == [("error", "placeholder")] * 3 + [("error", "missing-file")] * 2 + [("error", "balls")]


def test_no_folder_is_no_session(tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        check_acquisition(tmp_path / "nowhere")


# ---- acquisition.yaml ----------------------------------------------------------------------------------------


def test_faults_of_the_sheet_do_not_hide_those_of_the_files(folder):
    edit(folder, site=7, balls={"diameter": 3.0}, device={"detector": "ct", "source_to_detector_mm": 900.0})
    xray(folder).write_bytes(b"x")
    findings = check(folder)
    assert [(finding.rule, finding.where.split(", ")[-1]) for finding in findings] == [
        ("yaml", "site"),
        ("yaml", "balls.diameter"),
        ("yaml", "device.detector"),
        ("unreadable", f"xrays/{FIRST}.dcm"),
        ("distance", "run-0003 and 37 more"),
    ]


def test_a_sheet_that_is_gone_or_no_yaml_is_said(folder):
    text = (folder / "acquisition.yaml").read_text()
    (folder / "acquisition.yaml").write_text(text.replace("site: a lab", "site: [a lab"))
    findings = [finding for finding in check(folder) if finding.rule == "yaml"]
    assert len(findings) == 1
    assert "no YAML" in findings[0].found
    (folder / "acquisition.yaml").unlink()
    assert "yaml" in {finding.rule for finding in check(folder)}


def test_placeholders_are_found(folder):
    edit(folder, notes="CHANGE-ME later")
    only(folder, "error", "placeholder", "notes", "what went wrong")


def test_the_folder_is_named_like_the_acquisition(folder):
    edit(folder, acquisition_id="other-01")
    only(folder, "error", "id", f"the folder {NAME}", "other-01")


def test_notes_on_exposures_that_do_not_exist(folder):
    edit(folder, xrays={"exposures": {"shot-99": {"exclude": "blurred"}}})
    only(folder, "error", "unknown-exposure", "shot-99", "excluded: blurred")


def test_labels_without_a_scheme_are_a_contradiction(folder):
    edit(folder, ct={"label_scheme": None})
    only(folder, "error", "yaml", "ct.label_scheme", "labels without a scheme")


# ---- files ---------------------------------------------------------------------------------------------------


def test_files_that_nothing_refers_to(folder):
    (folder / "notes.docx").write_text("x")
    (folder / ".hidden").write_text("x")
    (folder / "deidentification.json").write_text("{}")
    only(folder, "warning", "unlisted-file", "notes.docx")


def test_files_that_are_not_there(folder):
    shutil.rmtree(folder / "ct")
    (folder / "labels.nii").unlink()
    assert [(finding.rule, finding.where) for finding in check(folder)] == [
        ("missing-file", "ct"),
        ("missing-file", "labels.nii"),
    ]
    edit(folder, xrays={"files": "shots/*.dcm"})
    assert "shots/*.dcm" in {finding.where for finding in check(folder)}


def test_damaged_files_and_foreign_images(folder):
    content = xray(folder).read_bytes()
    xray(folder).write_bytes(content[:-100])
    retag(xray(folder, SECOND), Modality="US")
    findings = check(folder)
    assert [(finding.severity, finding.rule, finding.where) for finding in findings] == [
        ("error", "unreadable", f"xrays/{FIRST}.dcm"),
        ("error", "modality", f"xrays/{SECOND}.dcm"),
        ("warning", "orbit", "X-rays"),
    ]


def test_a_damaged_value_is_a_finding(folder):
    for path in (xray(folder), folder / "ct" / "0002.dcm"):
        content = path.read_bytes()
        place = content.index(b"\x28\x00\x10\x00US")
        path.write_bytes(content[:place] + b"\x28\x00\x10\x00U!" + content[place + 6 :])
    findings = [finding for finding in check(folder) if finding.severity == "error"]
    assert [finding.rule for finding in findings] == ["unreadable", "unreadable", "ct"]
    with pytest.raises(InputError, match="damaged value"):
        read_acquisition(folder)


def test_exposure_names(folder):
    xray(folder).rename(folder / "xrays" / "orbit 1.dcm")
    only(folder, "error", "id", "xrays/orbit 1.dcm", "'orbit 1'")
    (folder / "xrays" / "orbit 1.dcm").rename(folder / "xrays" / f"{SECOND}.dicom")
    edit(folder, xrays={"files": "xrays"})
    only(folder, "error", "id", f"xrays/{SECOND}.dicom", f"xrays/{SECOND}.dcm has too")


def test_copies_are_found_by_pixels_and_by_uid(folder):
    pixels = pydicom.dcmread(xray(folder)).PixelData
    retag(xray(folder, SECOND), PixelData=pixels)
    only(
        folder,
        "error",
        "duplicate",
        "the same pixels",
        exposures=[SECOND, FIRST] if SECOND < FIRST else [FIRST, SECOND],
    )


def test_one_uid_in_two_files(folder):
    uid = pydicom.dcmread(xray(folder)).SOPInstanceUID
    retag(xray(folder, SECOND), SOPInstanceUID=uid)
    only(folder, "error", "duplicate", "SOPInstanceUID", uid, exposures=[FIRST, SECOND])


# ---- identity ------------------------------------------------------------------------------------------------


def test_another_patient_among_the_xrays(folder):
    retag(xray(folder), PatientID="donor-02")
    only(folder, "error", "patient", FIRST, "'donor-02'", f"{DONOR!r}", exposures=[FIRST])


def test_another_patient_in_the_ct(folder):
    for path in (folder / "ct").iterdir():
        retag(path, PatientID="donor-02")
    only(folder, "error", "patient", "CT and X-rays", "donor-02", DONOR)


def test_the_donor_goes_by_the_pseudonym_of_deidentified_files(folder):
    for path in (*(folder / "ct").iterdir(), *(folder / "xrays").iterdir()):
        retag(path, PatientID="P-7f", PatientName="P-7f", PatientIdentityRemoved="YES")
    only(folder, "warning", "patient", "donor_id", DONOR, "P-7f")
    edit(folder, donor_id="P-7f")
    assert check(folder) == []


def test_another_study_and_another_position(folder):
    retag(xray(folder), StudyInstanceUID="1.2.4")
    only(folder, "warning", "study", "1.2.4", exposures=[FIRST])
    retag(xray(folder), StudyInstanceUID="1.2.3", PatientPosition="FFS")
    only(folder, "warning", "position", "FFS", "HFS", exposures=[FIRST])


def test_dates(folder):
    for path in (folder / "ct").iterdir():
        retag(path, StudyDate="20310408", AcquisitionDate="20310408")
    assert check(folder) == []
    for path in (folder / "ct").iterdir():
        retag(path, StudyDate="20310405", AcquisitionDate="20310405")
    only(folder, "warning", "date", "4 days apart")
    shutil.rmtree(folder / "ct")
    edit(folder, shifted_date="2031-04-10")
    dated = [finding for finding in check(folder) if finding.rule == "date"]
    assert [(finding.severity, finding.found, len(finding.exposures)) for finding in dated] == [
        ("error", "the date 20310409", 41)
    ]


def test_persons_in_tags_names_and_texts_are_found_and_not_repeated(folder):
    retag(xray(folder), PatientName="Muster^Erika", OperatorsName="Dr^Beispiel")
    (folder / "ct" / "0001.dcm").rename(folder / "ct" / "erika_0001.dcm")
    edit(folder, notes="ask Beispiel")
    findings = check(folder)
    assert {(finding.severity, finding.rule) for finding in findings} == {("warning", "personal-data")}
    assert {finding.where for finding in findings} == {
        f"PatientName of {FIRST}",
        f"OperatorsName of {FIRST}",
        "acquisition.yaml",
        "ct/erika_0001.dcm",
    }
    told = "".join(finding.found + finding.wanted for finding in findings).lower()
    assert "muster" not in told
    assert "beispiel" not in told


def test_pseudonyms_are_no_names(folder):
    retag(xray(folder), PatientName=f"SIM^{DONOR}", OperatorsName="anonymous")
    assert check(folder) == []


def test_simulated_images_in_a_real_session(folder):
    retag(xray(folder), ImageComments="SIMULATED: computed")
    only(folder, "error", "simulated", "calls itself simulated", exposures=[FIRST])


def test_real_images_in_a_simulated_session(folder):
    edit(folder, simulated=True)
    findings = check(folder)
    assert [(finding.severity, finding.rule, len(finding.exposures)) for finding in findings] == [
        ("error", "simulated", 41),
        ("error", "simulated", 0),
    ]


def test_derived_images_of_a_real_session(folder):
    retag(xray(folder), ImageType=["DERIVED", "PRIMARY"])
    only(folder, "warning", "derived", "DERIVED", exposures=[FIRST])


def test_findings_are_plain_records(folder):
    retag(xray(folder), BurnedInAnnotation="YES")
    record = check(folder)[0].to_dict()
    assert yaml.safe_load(yaml.safe_dump(record)) == record
    assert set(record) == {"severity", "rule", "where", "found", "wanted", "exposures"}
