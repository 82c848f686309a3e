"""What a network that learned on DRRs alone makes of translated images: the worth of a translator for reconstruction.

The network stays as it is. It reconstructs the same donors from the images of the C-arm (source-only), from the paired
DRRs of the same cameras (the ceiling) and from each translator's images; only pixels differ.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal, Self

import pandas as pd
from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from drrkit.errors import InputError
from drrkit.io.store import content_sha256, write_json
from drrkit.parameters import Parameters
from protocols.pairset import PairedSession, sessions_of
from reconstruction.adaptation.plots import write_translation_plots
from reconstruction.adaptation.sessions import REAL, SYNTHETIC, load_session, score_rows, shown_by
from reconstruction.adaptation.summary import (
    CEILING,
    SOURCE,
    TranslatorRecord,
    best_translator,
    summary_of,
    translation_means,
)
from reconstruction.judging.evaluation import EvaluationCase, Row, predicted_masks
from reconstruction.judging.pictures import write_reconstruction
from reconstruction.judging.prediction import Predictor, network_predictor
from reconstruction.judging.results import SUMMARY_NAME, SUMMARY_TABLE_NAME, write_table
from reconstruction.judging.summary import BootstrapParameters
from reconstruction.judging.viewplan import VIEW_ORDER
from reconstruction.model import ModelSpec
from reconstruction.weights import load_model

SCORES_NAME = "scores.csv"
_KINDS = {SOURCE: REAL, CEILING: SYNTHETIC}


class TranslationParameters(Parameters):
    """How translators are judged by what a network reconstructs.

    Args:
        view_counts: Numbers of views for source-only, the ceiling and the best translator.
        view_counts_of_all: Numbers of views for every translator.
        headline_views: Number of views that translators are compared by; one of both lists.
        match_limit_deg: How far off a view of another name than the standard one may look.
        group: Sessions of the device that translators learned from.
        unseen_group: Sessions of a device that they never saw; null where there are none.
        chosen_on: Donors on whom the best translator is chosen: ``validation`` keeps its scores on test donors free of
            the choice; ``test`` where there are no validation donors.
        bootstrap: Of the confidence intervals over donors.
        pictures: Number of test sessions of each group that are drawn.
        workers: Threads.
    """

    view_counts: tuple[PositiveInt, ...] = Field(min_length=1)
    view_counts_of_all: tuple[PositiveInt, ...] = Field(min_length=1)
    headline_views: PositiveInt
    match_limit_deg: PositiveFloat = Field(le=90)
    group: str
    unseen_group: str | None
    chosen_on: Literal["validation", "test"]
    bootstrap: BootstrapParameters
    pictures: int = Field(ge=0)
    workers: PositiveInt

    @model_validator(mode="after")
    def _counts_fit(self) -> Self:
        if max(*self.view_counts, *self.view_counts_of_all) > len(VIEW_ORDER):
            raise ValueError(f"numbers of views from 1 to {len(VIEW_ORDER)}")
        if not {self.headline_views, *self.view_counts_of_all} <= set(self.view_counts):
            raise ValueError("headline_views and view_counts_of_all that are among view_counts")
        if self.headline_views not in self.view_counts_of_all:
            raise ValueError("headline_views that is among view_counts_of_all")
        return self


def judge_translations(
    model: Path,
    sessions: Sequence[PairedSession],
    translated: Mapping[str, Path],
    translators: Mapping[str, TranslatorRecord],
    parameters: TranslationParameters,
    out: Path,
    device: str = "cpu",
    on_done: Callable[[str], None] = lambda name: None,
) -> dict[str, Any]:
    """Judge a network on the test donors' images as they are, as DRRs and as each translator made them.

    Writes ``OUT``: scores.csv (a row for each session, kind of images, number of views, level and region), means.csv,
    summary.json, plots and pictures.

    Args:
        model: The network, ``<name>.safetensors``; it is used as it is.
        sessions: Of a pair set; test donors are judged, and validation donors where the best is chosen on them.
        translated: Folder of each translator with ``<acquisition_id>/<exposure_id>.tif``, by its name.
        translators: What is known of each.
        parameters: How.
        out: Folder.
        device: Of torch.
        on_done: Told what was just done.

    Returns:
        The content of summary.json.

    Raises:
        InputError: No session of use, a translator that nothing is known of or that is named as the source or the
            ceiling is, none that learned, or a file that cannot be used.
    """
    _check_names(translated, translators)
    network, spec = load_model(model, device)
    predictor = network_predictor(network, spec.window)
    judged = [session for split in ("test", "validation") for session in _judged(sessions, split, parameters)]
    with ThreadPoolExecutor(parameters.workers) as pool:
        most = max(parameters.view_counts)
        cases = pool.map(lambda session: load_session(session, most, parameters.match_limit_deg), judged)
        loaded = dict(zip(judged, cases, strict=True))
    jobs = [job for session in judged for job in _first_jobs(session, translated, parameters)]
    table = _scores(predictor, spec, loaded, jobs, parameters.workers, on_done)
    best = best_translator(table, translators, parameters.headline_views, parameters.group, parameters.chosen_on)
    jobs = [
        (session, best, translated[best], count)
        for session in judged
        if session.split == "test"
        for count in parameters.view_counts
        if count not in parameters.view_counts_of_all
    ]
    if jobs:
        more = _scores(predictor, spec, loaded, jobs, parameters.workers, on_done)
        table = pd.concat([table, more], ignore_index=True)
    means = translation_means(table, parameters.bootstrap)
    about = {
        "simulated": all(session.simulated for session in judged),
        "model": model.parent.name,
        "model_sha256": content_sha256(model),
        "split": "test",
        "chosen_on": parameters.chosen_on,
    }
    shown = (parameters.headline_views, parameters.group, parameters.unseen_group)
    summary = {**about, **summary_of(table, means, translators, best, *shown, parameters.bootstrap)}
    write_table(out / SCORES_NAME, table)
    write_table(out / SUMMARY_TABLE_NAME, means)
    write_json(out / SUMMARY_NAME, summary)
    write_translation_plots(out, means, summary, translators, best, shown)
    _draw(out / "pictures", predictor, spec, loaded, best, translated[best], parameters)
    return summary


_Job = tuple[PairedSession, str, Path, int]


def _judged(sessions: Sequence[PairedSession], split: str, parameters: TranslationParameters) -> list[PairedSession]:
    """Choose the sessions of a split: of both groups for the test, of the one that decides for the choice."""
    if split == "test":
        groups = {parameters.group, parameters.unseen_group}
        return [session for session in sessions_of(sessions, "test") if session.group in groups]
    if parameters.chosen_on == "test":
        return []
    return [session for session in sessions_of(sessions, "validation") if session.group == parameters.group]


def _first_jobs(
    session: PairedSession, translated: Mapping[str, Path], parameters: TranslationParameters
) -> list[_Job]:
    if session.split == "test":
        plain = [(session, name, session.pairs, count) for name in _KINDS for count in parameters.view_counts]
        counts: tuple[int, ...] = parameters.view_counts_of_all
    else:
        counts = (parameters.headline_views,)
        plain = [(session, name, session.pairs, count) for name in _KINDS for count in counts]
    return plain + [(session, name, folder, count) for name, folder in translated.items() for count in counts]


def _scores(
    predictor: Predictor,
    spec: ModelSpec,
    loaded: Mapping[PairedSession, EvaluationCase],
    jobs: Sequence[_Job],
    workers: int,
    on_done: Callable[[str], None],
) -> pd.DataFrame:
    def rows_of(job: _Job) -> list[Row]:
        session, name, folder, count = job
        case = _shown(loaded[session], session, name, folder)
        rows = score_rows(predictor, spec, case, count)
        on_done(f"{session.acquisition_id}, {name}, {count} views")
        keys = {"images": name, "group": session.group, "split": session.split, "donor": session.donor_id}
        return [{**keys, "acquisition": session.acquisition_id, "n_views": count, **row} for row in rows]

    with ThreadPoolExecutor(workers) as pool:
        return pd.DataFrame([row for rows in pool.map(rows_of, jobs) for row in rows])


def _shown(loaded: EvaluationCase, session: PairedSession, name: str, folder: Path) -> EvaluationCase:
    return shown_by(loaded, session, _KINDS.get(name, name), folder)


def _draw(
    folder: Path,
    predictor: Predictor,
    spec: ModelSpec,
    loaded: Mapping[PairedSession, EvaluationCase],
    best: str,
    translated: Path,
    parameters: TranslationParameters,
) -> None:
    count = parameters.headline_views
    for group in dict.fromkeys((parameters.group, parameters.unseen_group)):
        chosen = [session for session in loaded if session.split == "test" and session.group == group]
        for session in chosen[: parameters.pictures]:
            for name in (SOURCE, CEILING, best):
                case = _shown(loaded[session], session, name, translated)
                masks = predicted_masks(predictor, case, case.case.views[:count], spec)
                title = f"{session.acquisition_id} ({name}), {count} views"
                write_reconstruction(folder / f"{session.acquisition_id}-{name}.png", case, masks, title)


def _check_names(translated: Mapping[str, Path], translators: Mapping[str, TranslatorRecord]) -> None:
    unknown = [name for name in translated if name not in translators]
    taken = {SOURCE, CEILING, REAL, SYNTHETIC} & set(translated)
    if unknown or taken:
        found = f"the translator {(unknown or sorted(taken))[0]}"
        raise InputError("translated images", found, f"translators with a record, named other than {SOURCE}, {CEILING}")
    if not any(translators[name].learns for name in translated):
        raise InputError("translated images", "no translator that learned", "at least one beside the baselines")
