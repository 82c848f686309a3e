"""A sound session has no findings; each spoiled one has the finding that names what was done to it, and no other."""

import shutil

import numpy as np
import pydicom
import pytest
import yaml

from acquisition_folder import (
    DONOR,
    HEIGHT,
    NAME,
    ORBIT_DEG,
    TO_ISOCENTER_MM,
    WIDTH,
    edit,
    orbit_tags,
    retag,
    shot,
    whole_session,
)
from drrkit.errors import InputError
from drrkit.io.ct import write_labels
from drrkit.io.ct_dicom import write_ct_dicom
from drrkit.io.study import Study
from drrkit.io.xray import write_xray
from drrkit.radiograph import Radiograph
from drrkit.volume import Volume
from protocols.acquisition import RULES, check_acquisition, new_acquisition
from toys import toy_volume

FIRST, SECOND = "tilt-m10", "tilt-m20"


@pytest.fixture(scope="session")
def sound(tmp_path_factory):
    return whole_session(tmp_path_factory.mktemp("sound"))


@pytest.fixture
def folder(sound, tmp_path):
    return shutil.copytree(sound, tmp_path / NAME)


def xray(folder, name=FIRST):
    return folder / "xrays" / f"{name}.dcm"


def check(folder):
    findings = check_acquisition(folder)
    assert {finding.rule for finding in findings} <= set(RULES)
    assert all(finding.where and finding.found and finding.wanted for finding in findings)
    assert not any("\n" in f"{finding.where}{finding.found}{finding.wanted}" for finding in findings)
    return findings


def only(folder, severity, rule, *words, exposures=()):
    """Check that there is this finding and no other, and return it."""
    findings = check(folder)
    assert [(finding.severity, finding.rule) for finding in findings] == [(severity, rule)], findings
    finding = findings[0]
    said = f"{finding.where}: found {finding.found}; wanted {finding.wanted}"
    assert [word for word in words if word not in said] == [], said
    assert finding.exposures == tuple(exposures)
    return finding


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


# ---- geometry ------------------------------------------------------------------------------------------------


def test_missing_geometry_is_told_once_with_all_its_exposures(folder):
    for name in (FIRST, SECOND):
        retag(xray(folder, name), ImagerPixelSpacing=None)
    only(folder, "error", "geometry", "no ImagerPixelSpacing (0018,1164)", "device", exposures=[FIRST, SECOND])
    edit(folder, device={"pixel_spacing_mm": [2.0, 1.6]})
    assert check(folder) == []


def test_a_mirrored_image(folder):
    retag(xray(folder, "tilt-p10"), PatientOrientation=["R", "F"])
    only(folder, "error", "geometry", "PatientOrientation", "flipped_horizontally", exposures=["tilt-p10"])


@pytest.mark.parametrize(
    ("field", "value", "rule"),
    [
        ("source_to_detector_mm", 1030.0, "distance"),
        ("source_to_isocenter_mm", 570.0, "distance"),
        ("pixel_spacing_mm", [1.6, 2.0], "spacing"),
    ],
)
def test_numbers_of_the_sheet_that_headers_contradict(folder, field, value, rule):
    edit(folder, device={field: value})
    findings = check(folder)
    assert [(finding.severity, finding.rule, len(finding.exposures)) for finding in findings] == [("error", rule, 41)]
    assert field in findings[0].found


def test_wrong_headers_are_overruled_in_the_sheet(folder):
    edit(folder, device={"source_to_detector_mm": 1164.0, "overrule_headers": True})
    assert check(folder) == []
    edit(folder, device={"source_to_detector_mm": None})
    only(folder, "error", "yaml", "device.overrule_headers", "true without numbers")


def test_rounded_numbers_pass(folder):
    edit(folder, device={"source_to_detector_mm": 1005.0})
    assert check(folder) == []


def test_headers_that_contradict_each_other(folder):
    retag(xray(folder), DistanceSourceToDetector=1050)
    only(folder, "warning", "distance", "1050 mm", "in most others 1000 mm", exposures=[FIRST])
    edit(folder, device={"intrinsics": "shared"})
    only(folder, "error", "distance", "1050 mm", exposures=[FIRST])
    retag(xray(folder), DistanceSourceToDetector=1000, FieldOfViewDimensions=[32, 96])
    only(folder, "warning", "spacing", "FieldOfViewDimensions", "32 x 48 mm", "32 x 96 mm", exposures=[FIRST])


def test_another_machine_than_the_preset(folder):
    edit(folder, device={"preset": "siemens-cios-spin"})
    rules = {(finding.severity, finding.rule) for finding in check(folder)}
    assert rules == {("warning", "preset")}


