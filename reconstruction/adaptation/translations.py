"""What a network that learned on DRRs alone makes of translated images: the worth of a translator for reconstruction.

The network stays as it is. It reconstructs the same donors from the images of the C-arm (source-only), from the paired
DRRs of the same cameras (the ceiling) and from each translator's images; only pixels differ.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import pandas as pd
from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from drrkit.errors import InputError
from drrkit.io.store import content_sha256, read_cameras, write_json
from drrkit.parameters import Parameters
from protocols.pairs import image_path
from protocols.pairset import PairedSession, sessions_of
from reconstruction.adaptation.plots import write_translation_plots
from reconstruction.adaptation.regions import region_f1
from reconstruction.adaptation.summary import (
    CEILING,
    SOURCE,
    TranslatorRecord,
    best_translator,
    summary_of,
    translation_means,
)
from reconstruction.judging.evaluation import UNION, EvaluationCase, Row, load_evaluation_case, predicted_masks
from reconstruction.judging.pictures import write_reconstruction
from reconstruction.judging.prediction import Predictor, network_predictor
from reconstruction.judging.results import SUMMARY_NAME, SUMMARY_TABLE_NAME, write_table
from reconstruction.judging.summary import BootstrapParameters
from reconstruction.judging.viewplan import VIEW_ORDER, matched_views, views_for
from reconstruction.loading import read_case_radiographs
from reconstruction.metrics import METRICS, WHOLE, judge
from reconstruction.model import ModelSpec
from reconstruction.sets.adapters import cases_from_pairs
from reconstruction.weights import load_model

SCORES_NAME = "scores.csv"
# Beside the labels of a phantom lie the regions of its vertebrae; a specimen has none.
REGIONS_NAME = "regions.nii.gz"
CEILING_KIND = "drr_bone"


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
        loaded = dict(zip(judged, pool.map(lambda session: load_session(session, parameters), judged), strict=True))
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


def load_session(session: PairedSession, parameters: TranslationParameters) -> EvaluationCase:
    """Read what judging a session needs: its truth, and the standard views as the C-arm recorded them.

    Raises:
        InputError: As :func:`reconstruction.sets.adapters.cases_from_pairs` and
            :func:`reconstruction.judging.viewplan.matched_views`.
    """
    kind: Literal["simulated", "real"] = "simulated" if session.simulated else "real"
    (case,) = cases_from_pairs(session.pairs, session.acquisition, session.split, kind)
    cameras = read_cameras(case.cameras)
    usable = {view: cameras[view] for view in case.views if view in cameras}
    wanted = views_for(max(parameters.view_counts))
    # The views of fewer shots are the first of these.
    views = matched_views(usable, wanted, parameters.match_limit_deg, f"session {session.acquisition_id}")
    regions = session.acquisition / REGIONS_NAME
    known = regions if regions.is_file() else None
    return load_evaluation_case(replace(case, views=tuple(views), population=session.group, regions=known))


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
    folders = {
        SOURCE: session.pairs / Path(image_path("real", "view")).parent,
        CEILING: session.pairs / Path(image_path(CEILING_KIND, "view")).parent,
    }
    if session.split == "test":
        plain = [(session, name, folder, count) for name, folder in folders.items() for count in parameters.view_counts]
        counts: tuple[int, ...] = parameters.view_counts_of_all
    else:
        counts = (parameters.headline_views,)
        plain = [(session, name, folder, count) for name, folder in folders.items() for count in counts]
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
        case = _with_images(loaded[session], session, name, folder)
        rows = _rows(predictor, spec, case, count)
        on_done(f"{session.acquisition_id}, {name}, {count} views")
        keys = {"images": name, "group": session.group, "split": session.split, "donor": session.donor_id}
        return [{**keys, "acquisition": session.acquisition_id, "n_views": count, **row} for row in rows]

    with ThreadPoolExecutor(workers) as pool:
        return pd.DataFrame([row for rows in pool.map(rows_of, jobs) for row in rows])


def _with_images(loaded: EvaluationCase, session: PairedSession, name: str, folder: Path) -> EvaluationCase:
    """Show the same case by other images of the same cameras."""
    if name == SOURCE:
        return loaded
    images = folder if name == CEILING else folder / session.acquisition_id
    kind: Literal["drr", "translated"] = "drr" if name == CEILING else "translated"
    case = replace(loaded.case, kind=kind, images=images, case_id=f"{loaded.case.case_id}-{name}")
    return replace(loaded, case=case, radiographs=dict(zip(case.views, read_case_radiographs(case), strict=True)))


def _rows(predictor: Predictor, spec: ModelSpec, case: EvaluationCase, count: int) -> list[Row]:
    views = case.case.views[:count]
    masks = predicted_masks(predictor, case, views, spec)
    rows = []
    for level, truth in case.truths.items():
        regional = region_f1(masks[level], truth) if level == UNION else {}
        for region, scores in judge(masks[level], truth).items():
            known = dict(scores) if region == WHOLE else {**scores, "f1": regional.get(region, np.nan)}
            absent = dict.fromkeys((metric for metric in METRICS if metric not in known), np.nan)
            rows.append({"views": "+".join(views), "level": level, "region": region, **known, **absent})
    return rows


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
            kinds = {SOURCE: session.pairs, CEILING: session.pairs / CEILING_KIND, best: translated}
            for name, images in kinds.items():
                case = _with_images(loaded[session], session, name, images)
                masks = predicted_masks(predictor, case, case.case.views[:count], spec)
                title = f"{session.acquisition_id} ({name}), {count} views"
                write_reconstruction(folder / f"{session.acquisition_id}-{name}.png", case, masks, title)


def _check_names(translated: Mapping[str, Path], translators: Mapping[str, TranslatorRecord]) -> None:
    unknown = [name for name in translated if name not in translators]
    taken = {SOURCE, CEILING} & set(translated)
    if unknown or taken:
        found = f"the translator {(unknown or sorted(taken))[0]}"
        raise InputError("translated images", found, f"translators with a record, named other than {SOURCE}, {CEILING}")
    if not any(translators[name].learns for name in translated):
        raise InputError("translated images", "no translator that learned", "at least one beside the baselines")
