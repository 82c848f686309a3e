"""What a reconstruction depends on: how many views, which, at what angle, and how well they are known.

Each study gives a tidy table: the columns of :mod:`reconstruction.judging.evaluation` after ``study``, ``setting`` (in
words), ``value`` (the amount that is varied), ``unit`` and ``shots`` (the views that were asked for, by their names in
``adapt-28``). A study needs a predictor and knows no network.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import pandas as pd
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from drrkit.parameters import Parameters
from reconstruction.judging.disturbance import Disturbance
from reconstruction.judging.evaluation import Condition, EvaluationCase, run_conditions
from reconstruction.judging.prediction import Predictor
from reconstruction.judging.viewplan import (
    VIEW_ORDER,
    VIEW_PAIRS,
    VIEW_TRIPLES,
    line_angle_deg,
    nominal_directions_world,
    views_for,
)
from reconstruction.model import ModelSpec

Amounts = tuple[NonNegativeFloat, ...]
# The call of run_conditions; what judges less takes less time.
Runner = Callable[..., pd.DataFrame]


class StudyParameters(Parameters):
    """Amounts that the studies vary.

    Args:
        view_counts: Numbers of views.
        disturbed_views: Number of views of the studies that disturb them.
        camera_rotation_deg: Errors of the cameras' rotation alone.
        camera_shift_mm: Errors of the cameras' place alone.
        camera_both: Pairs of both (degrees, mm).
        photons: Photons a pixel without any object; 0 is no noise.
        gaussian: Standard deviations of noise on line integrals, as parts of the densest bone.
        origin_shift_mm: How far the grid is placed off.
        match_limit_deg: How far off a view of another name than the wanted one may look.
        seed: Of directions and noise.
    """

    view_counts: tuple[PositiveInt, ...]
    disturbed_views: PositiveInt
    camera_rotation_deg: Amounts
    camera_shift_mm: Amounts
    camera_both: tuple[tuple[NonNegativeFloat, NonNegativeFloat], ...]
    photons: Amounts
    gaussian: Amounts
    origin_shift_mm: Amounts
    match_limit_deg: PositiveFloat = Field(le=90)
    seed: NonNegativeInt


@dataclass(frozen=True, eq=False)
class Bench:
    """What a study runs on.

    Args:
        predictor: What is studied.
        cases: Held out from training.
        spec: Mode, classes and grid of the predictor.
        parameters: Amounts.
        workers: Threads.
        on_done: Told the case after each condition.
        run: What judges cases under conditions, and which metrics it knows.
    """

    predictor: Predictor
    cases: Sequence[EvaluationCase]
    spec: ModelSpec
    parameters: StudyParameters
    workers: int = 1
    on_done: Callable[[str], None] = lambda name: None
    run: Runner = run_conditions


def number_of_views(bench: Bench) -> pd.DataFrame:
    """Study how many shots are needed, in the order in which a surgeon would add them."""
    return run_on(bench, [_counted(count) for count in bench.parameters.view_counts])


def view_sets(bench: Bench) -> pd.DataFrame:
    """Study which three shots are best; ``setting`` is the group and ``shots`` the triple."""
    return run_on(
        bench,
        [
            condition("view_sets", group, float(number), "group", triple)
            for number, (group, triples) in enumerate(VIEW_TRIPLES.items())
            for triple in triples
        ],
    )


def view_angle(bench: Bench) -> pd.DataFrame:
    """Study the angle between the lines of sight of two shots; ``value`` is the nominal angle."""
    nominal = nominal_directions_world()
    conditions = []
    for first, second in VIEW_PAIRS:
        angle_deg = round(line_angle_deg(nominal[first], nominal[second], opposite_is_same=True), 6)
        conditions.append(condition("view_angle", f"{angle_deg:g} deg", angle_deg, "deg", (first, second)))
    return run_on(bench, conditions)


def camera_noise(bench: Bench) -> pd.DataFrame:
    """Study calibration errors: cameras turned, shifted, and both; every view by exactly the amount, each its own way.

    Where both are varied, ``value`` is the turn.
    """
    views, amounts = views_for(bench.parameters.disturbed_views), bench.parameters
    turned = [
        condition("camera_noise", "turned", value, "deg", views, Disturbance(camera_rotation_deg=value))
        for value in amounts.camera_rotation_deg
    ]
    shifted = [
        condition("camera_noise", "shifted", value, "mm", views, Disturbance(camera_shift_mm=value))
        for value in amounts.camera_shift_mm
    ]
    both = [
        condition(
            "camera_noise",
            "turned and shifted",
            turn_deg,
            "deg",
            views,
            Disturbance(camera_rotation_deg=turn_deg, camera_shift_mm=shift_mm),
        )
        for turn_deg, shift_mm in amounts.camera_both
    ]
    return run_on(bench, [*turned, *shifted, *both])


def image_noise(bench: Bench) -> pd.DataFrame:
    """Study noise of the pixels: of few photons, and Gaussian."""
    views, amounts = views_for(bench.parameters.disturbed_views), bench.parameters
    poisson = [
        condition("image_noise", "Poisson", value, "photons", views, Disturbance(photons=value))
        for value in amounts.photons
    ]
    gaussian = [
        condition("image_noise", "Gaussian", value, "part of the densest bone", views, Disturbance(gaussian=value))
        for value in amounts.gaussian
    ]
    return run_on(bench, [*poisson, *gaussian])


def origin_error(bench: Bench) -> pd.DataFrame:
    """Study a grid that is placed off by a distance in a random direction, as an estimate of the origin would be."""
    views = views_for(bench.parameters.disturbed_views)
    return run_on(
        bench,
        [
            condition("origin_error", "shifted grid", value, "mm", views, Disturbance(origin_shift_mm=value))
            for value in bench.parameters.origin_shift_mm
        ],
    )


Study = Callable[[Bench], pd.DataFrame]
STUDIES: Mapping[str, Study] = MappingProxyType(
    {
        study.__name__: study
        for study in (number_of_views, view_sets, view_angle, camera_noise, image_noise, origin_error)
    }
)


def _counted(count: int) -> Condition:
    views = views_for(count)
    return condition("number_of_views", f"+ {tuple(VIEW_ORDER)[count - 1]}", float(count), "views", views)


def condition(
    study: str,
    setting: str,
    value: float,
    unit: str,
    views: tuple[str, ...],
    disturbance: Disturbance | None = None,
) -> Condition:
    """Describe one row of a study: its labels, the views by their names in ``adapt-28``, and what goes wrong."""
    labels = {"study": study, "setting": setting, "value": value, "unit": unit, "shots": "+".join(views)}
    return Condition(views, disturbance or Disturbance(), MappingProxyType(labels))


def run_on(bench: Bench, conditions: Sequence[Condition]) -> pd.DataFrame:
    """Judge all cases of a bench under all conditions.

    Raises:
        InputError: As :func:`reconstruction.judging.evaluation.run_conditions`.
    """
    limit_deg, seed = bench.parameters.match_limit_deg, bench.parameters.seed
    return bench.run(
        bench.predictor, bench.cases, bench.spec, conditions, limit_deg, seed, bench.workers, bench.on_done
    )
