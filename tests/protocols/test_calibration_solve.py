"""Whole sessions at the level of points: what must be calibrated, and what must be refused."""

from dataclasses import replace

import numpy as np
import pytest

from ball_sessions import INTENSIFIER, PANEL, simulate_session
from drrkit.errors import InputError
from protocols.calibration.result import read_calibration, write_calibration
from protocols.calibration.settings import CalibrationSettings
from protocols.calibration.solve import calibrate
from protocols.undistort import Distortion

SETTINGS = CalibrationSettings()
SHORT_ORBIT = [(float(angle), 0.0) for angle in range(-90, 91, 20)] + [(0.0, 20.0), (10.0, -20.0)]


def solve(session, settings=SETTINGS):
    return calibrate(session.observations, session.balls_world, 0.1, settings, "toy", True)


def chosen(observation, rows):
    return replace(
        observation,
        points_px=observation.points_px[rows],
        sigmas_px=observation.sigmas_px[rows],
        radii_px=observation.radii_px[rows],
    )


@pytest.fixture(scope="module")
def easy():
    session = simulate_session(3, angles=SHORT_ORBIT)
    return session, solve(session)


def test_sound_exposures_pass_with_their_camera(easy):
    session, calibration = easy
    assert [exposure.status for exposure in calibration.exposures] == ["pass"] * len(SHORT_ORBIT)
    cameras = [exposure.camera for exposure in calibration.exposures]
    in_plane_mm = [session.in_plane_mm(index, camera) for index, camera in enumerate(cameras)]
    assert np.median(in_plane_mm) < 0.1
    assert max(in_plane_mm) < 0.3
    assert np.median([session.rotation_deg(index, camera) for index, camera in enumerate(cameras)]) < 0.15


def test_what_it_reports_fits_what_it_did(easy):
    session, calibration = easy
    for index, exposure in enumerate(calibration.exposures):
        used = [ball for ball in exposure.balls if ball.used]
        assert len(used) == exposure.balls_used
        residuals = [np.subtract(ball.detected_px, ball.reprojected_px) for ball in used]
        assert exposure.rms_px == pytest.approx(np.sqrt(np.mean(np.sum(np.square(residuals), axis=1))), rel=1e-6)
        left_out = [np.subtract(ball.detected_px, ball.left_out_px) for ball in used]
        assert np.sum(np.square(left_out)) > np.sum(np.square(residuals))
        for ball in exposure.balls:
            wanted = exposure.camera.project(calibration.balls_world[ball.ball_id])
            np.testing.assert_allclose(ball.reprojected_px, wanted, atol=1e-6)
        # Each match is the right one.
        true = session.cameras[index].project([session.balls_world[ball.ball_id] for ball in used])
        np.testing.assert_allclose([ball.detected_px for ball in used], true, atol=3.0)
        nominal, found = np.array(exposure.nominal_angles_deg), np.array(exposure.angles_deg)
        assert np.abs((found - nominal + 180) % 360 - 180).max() < 35
    # The patient was turned by 15 degrees; the common part of the read-out error cannot be told from that.
    assert 5 < calibration.notes["common_rotation_deg"] < 25


def test_result_survives_the_file(easy, tmp_path):
    _, calibration = easy
    write_calibration(calibration, tmp_path)
    again = read_calibration(tmp_path)
    assert [exposure.status for exposure in again.exposures] == [exposure.status for exposure in calibration.exposures]
    assert again.exposures[0].camera.allclose(calibration.exposures[0].camera)
    assert again.notes == calibration.notes


def test_intensifier_is_calibrated_with_its_distortion():
    session = simulate_session(3, INTENSIFIER, SHORT_ORBIT, distortion=True)
    calibration = solve(session, CalibrationSettings(distortion="intensifier"))
    kept = [(i, exposure) for i, exposure in enumerate(calibration.exposures) if exposure.camera is not None]
    assert len(kept) >= len(SHORT_ORBIT) - 1
    errors_mm = [session.in_plane_mm(i, e.camera, Distortion.from_record(e.distortion)) for i, e in kept]
    assert np.median(errors_mm) < 0.2
    # Without the model the same session must not look sound.
    plain = solve(session)
    assert sum(exposure.status == "pass" for exposure in plain.exposures) == 0
    assert any("image intensifier" in exposure.reason for exposure in plain.exposures)


