"""From radiographs to the grid's place, with beads for vertebrae and a network that knows them."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from drrkit.errors import InputError
from drrkit.geometry.presets import preset
from drrkit.radiograph import Radiograph
from origin_toys import bead_model, bead_radiograph, spine_points
from reconstruction.origin.estimate import estimate_origin

POSITION = (12.0, -7.0, 9.0)
CARM = preset("generic").resized(160, 160)


@pytest.fixture(scope="module")
def model():
    return bead_model()


def cameras_at(angles, carm=CARM, isocenter=(0.0, 0.0, 0.0)):
    return [carm.camera(*pair, isocenter_world=isocenter) for pair in angles]


@pytest.mark.parametrize("angles", [((0, 0), (90, 0)), ((0, 10), (-90, 0), (45, 0), (20, 15))])
def test_middle_and_levels(model, angles):
    points = spine_points(position=POSITION)
    origin = estimate_origin([bead_radiograph(points, camera) for camera in cameras_at(angles)], model)
    np.testing.assert_allclose(origin.center_world, points[5], atol=3)
    np.testing.assert_allclose([level.point_world for level in origin.levels.values()], points[:5], atol=3)
    np.testing.assert_allclose([level.center_world for level in origin.levels.values()], points[6:], atol=3)
    assert np.degrees(Rotation.from_matrix(origin.rotation).magnitude()) < 4
    assert origin.used == tuple(range(len(angles)))
    assert origin.rejected == ()
    assert 0 < origin.sigma_mm < 5
    assert origin.reprojection_px < 2


def test_mirrored_turned_and_foreign_images_agree(model):
    points = spine_points(position=POSITION)
    plain = cameras_at(((0, 0), (90, 0)))
    other = [
        plain[0].flipped_horizontally().rotated90(1),
        preset("siemens-cios-spin").with_detector(200, 240, (1.9, 1.6)).camera(90, 0).flipped_vertically(),
    ]
    found = [
        estimate_origin([bead_radiograph(points, camera) for camera in cameras], model) for cameras in (plain, other)
    ]
    np.testing.assert_allclose(found[0].center_world, found[1].center_world, atol=2)


def test_oblique_patient(model):
    true = Rotation.from_rotvec(np.radians([0, 20, 0])).as_matrix()
    points = spine_points(true, POSITION)
    origin = estimate_origin([bead_radiograph(points, c) for c in cameras_at(((0, 0), (90, 0), (45, 0)))], model)
    assert np.degrees(Rotation.from_matrix(true.T @ origin.rotation).magnitude()) < 4
    np.testing.assert_allclose(origin.center_world, points[5], atol=3)


def test_level_outside_of_the_images_is_inferred(model):
    points = spine_points(position=POSITION)
    # The field ends 45 mm above the isocenter: L1 is not in it, and L2 cut at the rim at most.
    cameras = [camera.cropped(52, 0, 108, 160) for camera in cameras_at(((0, 0), (90, 0)))]
    origin = estimate_origin([bead_radiograph(points, camera) for camera in cameras], model)
    assert origin.levels["L1"].views == ()
    assert origin.levels["L4"].views == (0, 1)
    assert origin.levels["L1"].sigma_mm > origin.levels["L4"].sigma_mm
    np.testing.assert_allclose(origin.center_world, points[5], atol=5)


def test_view_of_another_patient_is_rejected(model):
    points = spine_points(position=POSITION)
    cameras = cameras_at(((0, 0), (90, 0), (45, 0), (-30, 0)))
    radiographs = [bead_radiograph(points, camera) for camera in cameras]
    radiographs[2] = bead_radiograph(points + np.array([0, 0, -30]), cameras[2])
    origin = estimate_origin(radiographs, model)
    assert origin.rejected == (2,)
    np.testing.assert_allclose(origin.center_world, points[5], atol=3)


@pytest.mark.parametrize(
    ("angles", "words"),
    [((), "at least two views"), (((0, 0),), "at least two views"), (((0, 0), (2, 0)), "degrees apart")],
)
def test_views_that_cannot_say_where(model, angles, words):
    with pytest.raises(InputError, match=words):
        estimate_origin([bead_radiograph(spine_points(), camera) for camera in cameras_at(angles)], model)


def test_images_of_nothing(model):
    radiographs = [
        Radiograph(np.zeros((160, 160), np.float32), "line_integral", camera)
        for camera in cameras_at(((0, 0), (90, 0)))
    ]
    with pytest.raises(InputError, match="no lumbar level"):
        estimate_origin(radiographs, model)


def test_counts_are_no_line_integrals(model):
    radiographs = [bead_radiograph(spine_points(), camera) for camera in cameras_at(((0, 0), (90, 0)))]
    radiographs[1] = Radiograph(radiographs[1].pixels, "intensity", radiographs[1].camera)
    with pytest.raises(InputError, match="view 2"):
        estimate_origin(radiographs, model)
