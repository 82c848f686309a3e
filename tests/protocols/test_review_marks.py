from dataclasses import replace

import numpy as np
import pytest

from drrkit.errors import InputError
from drrkit.geometry.carm import CArm
from protocols.calibration.result import BallResidual, ExposureCalibration
from protocols.review.marks import ball_marks, pair_from_ideal
from protocols.undistort import Distortion

CAMERA = CArm(1000.0, 600.0, 500, 600, (0.4, 0.4), (290.0, 260.0)).camera(25.0, -10.0, isocenter_world=(5, 6, -700))
BALLS = {"b1": (10.0, 20.0, -690.0), "b2": (-25.0, 3.0, -730.0), "b3": (0.0, -30.0, -670.0)}


def exposure(distortion=None, camera=CAMERA):
    taken = {name: CAMERA.project(world) for name, world in BALLS.items()}
    if distortion:
        taken = {name: distortion.distorted_from_ideal(point) for name, point in taken.items()}
    points = {name: (float(u), float(v)) for name, (u, v) in taken.items()}
    off = (points["b1"][0] + 3.0, points["b1"][1] + 4.0)
    balls = (
        BallResidual("b1", off, points["b1"], points["b1"], True),
        BallResidual("b2", points["b2"], points["b2"], None, False),
        BallResidual("b3", None, points["b3"], None, False),
    )
    nothing = (None,) * 6
    record = distortion and distortion.to_record()
    return ExposureCalibration("a", "pass", "", camera, 2, 1, *nothing, (25.0, -10.0), (25.0, -10.0), record, balls)


@pytest.mark.parametrize(
    "pair",
    [
        CAMERA,
        CAMERA.resized(250, 300),
        CAMERA.cropped(40, 30, 300, 320).resized(150, 160),
        CAMERA.flipped_horizontally(),
        CAMERA.rotated90(),
    ],
)
@pytest.mark.parametrize(
    "distortion", [None, Distortion((299.5, 249.5), 300.0, pincushion_r2=0.05, decentering_u=0.003, twist_r2=-0.02)]
)
def test_balls_land_where_the_pairs_camera_projects_them(pair, distortion):
    marks = {mark["id"]: mark for mark in ball_marks(exposure(distortion), pair, "x")}
    for name, world in BALLS.items():
        np.testing.assert_allclose(marks[name]["expected"], pair.project(world), atol=2e-3)
    assert marks["b1"]["residual_px"] == pytest.approx(5.0)
    assert marks["b1"]["left_out"]
    assert marks["b1"]["used"]
    assert marks["b2"]["residual_px"] == 0
    assert not marks["b2"]["left_out"]
    assert not marks["b2"]["used"]
    assert marks["b3"]["detected"] is None
    assert marks["b3"]["residual_px"] is None


def test_without_distortion_the_residual_is_drawn_at_the_pairs_scale():
    mark = ball_marks(exposure(), CAMERA.resized(250, 300), "x")[0]
    np.testing.assert_allclose(np.subtract(mark["detected"], mark["expected"]), (1.5, 2.0), atol=2e-3)


def test_pairs_of_another_calibration_are_refused():
    moved = CArm(1000.0, 600.0, 500, 600, (0.4, 0.4)).camera(25.0, -10.0, isocenter_world=(5, 6, -699))
    with pytest.raises(InputError, match=r"cameras\.json.*1\.00 mm from the calibrated one.*pair again"):
        pair_from_ideal(CAMERA, moved, "cameras.json")
    with pytest.raises(InputError, match="which has no camera"):
        ball_marks(replace(exposure(), camera=None), CAMERA, "x")
