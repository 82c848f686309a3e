"""A trained model judged on held-out cases, as one section of params.yaml says."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from pydantic import Field, PositiveFloat, PositiveInt, field_validator

from drrkit.errors import InputError
from drrkit.io.store import content_sha256
from drrkit.parameters import Parameters
from reconstruction.cases import Case, Split
from reconstruction.judging.evaluation import evaluate, load_evaluation_case, predicted_masks
from reconstruction.judging.pictures import write_reconstruction
from reconstruction.judging.prediction import network_predictor
from reconstruction.judging.results import write_results
from reconstruction.judging.studies import STUDIES, Bench, StudyParameters
from reconstruction.judging.summary import BootstrapParameters
from reconstruction.judging.viewplan import VIEW_ORDER, matched_views, views_for
from reconstruction.weights import load_model

Item = TypeVar("Item")


class JudgingParameters(Parameters):
    """How a model is judged.

    Args:
        view_counts: Numbers of views.
        match_limit_deg: How far off a view of another name than the wanted one may look.
        bootstrap: Of the confidence intervals.
        study_names: Which studies; keys of ``STUDIES``.
        studies: Their amounts.
        study_cases: On how many cases they run, spread evenly over all: there are many conditions.
        pictures: Number of cases that are drawn, the first ones.
        workers: Threads.
    """

    view_counts: tuple[PositiveInt, ...] = Field(min_length=1)
    match_limit_deg: PositiveFloat = Field(le=90)
    bootstrap: BootstrapParameters
    study_names: tuple[str, ...]
    studies: StudyParameters
    study_cases: PositiveInt
    pictures: int = Field(ge=0)
    workers: PositiveInt

    @field_validator("view_counts")
    @classmethod
    def _known_counts(cls, counts: tuple[int, ...]) -> tuple[int, ...]:
        if max(counts) > len(VIEW_ORDER):
            raise ValueError(f"numbers of views from 1 to {len(VIEW_ORDER)}")
        return counts

    @field_validator("study_names")
    @classmethod
    def _known_studies(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [name for name in names if name not in STUDIES]
        if unknown:
            raise ValueError(f"some of {', '.join(STUDIES)}; there is no {', '.join(unknown)}")
        return names


def judge_model(
    model: Path,
    cases: Sequence[Case],
    split: Split,
    parameters: JudgingParameters,
    out: Path,
    device: str = "cpu",
    on_done: Callable[[str], None] = lambda name: None,
) -> dict[str, Any]:
    """Judge a model and write ``OUT``: tables, summary.json, plots, studies and pictures.

    Args:
        model: ``<name>.safetensors``.
        cases: Any; those of ``split`` are judged.
        split: ``test``, or ``validation`` while one still chooses between models.
        parameters: How.
        out: Folder.
        device: Of torch.
        on_done: Told what was just done.

    Returns:
        The content of ``summary.json``.

    Raises:
        InputError: No case of the split, or a model or a file that cannot be used.
    """
    chosen = [case for case in cases if case.split == split]
    if not chosen:
        raise InputError("cases", f"no case in the split {split}", f"at least one donor in {split}")
    network, spec = load_model(model, device)
    predictor = network_predictor(network, spec.window)
    loaded = []
    for case in chosen:
        loaded.append(load_evaluation_case(case))
        on_done(f"read {case.case_id}")
    workers = parameters.workers
    table = evaluate(predictor, loaded, spec, parameters.view_counts, parameters.match_limit_deg, workers, on_done)
    bench = Bench(predictor, spread_evenly(loaded, parameters.study_cases), spec, parameters.studies, workers, on_done)
    studies = {name: STUDIES[name](bench) for name in parameters.study_names}
    about = {
        "model": model.stem,
        "model_sha256": content_sha256(model),
        "network": spec.network,
        "mode": spec.mode,
        "split": split,
        "cases": len(loaded),
        "donors": len({case.donor_id for case in chosen}),
        "image_kinds": sorted({case.kind for case in chosen}),
    }
    summary = write_results(out, table, studies, parameters.bootstrap, about)
    count = max(parameters.view_counts)
    for shown in loaded[: parameters.pictures]:
        case_id = shown.case.case_id
        cameras = {view: image.camera for view, image in shown.radiographs.items() if image.camera}
        views = matched_views(cameras, views_for(count), parameters.match_limit_deg, f"case {case_id}")
        title = f"{case_id} ({shown.case.kind} images), {count} view{'' if count == 1 else 's'}"
        masks = predicted_masks(predictor, shown, views, spec)
        write_reconstruction(out / "pictures" / f"{case_id}.png", shown, masks, title)
    return summary


def spread_evenly(cases: Sequence[Item], count: int) -> list[Item]:
    """Take some of many, the first and the last among them, so that every group of a list has its share."""
    if count >= len(cases):
        return list(cases)
    places = np.linspace(0, len(cases) - 1, count).round().astype(int)
    return [cases[place] for place in places]