def test_shared_intrinsics_are_alike_in_all_exposures():
    session = simulate_session(6, angles=SHORT_ORBIT[:6], sag=False)
    calibration = solve(session, CalibrationSettings(intrinsics="shared"))
    matrices = np.array([exposure.camera.pixel_from_camera for exposure in calibration.exposures if exposure.camera])
    assert np.ptp(matrices, axis=0).max() < 0.2
    errors = [session.in_plane_mm(i, exposure.camera) for i, exposure in enumerate(calibration.exposures)]
    assert np.median(errors) < 0.1


def test_bad_exposures_are_refused_with_their_reason_and_harm_no_other():
    session = simulate_session(3, angles=SHORT_ORBIT)
    stranger = simulate_session(99, angles=SHORT_ORBIT)
    seen = session.observations
    width = PANEL.width
    seen[1] = replace(stranger.observations[1], exposure_id=seen[1].exposure_id)
    seen[2] = replace(seen[2], points_px=seen[2].points_px * [-1, 1] + [width - 1, 0])
    seen[3] = replace(seen[0], exposure_id=seen[3].exposure_id, nominal_camera=seen[3].nominal_camera)
    seen[4] = replace(seen[4], saturated=True)
    seen[5] = chosen(seen[5], slice(0, 3))
    seen[6] = replace(seen[6], nominal_camera=PANEL.camera(SHORT_ORBIT[6][0] + 17.0, 0.0))
    calibration = solve(session)
    by_row = calibration.exposures
    assert (by_row[1].status, by_row[1].camera) == ("fail", None)
    assert "another specimen" in by_row[1].reason
    assert by_row[2].status == "warn"
    assert "left and right swapped" in by_row[2].reason
    assert by_row[2].camera.is_mirrored
    flipped = session.cameras[2].flipped_horizontally()
    session.cameras[2] = flipped
    assert session.in_plane_mm(2, by_row[2].camera) < 0.3
    assert by_row[3].status == "fail"
    assert by_row[3].reason == "the same image as shot-000"
    assert by_row[4].status == "warn"
    assert "black or white" in by_row[4].reason
    assert by_row[5].status == "fail"
    assert by_row[5].reason == "only 3 balls found"
    assert by_row[6].status == "warn"
    assert "against header and session" in by_row[6].reason
    for index in (0, 6, 7, 8, 9, 10, 11):
        assert session.in_plane_mm(index, by_row[index].camera) < 0.3
        assert by_row[index].status == ("warn" if index == 6 else "pass")
    assert calibration.notes["mirrored"] == ["shot-002"]


def test_a_session_of_another_specimen_is_refused_whole():
    session = simulate_session(3, angles=SHORT_ORBIT[:2])
    session.balls_world = simulate_session(99, angles=SHORT_ORBIT[:1]).balls_world
    calibration = solve(session)
    assert {exposure.status for exposure in calibration.exposures} == {"fail"}


def test_a_session_that_is_swapped_throughout_is_found_and_said():
    session = simulate_session(3, angles=SHORT_ORBIT[:2])
    session.observations = [
        replace(seen, points_px=seen.points_px * [-1, 1] + [PANEL.width - 1, 0]) for seen in session.observations
    ]
    calibration = solve(session)
    for index, exposure in enumerate(calibration.exposures):
        assert exposure.status == "warn"
        assert "left and right swapped" in exposure.reason
        session.cameras[index] = session.cameras[index].flipped_horizontally()
        assert session.in_plane_mm(index, exposure.camera) < 0.3


