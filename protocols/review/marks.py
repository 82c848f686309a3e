"""Balls on the page: from the image as it was taken to the image of the pair."""

from typing import Any

import numpy as np
from jaxtyping import Float

from drrkit.errors import InputError
from drrkit.geometry.camera import Camera
from protocols.calibration.result import ExposureCalibration
from protocols.undistort import Distortion

# Two focal spots farther apart than this are not one exposure: the pairs are older than the calibration.
SAME_SOURCE_MM = 0.01


def pair_from_ideal(calibrated: Camera, pair: Camera, where: object) -> Float[np.ndarray, "3 3"]:
    """Map pixels of the undistorted image to pixels of the pair's image.

    The two are images of the same rays, so the focal spot is one and the map a homography; crop, resize and flips are
    cases of it.

    Raises:
        InputError: Cameras of different focal spots.
    """
    apart_mm = float(np.linalg.norm(calibrated.source_world - pair.source_world))
    if apart_mm > SAME_SOURCE_MM:
        raise InputError(
            where,
            f"a focal spot {apart_mm:.2f} mm from the calibrated one",
            "pairs made from this calibration (run drrkit acquisition pair again)",
        )
    turn = pair.camera_from_world[:3, :3] @ calibrated.camera_from_world[:3, :3].T
    return pair.pixel_from_camera @ turn @ np.linalg.inv(calibrated.pixel_from_camera)


def ball_marks(exposure: ExposureCalibration, pair: Camera, where: object) -> list[dict[str, Any]]:
    """List the balls of one exposure in pixels of the pair's image.

    Args:
        exposure: With its camera.
        pair: Camera of the image that is shown.
        where: The pair's camera, for messages.

    Returns:
        For each ball ``id``, ``used``, ``detected`` (u, v) or None, ``expected`` (u, v), whether that was
        ``left_out``, and ``residual_px`` in the image as it was taken, or None without a detection.

    Raises:
        InputError: No camera, cameras of different focal spots, or a distortion that cannot be undone.
    """
    if exposure.camera is None:
        raise InputError(where, f"a pair of {exposure.exposure_id}, which has no camera", "pairs of this calibration")
    homography = pair_from_ideal(exposure.camera, pair, where)
    distortion = None
    if exposure.distortion is not None:
        distortion = Distortion.from_record(exposure.distortion, f"distortion of {exposure.exposure_id}")

    def shown(point_px: tuple[float, float]) -> list[float]:
        ideal = np.asarray(point_px) if distortion is None else distortion.ideal_from_distorted([point_px])[0]
        u, v, w = homography @ [*ideal, 1.0]
        return [round(float(u / w), 3), round(float(v / w), 3)]

    marks = []
    for ball in exposure.balls:
        expected_px = ball.reprojected_px if ball.left_out_px is None else ball.left_out_px
        residual_px = None if ball.detected_px is None else float(np.hypot(*np.subtract(ball.detected_px, expected_px)))
        marks.append(
            {
                "id": ball.ball_id,
                "used": ball.used,
                "detected": None if ball.detected_px is None else shown(ball.detected_px),
                "expected": shown(expected_px),
                "left_out": ball.left_out_px is not None,
                "residual_px": None if residual_px is None else round(residual_px, 3),
            }
        )
    return marks
