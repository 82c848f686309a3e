"""Where shall the next shot come from? The F1 that is lost at each angle of the C-arm, for a map in angles."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from drrkit.errors import InputError
from drrkit.geometry.viewsets import view_set
from reconstruction.judging.evaluation import UNION
from reconstruction.judging.studies import Bench, condition, run_on
from reconstruction.judging.summary import BootstrapParameters, bootstrap_ci
from reconstruction.judging.viewplan import VIEW_SET
from reconstruction.metrics import WHOLE

STUDY = "view_angle_map"
MAP_COLUMNS = (
    "primary_deg", "secondary_deg", "view", "f1", "f1_loss", "ci_low", "ci_high", "donors", "loss_low", "loss_high"
)  # fmt: skip


def angle_map(bench: Bench, base: Sequence[str]) -> pd.DataFrame:
    """Add one shot of each angle of ``adapt-28`` to shots that are there already.

    A shot at an angle that is there already tells nothing new in an image without noise, so its score is that of the
    base alone.

    Args:
        bench: What is studied, on which cases.
        base: Ids of the shots that are there.

    Returns:
        A study's table; ``setting`` is the added view and ``value`` its number in the set.

    Raises:
        InputError: A base of unknown views, or as :func:`reconstruction.judging.studies.run_on`.
    """
    added = [view.id for view in view_set(VIEW_SET).views]
    unknown = [view for view in base if view not in added]
    if unknown or not base:
        raise InputError("angle map, base", ", ".join(unknown) or "no view", f"views of {VIEW_SET}")
    conditions = [
        condition(STUDY, view, float(number), "view", tuple(base) if view in base else (*base, view))
        for number, view in enumerate(added)
    ]
    return run_on(bench, conditions)


def summarize_map(rows: pd.DataFrame, bootstrap: BootstrapParameters) -> pd.DataFrame:
    """Average a map over donors.

    Args:
        rows: Of :func:`angle_map`.
        bootstrap: Of the intervals.

    Returns:
        ``MAP_COLUMNS``, a row for each angle in the order of the view set: nominal angles, mean F1 of the union, its
        loss against the best angle of the map, the interval of F1 (``ci_*``) and of the loss (``loss_*``, of the same
        donors at both angles, so that easy and hard donors cancel).
    """
    union = rows[(rows["level"] == UNION) & (rows["region"] == WHOLE)]
    by_donor = union.pivot_table(index="donor", columns="setting", values="f1", aggfunc="mean")
    best = by_donor.mean().idxmax()
    angles = {view.id: view for view in view_set(VIEW_SET).views}
    table = []
    for view in dict.fromkeys(union["setting"]):
        scores = by_donor[view].to_numpy(np.float64)
        losses = by_donor[best].to_numpy(np.float64) - scores
        place = angles[view].primary_deg, angles[view].secondary_deg, view
        intervals = (*bootstrap_ci(scores, bootstrap), len(scores), *bootstrap_ci(losses, bootstrap))
        table.append((*place, scores.mean(), losses.mean(), *intervals))
    return pd.DataFrame(table, columns=list(MAP_COLUMNS))
