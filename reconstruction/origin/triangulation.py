"""One point out of many views' peaks: the point that most views agree on, and those that do not."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from drrkit.geometry.camera import Camera
from reconstruction.origin.isocenter import LEAST_SINE

_REFINEMENTS = 10
_STEP_LIMIT_MM = 1e-4


@dataclass(frozen=True, eq=False)
class Triangulated:
    """A point seen by two views or more.

    Args:
        point_world: (3,) in world millimeters.
        covariance_mm2: (3, 3) from the directions of the views and the spread of peaks.
        residual_px: (V,) distance of each view's nearest peak from the projected point; NaN where it has none.
        used: (V,) whether the view took part; a view with a peak that did not is an outlier.
    """

    point_world: Float[np.ndarray, " 3"]
    covariance_mm2: Float[np.ndarray, "3 3"]
    residual_px: Float[np.ndarray, " v"]
    used: Bool[np.ndarray, " v"]


def triangulate(
    cameras: Sequence[Camera],
    pixels: Float[np.ndarray, "v k 2"],
    masses: Float[np.ndarray, "v k"],
    sigma_px: float,
    outlier_share: float,
    gate_sigmas: float,
) -> Triangulated | None:
    """Find the point that explains the peaks best.

    Every pair of peaks of two views proposes a point; the one under which all views' peaks are most likely wins, where
    a view is a mixture of its peaks and of outliers. It is then moved to the weighted least squares of its inliers.

    Args:
        cameras: Of the views.
        pixels: Peaks of each view.
        masses: Their probabilities; 0 for none.
        sigma_px: Standard deviation of a peak's place.
        outlier_share: Probability of a peak anywhere else.
        gate_sigmas: Views with no peak within this are outliers.

    Returns:
        The point, or None where no two views of different directions agree.
    """
    matrices = np.stack([camera.pixel_from_world for camera in cameras])
    candidates = _candidates(cameras, pixels, masses)
    if not len(candidates):
        return None
    distances_px = np.linalg.norm(_project(matrices, candidates)[:, :, None] - pixels, axis=-1)
    likelihoods = (masses * np.exp(-0.5 * (distances_px / sigma_px) ** 2)).sum(axis=2)
    point = candidates[np.log(outlier_share + likelihoods).sum(axis=1).argmax()]
    used = np.zeros(len(cameras), bool)
    for _ in range(_REFINEMENTS):
        distances_px = np.where(
            masses > 0, np.linalg.norm(_project(matrices, point[None])[0, :, None] - pixels, axis=-1), np.inf
        )
        nearest = distances_px.argmin(axis=1)
        views = np.arange(len(cameras))
        residual_px = distances_px[views, nearest]
        used = residual_px <= gate_sigmas * sigma_px
        if not _differ(cameras, used):
            return None
        seen = pixels[views, nearest][used]
        step, covariance = _refined(matrices[used], point, seen, masses[views, nearest][used], sigma_px)
        point = point + step
        if np.linalg.norm(step) < _STEP_LIMIT_MM:
            break
    return Triangulated(point, covariance, np.where(np.isfinite(residual_px), residual_px, np.nan), used)


def _candidates(
    cameras: Sequence[Camera], pixels: Float[np.ndarray, "v k 2"], masses: Float[np.ndarray, "v k"]
) -> Float[np.ndarray, "n 3"]:
    """Return the middle of the shortest line between the rays of each pair of peaks of two views."""
    rays = np.concatenate([camera.rays(own) for camera, own in zip(cameras, pixels, strict=True)])
    sources = np.repeat([camera.source_world for camera in cameras], pixels.shape[1], axis=0)
    view = np.repeat(np.arange(len(cameras)), pixels.shape[1])
    known = np.flatnonzero(masses.ravel() > 0)
    first, second = (known[index] for index in np.triu_indices(len(known), 1))
    cosine = (rays[first] * rays[second]).sum(axis=1)
    apart = (view[first] != view[second]) & (1 - cosine**2 > LEAST_SINE**2)
    first, second, cosine = first[apart], second[apart], cosine[apart]
    between = sources[second] - sources[first]
    along_first, along_second = ((between * rays[index]).sum(axis=1) for index in (first, second))
    sine2 = 1 - cosine**2
    far_first = (along_first - cosine * along_second) / sine2
    far_second = (cosine * along_first - along_second) / sine2
    ends = sources[first] + far_first[:, None] * rays[first], sources[second] + far_second[:, None] * rays[second]
    return ((ends[0] + ends[1]) / 2)[(far_first > 0) & (far_second > 0)]


def _project(matrices: Float[np.ndarray, "v 3 4"], points: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n v 2"]:
    homogeneous = np.einsum("vij,nj->nvi", matrices[:, :, :3], points) + matrices[:, :, 3]
    return homogeneous[..., :2] / np.maximum(homogeneous[..., 2:], 1e-9)


def _differ(cameras: Sequence[Camera], used: Bool[np.ndarray, " v"]) -> bool:
    directions = np.stack([camera.view_direction_world for camera in cameras])[used]
    return len(directions) > 1 and bool((1 - (directions @ directions.T) ** 2).max() > LEAST_SINE**2)


def _refined(
    matrices: Float[np.ndarray, "v 3 4"],
    point: Float[np.ndarray, " 3"],
    pixels: Float[np.ndarray, "v 2"],
    masses: Float[np.ndarray, " v"],
    sigma_px: float,
) -> tuple[Float[np.ndarray, " 3"], Float[np.ndarray, "3 3"]]:
    """Take one Gauss-Newton step; peaks count by their probability."""
    homogeneous = matrices[:, :, :3] @ point + matrices[:, :, 3]
    seen, depth = homogeneous[:, :2] / homogeneous[:, 2:], homogeneous[:, 2]
    # d(u, v)/dx = (P_12 - (u, v) P_3) / depth
    jacobian = (matrices[:, :2, :3] - seen[:, :, None] * matrices[:, 2:, :3]) / depth[:, None, None]
    weights = masses / sigma_px**2
    information = np.einsum("v,vij,vik->jk", weights, jacobian, jacobian)
    gradient = np.einsum("v,vij,vi->j", weights, jacobian, pixels - seen)
    return np.linalg.solve(information, gradient), np.linalg.inv(information)
