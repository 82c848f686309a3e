"""Nominal cameras of DICOM X-rays, checked against geometry that is worked out here from the DICOM text alone."""

import numpy as np
import pytest
from pydicom.dataset import Dataset

from drrkit.io.xray import read_xray
from drrkit.io.xray_header import read_xray_header

HEIGHT, WIDTH = 60, 80
ROW_MM, COLUMN_MM = 2.0, 1.6
TO_DETECTOR_MM, TO_ISOCENTER_MM = 1100.0, 700.0
BONES = np.array([[12.0, -8.0, 25.0], [-21.0, 30.0, -14.0], [0.0, 0.0, 0.0], [33.0, 9.0, 3.0]])


def shadow_px(point, primary_deg, secondary_deg, isocenter_px=None):
    """Where a point falls on the detector (u, v), seen looking toward the source with the head up.

    PS3.3 C.8.7.5.1.2: at (0, 0) the patient faces the detector, +90 primary is the patient's left, positive secondary
    is cranial. C.8.19.6.13.1.2: rows run from left to right and columns from top to bottom, looking toward the source.
    """
    primary, secondary = np.radians([primary_deg, secondary_deg])
    anterior, left, head = np.array([0, -1, 0]), np.array([1, 0, 0]), np.array([0, 0, 1])
    around = np.cos(primary) * anterior + np.sin(primary) * left
    to_detector = np.cos(secondary) * around + np.sin(secondary) * head
    up = -np.sin(secondary) * around + np.cos(secondary) * head
    toward_source = -to_detector
    right = np.cross(toward_source, up)
    source = -TO_ISOCENTER_MM * to_detector
    ray = np.asarray(point) - source
    hit = source + ray * TO_DETECTOR_MM / (ray @ to_detector)
    offset_mm = hit - (TO_DETECTOR_MM - TO_ISOCENTER_MM) * to_detector
    u0, v0 = isocenter_px or ((WIDTH - 1) / 2, (HEIGHT - 1) / 2)
    return u0 + offset_mm @ right / COLUMN_MM, v0 - offset_mm @ up / ROW_MM


def shadow(point, *angles, isocenter_px=None):
    """An X-ray of one bead on the physical detector: bright field, one dark pixel."""
    image = np.full((HEIGHT, WIDTH), 4000, np.uint16)
    u, v = np.rint(shadow_px(point, *angles, isocenter_px=isocenter_px)).astype(int)
    image[v, u] = 100
    return image


