"""Fitting the model of expected F1: score sets of views on donors that nobody trained on, and regress on geometry.

Donors differ in level, so only differences within a donor tell about views: columns and F1 are centered by donor. What
the regression looks at, and its penalty, is chosen by leaving one donor out at a time.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float
from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt

from drrkit.errors import InputError
from drrkit.parameters import Parameters
from reconstruction.judging.evaluation import EvaluationCase
from reconstruction.judging.prediction import Predictor
from reconstruction.model import ModelSpec
from reconstruction.planning.expectation import DESIGNS, Design, Expectation
from reconstruction.planning.reach import Pose, directions_world, pose_of
from reconstruction.planning.scoring import Job, score_sets


class FitParameters(Parameters):
    """How the model of expected F1 is fitted.

    Args:
        donors: How many donors are scored, the first ones.
        sets_per_donor: Random sets of views of each; every donor has others.
        view_counts: Numbers of views, in turn.
        penalties: Of the ridge, as parts of the number of scored sets.
        trust_deg: How far off all scored views a planned line of sight may be.
        seed: Of the sets.
    """

    donors: int = Field(ge=2)
    sets_per_donor: int = Field(ge=8)
    view_counts: tuple[PositiveInt, ...] = Field(min_length=1)
    penalties: tuple[PositiveFloat, ...] = Field(min_length=1)
    trust_deg: float = Field(gt=0, le=90)
    seed: NonNegativeInt


class Trial(NamedTuple):
    """How one design did on donors that were left out: ``explained`` is the part of the variance within donors."""

    design: str
    penalty: float
    error: float
    explained: float


def fit_view_expectation(
    predictor: Predictor,
    cases: Sequence[EvaluationCase],
    spec: ModelSpec,
    parameters: FitParameters,
    workers: int = 1,
    on_done: Callable[[str], None] = lambda name: None,
) -> tuple[Expectation, pd.DataFrame]:
    """Score random sets of views of some donors and fit the model.

    Args:
        predictor: From views and a grid to probabilities.
        cases: Held out from training, and not those that plans are compared on.
        spec: Mode, classes and grid.
        parameters: How.
        workers: Threads.
        on_done: Told the case after each set.

    Returns:
        The model, and the table it was fitted on: ``COLUMNS`` of :mod:`reconstruction.planning.scoring` and
        ``poses_deg``, the angles that the shots truly had.

    Raises:
        InputError: Cases of too few donors, or with fewer views than a set wants.
    """
    chosen = _of_donors(cases, parameters.donors)
    jobs = [job for number, loaded in enumerate(chosen) for job in _random_jobs(loaded, parameters, number)]
    table = score_sets(predictor, jobs, spec, workers, on_done)
    table["poses_deg"] = [";".join(f"{p:.2f} {s:.2f}" for p, s in _angles(loaded, views)) for loaded, views in jobs]
    about = {
        "kind": "/".join(sorted({loaded.case.kind for loaded in chosen})),
        "splits": sorted({loaded.case.split for loaded in chosen}),
        "donors": [loaded.case.donor_id for loaded in chosen],
        "simulated": any(is_simulated(loaded) for loaded in chosen),
    }
    return fit_table(table, parameters, about), table


def fit_table(table: pd.DataFrame, parameters: FitParameters, about: dict[str, Any] | None = None) -> Expectation:
    """Fit the model to scored sets; the design and the penalty of the least error over left-out donors win.

    Args:
        table: Columns ``donor``, ``f1`` and ``poses_deg`` (``primary secondary``, joined by ``;``).
        parameters: How.
        about: For readers of the model.

    Raises:
        InputError: Fewer than two donors.
    """
    donors = table["donor"].to_numpy()
    if len(set(donors)) < 2:
        raise InputError("scored sets", f"{len(set(donors))} donors", "at least two, to leave one out")
    poses = [_poses(text) for text in table["poses_deg"]]
    f1 = table["f1"].to_numpy(np.float64)
    columns = {name: _columns(design, poses) for name, design in DESIGNS.items()}
    trials = [
        Trial(name, penalty, *_left_out_error(columns[name], f1, donors, penalty))
        for name in DESIGNS
        for penalty in parameters.penalties
    ]
    best = min(trials, key=lambda trial: trial.error)
    name, penalty, error = best.design, best.penalty, best.error
    center, scale = columns[name].mean(axis=0), _scale(columns[name])
    scaled = (columns[name] - center) / scale
    coefficients, inverse = _ridge(scaled, f1, donors, penalty)
    levels = np.array([(f1 - scaled @ coefficients)[donors == donor].mean() for donor in sorted(set(donors))])
    counts = [len(views) for views in poses]
    every_view = sorted({(round(p.primary_deg, 1), round(p.secondary_deg, 1)) for views in poses for p in views})
    return Expectation(
        design=name,
        penalty=penalty,
        center=tuple(center.tolist()),
        scale=tuple(scale.tolist()),
        coefficients=tuple(coefficients.tolist()),
        intercept=float(levels.mean()),
        covariance=tuple(tuple(row) for row in (error**2 * inverse).tolist()),
        error=error,
        donor_sd=float(levels.std(ddof=1)),
        counts=(min(counts), max(counts)),
        learned_deg=tuple(every_view),
        trust_deg=parameters.trust_deg,
        about={
            **(about or {}),
            "sets": len(table),
            "columns": _names(DESIGNS[name]),
            "f1_spread_within_donors": float(_centered(f1[:, None], donors).std()),
            "explained": best.explained,
            "trials": [trial._asdict() for trial in trials],
        },
    )


def is_simulated(loaded: EvaluationCase) -> bool:
    """Say whether a case's donor was drawn from a population: people are of none."""
    return bool(loaded.case.population)


