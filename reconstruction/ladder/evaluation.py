"""The ladder from beginning to end: check who is held out, judge every rung, write tables, headlines, meshes, plots."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from drrkit.io.store import content_sha256, write_json
from protocols.pairset import PairedSession
from reconstruction.judging.evaluation import UNION, predicted_masks
from reconstruction.judging.pictures import write_reconstruction
from reconstruction.judging.results import SUMMARY_NAME, SUMMARY_TABLE_NAME, TABLE_NAME, write_table
from reconstruction.ladder.judged import Bench, HeldOut, Places, check_held_out, held_out, judge_rungs, load_bench
from reconstruction.ladder.meshes import TRUTH_NAME, rung_meshes, true_meshes, write_meshes
from reconstruction.ladder.plots import write_ladder, write_mesh_picture
from reconstruction.ladder.rungs import RUNGS, LadderParameters
from reconstruction.ladder.table import ladder_means, ladder_summary, ladder_table, source_of_images
from reconstruction.metrics import WHOLE


@dataclass(frozen=True)
class Outputs:
    """Where the ladder goes.

    Args:
        table: CSV with a row for each rung and number of views.
        folder: For rows.csv, means.csv, summary.json, plots and pictures.
        meshes: For truth.npz and ``<rung>.npz``.
    """

    table: Path
    folder: Path
    meshes: Path


def evaluate_ladder(
    sets: Mapping[str, Sequence[PairedSession]],
    places: Places,
    parameters: LadderParameters,
    outputs: Outputs,
    device: str = "cpu",
    on_done: Callable[[str], None] = lambda name: None,
) -> dict[str, Any]:
    """Judge all rungs on the donors that their folds hold out.

    Args:
        sets: Sessions of each fold.
        places: Where models and translated images lie.
        parameters: How.
        outputs: Where results go.
        device: Of torch.
        on_done: Told what was just done.

    Returns:
        The content of summary.json.

    Raises:
        InputError: A donor that a model of its fold saw or that two folds hold out, or a file that cannot be used.
    """
    held = held_out(sets, parameters)
    check_held_out(held, places, parameters)
    bench = load_bench(held, places, parameters, device)
    table = judge_rungs(bench, parameters, on_done)
    means = ladder_means(table, parameters.bootstrap)
    ladder = ladder_table(means, table, parameters.group)
    shown = _shown(held, parameters)
    summary = {
        **ladder_summary(table, means, parameters),
        "meshes": {
            "acquisition_id": shown.session.acquisition_id,
            "views": list(bench.cases[shown].case.views[: parameters.headline_views]),
            "rungs": list(parameters.meshes.rungs),
            "simulated": shown.session.simulated,
        },
        "folds": _models(places, parameters),
    }
    write_table(outputs.table, ladder)
    write_table(outputs.folder / TABLE_NAME, table)
    write_table(outputs.folder / SUMMARY_TABLE_NAME, means)
    images = source_of_images(summary["simulated_donors"], summary["donors"])
    write_ladder(outputs.folder / "ladder.png", ladder, summary, images, parameters.bootstrap.confidence)
    _write_meshes(bench, shown, table, parameters, outputs)
    _draw(bench, held, parameters, outputs.folder / "pictures")
    write_json(outputs.folder / SUMMARY_NAME, summary)
    return summary


def _shown(held: Sequence[HeldOut], parameters: LadderParameters) -> HeldOut:
    """Choose the session whose meshes are shown: the first, of a SIMULATED donor where there is one."""
    known = [one for one in held if one.session.group == parameters.group]
    return next((one for one in known if one.session.simulated), known[0])


def _write_meshes(
    bench: Bench, shown: HeldOut, table: pd.DataFrame, parameters: LadderParameters, outputs: Outputs
) -> None:
    views = parameters.headline_views
    truth = true_meshes(bench.cases[shown], parameters.meshes)
    write_meshes(outputs.meshes / f"{TRUTH_NAME}.npz", truth)
    union = table[(table["level"] == UNION) & (table["region"] == WHOLE) & (table["n_views"] == views)]
    f1 = union[union["acquisition"] == shown.session.acquisition_id].set_index("rung")["f1"]
    found = {}
    for rung in parameters.meshes.rungs:
        network, case = bench.on_rung(shown, parameters.folds[shown.fold][rung])
        found[rung] = rung_meshes(network.predictor, network.spec, case, views, truth, parameters.meshes)
        write_meshes(outputs.meshes / f"{rung}.npz", found[rung])
    images = source_of_images(int(shown.session.simulated), 1)
    title = f"One donor that no network saw: {images}, {views} view{'' if views == 1 else 's'}"
    scores = {str(rung): float(value) for rung, value in f1.items()}
    write_mesh_picture(outputs.folder / "mesh.png", truth, found, scores, title, parameters.meshes.color_limit_mm)


def _draw(bench: Bench, held: Sequence[HeldOut], parameters: LadderParameters, folder: Path) -> None:
    views = parameters.headline_views
    known = [one for one in held if one.session.group == parameters.group]
    for one in known[: parameters.pictures]:
        for rung in parameters.meshes.rungs:
            network, case = bench.on_rung(one, parameters.folds[one.fold][rung])
            masks = predicted_masks(network.predictor, case, case.case.views[:views], network.spec)
            name = one.session.acquisition_id
            images = source_of_images(int(one.session.simulated), 1)
            title = f"{name}, {rung.replace('_', ' ')}, {views} view{'' if views == 1 else 's'} ({images})"
            write_reconstruction(folder / f"{name}-{rung}.png", case, masks, title)


def _models(places: Places, parameters: LadderParameters) -> dict[str, Any]:
    """Say which weights and which images stood on each rung."""
    hashes = {
        path: content_sha256(path)
        for path in {places.model(rung) for rungs in parameters.folds.values() for rung in rungs.values()}
    }
    return {
        fold: {
            name: {
                "network": rungs[name].network,
                "images": rungs[name].images,
                "model_sha256": hashes[places.model(rungs[name])],
            }
            for name in RUNGS
        }
        for fold, rungs in parameters.folds.items()
    }
