"""An acquisition folder becomes exposures with nominal cameras: header first, acquisition.yaml where it is silent."""

import numpy as np
import pytest

from acquisition_folder import (
    HEIGHT,
    SPACING_MM,
    TO_DETECTOR_MM,
    TO_ISOCENTER_MM,
    WIDTH,
    as_in_header,
    edit,
    empty_session,
    shot,
)
from drrkit.errors import InputError
from drrkit.geometry.carm import CArm, angles_from_camera
from drrkit.geometry.presets import preset
from drrkit.io.xray import write_xray
from drrkit.radiograph import Radiograph
from protocols.acquisition import read_acquisition, read_exposure, read_radiographs

GEOMETRY = ("DistanceSourceToDetector", "DistanceSourceToPatient", "ImagerPixelSpacing", "PositionerPrimaryAngle")


@pytest.fixture
def folder(tmp_path):
    return empty_session(tmp_path)


def test_headers_give_nominal_cameras(folder):
    shot(folder, "b.dcm", PositionerPrimaryAngle=30, PositionerSecondaryAngle=-10)
    shot(folder, "a.dcm", PositionerPrimaryAngle=-90)
    acquisition = read_acquisition(folder)
    assert (acquisition.acquisition_id, acquisition.donor_id, acquisition.simulated) == ("toy-01", "donor-01", False)
    assert (acquisition.balls.diameter_mm, acquisition.specimen.levels) == (12.0, ("L1", "L2"))
    assert (acquisition.ct_path, acquisition.labels_path) == (folder / "ct", folder / "labels.nii")
    assert [exposure.exposure_id for exposure in acquisition.exposures] == ["a", "b"]
    first, second = acquisition.exposures
    assert first.nominal_camera.allclose(as_in_header(-90, 0))
    assert second.nominal_camera.allclose(as_in_header(30, -10))
    assert second.nominal_camera.is_mirrored
    assert (second.missing, second.excluded, second.frame) == ((), "", 0)


def test_frames_are_exposures(folder):
    frames = np.arange(3, dtype=np.uint16)[:, None, None] * 100 + np.full((3, HEIGHT, WIDTH), 500, np.uint16)
    steps = {"PositionerMotion": "DYNAMIC", "PositionerPrimaryAngleIncrement": [0, 3, 6]}
    shot(folder, "run.dcm", frames, **steps, PositionerSecondaryAngleIncrement=[0, 0, 0])
    acquisition = read_acquisition(folder)
    assert [exposure.exposure_id for exposure in acquisition.exposures] == ["run-0001", "run-0002", "run-0003"]
    angles = [angles_from_camera(exposure.nominal_camera)[0] for exposure in acquisition.exposures]
    np.testing.assert_allclose(angles, [0, 3, 6], atol=1e-9)
    radiograph = read_exposure(acquisition, acquisition.exposures[2])
    assert (radiograph.domain, radiograph.pixels.min(), radiograph.pixels.max()) == ("intensity", 700, 700)
    assert radiograph.camera is acquisition.exposures[2].nominal_camera
    assert [image.pixels[0, 0] for _, image in read_radiographs(acquisition)] == [500, 600, 700]


def test_the_sheet_fills_what_headers_lack(folder):
    silent = dict.fromkeys((*GEOMETRY, "PositionerSecondaryAngle"))
    shot(folder, "a.dcm", **silent)
    exposure = read_acquisition(folder).exposures[0]
    assert exposure.nominal_camera is None
    assert [reason.split()[0] for reason in exposure.missing] == [
        "PositionerPrimaryAngle",
        "PositionerSecondaryAngle",
        "DistanceSourceToDetector",
        "DistanceSourceToIsocenter",
        "ImagerPixelSpacing",
    ]
    edit(
        folder,
        device={
            "source_to_detector_mm": TO_DETECTOR_MM,
            "source_to_isocenter_mm": TO_ISOCENTER_MM,
            "pixel_spacing_mm": list(SPACING_MM),
        },
        xrays={"exposures": {"a": {"primary_deg": 12, "secondary_deg": 5}}},
    )
    assert read_acquisition(folder).exposures[0].nominal_camera.allclose(as_in_header(12, 5))


