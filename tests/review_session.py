"""A small calibrated session with its folder of pairs, made from any labelled CT: what the review page is written from.

The fluoroscopy is crude (soft tissue, blur, noise, black balls): it is there to be looked at, not to be calibrated.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter

from drrkit.geometry.camera import Camera
from drrkit.geometry.carm import CArm, angles_from_camera
from drrkit.io.store import write_cameras, write_image, write_mask
from drrkit.projection.renderer import prepare, project
from drrkit.projection.silhouette import prepare_levels, project_levels
from drrkit.volume import Volume
from protocols.calibration.result import BallResidual, ExposureCalibration, SessionCalibration
from protocols.undistort import Distortion

DISTORTION = {"pincushion_r2": 0.02, "decentering_u": 0.002, "twist_r2": -0.015}


def make_session(
    volume: Volume,
    folder: Path,
    count: int = 8,
    size_px: int = 256,
    pair_size_px: int | None = None,
    distorted: bool = False,
    failed: tuple[int, ...] = (2,),
    warned: tuple[int, ...] = (4,),
    acquisition_id: str = "toy-session",
    simulated: bool = True,
    distinct: int = 8,
    noise: float = 0.04,
) -> SessionCalibration:
    """Write a pair for every sound exposure and return the calibration.

    Args:
        volume: CT with labels.
        folder: Of the pairs.
        count: Exposures, on an orbit of +-102 degrees.
        size_px: Of the X-rays as they were taken, and of their pairs where ``pair_size_px`` is None.
        pair_size_px: Of the pairs.
        distorted: Whether the X-rays come from an intensifier.
        failed: Numbers of exposures without a camera.
        warned: Numbers of exposures to be looked at.
        acquisition_id: Its name.
        simulated: Whether it says so.
        distinct: How many views are really rendered; the other exposures repeat their pixels, with fresh noise.
        noise: Of the line integrals.
    """
    rng = np.random.default_rng(3)
    middle = np.argwhere(volume.labels > 0).mean(axis=0)[::-1]
    center_world = (volume.world_from_voxel @ [*middle, 1.0])[:3]
    balls = {
        f"b{number:02d}": tuple((center_world + rng.uniform((-60, -50, -75), (60, 60, 75))).tolist())
        for number in range(1, 19)
    }
    carm = CArm(1000.0, 600.0, size_px, size_px, (300.0 / size_px, 300.0 / size_px))
    pair_px = pair_size_px or size_px
    bone, full, labelled = prepare(volume, "bone"), prepare(volume, "full"), prepare_levels(volume)
    rendered: dict[int, tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]] = {}
    exposures, cameras = [], {}
    for number in range(count):
        exposure_id = f"orbit-{number + 1:04d}"
        primary = -102.0 + 204.0 * (number if number < distinct else number % distinct) / max(distinct - 1, 1)
        listed = -102.0 + 204.0 * number / max(count - 1, 1)
        nominal = (round(listed), 0.0)
        if number in failed:
            reason = "only 4 of 18 balls found; 6 are needed"
            blank = (None,) * 6
            exposures.append(ExposureCalibration(exposure_id, "fail", reason, None, 9, 4, *blank, nominal, None))
            continue
        turned = carm.camera(listed + 3 * np.sin(listed / 40), 1.2 * np.cos(listed / 30), isocenter_world=center_world)
        if count <= distinct:
            primary = listed + 3 * np.sin(listed / 40)
        seen = carm.camera(primary, 1.2 * np.cos(listed / 30), isocenter_world=center_world)
        key = number % distinct
        if key not in rendered:
            view = seen.resized(pair_px, pair_px)
            levels = {level: found.mask for level, found in project_levels(labelled, view).items() if found.mask.any()}
            rendered[key] = project(bone, [view])[0], project(full, [view])[0], levels
        camera = seen if count <= distinct else turned
        cameras[exposure_id] = camera.resized(pair_px, pair_px)
        status = "warn" if number in warned else "pass"
        exposures.append(_calibrated(exposure_id, status, camera, nominal, balls, distorted, rng))
        _write_pair(folder, exposure_id, cameras[exposure_id], rendered[key], balls, noise, rng)
    write_cameras(folder / "cameras.json", cameras)
    notes = {"isocenter_off_mm": 23.4, "device": "toy C-arm", "angles_off_deg": [2.1, -0.8]}
    return SessionCalibration(acquisition_id, simulated, balls, tuple(exposures), notes)


def without_exposure(calibration: SessionCalibration, number: int) -> SessionCalibration:
    """Return the same session without one exposure."""
    kept = tuple(exposure for index, exposure in enumerate(calibration.exposures) if index != number)
    return replace(calibration, exposures=kept)


def _calibrated(
    exposure_id: str,
    status: str,
    camera: Camera,
    nominal: tuple[float, float],
    balls: dict[str, tuple[float, float, float]],
    distorted: bool,
    rng: np.random.Generator,
) -> ExposureCalibration:
    half = (camera.width - 1) / 2
    distortion = Distortion((half, half), camera.width / 2, **DISTORTION) if distorted else None
    residuals, errors = [], []
    spread_px = camera.width / 512 * (0.9 if status == "warn" else 0.25)
    for number, (ball_id, world) in enumerate(balls.items()):
        ideal = camera.project(world)
        if not (ideal >= 0).all() or not (ideal <= 2 * half).all():
            continue
        taken = ideal if distortion is None else distortion.distorted_from_ideal(ideal)
        detected = taken + rng.normal(0, spread_px, 2) + (8.0 if number == 5 else 0.0)
        if number == 11:
            residuals.append(BallResidual(ball_id, None, _pair(taken), None, False))
        elif number == 5:
            residuals.append(BallResidual(ball_id, _pair(detected), _pair(taken), None, False))
        else:
            left_out = taken + rng.normal(0, 0.3 * spread_px, 2)
            residuals.append(BallResidual(ball_id, _pair(detected), _pair(taken), _pair(left_out), True))
            errors.append(np.hypot(*(detected - taken)))
    mm_per_px = 0.6 * camera.pixel_spacing_mm[0]
    rms_px = float(np.sqrt(np.mean(np.square(errors))))
    reason = "" if status == "pass" else "the residual of the balls is three times that of its neighbors"
    return ExposureCalibration(
        exposure_id,
        status,
        reason,
        camera,
        len(residuals) + 2,
        len(errors),
        rms_px,
        rms_px * mm_per_px,
        float(np.median(errors)) * mm_per_px * 1.2,
        0.06,
        0.41,
        0.03,
        nominal,
        tuple(angles_from_camera(camera)[:2]),
        distortion and distortion.to_record(),
        tuple(residuals),
    )


def _write_pair(
    folder: Path,
    exposure_id: str,
    camera: Camera,
    rendered: tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]],
    balls: dict[str, tuple[float, float, float]],
    noise: float,
    rng: np.random.Generator,
) -> None:
    bone, full, levels = rendered
    scatter = 0.12 * gaussian_filter(full, camera.width / 12)
    real = 0.8 * full + scatter + gaussian_filter(rng.normal(0, 2 * noise, full.shape), 0.7)
    rows, columns = np.indices(full.shape)
    with_balls = real.copy()
    for u, v in camera.project(list(balls.values())):
        with_balls += 1.5 * (np.hypot(columns - u, rows - v) < camera.width / 100)
    images = {"real": real, "real_with_balls": with_balls, "drr_bone": bone, "drr_full": full}
    for kind, pixels in images.items():
        write_image(folder / kind / f"{exposure_id}.tif", pixels.astype(np.float32))
    # An intensifier would leave a round field; this one shows that the page leaves out what lies beyond it.
    field = np.hypot(columns - (camera.width - 1) / 2, rows - (camera.height - 1) / 2) < 0.66 * camera.width
    write_mask(folder / "fields" / f"{exposure_id}.png", field)
    for level, mask in levels.items():
        write_mask(folder / "masks" / f"{exposure_id}_{level}.png", mask)


def _pair(point: np.ndarray) -> tuple[float, float]:
    return float(point[0]), float(point[1])
