"""How good a predictor is on cases: a tidy table with a row for each case, set of views, level and region.

Judged on the voxels of the label volume, which are finer than the network's: probabilities are interpolated to them.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import product
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, UInt8

from drrkit.errors import InputError
from drrkit.io import volumefile
from drrkit.radiograph import Radiograph
from drrkit.volume import LEVEL_CODES, LUMBAR_LEVELS
from reconstruction.cases import Case
from reconstruction.grid import Grid
from reconstruction.judging.disturbance import UNDISTURBED, Disturbance, disturbed, origin_shift_world, random_stream
from reconstruction.judging.prediction import Predictor, upsampled_classes
from reconstruction.judging.viewplan import matched_views, views_for
from reconstruction.loading import levels_center_world, read_case_labels, read_case_radiographs
from reconstruction.metrics import METRICS, Truth, judge, prepare_truth
from reconstruction.model import ModelSpec

# The row of all judged levels as one.
UNION = "union"
KEYS: tuple[str, ...] = ("donor", "population", "case", "n_views", "views", "level", "region")

Row = dict[str, Any]


@dataclass(frozen=True, eq=False)
class EvaluationCase:
    """A case with all that judging it needs.

    Args:
        case: Where it came from.
        radiographs: Its views by id, as they were recorded.
        shape: (Z, Y, X) of its label volume.
        world_from_voxel: (4, 4) of its label volume.
        truths: By level, and of all of them as ``union``.
        unjudged: (Z, Y, X) lumbar bone that the labels hold only in part, so nobody can say what is wrong there; the
            union leaves it out. None if there is none.
        lumbar_center_world: (3,) where the grid of ``lumbar`` mode goes: the middle of the box around the levels.
        level_centers_world: (3,) where the grid of ``vertebra`` mode goes, by level.
    """

    case: Case
    radiographs: Mapping[str, Radiograph]
    shape: tuple[int, int, int]
    world_from_voxel: Float[np.ndarray, "4 4"]
    truths: Mapping[str, Truth]
    unjudged: Bool[np.ndarray, "z y x"] | None
    lumbar_center_world: Float[np.ndarray, " 3"]
    level_centers_world: Mapping[str, Float[np.ndarray, " 3"]]

    @property
    def levels(self) -> tuple[str, ...]:
        """The judged levels."""
        return tuple(level for level in self.truths if level != UNION)


@dataclass(frozen=True)
class Condition:
    """One way to reconstruct a case.

    Args:
        views: Ids of ``adapt-28``.
        disturbance: What goes wrong.
        labels: Further columns of the table, for example the amount that a study varies.
    """

    views: tuple[str, ...]
    disturbance: Disturbance = UNDISTURBED
    labels: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))


def load_evaluation_case(case: Case) -> EvaluationCase:
    """Read labels, regions and views of a case.

    Raises:
        InputError: No lumbar level to judge, or a file that cannot be read or does not fit.
    """
    volume = read_case_labels(case)
    codes = volume.labels
    levels = [level for level in LUMBAR_LEVELS if level in case.levels]
    if not levels or codes is None:
        raise InputError(f"case {case.case_id}", f"levels {', '.join(case.levels)}", "a lumbar level to judge")
    regions = _read_regions(case, volume.shape)
    x_mm, y_mm, z_mm = volume.spacing_mm
    spacing_mm = (z_mm, y_mm, x_mm)
    truths = {level: prepare_truth(codes == LEVEL_CODES[level], spacing_mm, regions) for level in levels}
    judged = np.isin(codes, [LEVEL_CODES[level] for level in levels])
    truths[UNION] = prepare_truth(judged, spacing_mm, regions)
    partial = np.isin(codes, [LEVEL_CODES[level] for level in LUMBAR_LEVELS if level not in levels])
    return EvaluationCase(
        case=case,
        radiographs=dict(zip(case.views, read_case_radiographs(case), strict=True)),
        shape=volume.shape,
        world_from_voxel=volume.world_from_voxel,
        truths=truths,
        unjudged=partial if partial.any() else None,
        lumbar_center_world=levels_center_world(codes, volume.world_from_voxel, levels),
        level_centers_world={level: levels_center_world(codes, volume.world_from_voxel, [level]) for level in levels},
    )


def evaluate_case(
    predictor: Predictor,
    loaded: EvaluationCase,
    views: Sequence[str],
    spec: ModelSpec,
    disturbance: Disturbance = UNDISTURBED,
    seed: int = 0,
) -> list[Row]:
    """Reconstruct a case from some views and judge it.

    Args:
        predictor: From views and a grid to probabilities.
        loaded: The case.
        views: Ids of the case.
        spec: Mode, classes and grid.
        disturbance: What goes wrong.
        seed: Of the disturbance.

    Returns:
        A row for each level and the union, and of each a row for each region that the labels tell.

    Raises:
        InputError: A view or a class that is not there.
    """
    missing = [view for view in views if view not in loaded.radiographs]
    if missing or not views:
        raise InputError(f"case {loaded.case.case_id}", f"no view {', '.join(missing)}", "views of the case")
    masks = predicted_masks(predictor, loaded, views, spec, disturbance, seed)
    keys = {
        "donor": loaded.case.donor_id,
        "population": loaded.case.population,
        "case": loaded.case.case_id,
        "n_views": len(views),
        "views": "+".join(views),
    }
    rows = []
    for level, truth in loaded.truths.items():
        for region, scores in judge(masks[level], truth).items():
            absent = dict.fromkeys((name for name in METRICS if name not in scores), np.nan)
            rows.append({**keys, "level": level, "region": region, **scores, **absent})
    return rows


def predicted_masks(
    predictor: Predictor,
    loaded: EvaluationCase,
    views: Sequence[str],
    spec: ModelSpec,
    disturbance: Disturbance = UNDISTURBED,
    seed: int = 0,
) -> dict[str, Bool[np.ndarray, "z y x"]]:
    """Reconstruct the judged levels and their union on the voxels of the labels; arguments as :func:`evaluate_case`.

    The union takes every bone that is called any lumbar level: whether the name is right is for the levels to say.
    """
    stream = random_stream(seed, loaded.case.case_id)
    shift_world = origin_shift_world(disturbance, stream)

    def classes_around(center_world: Float[np.ndarray, " 3"]) -> UInt8[np.ndarray, "z y x"]:
        grid = Grid.centered(center_world + shift_world, spec.grid_shape, spec.grid_spacing_mm)
        radiographs = [
            disturbed(
                loaded.radiographs[view], disturbance, center_world, random_stream(seed, loaded.case.case_id, view)
            )
            for view in views
        ]
        return upsampled_classes(predictor(radiographs, grid), grid, loaded.shape, loaded.world_from_voxel)

    if spec.mode == "vertebra":
        masks = {level: classes_around(loaded.level_centers_world[level]) == 1 for level in loaded.levels}
        union = np.logical_or.reduce(list(masks.values()))
    else:
        unknown = [level for level in loaded.levels if level not in spec.classes]
        if unknown:
            raise InputError("model", f"classes {', '.join(spec.classes)}", f"a class for {', '.join(unknown)}")
        classes = classes_around(loaded.lumbar_center_world)
        masks = {level: classes == spec.classes.index(level) + 1 for level in loaded.levels}
        union = classes > 0
    masks[UNION] = union if loaded.unjudged is None else union & ~loaded.unjudged
    return masks


def evaluate(
    predictor: Predictor,
    cases: Sequence[EvaluationCase],
    spec: ModelSpec,
    view_counts: Sequence[int],
    match_limit_deg: float,
    workers: int = 1,
    on_done: Callable[[str], None] = lambda name: None,
) -> pd.DataFrame:
    """Judge a predictor on cases with the standard views for each number of shots.

    Args:
        predictor: From views and a grid to probabilities.
        cases: Held out from training.
        spec: Mode, classes and grid.
        view_counts: Numbers of shots; :data:`reconstruction.judging.viewplan.VIEW_ORDER` says which they are.
        match_limit_deg: How far off a view of another name may look.
        workers: Threads.
        on_done: Told the case after each set of views.

    Returns:
        Columns ``KEYS`` and ``METRICS``.

    Raises:
        InputError: No case, or as :func:`evaluate_case` and :func:`reconstruction.judging.viewplan.matched_views`.
    """
    conditions = [Condition(views_for(count)) for count in view_counts]
    return run_conditions(predictor, cases, spec, conditions, match_limit_deg, 0, workers, on_done)


def run_conditions(
    predictor: Predictor,
    cases: Sequence[EvaluationCase],
    spec: ModelSpec,
    conditions: Sequence[Condition],
    match_limit_deg: float,
    seed: int,
    workers: int = 1,
    on_done: Callable[[str], None] = lambda name: None,
) -> pd.DataFrame:
    """Judge a predictor on all cases under all conditions; arguments as :func:`evaluate` and :class:`Condition`.

    Raises:
        InputError: No case, or as :func:`evaluate`.
    """
    if not cases or not conditions:
        raise InputError("evaluation", f"{len(cases)} cases, {len(conditions)} conditions", "at least one of each")

    def rows_of(job: tuple[EvaluationCase, Condition]) -> list[Row]:
        loaded, condition = job
        cameras = {view: radiograph.camera for view, radiograph in loaded.radiographs.items() if radiograph.camera}
        views = matched_views(cameras, condition.views, match_limit_deg, f"case {loaded.case.case_id}")
        rows = evaluate_case(predictor, loaded, views, spec, condition.disturbance, seed)
        on_done(loaded.case.case_id)
        return [{**condition.labels, **row} for row in rows]

    return pd.DataFrame(list(_flat(_mapped(rows_of, list(product(cases, conditions)), workers))))


def _mapped(work: Callable[[Any], list[Row]], jobs: Sequence[Any], workers: int) -> Iterator[list[Row]]:
    # The order of rows is that of the jobs, whatever the threads do.
    if workers == 1:
        yield from map(work, jobs)
        return
    with ThreadPoolExecutor(workers) as pool:
        yield from pool.map(work, jobs)


def _flat(parts: Iterator[list[Row]]) -> Iterator[Row]:
    for rows in parts:
        yield from rows


def _read_regions(case: Case, shape: tuple[int, int, int]) -> UInt8[np.ndarray, "z y x"] | None:
    if case.regions is None:
        return None
    regions, _ = volumefile.read(case.regions)
    if regions.shape != shape:
        raise InputError(case.regions, f"shape {regions.shape}", f"the labels' shape {shape}")
    return regions.astype(np.uint8)