def test_the_header_goes_before_device_numbers_and_a_noted_angle_before_the_header(folder):
    shot(folder, "a.dcm", PositionerPrimaryAngle=10, PositionerSecondaryAngle=4)
    edit(
        folder,
        device={"source_to_detector_mm": 1200.0, "preset": "siemens-cios-spin"},
        xrays={"exposures": {"a": {"primary_deg": 25.0}}},
    )
    assert read_acquisition(folder).exposures[0].nominal_camera.allclose(as_in_header(25, 4))


def test_device_numbers_overrule_headers_only_when_told(folder):
    shot(folder, "a.dcm", DistanceSourceToDetector=580)
    assert "an isocenter before the detector" in read_acquisition(folder).exposures[0].missing[0]
    edit(folder, device={"source_to_detector_mm": TO_DETECTOR_MM, "preset": "siemens-cios-spin"})
    assert read_acquisition(folder).exposures[0].nominal_camera is None
    edit(folder, device={"overrule_headers": True})
    # The preset overrules nothing.
    assert read_acquisition(folder).exposures[0].nominal_camera.allclose(as_in_header(0, 0))


def test_endings_in_capitals_are_found(folder):
    shot(folder, "A.DCM")
    shot(folder, "b.dcm")
    assert [exposure.exposure_id for exposure in read_acquisition(folder).exposures] == ["A", "b"]


def test_a_preset_gives_the_rest_at_the_size_of_the_image(folder):
    lengths = dict.fromkeys(GEOMETRY[:3])
    shot(folder, "square.dcm", np.zeros((244, 244), np.uint16), **lengths)
    shot(folder, "oblong.dcm", **lengths)
    edit(folder, device={"preset": "siemens-cios-spin"})
    oblong, square = read_acquisition(folder).exposures
    wanted = preset("siemens-cios-spin").resized(244, 244).camera(0, 0).flipped_horizontally()
    assert square.nominal_camera.allclose(wanted)
    assert oblong.missing == ("ImagerPixelSpacing (0018,1164)",)


def test_a_mirrored_image_is_said_in_the_sheet(folder):
    # Rows of this image run to the patient's right, which contradicts its angles.
    shot(folder, "a.dcm", PatientOrientation=["R", "F"])
    exposure = read_acquisition(folder).exposures[0]
    assert exposure.nominal_camera is None
    assert "PatientOrientation" in exposure.missing[0]
    edit(folder, xrays={"exposures": {"a": {"flipped_horizontally": True}}})
    camera = read_acquisition(folder).exposures[0].nominal_camera
    assert camera.allclose(as_in_header(0, 0).flipped_horizontally())
    # Angles that fit the orientation do as well: from behind, rows run to the right.
    edit(folder, xrays={"exposures": {"a": {"primary_deg": 180.0}}})
    assert read_acquisition(folder).exposures[0].nominal_camera.allclose(as_in_header(180, 0))


def test_orientation_is_asked_again_when_the_sheet_completes_a_header(folder):
    shot(folder, "a.dcm", PatientOrientation=["R", "F"], DistanceSourceToDetector=None)
    edit(folder, device={"source_to_detector_mm": TO_DETECTOR_MM})
    assert "PatientOrientation" in read_acquisition(folder).exposures[0].missing[0]


def test_what_no_sheet_can_mend_stays_missing(folder):
    shot(folder, "a.dcm", DetectorPrimaryAngle=3, ImagerPixelSpacing=None)
    edit(folder, device={"pixel_spacing_mm": list(SPACING_MM)})
    assert read_acquisition(folder).exposures[0].missing == (
        "a beam at a right angle to the detector (DetectorPrimaryAngle (0018,1530) is 3)",
    )
    shot(folder, "a.dcm", DistanceSourceToDetector=None)
    edit(folder, device={"source_to_detector_mm": 500.0})
    assert "an isocenter before the detector" in read_acquisition(folder).exposures[0].missing[0]


def test_excluded_exposures_stay_listed_and_are_not_read(folder):
    shot(folder, "a.dcm")
    shot(folder, "b.dcm")
    edit(folder, xrays={"exposures": {"a": {"exclude": "the table was moved"}}})
    acquisition = read_acquisition(folder)
    assert [exposure.excluded for exposure in acquisition.exposures] == ["the table was moved", ""]
    assert [exposure.exposure_id for exposure, _ in read_radiographs(acquisition)] == ["b"]


