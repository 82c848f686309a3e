"""Refine the cameras of a whole session, each judged by balls that were kept from it."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from drrkit.errors import InputError
from drrkit.geometry import rigid
from drrkit.geometry.camera import Camera
from drrkit.geometry.carm import angles_from_camera
from drrkit.radiograph import Radiograph
from drrkit.volume import Volume
from protocols.calibration.result import BallResidual, ExposureCalibration, SessionCalibration
from protocols.erase import ball_shadows
from protocols.refine.bones import Bones, prepare_bones
from protocols.refine.refinement import HeldOutBalls, Refinement, refine
from protocols.refine.resection import fit_pose, with_pose
from protocols.refine.settings import PosePrior, RefineSettings
from protocols.refine.twist import camera_from_pivot
from protocols.undistort import Distortion

# Every third ball judges; with fewer than this many in all, too few are left to fit or to judge with.
HOLD_OUT_EVERY = 3
FEWEST_BALLS = 8
# What a covariance cannot know (the balls' own place in the CT, the bone's in the body) limits every camera.
LEAST_SIGMAS = PosePrior(0.1, 0.5, 0.05)
# Around each ball the image is filled in, so its edges do not count.
BALL_REACH_MM = 3.0


@dataclass(frozen=True, eq=False)
class _Balls:
    """The used balls of one exposure, in pixels of the image that is compared, and which of them judge."""

    centers_world: Float[np.ndarray, "n 3"]
    points_px: Float[np.ndarray, "n 2"]
    judging: Bool[np.ndarray, " n"]


def refine_session(
    calibration: SessionCalibration,
    load_image: Callable[[str], Radiograph | None],
    volume: Volume | Bones,
    settings: RefineSettings,
    *,
    load_usable: Callable[[str], Bool[np.ndarray, "h w"] | None] | None = None,
) -> SessionCalibration:
    """Refine every camera that did not fail, and keep what held-out balls do not contradict.

    For each exposure a third of the balls is held out, the pose is fitted to the others alone, and that camera is
    refined: if the held-out balls get worse, the exposure keeps its camera. Otherwise the camera of all balls is
    refined in the same way, and taken if it does no worse on the held-out balls than the camera that never saw them,
    within the tolerance. The prior is the exposure's own covariance, never below ``LEAST_SIGMAS``.

    Args:
        calibration: From the balls.
        load_image: Gives the pair's real image by exposure id (line integrals, undistorted, balls inpainted, its camera
            the calibrated one, cropped or resized at most), or None where there is no pair.
        volume: The CT, or its bone.
        settings: How to refine; its prior stands in where an exposure has no covariance.
        load_usable: Gives (H, W) true where the image may be compared, by exposure id; None for all of it.

    Returns:
        The same session with the kept cameras, their residuals and angles; ``notes["refinement"]`` tells for each
        exposure what was done and why not, and how often.

    Raises:
        InputError: An image that does not belong to its exposure's camera, or that cannot be compared.
    """
    balls_world = np.array(list(calibration.balls_world.values())).reshape(-1, 3)
    bones = prepare_bones(volume, balls_world) if isinstance(volume, Volume) else volume
    exposures, notes = [], {}
    for exposure in calibration.exposures:
        radiograph = None
        if exposure.status != "fail" and exposure.camera is not None:
            radiograph = load_image(exposure.exposure_id)
        if radiograph is None or exposure.camera is None:
            reason = "no trusted camera" if exposure.status == "fail" else "no image"
            exposures.append(exposure)
            notes[exposure.exposure_id] = {"kept": False, "reason": reason}
            continue
        usable = load_usable(exposure.exposure_id) if load_usable else None
        refined, note = _refine_exposure(
            exposure, exposure.camera, radiograph, bones, calibration.balls_world, usable, settings
        )
        exposures.append(refined)
        notes[exposure.exposure_id] = note
    counts = Counter(bool(note["kept"]) for note in notes.values())
    summary = {"kept": counts[True], "not_kept": counts[False], "exposures": notes}
    return replace(calibration, exposures=tuple(exposures), notes={**calibration.notes, "refinement": summary})


def _refine_exposure(
    exposure: ExposureCalibration,
    calibrated: Camera,
    radiograph: Radiograph,
    bones: Bones,
    balls_world: Mapping[str, tuple[float, float, float]],
    usable: Bool[np.ndarray, "h w"] | None,
    settings: RefineSettings,
) -> tuple[ExposureCalibration, dict[str, Any]]:
    camera = _camera_of(radiograph, calibrated, exposure.exposure_id)
    balls = _used_balls(exposure, calibrated, camera, balls_world)
    if len(balls.judging) < FEWEST_BALLS:
        found = f"{len(balls.judging)} balls used, too few to hold some out"
        return exposure, {"kept": False, "reason": found}
    seen = _away_from_balls(camera, np.array(list(balls_world.values())), usable)
    fitting = ~balls.judging
    held_out = HeldOutBalls(balls.centers_world[balls.judging], balls.points_px[balls.judging])
    fewer = fit_pose(camera, balls.centers_world[fitting], balls.points_px[fitting]).camera
    prior = _prior(exposure, settings.prior)
    loose = _scaled(prior, float(np.sqrt(len(fitting) / fitting.sum())))
    trial = refine(radiograph, fewer, bones, held_out, replace(settings, prior=loose), usable=seen)
    if not trial.kept:
        return exposure, _note(trial, False, trial.reason)
    final = refine(radiograph, camera, bones, held_out, replace(settings, prior=prior), usable=seen)
    limit_px = trial.held_out_px_before + settings.held_out_tolerance_px
    if final.similarity_after < final.similarity_before:
        return exposure, _note(trial, False, final.reason)
    if not final.held_out_px_after <= limit_px:
        worse = f"with all balls, {final.held_out_px_after:.2f} px on the held-out ones (at most {limit_px:.2f} px)"
        return exposure, _note(trial, False, worse)
    pose = final.proposed.camera_from_world
    moved = with_pose(calibrated, pose)
    shift = rigid.log(
        rigid.invert(camera_from_pivot(calibrated, bones.center_world))
        @ pose
        @ calibrated.world_from_camera
        @ camera_from_pivot(calibrated, bones.center_world)
    )
    note = _note(trial, True, "") | {
        "turned_deg": float(np.degrees(np.linalg.norm(shift[:3]))),
        "moved_in_plane_mm": float(np.linalg.norm(shift[3:5])),
        "moved_along_ray_mm": float(shift[5]),
    }
    held_out_mm = trial.held_out_px_after * _millimeters(camera, balls.centers_world)
    return _updated(exposure, moved, balls_world, held_out_mm), note


def _camera_of(radiograph: Radiograph, calibrated: Camera, exposure_id: str) -> Camera:
    """The image's own camera, which must be the calibrated one, cropped or resized at most."""
    camera = radiograph.camera or calibrated
    if not np.allclose(camera.camera_from_world, calibrated.camera_from_world, rtol=0, atol=1e-6):
        raise InputError(
            f"image of exposure {exposure_id}",
            "a camera in another pose than the calibrated one",
            "the image that was paired with this calibration (pair again)",
        )
    return camera


