"""What calibration knows before and after: observations in, one camera with its proof for each exposure out."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from drrkit.errors import InputError
from drrkit.geometry.camera import Camera
from drrkit.io.store import write_cameras, write_json

CALIBRATION_CONVENTION = "drrkit-calibration/1"
CALIBRATION_NAME = "calibration.json"
CAMERAS_NAME = "cameras.json"

Status = Literal["pass", "warn", "fail"]


@dataclass(frozen=True, eq=False)
class Observation:
    """One exposure as calibration sees it.

    Args:
        exposure_id: Its name in the acquisition.
        nominal_camera: What the header says; its world is LPS with the origin in the isocenter, its angles may be off
            by degrees and its isocenter lies anywhere in the CT.
        points_px: (N, 2) detected ball centers (u, v), false ones among them, in the image as it was taken.
        sigmas_px: (N,) standard deviation of each center.
        radii_px: (N,) apparent radius of each ball.
        saturated: Whether so much of the image is black or white that it cannot be trusted.
    """

    exposure_id: str
    nominal_camera: Camera
    points_px: Float[np.ndarray, "n 2"]
    sigmas_px: Float[np.ndarray, " n"]
    radii_px: Float[np.ndarray, " n"]
    saturated: bool = False


@dataclass(frozen=True)
class BallResidual:
    """One ball in one exposure, in pixels of the image as it was taken.

    ``left_out_px`` is where a camera that was fitted without this ball puts it; None for balls that were not used.
    """

    ball_id: str
    detected_px: tuple[float, float] | None
    reprojected_px: tuple[float, float]
    left_out_px: tuple[float, float] | None
    used: bool


@dataclass(frozen=True, eq=False)
class ExposureCalibration:
    """The camera of one exposure and how far to trust it.

    Millimeters are measured in the patient, at the isocenter's depth; in-plane means parallel to the detector.

    Args:
        exposure_id: Its name in the acquisition.
        status: ``pass`` may train and be measured on, ``warn`` is to be looked at, ``fail`` has no trusted camera.
        reason: Why it is not ``pass``, in words for the lab; empty when it is.
        camera: World is the CT's; pixels are those of the undistorted image. None when nothing was found.
        balls_found: Detections that may be balls.
        balls_used: Detections that were matched to a ball and not rejected.
        rms_px: Root mean square residual of the used balls.
        rms_mm: The same in the patient.
        target_error_mm: Leave-one-ball-out: the median distance in the patient between each used ball and where a
            camera fitted without it puts it, in-plane.
        sigma_in_plane_mm: From the covariance, at the center of the balls.
        sigma_along_ray_mm: The same along the beam.
        sigma_rotation_deg: The largest standard deviation of the rotation.
        nominal_angles_deg: Primary and secondary angle of the header.
        angles_deg: The same of the calibrated camera.
        distortion: Record of :class:`protocols.undistort.Distortion`; None for a detector without distortion.
        balls: One entry for each ball of the CT that falls on the image.
    """

    exposure_id: str
    status: Status
    reason: str
    camera: Camera | None
    balls_found: int
    balls_used: int
    rms_px: float | None
    rms_mm: float | None
    target_error_mm: float | None
    sigma_in_plane_mm: float | None
    sigma_along_ray_mm: float | None
    sigma_rotation_deg: float | None
    nominal_angles_deg: tuple[float, float]
    angles_deg: tuple[float, float] | None
    distortion: Mapping[str, Any] | None = None
    balls: tuple[BallResidual, ...] = ()


@dataclass(frozen=True, eq=False)
class SessionCalibration:
    """All exposures of one acquisition.

    Args:
        acquisition_id: The acquisition.
        simulated: Whether the session is simulated.
        balls_world: Ball centers of the CT by ball id, as bundle adjustment leaves them.
        exposures: In the order of the acquisition.
        notes: What concerns the session as a whole, such as how far the isocenter was off.
    """

    acquisition_id: str
    simulated: bool
    balls_world: Mapping[str, tuple[float, float, float]]
    exposures: tuple[ExposureCalibration, ...]
    notes: Mapping[str, Any] = field(default_factory=dict)


def write_calibration(calibration: SessionCalibration, folder: Path) -> None:
    """Write calibration.json, and cameras.json with the cameras of all exposures that did not fail."""
    exposures = []
    for exposure in calibration.exposures:
        record = {name: value for name, value in vars(exposure).items() if name not in ("camera", "balls")}
        record["camera"] = exposure.camera and exposure.camera.to_record(exposure.exposure_id)
        record["balls"] = [asdict(ball) for ball in exposure.balls]
        exposures.append(record)
    write_json(
        folder / CALIBRATION_NAME,
        {
            "convention": CALIBRATION_CONVENTION,
            "acquisition_id": calibration.acquisition_id,
            "simulated": calibration.simulated,
            "balls_world": dict(calibration.balls_world),
            "notes": dict(calibration.notes),
            "exposures": exposures,
        },
    )
    trusted = {
        exposure.exposure_id: exposure.camera
        for exposure in calibration.exposures
        if exposure.status != "fail" and exposure.camera is not None
    }
    write_cameras(folder / CAMERAS_NAME, trusted)


def read_calibration(folder: Path) -> SessionCalibration:
    """Read what :func:`write_calibration` wrote.

    Raises:
        InputError: No such file, another convention, or a field that is missing or unusable.
    """
    path = folder / CALIBRATION_NAME
    wanted = f"a {CALIBRATION_CONVENTION} file, as drrkit acquisition calibrate writes it"
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise InputError(path, error, wanted) from error
    if not isinstance(content, dict) or content.get("convention") != CALIBRATION_CONVENTION:
        raise InputError(path, "another kind of file", wanted)
    try:
        return SessionCalibration(
            acquisition_id=content["acquisition_id"],
            simulated=content["simulated"],
            balls_world={ball_id: tuple(center) for ball_id, center in content["balls_world"].items()},
            exposures=tuple(_exposure(record, path) for record in content["exposures"]),
            notes=content["notes"],
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(path, f"a field missing or unusable ({error})", wanted) from error


def _exposure(record: dict[str, Any], path: Path) -> ExposureCalibration:
    camera = record["camera"] and Camera.from_record(record["camera"], f"{path}, exposure {record['exposure_id']}")
    balls = tuple(
        BallResidual(
            ball["ball_id"],
            _pair(ball["detected_px"]),
            (ball["reprojected_px"][0], ball["reprojected_px"][1]),
            _pair(ball["left_out_px"]),
            ball["used"],
        )
        for ball in record["balls"]
    )
    angles = {name: _pair(record[name]) for name in ("nominal_angles_deg", "angles_deg")}
    return ExposureCalibration(**{**record, "camera": camera, "balls": balls, **angles})


def _pair(values: list[float] | None) -> tuple[float, float] | None:
    return None if values is None else (values[0], values[1])
