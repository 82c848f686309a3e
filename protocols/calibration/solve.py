"""From ball centers to cameras: search, bundle adjustment, a second look at the failures, proof, verdict."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from drrkit.errors import InputError
from drrkit.geometry import rigid
from drrkit.geometry.carm import angles_from_camera
from protocols.calibration.bundle import Adjustment, Matches
from protocols.calibration.chance import log10_false_alarms, near_misses
from protocols.calibration.correspondence import Placement, inside
from protocols.calibration.frame import SessionFrame, session_frame
from protocols.calibration.proof import flatness, prove
from protocols.calibration.result import BallResidual, ExposureCalibration, Observation, SessionCalibration
from protocols.calibration.rounds import Settled, predicted, settle, stands_alone, starting_state
from protocols.calibration.search import Found, search_again, search_session
from protocols.calibration.settings import CalibrationSettings
from protocols.calibration.verdict import Evidence, doubt_session, verdict

_LEAST_BALLS = 4
_SAME_PX = 1e-3


def calibrate(
    observations: Sequence[Observation],
    balls_world: Mapping[str, Any],
    balls_sigma_mm: float | Float[np.ndarray, " m"],
    settings: CalibrationSettings,
    acquisition_id: str,
    simulated: bool,
) -> SessionCalibration:
    """Calibrate all exposures of a session.

    Args:
        observations: Detected balls and nominal cameras, in the order of the acquisition.
        balls_world: (3,) center of each ball of the CT, in world millimeters, by ball id.
        balls_sigma_mm: Standard deviation of these centers, for each coordinate; one number, or one for each ball in
            the order of ``balls_world``.
        settings: Priors, gates and limits.
        acquisition_id: Goes into the result.
        simulated: Whether the session is simulated; goes into the result.

    Returns:
        One entry an exposure, in the same order; refused exposures say why.

    Raises:
        InputError: Fewer than four balls, unusable numbers, or an exposure id twice.
    """
    _check(observations, balls_world)
    ball_ids = tuple(balls_world)
    sigmas_mm = _ball_sigmas(balls_sigma_mm, len(ball_ids))
    balls_ct = np.array([np.asarray(balls_world[ball_id], dtype=np.float64) for ball_id in ball_ids])
    copies = _copies(observations)
    usable = [i for i, seen in enumerate(observations) if len(seen.points_px) >= _LEAST_BALLS and i not in copies]
    found = search_session(observations, balls_ct, settings, usable)
    sure = _sure(found.placements, settings)
    exposures: dict[int, ExposureCalibration] = {}
    final_balls, notes = balls_ct, _empty_notes(len(observations))
    if sure:
        solved = _solve(observations, balls_ct, sigmas_mm, settings, found, sure)
        again = search_again(
            observations, solved.adjustment.state, sure, [i for i in usable if i not in sure], found, settings
        )
        if set(_sure(again.placements, settings)) != set(sure):
            found, sure = again, _sure(again.placements, settings)
            solved = _solve(observations, balls_ct, sigmas_mm, settings, found, sure)
        adjustment, matches, pairs = solved.adjustment, solved.matches, solved.pairs
        headers = [observations[index].nominal_camera for index in sure]
        frame = session_frame(headers, [adjustment.state.camera(row) for row in range(len(sure))], settings)
        for row, index in enumerate(sure):
            exposures[index] = _judged(
                observations[index],
                row,
                adjustment,
                matches,
                pairs[row],
                solved.noise_scale,
                frame,
                found,
                index,
                ball_ids,
                settings,
            )
        exposures = doubt_session(exposures, settings)
        final_balls = adjustment.state.balls
        notes = _notes(solved, frame, balls_ct, ball_ids, observations, sure, found)
    for index, observation in enumerate(observations):
        if index not in exposures:
            exposures[index] = _refused(observation, _why(index, observations, copies, found))
    return SessionCalibration(
        acquisition_id=acquisition_id,
        simulated=simulated,
        balls_world={name: _triple(center) for name, center in zip(ball_ids, final_balls, strict=True)},
        exposures=tuple(exposures[index] for index in range(len(observations))),
        notes=notes,
    )


def _solve(
    observations: Sequence[Observation],
    balls_ct: Float[np.ndarray, "m 3"],
    sigmas_mm: Float[np.ndarray, " m"],
    settings: CalibrationSettings,
    found: Found,
    sure: Sequence[int],
) -> Settled:
    placements = [found.placements[index] for index in sure]
    start = starting_state(
        [_as_found(observations[index], index, found) for index in sure],
        placements,
        balls_ct,
        settings.distortion == "intensifier",
    )
    pairs = [placement.matches for placement in placements]
    return settle(start, [observations[i] for i in sure], pairs, balls_ct, sigmas_mm, settings)


def _judged(
    observation: Observation,
    row: int,
    adjustment: Adjustment,
    matches: Matches,
    pairs: Mapping[int, int],
    noise_scale: float,
    frame: SessionFrame,
    found: Found,
    index: int,
    ball_ids: Sequence[str],
    settings: CalibrationSettings,
) -> ExposureCalibration:
    state = adjustment.state
    camera, distortion = state.camera(row), state.distortion(row)
    isocenter_world = rigid.invert(frame.isocenter_from_world)[:3, 3]
    proof = prove(adjustment, matches, row, max(float(camera.depth_mm(isocenter_world)), 1.0))
    pixels, _ = predicted(adjustment, row, np.arange(len(ball_ids)))
    on_image = inside(camera, pixels)
    countable = on_image & stands_alone(pixels, float(np.median(observation.radii_px)))
    used = matches.balls[proof.rows]
    angle_off_deg, isocenter_off_mm = frame.deviation(observation.nominal_camera, camera)
    residuals_px = np.linalg.norm(adjustment.residuals_px[proof.rows], axis=1)
    evidence = Evidence(
        proof=proof,
        balls_used=len(used),
        balls_on_image=int(countable.sum()),
        log10_chance=log10_false_alarms(
            residuals_px,
            int(on_image.sum()),
            observation.points_px,
            (camera.height, camera.width),
            found.placements[index].search_deg,
            3 if distortion is None else 4,
        ),
        flatness=flatness(state.balls[used]),
        mirrored=index in found.mirrored,
        saturated=observation.saturated,
        angle_off_deg=angle_off_deg,
        isocenter_off_mm=isocenter_off_mm,
        noise_scale=noise_scale * proof.noise_scale,
        near_misses=near_misses(
            pixels[countable & ~np.isin(np.arange(len(ball_ids)), used)],
            np.delete(np.asarray(observation.points_px, dtype=np.float64), sorted(pairs.values()), axis=0),
            settings.near_miss_mm * proof.rms_px / max(proof.rms_mm, 1e-12),
            (camera.height, camera.width),
        ),
    )
    status, reason = verdict(evidence, settings)
    left_out = dict(zip(used.tolist(), proof.left_out_px, strict=True))
    balls = tuple(
        BallResidual(
            ball_id=ball_ids[ball],
            detected_px=_pair(observation.points_px[pairs[ball]]) if ball in left_out else None,
            reprojected_px=_pair(pixels[ball]),
            left_out_px=_pair(left_out[ball]) if ball in left_out else None,
            used=ball in left_out,
        )
        for ball in np.flatnonzero(on_image | np.isin(np.arange(len(ball_ids)), used)).tolist()
    )
    has_fit = len(used) > 0
    return ExposureCalibration(
        exposure_id=observation.exposure_id,
        status=status,
        reason=reason,
        camera=camera,
        balls_found=len(observation.points_px),
        balls_used=len(used),
        rms_px=proof.rms_px if has_fit else None,
        rms_mm=proof.rms_mm if has_fit else None,
        target_error_mm=proof.target_error_mm if has_fit else None,
        sigma_in_plane_mm=proof.sigma_in_plane_mm,
        sigma_along_ray_mm=proof.sigma_along_ray_mm,
        sigma_rotation_deg=proof.sigma_rotation_deg,
        nominal_angles_deg=angles_from_camera(observation.nominal_camera)[:2],
        angles_deg=angles_from_camera(camera)[:2],
        distortion=None if distortion is None else distortion.to_record(),
        balls=balls,
    )


def _refused(observation: Observation, reason: str) -> ExposureCalibration:
    return ExposureCalibration(
        exposure_id=observation.exposure_id,
        status="fail",
        reason=reason,
        camera=None,
        balls_found=len(observation.points_px),
        balls_used=0,
        rms_px=None,
        rms_mm=None,
        target_error_mm=None,
        sigma_in_plane_mm=None,
        sigma_along_ray_mm=None,
        sigma_rotation_deg=None,
        nominal_angles_deg=angles_from_camera(observation.nominal_camera)[:2],
        angles_deg=None,
    )


def _why(index: int, observations: Sequence[Observation], copies: Mapping[int, int], found: Found) -> str:
    observation = observations[index]
    saturated = "; much of the image is black or white" if observation.saturated else ""
    if index in copies:
        return f"the same image as {observations[copies[index]].exposure_id}"
    count = len(observation.points_px)
    if count < _LEAST_BALLS:
        return f"only {count} balls found{saturated}"
    placement = found.placements.get(index)
    best = len(placement.matches) if placement is not None else 0
    return (
        f"no camera fits better than chance ({count} detections, at best {best} fit): another specimen, "
        f"too few balls in the field, or a header that is far off{saturated}"
    )


def _as_found(observation: Observation, index: int, found: Found) -> Observation:
    return replace(observation, nominal_camera=found.placements[index].camera)


def _sure(placements: Mapping[int, Placement], settings: CalibrationSettings) -> list[int]:
    return sorted(
        index for index, placement in placements.items() if placement.log10_chance <= settings.chance_limit_log10
    )


def _copies(observations: Sequence[Observation]) -> dict[int, int]:
    """Exposures whose detections are exactly those of an earlier one."""
    copies: dict[int, int] = {}
    seen: dict[bytes, int] = {}
    for index, observation in enumerate(observations):
        if len(observation.points_px) == 0:
            continue
        points = np.round(np.asarray(observation.points_px, dtype=np.float64) / _SAME_PX).astype(np.int64)
        key = points[np.lexsort(points.T)].tobytes()
        if key in seen:
            copies[index] = seen[key]
        else:
            seen[key] = index
    return copies


def _notes(
    solved: Settled,
    frame: SessionFrame,
    balls_ct: Float[np.ndarray, "m 3"],
    ball_ids: Sequence[str],
    observations: Sequence[Observation],
    sure: Sequence[int],
    found: Found,
) -> dict[str, Any]:
    state, matches = solved.adjustment.state, solved.matches
    moved_mm = np.linalg.norm(state.balls - balls_ct, axis=1)
    seen = np.bincount(matches.balls, minlength=len(ball_ids))
    turn_deg = np.degrees(Rotation.from_matrix(frame.isocenter_from_world[:3, :3]).as_rotvec())
    notes: dict[str, Any] = {
        "exposures": len(observations),
        "exposures_adjusted": len(sure),
        "isocenter_world": rigid.invert(frame.isocenter_from_world)[:3, 3].tolist(),
        "common_rotation_deg": float(np.linalg.norm(turn_deg)),
        "focal_scale_median": float(np.exp(np.median(state.intrinsics[:, 0]))),
        "principal_point_shift_median_px": [float(value) for value in np.median(state.intrinsics[:, 1:], axis=0)],
        "noise_scale": solved.noise_scale,
        "mirrored": [observations[index].exposure_id for index in sorted(found.mirrored) if index in sure],
        "balls_never_used": [name for name, count in zip(ball_ids, seen, strict=True) if count == 0],
        "balls_moved_mm": {name: float(moved) for name, moved in zip(ball_ids, moved_mm, strict=True)},
    }
    if state.distorted:
        notes["distortion_shared_terms"] = [float(term) for term in state.shared]
    return notes


def _empty_notes(exposures: int) -> dict[str, Any]:
    return {"exposures": exposures, "exposures_adjusted": 0}


def _check(observations: Sequence[Observation], balls_world: Mapping[str, Any]) -> None:
    if len(balls_world) < _LEAST_BALLS:
        raise InputError("balls of the CT", len(balls_world), f"at least {_LEAST_BALLS}")
    for ball_id, center in balls_world.items():
        if np.shape(center) != (3,) or not np.isfinite(np.asarray(center, dtype=np.float64)).all():
            raise InputError(f"ball {ball_id}", center, "three finite numbers in millimeters")
    ids = [observation.exposure_id for observation in observations]
    if len(set(ids)) != len(ids):
        twice = sorted({name for name in ids if ids.count(name) > 1})
        raise InputError("exposures", f"{', '.join(twice)} twice", "every exposure once")
    for observation in observations:
        count = len(observation.points_px)
        if np.shape(observation.points_px) != (count, 2) or not (
            np.shape(observation.sigmas_px) == np.shape(observation.radii_px) == (count,)
        ):
            raise InputError(f"exposure {observation.exposure_id}", "arrays of unlike length", "(N, 2), (N,) and (N,)")
        numbers = np.concatenate([np.ravel(observation.points_px), observation.sigmas_px, observation.radii_px])
        if not np.isfinite(numbers).all() or (np.asarray(observation.sigmas_px) <= 0).any():
            raise InputError(f"exposure {observation.exposure_id}", "a detection that is not finite", "finite numbers")


def _ball_sigmas(balls_sigma_mm: float | Float[np.ndarray, " m"], count: int) -> Float[np.ndarray, " m"]:
    sigmas = np.asarray(balls_sigma_mm, dtype=np.float64)
    if sigmas.shape not in ((), (count,)) or not (np.isfinite(sigmas) & (sigmas > 0)).all():
        wanted = f"a positive number of millimeters, or {count} of them, one for each ball"
        raise InputError("balls_sigma_mm", balls_sigma_mm, wanted)
    return np.broadcast_to(sigmas, count).copy()


def _pair(values: Float[np.ndarray, " 2"]) -> tuple[float, float]:
    return float(values[0]), float(values[1])


def _triple(values: Float[np.ndarray, " 3"]) -> tuple[float, float, float]:
    return float(values[0]), float(values[1]), float(values[2])