def test_angles(folder):
    retag(xray(folder), PositionerPrimaryAngle=258)
    only(folder, "error", "angles", "primary angle 258", "-180 to 180", exposures=[FIRST])
    retag(xray(folder), PositionerPrimaryAngle=-60)
    edit(folder, xrays={"exposures": {FIRST: {"primary_deg": 60.0}}})
    only(folder, "warning", "angles", "angle -60 in the header, 60 in acquisition.yaml", exposures=[FIRST])


def test_a_read_out_that_stands_still(folder):
    for path in (folder / "xrays").iterdir():
        retag(path, PositionerMotion="STATIC", PositionerPrimaryAngle=30, PositionerSecondaryAngle=0)
    only(folder, "error", "angles", "primary 30 and secondary 0 degrees in all 41 exposures")


def test_an_orbit_with_a_gap_or_cut_short(folder):
    retag(xray(folder, "run"), **orbit_tags([0 if angle in (6, 12) else angle for angle in ORBIT_DEG]))
    only(folder, "warning", "orbit", "no shot from 0 to 18 degrees")
    retag(xray(folder, "run"), **orbit_tags([abs(angle) for angle in ORBIT_DEG]))
    only(folder, "warning", "orbit", "an orbit from 0 to 102 degrees", "+-90")


def test_excluded_exposures_leave_their_gap(folder):
    excluded = {name: {"exclude": "blurred"} for name in ("run-0019", "run-0020", FIRST)}
    edit(folder, xrays={"exposures": excluded})
    # Nobody asks for the geometry of what is not used.
    retag(xray(folder), ImagerPixelSpacing=None)
    assert [finding.found for finding in check(folder)] == ["38 exposures in use", "no shot from 0 to 18 degrees"]


def test_too_few_exposures(folder):
    for path in (folder / "xrays").iterdir():
        if path.stem not in (FIRST, SECOND):
            path.unlink()
    only(folder, "error", "orbit", "2 exposures")


def test_sizes_collimators_and_machines(folder):
    xray(folder).unlink()
    shot(folder, f"{FIRST}.dcm", np.full((12, 10), 900), PositionerSecondaryAngle=-10)
    only(folder, "warning", "image-size", "12 x 10 pixels", exposures=[FIRST])
    edit(folder, device={"intrinsics": "shared"})
    only(folder, "error", "image-size", exposures=[FIRST])
    xray(folder).unlink()
    edges = dict.fromkeys(("CollimatorLeftVerticalEdge", "CollimatorRightVerticalEdge"), 5)
    shot(folder, f"{FIRST}.dcm", PositionerSecondaryAngle=-10, **edges)
    only(folder, "warning", "collimator", "edges at 5, 5", exposures=[FIRST])
    shot(folder, f"{FIRST}.dcm", PositionerSecondaryAngle=-10, ManufacturerModelName="C10")
    only(folder, "error", "device", "Acme C9 (40); Acme C10 (1)")
    shot(folder, f"{FIRST}.dcm", PositionerSecondaryAngle=-10, FieldOfViewShape="ROUND")
    only(folder, "error", "device", "image_intensifier by its header", exposures=[FIRST])


# ---- pixels and balls ----------------------------------------------------------------------------------------


def test_pixels_whose_meaning_nobody_tells(folder):
    for path in (folder / "xrays").iterdir():
        retag(path, PixelIntensityRelationship=None)
    findings = check(folder)
    assert [(finding.severity, finding.rule, len(finding.exposures)) for finding in findings] == [
        ("error", "pixels", 41)
    ]
    edit(folder, pixels={"relation": "linear", "open_field": 1200.0})
    assert check(folder) == []
    edit(folder, pixels={"relation": "log", "log_slope": -0.01, "log_zero": 1200.0, "open_field": None})
    assert check(folder) == []


def test_pixels_whose_meaning_is_told_twice(folder):
    edit(folder, pixels={"relation": "log", "log_slope": -0.01, "log_zero": 1200.0})
    assert [finding.rule for finding in check(folder)] == ["pixels"]
    edit(folder, pixels={"relation": "linear", "log_slope": None, "log_zero": None})
    assert check(folder) == []
    retag(xray(folder), PixelIntensityRelationship="LOG")
    only(folder, "error", "pixels", "LOG, relation linear", exposures=[FIRST])


def test_an_open_field_darker_than_the_image_and_enhanced_images(folder):
    edit(folder, pixels={"open_field": 1000.0})
    assert [(finding.severity, finding.rule) for finding in check(folder)] == [("warning", "pixels")]
    edit(folder, pixels={"open_field": None})
    retag(xray(folder), PresentationIntentType="FOR PRESENTATION")
    only(folder, "warning", "pixels", "FOR PRESENTATION", exposures=[FIRST])