def test_pictures_take_the_camera_of_their_sidecar_or_one_like_dicom(folder):
    camera = CArm(900.0, 500.0, HEIGHT, WIDTH, (1.0, 1.0)).camera(45, 0)
    pixels = np.full((HEIGHT, WIDTH), 2, np.float32)
    write_xray(Radiograph(pixels, "line_integral", camera), folder / "xrays" / "a.tif")
    write_xray(Radiograph(pixels, "intensity"), folder / "xrays" / "b.png")
    edit(
        folder,
        device={"source_to_detector_mm": 1000, "source_to_isocenter_mm": 600, "pixel_spacing_mm": list(SPACING_MM)},
        xrays={"files": "xrays", "exposures": {"b": {"primary_deg": 7.0, "secondary_deg": 0.0}}},
    )
    acquisition = read_acquisition(folder)
    assert acquisition.exposures[0].nominal_camera.allclose(camera)
    assert acquisition.exposures[1].nominal_camera.allclose(as_in_header(7, 0))
    assert read_exposure(acquisition, acquisition.exposures[0]).domain == "line_integral"


@pytest.mark.parametrize("name", ["1.2.840.7", "1.2.840.8"])
def test_names_without_ending_keep_their_last_number(folder, name):
    shot(folder, "1.2.840.7")
    shot(folder, "1.2.840.8")
    edit(folder, xrays={"files": "xrays/*"})
    assert name in [exposure.exposure_id for exposure in read_acquisition(folder).exposures]


# ---- what pixels mean ----------------------------------------------------------------------------------------


def test_pixels_mean_what_the_sheet_says_where_the_file_says_nothing(folder):
    ramp = np.arange(HEIGHT * WIDTH, dtype=np.uint16).reshape(HEIGHT, WIDTH)
    shot(folder, "a.dcm", ramp, PixelIntensityRelationship="LOG")
    acquisition = read_acquisition(folder)
    assert read_exposure(acquisition, acquisition.exposures[0]).domain == "display"
    edit(folder, pixels={"relation": "log", "log_slope": -0.01, "log_zero": 479.0})
    acquisition = read_acquisition(folder)
    radiograph = read_exposure(acquisition, acquisition.exposures[0])
    assert radiograph.domain == "line_integral"
    assert radiograph.pixels[-1, -1] == 0
    assert radiograph.pixels[0, 0] == pytest.approx(4.79)
    edit(folder, pixels={"relation": "linear", "log_slope": None, "log_zero": None, "open_field": 4000.0})
    acquisition = read_acquisition(folder)
    radiograph = read_exposure(acquisition, acquisition.exposures[0])
    assert (radiograph.domain, radiograph.pixels[0, 1], acquisition.pixels.open_field) == ("intensity", 1, 4000)


def test_a_file_that_says_otherwise_is_refused(folder):
    shot(folder, "a.dcm")
    edit(folder, pixels={"relation": "log", "log_slope": -0.01, "log_zero": 479.0})
    acquisition = read_acquisition(folder)
    with pytest.raises(InputError, match=r"a\.dcm: found intensity pixels; .*pixels.relation log"):
        read_exposure(acquisition, acquisition.exposures[0])


# ---- what is refused -----------------------------------------------------------------------------------------


def refused(folder, *words):
    with pytest.raises(InputError) as error:
        read_acquisition(folder)
    message = str(error.value)
    assert "\n" not in message
    assert [word for word in words if word not in message] == [], message


def test_missing_parts_are_named(folder):
    refused(folder, "xrays/*.dcm", "no X-rays")
    shot(folder, "a.dcm")
    edit(folder, ct={"labels": "labels.nii.gz"})
    refused(folder, "labels.nii.gz", "no such file", "ct.labels")
    edit(folder, ct={"labels": None, "label_scheme": None, "path": "other"})
    refused(folder, "other", "ct.path")
    (folder / "acquisition.yaml").unlink()
    refused(folder, "acquisition.yaml", "No such file")


def test_exposure_names_are_safe_and_unique(folder):
    path = shot(folder, "shot 1.dcm")
    refused(folder, "shot 1.dcm", "unfit")
    path.unlink()
    shot(folder, "a.dcm")
    (folder / "xrays" / "second").mkdir()
    shot(folder, "second/a.dcm")
    edit(folder, xrays={"files": "xrays"})
    refused(folder, "second/a.dcm", "the exposure name a of", "another file name")


def test_notes_belong_to_exposures(folder):
    shot(folder, "a.dcm")
    edit(folder, xrays={"exposures": {"c": {"exclude": "blurred"}}})
    refused(folder, "acquisition.yaml", "xrays.exposures names c", "a, ...")
