"""How far to trust one exposure's camera: residuals, leave-one-ball-out, and sigmas from the covariance."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from protocols.calibration.bundle import Adjustment, Matches, jacobian
from protocols.calibration.correspondence import field_of, inside
from protocols.calibration.model import BLOCK, predict
from protocols.calibration.rounds import pixel_covariance


@dataclass(frozen=True, eq=False)
class Proof:
    """The evidence of one exposure.

    Args:
        rows: (k,) its rows in the matches.
        left_out_px: (k, 2) where the session, adjusted without this one observation, puts the ball.
        rms_px: Root mean square length of the residuals.
        rms_mm: The same in the patient.
        target_error_mm: Median leave-one-ball-out error in the patient.
        sigma_in_plane_mm: At the cloud's center, the larger of two directions.
        sigma_in_plane_worst_mm: The same at the ball on the image where it is largest.
        sigma_along_ray_mm: Of the depth of the cloud's center.
        sigma_rotation_deg: The largest.
        noise_scale: How much larger the residuals are than the detector's sigmas; at least 1.
    """

    rows: np.ndarray
    left_out_px: Float[np.ndarray, "k 2"]
    rms_px: float
    rms_mm: float
    target_error_mm: float
    sigma_in_plane_mm: float
    sigma_in_plane_worst_mm: float
    sigma_along_ray_mm: float
    sigma_rotation_deg: float
    noise_scale: float


def prove(adjustment: Adjustment, matches: Matches, exposure: int, isocenter_depth_mm: float) -> Proof:
    """Measure one exposure.

    The camera without one ball follows from the full one exactly to first order: with the leverage L of an observation
    on its own prediction, its residual becomes (1 - L)^-1 times as large (Cook and Weisberg 1982, "Residuals and
    influence in regression"). Everything is refitted that way, balls and intrinsics included.

    Args:
        adjustment: The session's adjustment.
        matches: Its matches.
        exposure: Index of the exposure.
        isocenter_depth_mm: Depth at which pixels are turned into millimeters.
    """
    state = adjustment.state
    rows = np.flatnonzero(matches.exposures == exposure)
    residuals = adjustment.residuals_px[rows]
    weights = adjustment.weights[rows] / matches.sigmas_px[rows] ** 2
    both = np.stack([2 * rows, 2 * rows + 1], axis=1).ravel()
    leverage = pixel_covariance(adjustment, adjustment.jacobian[both]) * weights[:, None, None]
    left = np.eye(2) - leverage
    left_out = np.array(
        [np.linalg.pinv(matrix, rcond=1e-6) @ residual for matrix, residual in zip(left, residuals, strict=True)]
    ).reshape(-1, 2)
    focal_px = float(np.abs(state.lenses[exposure, :2]).mean())
    mm_per_px = isocenter_depth_mm / focal_px
    square = (residuals**2).sum(axis=1)
    freedom = max(2 * len(rows) - 6, 1)
    scale = max(adjustment.noise_scale, float(np.sqrt((square * weights).sum() / freedom)))
    points = np.concatenate([state.middle_world[None], state.balls])
    fixed = np.full(len(points), -1)
    exposures = np.full(len(points), exposure)
    prediction = predict(state, exposures, points)
    spread = pixel_covariance(adjustment, jacobian(prediction, exposures, fixed, state))
    seen = inside(state.nominal[exposure], prediction.pixels)
    if state.distorted:
        # Beyond the round field nothing is seen, and the distortion is not known there.
        center_u, center_v, radius_px = field_of(state.nominal[exposure])
        seen &= np.linalg.norm(prediction.pixels - (center_u, center_v), axis=1) <= radius_px
    seen[0] = True
    in_plane_mm = np.sqrt(np.linalg.eigvalsh(np.nan_to_num(spread, nan=1e6))[:, 1].clip(0)) * mm_per_px * scale
    block = adjustment.covariance[exposure * BLOCK : exposure * BLOCK + 6, exposure * BLOCK : exposure * BLOCK + 6]
    rms_px = float(np.sqrt(square.mean())) if len(rows) else float("inf")
    return Proof(
        rows=rows,
        left_out_px=matches.points_px[rows] - left_out,
        rms_px=rms_px,
        rms_mm=rms_px * mm_per_px,
        target_error_mm=float(np.median(np.linalg.norm(left_out, axis=1))) * mm_per_px if len(rows) else float("inf"),
        sigma_in_plane_mm=float(in_plane_mm[0]),
        sigma_in_plane_worst_mm=float(in_plane_mm[seen].max()),
        sigma_along_ray_mm=float(np.sqrt(block[5, 5])) * scale,
        sigma_rotation_deg=float(np.degrees(np.sqrt(np.linalg.eigvalsh(block[:3, :3])[-1]))) * scale,
        noise_scale=scale,
    )


def flatness(balls: Float[np.ndarray, "k 3"]) -> float:
    """Thickness of a cloud as a share of its length: 0 when all balls lie in one plane or in one line."""
    if len(balls) < 4:
        return 0.0
    singular = np.linalg.svd(balls - balls.mean(axis=0), compute_uv=False)
    return float(singular[2] / max(singular[0], 1e-12))