def _left_out_error(
    columns: Float[np.ndarray, "n c"], f1: Float[np.ndarray, " n"], donors: np.ndarray, penalty: float
) -> tuple[float, float]:
    """Root mean square error over donors left out, each one's own level aside, and the explained part of variance."""
    residuals = np.zeros(len(f1))
    for donor in sorted(set(donors)):
        test = donors == donor
        center, scale = columns[~test].mean(axis=0), _scale(columns[~test])
        coefficients, _ = _ridge((columns[~test] - center) / scale, f1[~test], donors[~test], penalty)
        off = f1[test] - (columns[test] - center) / scale @ coefficients
        residuals[test] = off - off.mean()
    spread = _centered(f1[:, None], donors)
    explained = 1 - (residuals**2).sum() / max((spread**2).sum(), 1e-12)
    return float(np.sqrt((residuals**2).mean())), float(explained)


def _ridge(
    scaled: Float[np.ndarray, "n c"], f1: Float[np.ndarray, " n"], donors: np.ndarray, penalty: float
) -> tuple[Float[np.ndarray, " c"], Float[np.ndarray, "c c"]]:
    """Coefficients within donors, and the inverse that turns an error's variance into their covariance."""
    within = _centered(scaled, donors)
    inverse = np.linalg.inv(within.T @ within + penalty * len(f1) * np.eye(scaled.shape[1]))
    return inverse @ within.T @ _centered(f1[:, None], donors)[:, 0], inverse


def _centered(values: Float[np.ndarray, "n c"], donors: np.ndarray) -> Float[np.ndarray, "n c"]:
    centered = np.array(values, np.float64)
    for donor in set(donors):
        centered[donors == donor] -= centered[donors == donor].mean(axis=0)
    return centered


def _scale(columns: Float[np.ndarray, "n c"]) -> Float[np.ndarray, " c"]:
    spread = columns.std(axis=0)
    return np.where(spread > 1e-9, spread, 1.0)


def _columns(design: Design, poses: Sequence[Sequence[Pose]]) -> Float[np.ndarray, "n c"]:
    return np.concatenate([design.columns(directions_world(views)[None]) for views in poses])


def _names(design: Design) -> list[str]:
    return [*design.features, *(f"{name}^2" for name in design.features if design.squares)]


def _of_donors(cases: Sequence[EvaluationCase], count: int) -> list[EvaluationCase]:
    first: dict[str, EvaluationCase] = {}
    for loaded in cases:
        first.setdefault(loaded.case.donor_id, loaded)
    if len(first) < 2:
        raise InputError("view expectation", f"cases of {len(first)} donors", "at least two donors")
    return list(first.values())[:count]


def _random_jobs(loaded: EvaluationCase, parameters: FitParameters, number: int) -> list[Job]:
    most = max(parameters.view_counts)
    if most > len(loaded.case.views):
        raise InputError(f"case {loaded.case.case_id}", f"{len(loaded.case.views)} views", f"at least {most}")
    rng = np.random.default_rng([parameters.seed, number])
    counts = [parameters.view_counts[k % len(parameters.view_counts)] for k in range(parameters.sets_per_donor)]
    return [(loaded, tuple(rng.choice(loaded.case.views, count, replace=False).tolist())) for count in counts]


def _angles(loaded: EvaluationCase, views: Sequence[str]) -> list[tuple[float, float]]:
    cameras = [loaded.radiographs[view].camera for view in views]
    poses = [pose_of(camera.view_direction_world) for camera in cameras if camera is not None]
    return [(pose.primary_deg, pose.secondary_deg) for pose in poses]


def _poses(text: str) -> tuple[Pose, ...]:
    return tuple(Pose(*(float(value) for value in pair.split())) for pair in text.split(";"))
