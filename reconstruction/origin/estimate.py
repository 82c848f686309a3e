"""Where the grid goes, from calibrated X-rays alone: the middle of L1 to L5, and how the patient lies."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from drrkit.errors import InputError
from drrkit.radiograph import Radiograph
from drrkit.volume import LUMBAR_LEVELS
from reconstruction.origin.images import whole_views
from reconstruction.origin.model import OriginModel
from reconstruction.origin.peaks import find_peaks
from reconstruction.origin.shape import complete, patient_rotation
from reconstruction.origin.triangulation import Triangulated, triangulate


@dataclass(frozen=True, eq=False)
class LevelPoint:
    """Where one level is.

    Args:
        point_world: (3,) centroid in world millimeters.
        center_world: (3,) middle of the box around the level: of a grid around this vertebra.
        sigma_mm: Standard deviation of a coordinate of the centroid, the mean of three.
        views: Numbers of the views that it was seen in; none where it was inferred from the other levels.
    """

    point_world: Float[np.ndarray, " 3"]
    center_world: Float[np.ndarray, " 3"]
    sigma_mm: float
    views: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Origin:
    """Where the grid goes.

    Args:
        center_world: (3,) middle of the box around L1 to L5.
        rotation: (3, 3) world from patient; the columns are the patient's left, back and head.
        sigma_mm: Standard deviation of a coordinate of the center, the mean of three.
        levels: L1 to L5; those that were not seen are inferred.
        reprojection_px: Median distance of peaks from projected points, in pixels of ``pixel_mm`` at the isocenter.
        pixel_mm: That size.
        used: Numbers, from 0, of the views that most of their peaks agree with.
        rejected: Numbers of the others: most of their peaks are elsewhere, or they show no level.
    """

    center_world: Float[np.ndarray, " 3"]
    rotation: Float[np.ndarray, "3 3"]
    sigma_mm: float
    levels: Mapping[str, LevelPoint]
    reprojection_px: float
    pixel_mm: float
    used: tuple[int, ...]
    rejected: tuple[int, ...]


def estimate_origin(radiographs: Sequence[Radiograph], model: OriginModel) -> Origin:
    """Find the middle of the lumbar spine and its orientation.

    Args:
        radiographs: Two views or more of different directions, of any C-arm, mirrored or not.
        model: From training.

    Raises:
        InputError: Fewer than two views, views along one line, images that cannot be used, or no level that two views
            agree on.
    """
    settings, location = model.settings, model.settings.location
    whole = whole_views(radiographs, settings.network.pixel_mm, model.network.multiple)
    peaks = find_peaks(model.network, whole.images, location.peaks, location.peak_radius_cells, location.least_mass)
    sigma_px = location.sigma_mm / settings.network.pixel_mm
    found: dict[str, Triangulated] = {}
    for index, level in enumerate(LUMBAR_LEVELS):
        point = triangulate(
            whole.cameras,
            peaks.pixels[:, index],
            peaks.masses[:, index],
            sigma_px,
            location.outlier_share,
            location.gate_sigmas,
        )
        if point is not None:
            found[level] = point
    if not found:
        raise InputError("origin", "no lumbar level that two views agree on", "line integrals that show L1 to L5")
    points = {level: point.point_world for level, point in found.items()}
    covariances = {level: point.covariance_mm2 for level, point in found.items()}
    # A level at a wrong place would turn the patient too: look who fits, then turn by those alone.
    rotation = patient_rotation(model.shape, points, location.rotation_prior_deg)
    spine = complete(model.shape, points, covariances, rotation, location.level_gate_sigmas)
    kept = {level: point for level, point in points.items() if level not in spine.dropped}
    rotation = patient_rotation(model.shape, kept, location.rotation_prior_deg)
    spine = complete(model.shape, kept, covariances, rotation, np.inf)
    sigmas_mm = np.sqrt(np.trace(spine.covariance_mm2, axis1=1, axis2=2) / 3)
    levels = {
        level: LevelPoint(
            spine.points_world[index],
            spine.points_world[len(LUMBAR_LEVELS) + 1 + index],
            float(sigmas_mm[index]),
            tuple(np.flatnonzero(found[level].used).tolist()) if level in kept else (),
        )
        for index, level in enumerate(LUMBAR_LEVELS)
    }
    used = _agreeing(len(radiographs), [found[level] for level in kept])
    residuals_px = np.concatenate([found[level].residual_px[found[level].used] for level in kept])
    return Origin(
        center_world=spine.points_world[len(LUMBAR_LEVELS)],
        rotation=rotation,
        sigma_mm=float(sigmas_mm[len(LUMBAR_LEVELS)]),
        levels=levels,
        reprojection_px=float(np.median(residuals_px)),
        pixel_mm=settings.network.pixel_mm,
        used=used,
        rejected=tuple(view for view in range(len(radiographs)) if view not in used),
    )


def _agreeing(count: int, found: Sequence[Triangulated]) -> tuple[int, ...]:
    """Return the views that took part in at least half of the levels that they have a peak of."""
    used = np.sum([point.used for point in found], axis=0)
    seen = np.sum([~np.isnan(point.residual_px) for point in found], axis=0)
    return tuple(view for view in range(count) if used[view] and 2 * used[view] >= seen[view])
