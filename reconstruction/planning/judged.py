"""Is a planned set better than others? Judged on test donors, against standard views and random sets of as many shots.

Only views that were rendered can be judged, so the plan is made among the views of ``adapt-28``.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from drrkit.errors import InputError
from drrkit.parameters import Parameters
from reconstruction.judging.evaluation import EvaluationCase
from reconstruction.judging.judge import spread_evenly
from reconstruction.judging.prediction import Predictor
from reconstruction.judging.summary import BootstrapParameters, bootstrap_ci
from reconstruction.judging.viewplan import VIEW_SET, matched_views, views_for
from reconstruction.model import ModelSpec
from reconstruction.planning.budget import BudgetParameters, estimate_budget
from reconstruction.planning.expectation import Expectation
from reconstruction.planning.fitting import FitParameters, is_simulated
from reconstruction.planning.plan import plan_views
from reconstruction.planning.reach import Pose, directions_world, standard_poses
from reconstruction.planning.scoring import score_sets

PLANNED, STANDARD, RANDOM = "planned", "ap_lateral", "random"
COLUMNS = (
    "shots", "kind", "views", "f1", "ci_low", "ci_high", "expected_f1", "dose_rel", "seconds",
    "gain", "gain_low", "gain_high", "donors", "simulated",
)  # fmt: skip

ViewNames = tuple[str, ...]


class ComparisonParameters(Parameters):
    """How plans are compared.

    Args:
        shots: Numbers of shots.
        cases: How many test cases, spread evenly over all.
        random_sets: Of each number of shots, the same for all donors.
        seed: Of the random sets.
        least_apart_deg: Between any two planned lines of sight.
        dose_price: F1 that the dose of one AP + lateral is worth to the planner.
        caution: Standard deviations of the model's own uncertainty that the planner takes off.
        match_limit_deg: How far off a view of another name than the wanted one may look.
        bootstrap: Of the intervals over donors.
    """

    shots: tuple[PositiveInt, ...] = Field(min_length=1)
    cases: PositiveInt
    random_sets: PositiveInt
    seed: NonNegativeInt
    least_apart_deg: NonNegativeFloat
    dose_price: NonNegativeFloat
    caution: NonNegativeFloat
    match_limit_deg: PositiveFloat = Field(le=90)
    bootstrap: BootstrapParameters


class PlanningParameters(Parameters):
    """View planning in the pipeline: the model's fit, the estimate of dose and time, the comparison."""

    fit: FitParameters
    budget: BudgetParameters
    comparison: ComparisonParameters


def compare_plans(
    predictor: Predictor,
    cases: Sequence[EvaluationCase],
    spec: ModelSpec,
    expectation: Expectation,
    parameters: PlanningParameters,
    workers: int = 1,
    on_done: Callable[[str], None] = lambda name: None,
) -> pd.DataFrame:
    """Reconstruct test donors from planned, standard and random sets of views.

    Args:
        predictor: From views and a grid to probabilities.
        cases: Held out from training and from the fit of ``expectation``.
        spec: Mode, classes and grid.
        expectation: What the plans follow.
        parameters: How.
        workers: Threads.
        on_done: Told the case after each set.

    Returns:
        A row for each number of shots and kind of set: ``views`` (random sets are joined by `` | ``), union F1 with its
        interval over donors, what was expected, dose over that of AP + lateral and seconds (both estimates, means over
        random sets), ``gain``: F1 above that of the standard views in the same donors, with its interval; how many
        donors, and whether any of them is simulated.

    Raises:
        InputError: No case, a donor that ``expectation`` was fitted on, a number of shots that it does not know, or a
            case that lacks a view.
    """
    if not cases:
        raise InputError("comparison of plans", "no case", "at least one held-out donor")
    comparison = parameters.comparison
    chosen = spread_evenly(list(cases), comparison.cases)
    known = sorted({loaded.case.donor_id for loaded in chosen} & set(expectation.about.get("donors", ())))
    if known:
        raise InputError("comparison of plans", f"{', '.join(known)}, of the model's fit", "donors that it never saw")
    poses = standard_poses(VIEW_SET)
    groups: dict[tuple[int, str], list[ViewNames]] = {}
    for shots in comparison.shots:
        groups[shots, PLANNED] = [planned_views(expectation, shots, parameters)]
        groups[shots, STANDARD] = [views_for(shots)]
        rng = np.random.default_rng([comparison.seed, shots])
        groups[shots, RANDOM] = [
            tuple(rng.choice(list(poses), shots, replace=False).tolist()) for _ in range(comparison.random_sets)
        ]
    scores = _donor_scores(predictor, chosen, spec, groups, parameters, workers, on_done)
    rows = []
    for (shots, kind), sets in groups.items():
        f1 = sum(scores[views] for views in sets) / len(sets)
        gain = f1 - scores[views_for(shots)]
        budgets = [estimate_budget([poses[view] for view in views], parameters.budget) for views in sets]
        expected = [_expected(expectation, [poses[view] for view in views]) for views in sets]
        rows.append(
            (
                shots,
                kind,
                " | ".join("+".join(views) for views in sets),
                float(f1.mean()),
                *bootstrap_ci(f1.to_numpy(), comparison.bootstrap),
                float(np.mean(expected)),
                float(np.mean([budget.dose_rel for budget in budgets])),
                float(np.mean([budget.seconds for budget in budgets])),
                float(gain.mean()),
                *bootstrap_ci(gain.to_numpy(), comparison.bootstrap),
                len(f1),
                any(is_simulated(loaded) for loaded in chosen),
            )
        )
    return pd.DataFrame(rows, columns=list(COLUMNS))


def planned_views(expectation: Expectation, shots: int, parameters: PlanningParameters) -> ViewNames:
    """Plan among the views of ``adapt-28``; their ids, in the order of the view set.

    Raises:
        InputError: As :func:`reconstruction.planning.plan.plan_views`.
    """
    poses = standard_poses(VIEW_SET)
    how = parameters.comparison
    prices = [how.dose_price * estimate_budget([pose], parameters.budget).dose_rel for pose in poses.values()]
    reached = list(poses.values())
    plan = plan_views(expectation, reached, shots, how.least_apart_deg, prices, caution=how.caution)[0]
    return tuple(name for name, pose in poses.items() if pose in plan.poses)


def _donor_scores(
    predictor: Predictor,
    cases: Sequence[EvaluationCase],
    spec: ModelSpec,
    groups: Mapping[tuple[int, str], Sequence[ViewNames]],
    parameters: PlanningParameters,
    workers: int,
    on_done: Callable[[str], None],
) -> dict[ViewNames, pd.Series]:
    """F1 by donor of every set, each reconstructed once."""
    wanted = list(dict.fromkeys(views for sets in groups.values() for views in sets))
    limit_deg = parameters.comparison.match_limit_deg
    jobs = []
    for loaded in cases:
        cameras = {view: image.camera for view, image in loaded.radiographs.items() if image.camera}
        where = f"case {loaded.case.case_id}"
        jobs += [(loaded, tuple(matched_views(cameras, views, limit_deg, where))) for views in wanted]
    table = score_sets(predictor, jobs, spec, workers, on_done)
    table["wanted"] = [number for _ in cases for number in range(len(wanted))]
    return {
        views: table[table["wanted"] == number].groupby("donor", sort=True)["f1"].mean()
        for number, views in enumerate(wanted)
    }


def _expected(expectation: Expectation, poses: Sequence[Pose]) -> float:
    return float(expectation.predict(directions_world(poses)[None])[0][0])