def test_balls_in_one_plane_do_not_pass():
    session = simulate_session(3, angles=SHORT_ORBIT[:6], hidden=0.0, false_detections=0, noise_px=0.1)
    balls = np.array(list(session.balls_world.values()))
    flat = balls * [1, 0, 1] + [0, balls[:, 1].mean(), 0]
    session.balls_world = dict(zip(session.balls_world, flat, strict=True))
    for index, seen in enumerate(session.observations):
        pixels = session.cameras[index].project(flat)
        pixels = pixels[(np.abs(pixels - 487.5) < 487).all(axis=1)]
        count = len(pixels)
        session.observations[index] = replace(
            seen, points_px=pixels, sigmas_px=np.full(count, 0.1), radii_px=np.full(count, 3.0)
        )
    assert all(exposure.status != "pass" for exposure in solve(session).exposures)


def test_a_false_and_a_moved_ball_in_the_ct_do_not_spoil_the_rest():
    session = simulate_session(8, angles=SHORT_ORBIT[::2])
    session.balls_world["ball-00"] = session.balls_world["ball-00"] + [25.0, -30.0, 10.0]
    session.balls_world["ball-01"] = session.balls_world["ball-01"] + [1.0, 1.0, -1.0]
    calibration = solve(session)
    sound = [i for i, exposure in enumerate(calibration.exposures) if exposure.status == "pass"]
    assert len(sound) >= 4
    assert np.median([session.in_plane_mm(i, calibration.exposures[i].camera) for i in sound]) < 0.15
    assert "ball-00" in calibration.notes["balls_never_used"]


def test_hard_exposures_are_right_or_refused():
    seed = 31
    session = simulate_session(
        seed, angles=SHORT_ORBIT, noise_px=0.4, hidden=0.3, false_detections=15, isocenter_mm=100.0
    )
    rng = np.random.default_rng(seed)
    for index in range(0, len(SHORT_ORBIT), 2):
        seen = session.observations[index]
        if index % 4:
            turned = PANEL.camera(SHORT_ORBIT[index][0] + rng.choice([-8, 8]), SHORT_ORBIT[index][1])
            session.observations[index] = replace(seen, nominal_camera=turned)
        else:
            session.observations[index] = chosen(seen, seen.points_px[:, 0] > 487)
    calibration = solve(session)
    for index, exposure in enumerate(calibration.exposures):
        if exposure.status == "pass":
            assert session.in_plane_mm(index, exposure.camera) < 1.0
        if exposure.status == "warn":
            assert session.in_plane_mm(index, exposure.camera) < 10.0
        assert (exposure.status == "pass") == (exposure.reason == "")
    assert sum(exposure.camera is not None for exposure in calibration.exposures) >= 6


def test_one_exposure_alone_is_calibrated():
    session = simulate_session(3, angles=[(20.0, 0.0)])
    (exposure,) = solve(session).exposures
    assert exposure.status == "pass"
    assert session.in_plane_mm(0, exposure.camera) < 0.3


def test_an_image_without_balls_is_refused():
    session = simulate_session(3, angles=[(20.0, 0.0)])
    empty = chosen(session.observations[0], slice(0, 0))
    session.observations = [empty, replace(empty, exposure_id="again")]
    assert [exposure.reason for exposure in solve(session).exposures] == ["only 0 balls found"] * 2


def test_bad_input_is_refused():
    session = simulate_session(3, angles=[(20.0, 0.0)])
    (seen,) = session.observations

    def attempt(observations=(seen,), balls=session.balls_world, sigma_mm=0.1):
        calibrate(observations, balls, sigma_mm, SETTINGS, "toy", True)

    with pytest.raises(InputError, match="shot-000 twice"):
        attempt([seen, seen])
    with pytest.raises(InputError, match="at least 4"):
        attempt(balls=dict(list(session.balls_world.items())[:3]))
    with pytest.raises(InputError, match="ball-00"):
        attempt(balls={**session.balls_world, "ball-00": np.array([0.0, np.nan, 0.0])})
    with pytest.raises(InputError, match="positive number"):
        attempt(sigma_mm=0.0)
    with pytest.raises(InputError, match="one for each ball"):
        attempt(sigma_mm=np.full(3, 0.1))
    with pytest.raises(InputError, match="unlike length"):
        attempt([replace(seen, sigmas_px=seen.sigmas_px[1:])])
    with pytest.raises(InputError, match="not finite"):
        attempt([replace(seen, points_px=seen.points_px * np.nan)])
