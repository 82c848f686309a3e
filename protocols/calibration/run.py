"""A whole acquisition from files to cameras: find the balls in the CT and in every X-ray, then solve."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from drrkit.errors import InputError
from drrkit.geometry.camera import Camera
from drrkit.io.ct import read_volume
from protocols.acquisition import Acquisition, Exposure, read_exposure
from protocols.beads.ct import CtBall, find_ct_balls
from protocols.beads.xray import find_xray_balls
from protocols.calibration.result import Observation, SessionCalibration
from protocols.calibration.settings import CalibrationSettings
from protocols.calibration.solve import calibrate

# The isocenter's depth is where balls are expected; anywhere in the patient their shadows stay within these factors.
RADIUS_RANGE = (0.75, 1.4)


def calibrate_acquisition(
    acquisition: Acquisition,
    settings: CalibrationSettings,
    on_exposure: Callable[[str], None] = lambda exposure_id: None,
    workers: int | None = None,
) -> SessionCalibration:
    """Calibrate every exposure that is not excluded.

    Args:
        acquisition: The session.
        settings: How.
        on_exposure: Called with the exposure id when its balls were looked for.
        workers: Images at a time; None for one on each processor.

    Raises:
        InputError: Files that cannot be read, no balls in the CT, or an exposure without a nominal camera.
    """
    balls, observations = find_balls(acquisition, on_exposure, workers)
    return solve(acquisition, balls, observations, settings)


def find_balls(
    acquisition: Acquisition,
    on_exposure: Callable[[str], None] = lambda exposure_id: None,
    workers: int | None = None,
) -> tuple[list[CtBall], list[Observation]]:
    """Find the balls of the CT, head to foot, and those of every exposure that is not excluded.

    Raises:
        InputError: As :func:`calibrate_acquisition`.
    """
    exposures = [exposure for exposure in acquisition.exposures if not exposure.excluded]
    silent = [exposure for exposure in exposures if exposure.nominal_camera is None]
    if silent:
        raise InputError(
            f"acquisition {acquisition.acquisition_id}, exposure {silent[0].exposure_id}",
            f"no {', no '.join(silent[0].missing)}",
            "the numbers in acquisition.yaml, sections device and xrays (see drrkit acquisition check)",
        )
    volume = read_volume(acquisition.ct_path, acquisition.labels_path, acquisition.label_scheme)
    balls = find_ct_balls(volume, acquisition.balls.diameter_mm, acquisition.balls.count)
    with ThreadPoolExecutor(workers or os.cpu_count()) as pool:
        observations = []
        for observation in pool.map(lambda exposure: observe(acquisition, exposure), exposures):
            on_exposure(observation.exposure_id)
            observations.append(observation)
    return balls, observations


def solve(
    acquisition: Acquisition, balls: list[CtBall], observations: list[Observation], settings: CalibrationSettings
) -> SessionCalibration:
    """Solve for the cameras of an acquisition, given what :func:`find_balls` found."""
    return calibrate(
        observations,
        named_balls(balls),
        np.hypot([ball.sigma_mm for ball in balls], settings.ball_shift_mm),
        settings_for(acquisition, settings),
        acquisition.acquisition_id,
        acquisition.simulated,
    )


def settings_for(acquisition: Acquisition, settings: CalibrationSettings) -> CalibrationSettings:
    """Return the settings with what acquisition.yaml says about its own device."""
    device = acquisition.device
    distortion = "intensifier" if device.detector == "image_intensifier" else "none"
    return settings.model_copy(update={"intrinsics": device.intrinsics, "distortion": distortion})


def named_balls(balls: list[CtBall]) -> dict[str, tuple[float, float, float]]:
    """Name balls b01, b02, ... in the order given."""
    return {
        f"b{number:02d}": (float(ball.center_world[0]), float(ball.center_world[1]), float(ball.center_world[2]))
        for number, ball in enumerate(balls, start=1)
    }


def observe(acquisition: Acquisition, exposure: Exposure) -> Observation:
    """Look for balls in one exposure."""
    if exposure.nominal_camera is None:
        raise InputError(f"exposure {exposure.exposure_id}", "no nominal camera", "one, to know how large balls appear")
    found = find_xray_balls(
        read_exposure(acquisition, exposure), expected_radius_px(exposure.nominal_camera, acquisition.balls.diameter_mm)
    )
    return Observation(
        exposure_id=exposure.exposure_id,
        nominal_camera=exposure.nominal_camera,
        points_px=found.centers_px,
        sigmas_px=found.sigmas_px,
        radii_px=found.radii_px,
        saturated=found.saturated,
    )


def expected_radius_px(nominal_camera: Camera, diameter_mm: float) -> tuple[float, float]:
    """Return how small and how large the shadow of a ball may be."""
    isocenter_depth_mm = float(nominal_camera.depth_mm(np.zeros(3)))
    radius_px = nominal_camera.focal_px * diameter_mm / 2 / isocenter_depth_mm
    return RADIUS_RANGE[0] * radius_px, RADIUS_RANGE[1] * radius_px
