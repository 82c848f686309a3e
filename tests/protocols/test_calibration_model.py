"""The model, its derivatives, the reduced solver, and the proof: each against plain numbers."""

from dataclasses import replace

import numpy as np
import pytest

import ball_sessions
from drrkit.errors import InputError
from drrkit.geometry import rigid
from protocols.calibration.bundle import Matches, adjust
from protocols.calibration.model import BLOCK, SessionState, predict
from protocols.calibration.priors import priors
from protocols.calibration.proof import flatness, prove
from protocols.calibration.reduced import reduce_system
from protocols.calibration.settings import CalibrationSettings

ANGLES = [(-60.0, 0.0), (0.0, 10.0), (45.0, 0.0)]


def some_state(distorted: bool, mirrored: bool = False) -> tuple[SessionState, ball_sessions.Session]:
    session = ball_sessions.simulate_session(5, angles=ANGLES, hidden=0.0, false_detections=0, sag=False)
    cameras = [camera.flipped_horizontally() if mirrored else camera for camera in session.cameras]
    balls = np.array(list(session.balls_world.values()))
    middle = balls.mean(axis=0)
    rng = np.random.default_rng(2)
    state = SessionState(
        nominal=tuple(cameras),
        rotations=np.array([camera.camera_from_world[:3, :3] for camera in cameras]),
        middles=np.array([rigid.apply(camera.camera_from_world, middle) for camera in cameras]),
        middle_world=middle,
        intrinsics=rng.normal(0, 0.003, (3, 3)) * [1, 500, 500],
        bends=rng.normal(0, 0.01, (3, 3)) * distorted,
        balls=balls,
        shared=np.array([0.05, 0.01, -0.004]) * distorted,
        distorted=distorted,
    )
    return state, session


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("distorted", [False, True])
def test_prediction_is_what_camera_and_distortion_say(distorted, mirrored):
    state, _ = some_state(distorted, mirrored)
    for exposure in range(3):
        pixels = predict(state, np.full(len(state.balls), exposure), state.balls).pixels
        wanted = state.camera(exposure).project(state.balls)
        if distorted:
            wanted = state.distortion(exposure).distorted_from_ideal(wanted)
        near = np.linalg.norm(wanted - 487.5, axis=1) < 700
        assert near.sum() > 8
        np.testing.assert_allclose(pixels[near], wanted[near], atol=1e-6)


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("distorted", [False, True])
def test_derivatives_are_those_of_the_prediction(distorted, mirrored):
    state, _ = some_state(distorted, mirrored)
    ball, exposure = 3, 1
    count = len(state.nominal) * BLOCK
    size = count + 3 * len(state.balls) + 3

    def pixel(parameter: int, step: float) -> np.ndarray:
        move = np.zeros(size)
        move[parameter] = step
        moved = state.moved(move)
        return predict(moved, np.array([exposure]), moved.balls[[ball]]).pixels[0]

    prediction = predict(state, np.array([exposure]), state.balls[[ball]])
    groups = [(exposure * BLOCK, prediction.by_exposure[0]), (count + 3 * ball, prediction.by_ball[0])]
    groups.append((size - 3, prediction.by_shared[0]))
    for start, slopes in groups:
        for column in range(slopes.shape[1] if distorted else min(slopes.shape[1], 9)):
            if start == size - 3 and not distorted:
                continue
            numeric = (pixel(start + column, 1e-6) - pixel(start + column, -1e-6)) / 2e-6
            np.testing.assert_allclose(slopes[:, column], numeric, rtol=1e-4, atol=1e-3)


def test_mirrored_tube_shows_the_mirrored_image():
    plain, _ = some_state(True)
    mirrored, _ = some_state(True, mirrored=True)
    exposures = np.full(len(plain.balls), 2)
    width = plain.nominal[0].width
    u, v = predict(plain, exposures, plain.balls).pixels.T
    np.testing.assert_allclose(
        predict(mirrored, exposures, plain.balls).pixels, np.stack([width - 1 - u, v], axis=1), atol=1e-6
    )


