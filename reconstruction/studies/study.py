"""All studies of one in-silico network and of the network that was adapted to X-rays, in one folder."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from drrkit.errors import InputError
from drrkit.geometry.viewsets import view_set
from drrkit.io.store import content_sha256, write_json
from protocols.pairset import PairedSession
from reconstruction.adaptation.sessions import load_session, shown_by
from reconstruction.adaptation.summary import TranslatorRecord
from reconstruction.cases import Case, Split
from reconstruction.judging.evaluation import EvaluationCase, load_evaluation_case
from reconstruction.judging.judge import spread_evenly
from reconstruction.judging.prediction import Predictor, network_predictor
from reconstruction.judging.results import SUMMARY_NAME, write_study, write_table
from reconstruction.judging.studies import STUDIES, Bench
from reconstruction.judging.viewplan import VIEW_SET
from reconstruction.model import ModelSpec
from reconstruction.planning.expectation import write_expectation
from reconstruction.planning.fitting import fit_view_expectation
from reconstruction.planning.judged import compare_plans
from reconstruction.studies.angle_map import STUDY, angle_map, summarize_map
from reconstruction.studies.hard_regions import LevelErrors, region_table, surface_errors, write_mean_vertebra
from reconstruction.studies.headlines import study_headlines
from reconstruction.studies.individuals import individual_of
from reconstruction.studies.paired_donors import first_sessions, of_series, paired_donor_table, score_translators
from reconstruction.studies.pictures import write_angle_maps, write_hard_regions, write_paired_donors
from reconstruction.studies.settings import StudiesParameters
from reconstruction.studies.voxels import voxel_runner
from reconstruction.weights import load_model

DRR, TRANSLATED = "drr", "translated"


@dataclass(frozen=True)
class StudyInputs:
    """What is studied.

    Args:
        model: The in-silico network, ``<name>.safetensors``.
        adapted: The network that was fine-tuned on translated images.
        cases: Of which the test donors are studied, on DRRs.
        sessions: Of a pair set, of which the test donors are studied.
        translated: Folder with a folder of images for each translator.
        translators: What is known of each.
    """

    model: Path
    adapted: Path
    cases: Sequence[Case]
    sessions: Sequence[PairedSession]
    translated: Path
    translators: Mapping[str, TranslatorRecord]


def run_studies(
    inputs: StudyInputs,
    parameters: StudiesParameters,
    out: Path,
    mean_vertebra: Path,
    on_done: Callable[[str], None] = lambda name: None,
) -> dict[str, Any]:
    """Run every study and write ``OUT``: tables, plots and summary.json; and the mean vertebrae.

    Args:
        inputs: What is studied.
        parameters: How.
        out: Folder.
        mean_vertebra: ``npz`` file of :func:`reconstruction.studies.hard_regions.write_mean_vertebra`.
        on_done: Told what was just done.

    Returns:
        The content of summary.json.

    Raises:
        InputError: No test donor, or a model, a translator or a file that cannot be used.
    """
    torch.set_num_threads(parameters.threads)
    planning = parameters.planning
    network, spec = load_model(inputs.model)
    predictor = network_predictor(network, spec.window, parameters.precision)
    test = seen_from_everywhere(inputs.cases, "test")
    most = max(parameters.cases, parameters.map_cases, parameters.hard_regions.cases, planning.comparison.cases)
    cases = _load_cases(test, most, parameters.workers)
    amounts, workers = parameters.amounts, parameters.workers
    bench = Bench(predictor, spread_evenly(cases, parameters.cases), spec, amounts, workers, on_done, voxel_runner())
    # Maps ask for some of the sets that studies have asked for.
    of_maps = replace(bench, cases=spread_evenly(cases, parameters.map_cases))
    phantoms = all(individual_of(loaded.case.donor_id, loaded.case.population)[1] is not None for loaded in cases)
    tables = {**_conditions(bench, parameters, out, phantoms), **_angle_maps(of_maps, parameters, out, phantoms)}
    plans = _plans(predictor, spec, inputs.cases, cases, parameters, out, on_done)
    sessions = _load_sessions(inputs.sessions, parameters)
    hard = {DRR: _hard_on_drrs(predictor, spec, cases, parameters, on_done)}
    hard[TRANSLATED] = _hard_on_translated(inputs, sessions, parameters, on_done)
    simulated = {DRR: phantoms, TRANSLATED: all(session.simulated for session in sessions)}
    parts = [region_table(errors, images).assign(simulated=simulated[images]) for images, errors in hard.items()]
    regions = pd.concat(parts, ignore_index=True)
    write_table(out / "hard_regions.csv", regions)
    write_mean_vertebra(mean_vertebra, hard)
    shots = parameters.hard_regions.views
    kind = "SIMULATED X-rays" if simulated[TRANSLATED] else "X-rays"
    write_hard_regions(
        out / "hard_regions.png", hard[DRR], f"Hard regions: the in-silico network on DRRs, {shots} views"
    )
    words = f"Hard regions: adapted network, {shots} views (translated {kind})"
    write_hard_regions(out / "hard_regions_translated.png", hard[TRANSLATED], words)
    donors = _paired_donors(predictor, spec, inputs, sessions, parameters, out, on_done)
    about = {
        "simulated": all(simulated.values()),
        "split": "test",
        "model": inputs.model.parent.name,
        "model_sha256": content_sha256(inputs.model),
        "adapted": inputs.adapted.parent.name,
        "adapted_sha256": content_sha256(inputs.adapted),
        "precision": parameters.precision,
        "donors": {
            "studies": len({loaded.case.donor_id for loaded in spread_evenly(cases, parameters.cases)}),
            "maps": len({loaded.case.donor_id for loaded in spread_evenly(cases, parameters.map_cases)}),
        },
    }
    summary = {**about, **study_headlines(tables, regions, donors, plans)}
    write_json(out / SUMMARY_NAME, summary)
    return summary


def seen_from_everywhere(cases: Sequence[Case], split: Split) -> list[Case]:
    """Choose cases of a split that have every view of ``adapt-28``: studies ask for any of them.

    Raises:
        InputError: There is none.
    """
    wanted = {view.id for view in view_set(VIEW_SET).views}
    chosen = [case for case in cases if case.split == split and wanted <= set(case.views)]
    if not chosen:
        raise InputError("cases", f"no {split} donor with all views of {VIEW_SET}", "at least one")
    return chosen


def _load_cases(cases: Sequence[Case], count: int, workers: int) -> list[EvaluationCase]:
    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(load_evaluation_case, spread_evenly(cases, count)))


def _load_sessions(
    sessions: Sequence[PairedSession], parameters: StudiesParameters
) -> dict[PairedSession, EvaluationCase]:
    most = max(parameters.hard_regions.sessions, parameters.paired_donors.sessions)
    chosen = first_sessions(sessions, parameters.group, most)
    views = max(parameters.hard_regions.views, parameters.paired_donors.views)
    with ThreadPoolExecutor(parameters.workers) as pool:
        loaded = pool.map(lambda session: load_session(session, views, parameters.match_limit_deg), chosen)
        return dict(zip(chosen, loaded, strict=True))


def _conditions(bench: Bench, parameters: StudiesParameters, out: Path, simulated: bool) -> dict[str, pd.DataFrame]:
    tables = {name: STUDIES[name](bench) for name in parameters.study_names}
    for name, rows in tables.items():
        write_study(out, name, rows.assign(simulated=simulated), parameters.bootstrap, _drrs(simulated))
    return tables


def _angle_maps(bench: Bench, parameters: StudiesParameters, out: Path, simulated: bool) -> dict[str, pd.DataFrame]:
    maps = {}
    for name, base in parameters.map_bases.items():
        rows = angle_map(bench, base)
        maps[name] = summarize_map(rows, parameters.bootstrap)
        write_table(out / f"{name}_rows.csv", rows.assign(simulated=simulated))
        write_table(out / f"{name}.csv", maps[name].assign(simulated=simulated))
    if maps:
        write_angle_maps(out / f"{STUDY}.png", maps, parameters.map_bases, _drrs(simulated))
    return maps


def _drrs(simulated: bool) -> str:
    return "DRRs of SIMULATED donors" if simulated else "DRRs"


def _plans(
    predictor: Predictor,
    spec: ModelSpec,
    all_cases: Sequence[Case],
    test_cases: Sequence[EvaluationCase],
    parameters: StudiesParameters,
    out: Path,
    on_done: Callable[[str], None],
) -> pd.DataFrame:
    """Fit what to expect of views on validation donors, and compare plans on test donors."""
    planning, workers = parameters.planning, parameters.workers
    cases = _load_cases(seen_from_everywhere(all_cases, "validation"), planning.fit.donors, workers)
    expectation, scored = fit_view_expectation(predictor, cases, spec, planning.fit, workers, on_done)
    plans = compare_plans(predictor, test_cases, spec, expectation, planning, workers, on_done)
    write_expectation(out / "view_expectation.json", expectation)
    write_table(out / "view_expectation_sets.csv", scored)
    write_table(out / "view_plans.csv", plans)
    return plans


def _hard_on_drrs(
    predictor: Predictor,
    spec: ModelSpec,
    cases: Sequence[EvaluationCase],
    parameters: StudiesParameters,
    on_done: Callable[[str], None],
) -> dict[str, LevelErrors]:
    chosen = spread_evenly(cases, parameters.hard_regions.cases)
    limit_deg, workers = parameters.match_limit_deg, parameters.workers
    return surface_errors(predictor, chosen, spec, parameters.hard_regions, limit_deg, workers, on_done)


def _hard_on_translated(
    inputs: StudyInputs,
    sessions: Mapping[PairedSession, EvaluationCase],
    parameters: StudiesParameters,
    on_done: Callable[[str], None],
) -> dict[str, LevelErrors]:
    network, spec = load_model(inputs.adapted)
    predictor = network_predictor(network, spec.window, parameters.precision)
    folder = inputs.translated / parameters.translator
    chosen = list(sessions)[: parameters.hard_regions.sessions]
    cases = [shown_by(sessions[session], session, parameters.translator, folder) for session in chosen]
    limit_deg, workers = parameters.match_limit_deg, parameters.workers
    return surface_errors(predictor, cases, spec, parameters.hard_regions, limit_deg, workers, on_done)


def _paired_donors(
    predictor: Predictor,
    spec: ModelSpec,
    inputs: StudyInputs,
    sessions: Mapping[PairedSession, EvaluationCase],
    parameters: StudiesParameters,
    out: Path,
    on_done: Callable[[str], None],
) -> pd.DataFrame:
    of = parameters.paired_donors
    train_donors = of_series(inputs.translators, of.series)
    chosen = {session: sessions[session] for session in list(sessions)[: of.sessions]}
    folders = {name: inputs.translated / name for name in train_donors}
    scores = score_translators(predictor, spec, chosen, folders, of.views, parameters.workers, on_done)
    table = paired_donor_table(scores, train_donors, parameters.bootstrap)
    simulated = all(session.simulated for session in chosen)
    write_table(out / "paired_donors_rows.csv", scores.assign(simulated=simulated))
    write_table(out / "paired_donors.csv", table.assign(simulated=simulated))
    write_paired_donors(out / "paired_donors.png", table, of.views, of.series, simulated)
    return table
