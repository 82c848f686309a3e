"""What is known before any ball is seen: how far machine and CT may be off, as precision matrices."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from drrkit.geometry.camera import Camera
from protocols.calibration.settings import CalibrationSettings, Drift

# With shared intrinsics, exposures may still differ by this share of the session's sigma: numerically alike.
_ALIKE = 1e-3


@dataclass(frozen=True, eq=False)
class Priors:
    """Precision matrices (inverse covariances) of the parameters.

    Args:
        focal: (E, E) of the log focal lengths.
        center_px: (E, E) of either coordinate of the principal points.
        twist: (E, E) of the twists.
        decentering: (E, E) of either coordinate of the decenterings.
        shared: (3,) of the shared distortion terms, a diagonal.
        ball_sigmas_mm: (M,) standard deviation of each ball's coordinates in the CT.
    """

    focal: Float[np.ndarray, "e e"]
    center_px: Float[np.ndarray, "e e"]
    twist: Float[np.ndarray, "e e"]
    decentering: Float[np.ndarray, "e e"]
    shared: Float[np.ndarray, " 3"]
    ball_sigmas_mm: Float[np.ndarray, " m"]


def priors(
    nominal: tuple[Camera, ...], ball_sigmas_mm: Float[np.ndarray, " m"], settings: CalibrationSettings
) -> Priors:
    """Turn settings into precision matrices for these exposures."""
    directions = np.array([camera.view_direction_world for camera in nominal]).reshape(-1, 3)
    # By chords, not arcs: along arcs around a whole sphere this would be no covariance any more.
    chords = np.linalg.norm(directions[:, None] - directions[None], axis=2)
    alike = np.exp(-0.5 * (chords / np.radians(settings.drift_correlation_deg)) ** 2)

    def precision(drift: Drift, shared: bool) -> Float[np.ndarray, "e e"]:
        session = max(drift.session, 1e-9) ** 2 * np.ones_like(alike)
        if shared:
            covariance = session + (_ALIKE * max(drift.session, 1e-9)) ** 2 * np.eye(len(alike))
        else:
            single = max(drift.single, _ALIKE * max(drift.session, drift.smooth, 1e-9))
            covariance = session + drift.smooth**2 * alike + single**2 * np.eye(len(alike))
        inverse = np.linalg.inv(covariance)
        return (inverse + inverse.T) / 2

    is_shared = settings.intrinsics == "shared"
    stretch = settings.pincushion
    sigmas = np.array([stretch, 0.5 * stretch, 0.5 * max(settings.twist.session, 1e-6)])
    return Priors(
        focal=precision(settings.focal, is_shared),
        center_px=precision(settings.principal_point_px, is_shared),
        twist=precision(settings.twist, False),
        decentering=precision(settings.decentering, False),
        shared=sigmas**-2,
        ball_sigmas_mm=ball_sigmas_mm,
    )