def test_burned_in_text(folder):
    retag(xray(folder), BurnedInAnnotation="YES")
    only(folder, "error", "burned-in", "YES", exposures=[FIRST])
    retag(xray(folder), BurnedInAnnotation=None)
    only(folder, "warning", "burned-in", "not given", exposures=[FIRST])


def test_balls_too_small_or_too_few(folder):
    edit(folder, balls={"count": 10})
    only(folder, "warning", "balls", "balls.count", "10")
    edit(folder, balls={"count": 5})
    only(folder, "error", "balls", "5")
    # 12 mm at a magnification of 5 / 3 on pixels of 5.1 mm: a radius of 1.96 px.
    edit(folder, balls={"count": 20})
    retag(xray(folder), ImagerPixelSpacing=[5.1, 5.1])
    found = [finding.found for finding in check(folder) if finding.rule == "balls"]
    assert found == ["balls of 12 mm, 2.0 px in radius"]
    retag(xray(folder), ImagerPixelSpacing=[4.9, 4.9])
    assert [finding for finding in check(folder) if finding.rule == "balls"] == []


# ---- CT and labels -------------------------------------------------------------------------------------------


def rewrite_ct(folder, volume, bits=16):
    shutil.rmtree(folder / "ct")
    write_ct_dicom(volume, folder / "ct", Study(patient_id=DONOR, seed="ct"), kvp=120.0, bits=bits)
    write_labels(volume, folder / "labels.nii")


def test_missing_slices(folder):
    sorted((folder / "ct").iterdir())[5].unlink()
    finding = only(folder, "error", "ct", "1 missing slice", "every slice")
    assert finding.where == "ct"


def test_a_ct_too_coarse_for_the_balls(folder):
    edit(folder, balls={"diameter_mm": 11.0})
    only(folder, "warning", "ct", "4 x 4 x 4 mm", "2.8 across a ball of 11 mm", "3.7 mm or less")
    edit(folder, balls={"diameter_mm": 7.9})
    only(folder, "error", "ct", "2.0 across a ball")


def test_a_ct_that_ends_at_3071(folder):
    rewrite_ct(folder, toy_volume(), bits=12)
    only(folder, "warning", "ct", "ct/0001.dcm", "3071 HU")


def test_a_damaged_slice(folder):
    (folder / "ct" / "0003.dcm").write_bytes((folder / "ct" / "0003.dcm").read_bytes()[:300])
    assert [(finding.severity, finding.rule) for finding in check(folder)] == [("error", "ct")]


def test_labels_on_another_grid_or_of_other_levels(folder):
    volume = toy_volume()
    affine = volume.world_from_voxel.copy()
    affine[0, 3] += 4.0
    write_labels(Volume(volume.hu, affine, volume.labels), folder / "labels.nii")
    only(folder, "error", "labels", "labels.nii", "another grid")
    write_labels(volume, folder / "labels.nii")
    edit(folder, specimen={"levels": ["L1", "L2", "L3"]})
    only(folder, "warning", "labels", "L3 without labels", "L1, L2")
    edit(folder, specimen={"levels": ["L1", "L2"]}, ct={"label_scheme": "totalsegmentator"})
    only(folder, "warning", "labels", "L1, L2 without labels")


# ---- pictures, records ---------------------------------------------------------------------------------------


def test_pictures_are_checked_as_well(folder):
    shutil.rmtree(folder / "xrays")
    edit(folder, xrays={"files": "xrays/*.png"})
    notes = {}
    for index in range(41):
        pixels = np.random.default_rng(index).integers(500, 900, (HEIGHT, WIDTH)).astype(np.float32)
        write_xray(Radiograph(pixels, "intensity"), folder / "xrays" / f"p{index}.png")
        notes[f"p{index}"] = {"primary_deg": -100.0 + 5 * index, "secondary_deg": 0.0}
    edit(folder, xrays={"exposures": notes})
    findings = check(folder)
    assert [(finding.rule, len(finding.exposures)) for finding in findings] == [("geometry", 41)] * 3
    device = {
        "source_to_detector_mm": 1000.0,
        "source_to_isocenter_mm": TO_ISOCENTER_MM,
        "pixel_spacing_mm": [2.0, 2.0],
    }
    edit(folder, device=device)
    assert check(folder) == []


def test_findings_are_plain_records(folder):
    retag(xray(folder), BurnedInAnnotation="YES")
    record = check(folder)[0].to_dict()
    assert yaml.safe_load(yaml.safe_dump(record)) == record
    assert set(record) == {"severity", "rule", "where", "found", "wanted", "exposures"}
