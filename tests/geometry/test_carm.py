"""The C-arm's angles are facts about a patient: left, head and front are where docs/conventions.md says."""

import json
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drrkit.errors import InputError
from drrkit.geometry.carm import CArm, angles_from_camera, rotation_from_angles

CARM = CArm(1000.0, 600.0, 200, 300, (1.5, 1.0))
ISOCENTER = np.array([12.0, -34.0, 560.0])
# World axes are LPS.
LEFT, BACK, HEAD = np.eye(3)

degrees = st.floats(-180, 180)


def detector_center(camera) -> np.ndarray:
    corner, u_step, v_step = camera.detector_frame_world()
    return corner + (camera.width - 1) / 2 * u_step + (camera.height - 1) / 2 * v_step


@pytest.mark.parametrize(
    ("primary_deg", "secondary_deg", "toward_detector"),
    [
        (0, 0, -BACK),
        (90, 0, LEFT),
        (-90, 0, -LEFT),
        (180, 0, BACK),
        (0, 90, HEAD),
        (0, -90, -HEAD),
        (90, 90, HEAD),
        (45, 0, (LEFT - BACK) / np.sqrt(2)),
        (-45, 0, (-LEFT - BACK) / np.sqrt(2)),
        (0, 30, HEAD / 2 - BACK * np.sqrt(3) / 2),
        (90, 30, HEAD / 2 + LEFT * np.sqrt(3) / 2),
        (0, -30, -HEAD / 2 - BACK * np.sqrt(3) / 2),
    ],
)
@pytest.mark.parametrize("roll_deg", [0, 70])
def test_where_detector_and_source_are(primary_deg, secondary_deg, toward_detector, roll_deg):
    camera = CARM.camera(primary_deg, secondary_deg, roll_deg, ISOCENTER)
    assert np.allclose(detector_center(camera), ISOCENTER + 400 * toward_detector)
    assert np.allclose(camera.source_world, ISOCENTER - 600 * toward_detector)
    assert np.allclose(camera.view_direction_world, toward_detector)


@pytest.mark.parametrize(
    ("primary_deg", "image_right"),
    # As the source sees the patient: from behind, from the right, from the left.
    [(0, -LEFT), (90, -BACK), (-90, BACK), (45, (-LEFT - BACK) / np.sqrt(2))],
)
def test_what_is_right_in_the_image_and_that_the_head_is_up(primary_deg, image_right):
    camera = CARM.camera(primary_deg, 0, 0, ISOCENTER)
    middle, right, up = camera.project(np.stack([ISOCENTER, ISOCENTER + 10 * image_right, ISOCENTER + 10 * HEAD]))
    assert right[0] > middle[0] + 10
    assert right[1] == pytest.approx(middle[1])
    assert up[1] < middle[1] - 5
    assert up[0] == pytest.approx(middle[0])


@pytest.mark.parametrize("secondary_deg", [-80, -30, 30, 80])
@pytest.mark.parametrize("primary_deg", [-120, 0, 50, 90])
def test_the_head_stays_up_in_tilted_views(primary_deg, secondary_deg):
    camera = CARM.camera(primary_deg, secondary_deg, 0, ISOCENTER)
    middle, up = camera.project(np.stack([ISOCENTER, ISOCENTER + 10 * HEAD]))
    assert up[1] < middle[1]
    assert up[0] == pytest.approx(middle[0])


def test_the_usual_display_is_the_mirror_image():
    camera = CARM.camera(0, 0, 0, ISOCENTER).flipped_horizontally()
    middle, left = camera.project(np.stack([ISOCENTER, ISOCENTER + 10 * LEFT]))
    assert left[0] > middle[0]


def test_roll_turns_the_image_clockwise():
    head = ISOCENTER + 10 * HEAD
    middle, up = CARM.camera(0, 0, 90, ISOCENTER).project(np.stack([ISOCENTER, head]))
    assert up[0] > middle[0] + 10
    assert up[1] == pytest.approx(middle[1])
    # The pose rolls as the image does, where the pixels are square.
    square = CArm(1000.0, 600.0, 200, 300, (1.0, 1.0))
    assert square.camera(20, 30, 25, ISOCENTER).allclose(square.camera(20, 30, 0, ISOCENTER).rotated(25.0))


@given(degrees, degrees, degrees)
def test_the_isocenter_projects_to_the_principal_point(primary_deg, secondary_deg, roll_deg):
    camera = CARM.camera(primary_deg, secondary_deg, roll_deg, ISOCENTER)
    assert np.allclose(camera.project(ISOCENTER), [149.5, 99.5])
    assert camera.depth_mm(ISOCENTER) == pytest.approx(600.0)
    offset = CArm(1000.0, 600.0, 200, 300, (1.5, 1.0), principal_point_px=(140.25, 0.0))
    assert np.allclose(offset.camera(primary_deg, secondary_deg, roll_deg, ISOCENTER).project(ISOCENTER), [140.25, 0.0])


def test_k_is_distance_over_spacing():
    camera = CARM.camera(0, 0)
    assert np.allclose(camera.pixel_from_camera, [[1000.0, 0, 149.5], [0, 1000 / 1.5, 99.5], [0, 0, 1]])
    assert camera.pixel_spacing_mm == (1.5, 1.0)
    assert (camera.height, camera.width) == (200, 300)
    assert camera.source_to_detector_mm == pytest.approx(1000.0)


