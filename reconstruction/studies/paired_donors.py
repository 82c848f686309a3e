"""How many paired donors does it take? The unchanged network on images of translators that learned from few or many."""

import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd

from drrkit.errors import InputError
from protocols.pairset import PairedSession
from reconstruction.adaptation.sessions import REAL, SYNTHETIC, shown_by
from reconstruction.adaptation.summary import TranslatorRecord, gap_closed
from reconstruction.judging.disturbance import UNDISTURBED
from reconstruction.judging.evaluation import UNION, EvaluationCase
from reconstruction.judging.prediction import Predictor
from reconstruction.judging.summary import BootstrapParameters, bootstrap_ci
from reconstruction.model import ModelSpec
from reconstruction.studies.voxels import voxel_rows

DONOR_COLUMNS = (
    "images", "donors", "f1", "ci_low", "ci_high", "gap_closed", "gap_low", "gap_high", "test_donors"
)  # fmt: skip


def of_series(records: Mapping[str, TranslatorRecord], series: str) -> dict[str, int]:
    """Find the translators ``<series>-<number>`` and how many donors each has learned from.

    Returns:
        Numbers by name, the smallest first.

    Raises:
        InputError: There is none.
    """
    named = re.compile(rf"{re.escape(series)}-\d+")
    found = {name: record.train_donors for name, record in records.items() if named.fullmatch(name)}
    if not found:
        raise InputError("translators", ", ".join(records) or "none", f"some that are named {series}-<number>")
    return dict(sorted(found.items(), key=lambda item: item[1]))


def score_translators(
    predictor: Predictor,
    spec: ModelSpec,
    sessions: Mapping[PairedSession, EvaluationCase],
    translated: Mapping[str, Path],
    view_count: int,
    workers: int = 1,
    on_done: Callable[[str], None] = lambda name: None,
) -> pd.DataFrame:
    """Score a network on X-rays, paired DRRs and translated images of the same shots.

    Args:
        predictor: Of the unchanged network.
        spec: Of the network.
        sessions: Test sessions, as :func:`reconstruction.adaptation.sessions.load_session` reads them.
        translated: Folder of each translator's images, by its name.
        view_count: Number of standard views.
        workers: Threads.
        on_done: Told what was just done.

    Returns:
        ``images`` (``real``, ``synthetic`` or a translator), ``donor``, ``acquisition``, ``f1`` of the union.

    Raises:
        InputError: No session, or an image that is not there.
    """
    if not sessions:
        raise InputError("paired donors", "no session", "at least one test session")
    folders = {REAL: Path(), SYNTHETIC: Path(), **translated}
    jobs = [(session, images) for session in sessions for images in folders]

    def row_of(job: tuple[PairedSession, str]) -> tuple[str, str, str, float]:
        session, images = job
        case = shown_by(sessions[session], session, images, folders[images])
        rows = voxel_rows(predictor, case, case.case.views[:view_count], spec, UNDISTURBED, 0)
        on_done(f"{session.acquisition_id}, {images}")
        (f1,) = (row["f1"] for row in rows if row["level"] == UNION)
        return images, session.donor_id, session.acquisition_id, f1

    with ThreadPoolExecutor(workers) as pool:
        return pd.DataFrame(list(pool.map(row_of, jobs)), columns=["images", "donor", "acquisition", "f1"])


def paired_donor_table(
    scores: pd.DataFrame, train_donors: Mapping[str, int], bootstrap: BootstrapParameters
) -> pd.DataFrame:
    """Average over test donors, against the number of donors that each translator learned from.

    Args:
        scores: Of :func:`score_translators`.
        train_donors: By translator.
        bootstrap: Of the intervals.

    Returns:
        ``DONOR_COLUMNS``: first ``real`` with no donor (gap closed 0), then the translators, last ``synthetic``, the
        ceiling, whose number of donors is missing (gap closed 1).
    """
    by_images = {name: group.groupby("donor")["f1"].mean().sort_index() for name, group in scores.groupby("images")}
    source, ceiling = (by_images[name].to_numpy(np.float64) for name in (REAL, SYNTHETIC))
    rows = []
    numbers: dict[str, float] = {REAL: 0, **train_donors, SYNTHETIC: np.nan}
    for name, donors in numbers.items():
        values = by_images[name].to_numpy(np.float64)
        closed = gap_closed(values, source, ceiling, bootstrap)
        rows.append((name, donors, values.mean(), *bootstrap_ci(values, bootstrap), *closed, len(values)))
    table = pd.DataFrame(rows, columns=list(DONOR_COLUMNS))
    return table.astype({"donors": "Int64"})


def first_sessions(sessions: Sequence[PairedSession], group: str, count: int) -> list[PairedSession]:
    """Choose test sessions of one device, the first ones of as many donors.

    Raises:
        InputError: There is none.
    """
    chosen: dict[str, PairedSession] = {}
    for session in sessions:
        if session.split == "test" and session.group == group:
            chosen.setdefault(session.donor_id, session)
    if not chosen:
        raise InputError("sessions", f"no test donor of the group {group}", "the groups of the pair set")
    return list(chosen.values())[:count]
