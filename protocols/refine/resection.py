"""Fit a pose to some balls alone, and tell how well they know it."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.optimize import least_squares

from drrkit.errors import InputError
from drrkit.geometry import rigid
from drrkit.geometry.camera import Camera
from protocols.refine.settings import PosePrior
from protocols.refine.twist import camera_from_pivot

# Six numbers of a pose need three points; a fourth tells a wrong solution.
FEWEST_POINTS = 4
# A cloud thinner than this part of its length is a line, about which the pose could turn freely.
THINNEST = 0.02
# Steps of about a pixel each: rotations, shifts across and along the ray.
UNITS = np.array([0.005, 0.005, 0.005, 0.5, 0.5, 5.0])
# Residuals beyond this many pixels count linearly.
ROBUST_FROM_PX = 1.0


@dataclass(frozen=True, eq=False)
class Resection:
    """A pose fitted to balls.

    Args:
        camera: With the intrinsics of the camera it started from.
        prior: Standard deviations of the pose at the balls' center, from the residuals.
    """

    camera: Camera
    prior: PosePrior


def fit_pose(camera: Camera, centers_world: Float[np.ndarray, "n 3"], points_px: Float[np.ndarray, "n 2"]) -> Resection:
    """Fit a camera's pose to balls, from its own pose on, with its intrinsics.

    Args:
        camera: A camera that is nearly right.
        centers_world: (N, 3) balls in the CT.
        points_px: (N, 2) where they were detected.

    Raises:
        InputError: Fewer than four balls, or balls that leave the pose open (all in one line).
    """
    if len(centers_world) < FEWEST_POINTS or points_px.shape != (len(centers_world), 2):
        shapes = f"shapes {centers_world.shape} and {points_px.shape}"
        raise InputError("balls to fit a pose to", shapes, f"(N, 3) and (N, 2), N of at least {FEWEST_POINTS}")
    extents_mm = np.linalg.svd(centers_world - centers_world.mean(axis=0), compute_uv=False)
    if extents_mm[1] < THINNEST * extents_mm[0]:
        raise InputError("balls to fit a pose to", "balls in one line", "balls that surround the spine")
    pivot = camera_from_pivot(camera, centers_world.mean(axis=0))

    def posed(variables: Float[np.ndarray, " 6"]) -> Camera:
        return with_pose(camera, pivot @ rigid.exp(variables * UNITS) @ rigid.invert(pivot) @ camera.camera_from_world)

    def residuals(variables: Float[np.ndarray, " 6"]) -> Float[np.ndarray, " m"]:
        return (posed(variables).project(centers_world) - points_px).ravel()

    fit = least_squares(residuals, np.zeros(6), loss="soft_l1", f_scale=ROBUST_FROM_PX)
    freedom = max(points_px.size - 6, 1)
    variance = float((residuals(fit.x) ** 2).sum()) / freedom
    sigmas = np.sqrt(np.diag(np.linalg.inv(fit.jac.T @ fit.jac)) * max(variance, 1e-12)) * UNITS
    rotation_deg = float(np.degrees(sigmas[:3].max()))
    return Resection(posed(fit.x), PosePrior(float(sigmas[3:5].max()), float(sigmas[5]), rotation_deg))


def with_pose(camera: Camera, camera_from_world: Float[np.ndarray, "4 4"]) -> Camera:
    """The same detector in another place."""
    return Camera(camera.pixel_from_camera, camera_from_world, camera.height, camera.width, camera.pixel_spacing_mm)