def _used_balls(
    exposure: ExposureCalibration,
    calibrated: Camera,
    camera: Camera,
    balls_world: Mapping[str, tuple[float, float, float]],
) -> _Balls:
    used = [ball for ball in exposure.balls if ball.used and ball.detected_px is not None]
    centers = np.array([balls_world[ball.ball_id] for ball in used]).reshape(-1, 3)
    points = np.array([ball.detected_px for ball in used], dtype=np.float64).reshape(-1, 2)
    if exposure.distortion is not None:
        points = Distortion.from_record(exposure.distortion).ideal_from_distorted(points)
    # Same pose, so the two images differ by an affine map.
    image_from_exposure = camera.pixel_from_camera @ np.linalg.inv(calibrated.pixel_from_camera)
    points = points @ image_from_exposure[:2, :2].T + image_from_exposure[:2, 2]
    # Along the longest axis of the cloud every third one judges: both parts span the field.
    judging = np.zeros(len(used), dtype=bool)
    if len(used):
        spread = centers - centers.mean(axis=0)
        order = np.argsort(spread @ np.linalg.svd(spread, full_matrices=False)[2][0])
        judging[order[HOLD_OUT_EVERY // 2 :: HOLD_OUT_EVERY]] = True
    return _Balls(centers, points, judging)


def _prior(exposure: ExposureCalibration, otherwise: PosePrior) -> PosePrior:
    def known(sigma: float | None, fallback: float, least: float) -> float:
        return max(fallback if sigma is None or not np.isfinite(sigma) else sigma, least)

    return PosePrior(
        known(exposure.sigma_in_plane_mm, otherwise.in_plane_mm, LEAST_SIGMAS.in_plane_mm),
        known(exposure.sigma_along_ray_mm, otherwise.along_ray_mm, LEAST_SIGMAS.along_ray_mm),
        known(exposure.sigma_rotation_deg, otherwise.rotation_deg, LEAST_SIGMAS.rotation_deg),
    )


def _scaled(prior: PosePrior, factor: float) -> PosePrior:
    return PosePrior(prior.in_plane_mm * factor, prior.along_ray_mm * factor, prior.rotation_deg * factor)


def _away_from_balls(
    camera: Camera, centers_world: Float[np.ndarray, "n 3"], usable: Bool[np.ndarray, "h w"] | None
) -> Bool[np.ndarray, "h w"]:
    shadows = ball_shadows(camera, centers_world, 2 * BALL_REACH_MM, 0.0)
    return ~shadows if usable is None else usable & ~shadows


def _updated(
    exposure: ExposureCalibration,
    camera: Camera,
    balls_world: Mapping[str, tuple[float, float, float]],
    held_out_mm: float,
) -> ExposureCalibration:
    """Tell the exposure's residuals for its new camera."""
    distortion = None if exposure.distortion is None else Distortion.from_record(exposure.distortion)
    balls, squares = [], []
    for ball in exposure.balls:
        point = camera.project(np.array(balls_world[ball.ball_id]))
        point = point if distortion is None else distortion.distorted_from_ideal(point)
        if ball.used and ball.detected_px is not None:
            squares.append(float(((point - ball.detected_px) ** 2).sum()))
        # No camera was fitted without each single ball this time.
        balls.append(BallResidual(ball.ball_id, ball.detected_px, (float(point[0]), float(point[1])), None, ball.used))
    rms_px = float(np.sqrt(np.mean(squares)))
    centers = np.array(list(balls_world.values()))
    return replace(
        exposure,
        camera=camera,
        rms_px=rms_px,
        rms_mm=rms_px * _millimeters(camera, centers),
        target_error_mm=held_out_mm,
        angles_deg=angles_from_camera(camera)[:2],
        balls=tuple(balls),
    )


def _millimeters(camera: Camera, centers_world: Float[np.ndarray, "n 3"]) -> float:
    """Size of a pixel in the patient, at the middle of the balls."""
    return float(np.median(camera.depth_mm(centers_world)) / camera.focal_px)


def _note(trial: Refinement, kept: bool, reason: str) -> dict[str, Any]:
    return {
        "kept": kept,
        "reason": reason,
        "similarity_before": trial.similarity_before,
        "similarity_after": trial.similarity_after,
        "held_out_px_before": trial.held_out_px_before,
        "held_out_px_after": trial.held_out_px_after,
    }
