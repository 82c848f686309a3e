"""Spoiled geometry, pixels, balls, CT and labels: each has the finding that names it, and no other."""

import shutil

import numpy as np
import pytest

from acquisition_folder import (
    DONOR,
    FIRST,
    HEIGHT,
    NAME,
    ORBIT_DEG,
    SECOND,
    TO_ISOCENTER_MM,
    WIDTH,
    check,
    edit,
    only,
    orbit_tags,
    retag,
    short_volume,
    shot,
    whole_session,
    xray,
)
from drrkit.io.ct import write_labels
from drrkit.io.ct_dicom import write_ct_dicom
from drrkit.io.study import Study
from drrkit.io.xray import write_xray
from drrkit.radiograph import Radiograph
from drrkit.volume import Volume


@pytest.fixture(scope="session")
def sound(tmp_path_factory):
    return whole_session(tmp_path_factory.mktemp("sound"))


@pytest.fixture
def folder(sound, tmp_path):
    return shutil.copytree(sound, tmp_path / NAME)


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
    sorted((folder / "ct").iterdir())[2].unlink()
    finding = only(folder, "error", "ct", "1 missing slice", "every slice")
    assert finding.where == "ct"


def test_a_ct_too_coarse_for_the_balls(folder):
    edit(folder, balls={"diameter_mm": 11.0})
    only(folder, "warning", "ct", "4 x 4 x 4 mm", "2.8 across a ball of 11 mm", "3.7 mm or less")
    edit(folder, balls={"diameter_mm": 7.9})
    only(folder, "error", "ct", "2.0 across a ball")


def test_a_ct_that_ends_at_3071(folder):
    rewrite_ct(folder, short_volume(), bits=12)
    only(folder, "warning", "ct", "ct/0001.dcm", "3071 HU")


def test_a_damaged_slice(folder):
    (folder / "ct" / "0003.dcm").write_bytes((folder / "ct" / "0003.dcm").read_bytes()[:300])
    assert [(finding.severity, finding.rule) for finding in check(folder)] == [("error", "ct")]


def test_labels_on_another_grid_or_of_other_levels(folder):
    volume = short_volume()
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