def test_reduced_system_solves_and_inverts_like_the_whole():
    rng = np.random.default_rng(0)
    exposures, block, tail = 4, 9, 11
    size = exposures * block + tail
    slopes = np.zeros((exposures * 30, size))
    for exposure in range(exposures):
        rows = slice(exposure * 30, exposure * 30 + 30)
        slopes[rows, exposure * block : (exposure + 1) * block] = rng.normal(size=(30, block))
    slopes[:, -tail:] = rng.normal(size=(exposures * 30, tail))
    normal, right = slopes.T @ slopes, rng.normal(size=size)
    pose = np.arange(exposures)[:, None] * block + np.arange(6)
    rest = np.setdiff1d(np.arange(size), pose.ravel())
    system = reduce_system(normal, pose, rest)
    np.testing.assert_allclose(system.solve(right), np.linalg.solve(normal, right), atol=1e-10)
    np.testing.assert_allclose(system.inverse(size), np.linalg.inv(normal), atol=1e-10)
    with pytest.raises(InputError, match="singular"):
        reduce_system(normal - 40 * np.diag(np.isin(np.arange(size), rest)), pose, rest)


def test_left_out_residuals_are_those_of_a_refit_without_the_ball():
    state, session = some_state(False)
    settings = CalibrationSettings()
    rng = np.random.default_rng(1)
    rows = [
        (exposure, ball)
        for exposure in range(3)
        for ball in np.flatnonzero(
            (np.abs(session.cameras[exposure].project(state.balls) - 487.5) < 487).all(axis=1)
        ).tolist()
    ]
    exposures, balls = np.array(rows).T
    points = predict(state, exposures, state.balls[balls]).pixels + rng.normal(0, 0.2, (len(rows), 2))
    matches = Matches(exposures, balls, points, np.full(len(rows), 0.2))
    known = priors(state.nominal, np.full(len(state.balls), 0.1), settings)
    # A loss that is nearly quadratic: then the weights do not change when one ball goes.
    adjustment = adjust(state, matches, state.balls, known, robust_sigmas=100.0)
    proof = prove(adjustment, matches, 1, 622.0)
    for row, left_out in list(zip(proof.rows, proof.left_out_px, strict=True))[:3]:
        kept = np.arange(len(rows)) != row
        fewer = Matches(exposures[kept], balls[kept], points[kept], matches.sigmas_px[kept])
        refit = adjust(state, fewer, state.balls, known, robust_sigmas=100.0).state
        wanted = predict(refit, np.array([1]), refit.balls[[balls[row]]]).pixels[0]
        np.testing.assert_allclose(left_out, wanted, atol=0.01)
        # And it is farther off than the ball that was fitted.
        assert np.linalg.norm(left_out - points[row]) > np.linalg.norm(adjustment.residuals_px[row])


def test_sigmas_foretell_the_errors():
    state, _ = some_state(False)
    settings = CalibrationSettings()
    exposures = np.repeat(np.arange(3), len(state.balls))
    balls = np.tile(np.arange(len(state.balls)), 3)
    truth = predict(state, exposures, state.balls[balls]).pixels
    known = priors(state.nominal, np.full(len(state.balls), 0.1), settings)
    rng = np.random.default_rng(3)
    start = replace(state, intrinsics=np.zeros((3, 3)))
    errors, sigmas = [], []
    for _ in range(12):
        shaken = state.balls + rng.normal(0, 0.1, state.balls.shape)
        matches = Matches(exposures, balls, truth + rng.normal(0, 0.2, truth.shape), np.full(len(truth), 0.2))
        found = adjust(replace(start, balls=shaken), matches, shaken, known, settings.robust_sigmas)
        proof = prove(found, matches, 1, 622.0)
        true, estimated = (s.camera(1).project(state.middle_world) for s in (state, found.state))
        errors.append(np.linalg.norm(true - estimated) * 622.0 / state.lenses[1, 0])
        sigmas.append(proof.sigma_in_plane_mm)
    # Length of a two-dimensional error against the larger of two sigmas.
    assert 0.5 < np.sqrt(np.mean(np.square(errors))) / np.mean(sigmas) < 1.7


def test_flatness_of_lines_planes_and_clouds():
    rng = np.random.default_rng(0)
    cloud = rng.normal(size=(12, 3))
    assert flatness(cloud) > 0.3
    assert flatness(cloud * [1, 1, 0]) < 1e-9
    assert flatness(cloud[:3]) == 0.0