def stored(image, turned_deg=0, flipped=False):
    """Turn clockwise, then flip, as FieldOfViewRotation and FieldOfViewHorizontalFlip describe."""
    for _ in range(turned_deg // 90):
        image = image[::-1].T
    return np.ascontiguousarray(image[:, ::-1] if flipped else image)


@pytest.fixture
def write_xa(tmp_path, make_image, save_dicom):
    def write(pixels, modality="XA", turned=False, **attributes):
        dataset = make_image(pixels, modality, bits=12)
        dataset.PixelIntensityRelationship = "LIN"
        dataset.Manufacturer, dataset.ManufacturerModelName = "Acme", "C9"
        dataset.DistanceSourceToDetector = TO_DETECTOR_MM
        dataset.DistanceSourceToPatient = TO_ISOCENTER_MM
        dataset.ImagerPixelSpacing = [COLUMN_MM, ROW_MM] if turned else [ROW_MM, COLUMN_MM]
        dataset.PositionerPrimaryAngle, dataset.PositionerSecondaryAngle = 0, 0
        for name, value in attributes.items():
            if value is None:
                delattr(dataset, name)
            else:
                setattr(dataset, name, value)
        return save_dicom(dataset, tmp_path / "x.dcm")

    return write


def check_dot(radiograph, point):
    v, u = np.unravel_index(radiograph.pixels.argmin(), radiograph.pixels.shape)
    assert radiograph.pixels[v, u] == 100
    assert np.abs(radiograph.camera.project(point) - (u, v)).max() <= 0.5 + 1e-6


@pytest.mark.parametrize("bone", BONES)
@pytest.mark.parametrize("angles", [(0, 0), (90, 0), (-90, 0), (0, 25), (35, -20), (180, 0)])
def test_a_bead_falls_where_the_camera_says(write_xa, bone, angles):
    path = write_xa(shadow(bone, *angles), PositionerPrimaryAngle=angles[0], PositionerSecondaryAngle=angles[1])
    (radiograph,) = read_xray(path)
    check_dot(radiograph, bone)
    assert radiograph.camera.source_to_detector_mm == pytest.approx(TO_DETECTOR_MM)
    assert np.linalg.norm(radiograph.camera.source_world) == pytest.approx(TO_ISOCENTER_MM)


def test_at_zero_angles_left_is_right_and_head_is_up(write_xa):
    camera = read_xray_header(write_xa(shadow(BONES[0], 0, 0))).camera()
    (u, v), (left_u, _), (_, head_v) = camera.project([[0, 0, 0], [10, 0, 0], [0, 0, 10]])
    assert left_u > u
    assert head_v < v
    assert camera.is_mirrored


@pytest.mark.parametrize("flipped", [False, True])
@pytest.mark.parametrize("turned_deg", [0, 90, 180, 270])
@pytest.mark.parametrize("bone", BONES[:2])
def test_turned_and_flipped_fields_of_view(write_xa, bone, turned_deg, flipped):
    path = write_xa(
        stored(shadow(bone, 30, 10), turned_deg, flipped),
        turned=turned_deg in (90, 270),
        PositionerPrimaryAngle=30,
        PositionerSecondaryAngle=10,
        FieldOfViewRotation=turned_deg,
        FieldOfViewHorizontalFlip="YES" if flipped else "NO",
        FieldOfViewOrigin=[0, 0],
    )
    (radiograph,) = read_xray(path)
    check_dot(radiograph, bone)


@pytest.mark.parametrize(
    ("increments", "angles_deg"),
    [([0, 12, 40], [-20, -8, 20]), ([15], [-20, -5, 10]), (None, None)],
    ids=["offsets", "one step", "missing"],
)
def test_frames_of_a_rotating_c_arm(write_xa, increments, angles_deg):
    point = BONES[1]
    frames = np.stack([shadow(point, angle, 5) for angle in angles_deg or [-20, -20, -20]])
    attributes = {} if increments is None else {"PositionerPrimaryAngleIncrement": increments}
    path = write_xa(
        frames,
        PositionerMotion="DYNAMIC",
        PositionerPrimaryAngle=-20,
        PositionerSecondaryAngle=5,
        PositionerSecondaryAngleIncrement=0,
        **attributes,
    )
    header, radiographs = read_xray_header(path), read_xray(path)
    assert len(radiographs) == len(header.frames) == 3
    if angles_deg is None:
        assert radiographs[0].camera is not None
        assert [radiograph.camera for radiograph in radiographs[1:]] == [None, None]
        assert header.missing == ("PositionerPrimaryAngleIncrement (0018,1520)",)
        return
    assert [frame.primary_deg for frame in header.frames] == angles_deg
    assert header.missing == ()
    for radiograph in radiographs:
        check_dot(radiograph, point)


def test_frames_of_a_still_c_arm_share_one_camera(write_xa):
    path = write_xa(
        np.stack([shadow(BONES[0], 0, 0)] * 2), PositionerMotion="STATIC", PositionerPrimaryAngleIncrement=3
    )
    first, second = read_xray(path)
    assert first.camera.allclose(second.camera)


def group(**macros):
    item = Dataset()
    for keyword, attributes in macros.items():
        macro = Dataset()
        for name, value in attributes.items():
            setattr(macro, name, value)
        setattr(item, keyword, [macro])
    return item


@pytest.mark.parametrize(("turned_deg", "flipped"), [(0, False), (90, True)])
def test_an_enhanced_file_has_angles_and_the_isocenter_frame_by_frame(write_xa, turned_deg, flipped):
    # The field of view begins 30 rows and 20 columns into a detector of 0.8 x 0.4 mm elements; the isocenter falls on
    # element (row 112.5, column 161.5), counted from the center of the first.
    isocenter_px = ((161.5 + 0.5 - 20) * 0.4 / COLUMN_MM - 0.5, (112.5 + 0.5 - 30) * 0.8 / ROW_MM - 0.5)
    point, angles = BONES[1], [(10, 5), (-40, 0)]
    frames = [shadow(point, *pair, isocenter_px=isocenter_px) for pair in angles]
    path = write_xa(
        np.stack([stored(frame, turned_deg, flipped) for frame in frames]),
        **dict.fromkeys(
            (
                *("PositionerPrimaryAngle", "PositionerSecondaryAngle", "DistanceSourceToDetector"),
                *("DistanceSourceToPatient", "ImagerPixelSpacing", "PixelIntensityRelationship"),
            )
        ),
        PositionOfIsocenterProjection=[112.5, 161.5],
        DetectorElementSpacing=[0.8, 0.4],
        SharedFunctionalGroupsSequence=[
            group(
                XRayGeometrySequence={
                    "DistanceSourceToDetector": TO_DETECTOR_MM,
                    "DistanceSourceToIsocenter": TO_ISOCENTER_MM,
                },
                FieldOfViewSequence={
                    "FieldOfViewOrigin": [30, 20],
                    "FieldOfViewRotation": turned_deg,
                    "FieldOfViewHorizontalFlip": "YES" if flipped else "NO",
                },
                FramePixelDataPropertiesSequence={
                    "PixelIntensityRelationship": "LIN",
                    "PixelIntensityRelationshipSign": 1,
                    "ImagerPixelSpacing": [COLUMN_MM, ROW_MM] if turned_deg else [ROW_MM, COLUMN_MM],
                },
            )
        ],
        PerFrameFunctionalGroupsSequence=[
            group(
                PositionerPositionSequence={"PositionerPrimaryAngle": primary, "PositionerSecondaryAngle": secondary},
                IsocenterReferenceSystemSequence={
                    "PositionerIsocenterPrimaryAngle": primary + 7,
                    "PositionerIsocenterSecondaryAngle": secondary - 3,
                    "PositionerIsocenterDetectorRotationAngle": 0,
                },
            )
            for primary, secondary in angles
        ],
    )
    header = read_xray_header(path)
    assert header.missing == ()
    assert header.frames[1].equipment_angles_deg == (-33, -3, 0)
    assert header.frames[0].isocenter_px == pytest.approx(isocenter_px)
    for radiograph in read_xray(path):
        assert radiograph.domain == "intensity"
        check_dot(radiograph, point)


@pytest.mark.parametrize(
    ("attributes", "missing"),
    [
        ({"PositionerPrimaryAngle": None}, "PositionerPrimaryAngle (0018,1510)"),
        ({"PositionerSecondaryAngle": ""}, "PositionerSecondaryAngle (0018,1511)"),
        ({"DistanceSourceToDetector": None}, "DistanceSourceToDetector (0018,1110)"),
        ({"DistanceSourceToPatient": 0}, "DistanceSourceToIsocenter (0018,9402)"),
        ({"DistanceSourceToPatient": 1200}, "an isocenter before the detector (it lies at 1200 of 1100 mm)"),
        ({"ImagerPixelSpacing": None, "PixelSpacing": [1, 1]}, "ImagerPixelSpacing (0018,1164)"),
        ({"modality": "DX"}, "DistanceSourceToIsocenter (0018,9402)"),
        (
            {"DetectorPrimaryAngle": 12},
            "a beam at a right angle to the detector (DetectorPrimaryAngle (0018,1530) is 12)",
        ),
        ({"PatientOrientation": ["R", "F"]}, "angles that agree with PatientOrientation (0020,0020) R, F"),
        ({"PatientOrientation": ["F", "L"]}, "angles that agree with PatientOrientation (0020,0020) F, L"),
        ({"PatientOrientation": ["R", "H"]}, "angles that agree with PatientOrientation (0020,0020) R, H"),
        (
            {"PositionOfIsocenterProjection": [3, 4], "DetectorElementSpacing": [1, 1]},
            "FieldOfViewOrigin (0018,7030) and DetectorElementSpacing (0018,7022)",
        ),
    ],
)
def test_without_a_tag_there_is_no_camera_and_the_header_says_why(write_xa, attributes, missing):
    path = write_xa(shadow(BONES[0], 0, 0), **attributes)
    header = read_xray_header(path)
    assert header.missing == (missing,)
    assert header.camera() is None
    (radiograph,) = read_xray(path)
    assert radiograph.camera is None


def test_a_rolled_detector_has_no_camera_from_patient_angles(write_xa):
    equipment = {
        "PositionerIsocenterPrimaryAngle": 0,
        "PositionerIsocenterSecondaryAngle": 0,
        "PositionerIsocenterDetectorRotationAngle": 30,
    }
    path = write_xa(
        shadow(BONES[0], 0, 0)[None],
        PerFrameFunctionalGroupsSequence=[group(IsocenterReferenceSystemSequence=equipment)],
    )
    header = read_xray_header(path)
    assert header.frames[0].equipment_angles_deg == (0, 0, 30)
    (reason,) = header.missing
    assert "a detector without roll" in reason


@pytest.mark.parametrize("letters", [["L", "F"], ["LA", "F"], ["L", "FA"]])
def test_a_patient_orientation_that_agrees_changes_nothing(write_xa, letters):
    path = write_xa(shadow(BONES[0], 20, 0), PositionerPrimaryAngle=20, PatientOrientation=letters)
    check_dot(read_xray(path)[0], BONES[0])


def test_a_dx_file_with_its_isocenter_has_a_camera(write_xa):
    path = write_xa(
        shadow(BONES[0], 0, 0),
        modality="DX",
        DistanceSourceToPatient=900,
        DistanceSourceToIsocenter=TO_ISOCENTER_MM,
    )
    check_dot(read_xray(path)[0], BONES[0])


def test_the_header_tells_the_device_and_burned_in_text(write_xa):
    header = read_xray_header(write_xa(shadow(BONES[0], 0, 0), modality="RF", BurnedInAnnotation="YES"))
    assert (header.modality, header.device, header.burned_in_annotation) == ("RF", "Acme C9", "YES")
    assert (header.height, header.width) == (HEIGHT, WIDTH)
    assert read_xray_header(write_xa(shadow(BONES[0], 0, 0))).burned_in_annotation == ""


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ({"Modality": "US"}, ["modality US", "XA, RF, DX, CR"]),
        ({"Modality": None}, ["modality not given", "XA, RF, DX, CR"]),
        ({"FieldOfViewRotation": 45}, ["FieldOfViewRotation (0018,7032) 45", "0, 90, 180 or 270"]),
        ({"ImagerPixelSpacing": [1, 1, 1]}, ["ImagerPixelSpacing (0018,1164) [1.0, 1.0, 1.0]", "2 finite numbers"]),
        ({"Rows": None}, ["no Rows or Columns", "an image"]),
    ],
)
def test_impossible_headers_are_told(write_xa, refuses, attributes, words):
    path = write_xa(shadow(BONES[0], 0, 0), **attributes)
    refuses(lambda: read_xray_header(path), "x.dcm", *words)
    refuses(lambda: read_xray(path), "x.dcm", *words)


def test_an_angle_that_is_no_number_is_told(write_xa, refuses):
    path = write_xa(shadow(BONES[0], 0, 0), PositionerPrimaryAngle="33.25")
    path.write_bytes(path.read_bytes().replace(b"33.25", b"3x.25"))
    refuses(lambda: read_xray_header(path), "x.dcm", "PositionerPrimaryAngle (0018,1510)", "numbers")
