"""How far estimated origins are from the true ones."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.spatial.transform import Rotation

from drrkit.errors import InputError
from reconstruction.cases import Case
from reconstruction.origin.estimate import estimate_origin
from reconstruction.origin.model import OriginModel
from reconstruction.origin.shape import patient_rotation
from reconstruction.origin.spines import known_spine


def origin_errors(cases: Sequence[Case], model: OriginModel, views: Sequence[str]) -> pd.DataFrame:
    """Estimate the origin of every case from the same views, and compare.

    The true orientation is what the true centroids say by the same rule: it has no error of the rule itself.

    Args:
        cases: With L1 to L5 whole.
        model: From training.
        views: Ids of the views to use, two or more.

    Returns:
        One row a case: ``case_id``, ``population``, ``views`` (their ids), ``error_mm`` and, along the world's axes,
        ``left_mm``, ``back_mm``, ``head_mm``; ``rotation_deg``; what the estimate says of itself: ``sigma_mm``,
        ``reprojection_px``, ``levels_seen``, ``views_rejected``; and ``level_error_mm``, the mean over L1 to L5.

    Raises:
        InputError: A case without L1 to L5, a view that a case does not have, or no estimate.
    """
    return pd.DataFrame([_row(case, model, views) for case in cases])


def _row(case: Case, model: OriginModel, views: Sequence[str]) -> dict[str, object]:
    spine = known_spine(case, views)
    if spine.middle_world is None:
        raise InputError(f"case {case.case_id}", f"whole levels {', '.join(case.levels)}", "L1 to L5")
    origin = estimate_origin(spine.radiographs, model)
    left_mm, back_mm, head_mm = (float(value) for value in origin.center_world - spine.middle_world)
    true_rotation = patient_rotation(model.shape, spine.levels, model.settings.location.rotation_prior_deg)
    return {
        "case_id": case.case_id,
        "population": case.population,
        "views": " ".join(views),
        "error_mm": float(np.linalg.norm([left_mm, back_mm, head_mm])),
        "left_mm": left_mm,
        "back_mm": back_mm,
        "head_mm": head_mm,
        "rotation_deg": float(np.degrees(Rotation.from_matrix(true_rotation.T @ origin.rotation).magnitude())),
        "sigma_mm": origin.sigma_mm,
        "reprojection_px": origin.reprojection_px,
        "levels_seen": sum(bool(level.views) for level in origin.levels.values()),
        "views_rejected": len(origin.rejected),
        "level_error_mm": float(
            np.mean([np.linalg.norm(origin.levels[name].point_world - point) for name, point in spine.levels.items()])
        ),
    }
