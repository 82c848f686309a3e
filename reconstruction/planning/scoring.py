"""Union F1 of many sets of views, and of nothing else: a search for good sets needs many and only that number."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import pandas as pd

from drrkit.errors import InputError
from reconstruction.judging.evaluation import UNION, EvaluationCase, predicted_masks
from reconstruction.judging.prediction import Predictor
from reconstruction.metrics import voxel_f1
from reconstruction.model import ModelSpec

Job = tuple[EvaluationCase, tuple[str, ...]]
COLUMNS = ("donor", "case", "n_views", "views", "f1")


def score_sets(
    predictor: Predictor,
    jobs: Sequence[Job],
    spec: ModelSpec,
    workers: int = 1,
    on_done: Callable[[str], None] = lambda name: None,
) -> pd.DataFrame:
    """Reconstruct cases from sets of their own views and judge the union of the levels.

    The numbers are those of :func:`reconstruction.judging.evaluation.run_conditions`, without surfaces and regions.

    Args:
        predictor: From views and a grid to probabilities.
        jobs: Cases, each with ids of its views.
        spec: Mode, classes and grid.
        workers: Threads.
        on_done: Told the case after each set.

    Returns:
        A row for each job, in order: ``COLUMNS``; ``views`` are joined by ``+``.

    Raises:
        InputError: No job, or a view that the case does not have.
    """
    if not jobs:
        raise InputError("sets of views", "none", "at least one case with a set of views")

    def row_of(job: Job) -> tuple[str, str, int, str, float]:
        loaded, views = job
        missing = [view for view in views if view not in loaded.radiographs]
        if missing or not views:
            raise InputError(f"case {loaded.case.case_id}", f"no view {', '.join(missing)}", "views of the case")
        union = predicted_masks(predictor, loaded, views, spec)[UNION]
        on_done(loaded.case.case_id)
        return (
            loaded.case.donor_id,
            loaded.case.case_id,
            len(views),
            "+".join(views),
            voxel_f1(union, loaded.truths[UNION]),
        )

    if workers == 1:
        rows = [row_of(job) for job in jobs]
    else:
        with ThreadPoolExecutor(workers) as pool:
            rows = list(pool.map(row_of, jobs))
    return pd.DataFrame(rows, columns=list(COLUMNS))
