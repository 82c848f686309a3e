"""The fast way to judge many conditions: voxel F1 of levels and union, no surface, and nothing twice.

A surface distance takes several times as long as a reconstruction; studies that ask for hundreds of sets of views do
without.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd

from drrkit.errors import InputError
from reconstruction.judging.disturbance import Disturbance
from reconstruction.judging.evaluation import Condition, EvaluationCase, Row, predicted_masks
from reconstruction.judging.prediction import Predictor
from reconstruction.judging.studies import Runner
from reconstruction.judging.viewplan import matched_views
from reconstruction.metrics import METRICS, WHOLE, voxel_f1
from reconstruction.model import ModelSpec

_Key = tuple[str, tuple[str, ...], Disturbance]


def voxel_rows(
    predictor: Predictor,
    loaded: EvaluationCase,
    views: Sequence[str],
    spec: ModelSpec,
    disturbance: Disturbance,
    seed: int,
) -> list[Row]:
    """Reconstruct a case and judge voxels; as :func:`reconstruction.judging.evaluation.evaluate_case`, but faster.

    Returns:
        A row for each level and the union with the columns of an evaluation, of which only ``f1``, ``recall`` and
        ``n_missed`` are known; the others are NaN.

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
        known = {
            "f1": voxel_f1(masks[level], truth),
            "recall": float(masks[level][truth.box][truth.mask].mean()),
            "n_missed": float(not masks[level].any()),
        }
        scores = dict.fromkeys(METRICS, np.nan) | known
        rows.append({**keys, "level": level, "region": WHOLE, **scores})
    return rows


def voxel_runner() -> Runner:
    """Return what judges conditions as ``run_conditions`` does, by voxels alone, and remembers what it has judged.

    It belongs to one predictor, one seed and one list of cases: several studies ask for the same sets of views.
    """
    known: dict[_Key, list[Row]] = {}

    def run(
        predictor: Predictor,
        cases: Sequence[EvaluationCase],
        spec: ModelSpec,
        conditions: Sequence[Condition],
        match_limit_deg: float,
        seed: int,
        workers: int = 1,
        on_done: Callable[[str], None] = lambda name: None,
    ) -> pd.DataFrame:
        if not cases or not conditions:
            raise InputError("study", f"{len(cases)} cases, {len(conditions)} conditions", "at least one of each")
        by_id = {loaded.case.case_id: loaded for loaded in cases}
        asked = [(loaded, _key(loaded, one, match_limit_deg), one) for loaded in cases for one in conditions]
        todo = [key for key in dict.fromkeys(key for _, key, _ in asked) if key not in known]

        def judged(key: _Key) -> list[Row]:
            case_id, views, disturbance = key
            rows = voxel_rows(predictor, by_id[case_id], views, spec, disturbance, seed)
            on_done(case_id)
            return rows

        with ThreadPoolExecutor(workers) as pool:
            known.update(zip(todo, pool.map(judged, todo), strict=True))
        return pd.DataFrame([{**one.labels, **row} for _, key, one in asked for row in known[key]])

    return run


def _key(loaded: EvaluationCase, condition: Condition, match_limit_deg: float) -> _Key:
    cameras = {view: radiograph.camera for view, radiograph in loaded.radiographs.items() if radiograph.camera}
    where = f"case {loaded.case.case_id}"
    views = matched_views(cameras, condition.views, match_limit_deg, where)
    return loaded.case.case_id, tuple(views), condition.disturbance