def test_magnification_is_distance_to_the_detector_over_distance_to_the_isocenter():
    ends = CARM.camera(0, 0, 0, ISOCENTER).project(np.stack([ISOCENTER - 6 * LEFT, ISOCENTER + 6 * LEFT]))
    assert abs(ends[1, 0] - ends[0, 0]) == pytest.approx(12 * 1000 / 600 / 1.0)


@given(degrees, st.floats(-89.9, 89.9), degrees)
def test_angles_are_read_back(primary_deg, secondary_deg, roll_deg):
    read = angles_from_camera(CARM.camera(primary_deg, secondary_deg, roll_deg, ISOCENTER))
    wanted = np.array([primary_deg, secondary_deg, roll_deg])
    around = (np.array(read) - wanted + 180) % 360 - 180
    assert np.allclose(around, 0, atol=1e-6)
    assert max(abs(read[0]), abs(read[2])) <= 180


@given(degrees, st.sampled_from([-90.0, 90.0]), degrees)
def test_where_primary_and_roll_are_one_turn_all_is_called_primary(primary_deg, secondary_deg, roll_deg):
    camera = CARM.camera(primary_deg, secondary_deg, roll_deg)
    read_primary_deg, read_secondary_deg, read_roll_deg = angles_from_camera(camera)
    assert (read_secondary_deg, read_roll_deg) == (secondary_deg, 0.0)
    turn_deg = primary_deg - np.sign(secondary_deg) * roll_deg
    assert abs((read_primary_deg - turn_deg + 180) % 360 - 180) < 1e-6
    rebuilt = rotation_from_angles(read_primary_deg, read_secondary_deg, read_roll_deg)
    assert np.allclose(rebuilt, camera.camera_from_world[:3, :3], atol=1e-9)


@pytest.mark.parametrize("short_of_90_deg", [1e-3, 1e-6, 1e-8, 1e-12])
def test_angles_stay_true_next_to_90(short_of_90_deg):
    camera = CARM.camera(33, 90 - short_of_90_deg, 20)
    assert np.allclose(rotation_from_angles(*angles_from_camera(camera)), camera.camera_from_world[:3, :3], atol=1e-6)


@given(degrees, degrees, degrees)
def test_every_angle_makes_a_rotation(primary_deg, secondary_deg, roll_deg):
    rotation = rotation_from_angles(primary_deg, secondary_deg, roll_deg)
    assert np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(rotation) == pytest.approx(1.0)


@pytest.mark.parametrize("principal_point_px", [None, (149.5, 99.5), (130.0, 12.25)])
@pytest.mark.parametrize("size", [(100, 150), (50, 600), (199, 301)])
def test_a_resized_carm_is_a_resized_camera(size, principal_point_px):
    carm = CArm(1000.0, 600.0, 200, 300, (1.5, 1.0), principal_point_px, "a brochure")
    resized = carm.resized(*size)
    assert resized.camera(15, -5, 3, ISOCENTER).allclose(carm.camera(15, -5, 3, ISOCENTER).resized(*size))
    assert resized.source == "a brochure"
    assert np.allclose(np.multiply(resized.pixel_spacing_mm, size), (300.0, 300.0))


def test_another_detector_is_centered_on_the_same_gantry():
    carm = CArm(1000.0, 600.0, 200, 300, (1.5, 1.0), (10.0, 20.0)).with_detector(64, 32, (4.0, 5.0))
    assert np.allclose(carm.camera(30, 10, 0, ISOCENTER).project(ISOCENTER), [15.5, 31.5])
    assert carm.camera(30, 10).source_to_detector_mm == pytest.approx(1000.0)


def test_whole_numbers_and_floats_are_one_machine():
    whole = CArm(1000, 600, 200, 300, (2, 1), (150, 100))
    floats = CArm(1000.0, 600.0, 200, 300, (2.0, 1.0), (150.0, 100.0))
    assert whole == floats
    assert json.dumps(asdict(whole)) == json.dumps(asdict(floats))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ((600.0, 1000.0, 200, 300, (1.0, 1.0)), "between the two"),
        ((1000.0, 1000.0, 200, 300, (1.0, 1.0)), "between the two"),
        ((1000.0, 0.0, 200, 300, (1.0, 1.0)), "between the two"),
        ((-1000.0, -600.0, 200, 300, (1.0, 1.0)), "between the two"),
        ((np.nan, 600.0, 200, 300, (1.0, 1.0)), "between the two"),
        ((np.inf, 600.0, 200, 300, (1.0, 1.0)), "between the two"),
        ((1000.0, 600.0, 0, 300, (1.0, 1.0)), "at least 1 x 1"),
        ((1000.0, 600.0, 200, 300, (0.0, 1.0)), "C-arm pixel_spacing_mm.*row then column"),
        ((1000.0, 600.0, 200, 300, (1.0, np.nan)), "C-arm pixel_spacing_mm.*row then column"),
        ((1000.0, 600.0, 200, 300, (1.0, 1.0), (np.nan, 0.0)), "NaN"),
    ],
)
def test_impossible_machines_are_refused(fields, words):
    with pytest.raises(InputError, match=words):
        CArm(*fields)
