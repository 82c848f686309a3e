"""Translators on held-out donors: their images, the scores of every pair, and whether they can be trusted.

Writes translated images for whoever reconstructs from them, a row a pair as CSV, the numbers that matter as JSON, and
pictures.
"""

import io
import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from drrkit.errors import InputError
from drrkit.io.store import content_sha256, read_image, write_bytes, write_json
from protocols.pairset import PairedSession
from styletransfer.judging.held import HeldOut, check_apart, hold, translated_path
from styletransfer.judging.pictures import CloseUp, write_close_up, write_comparison
from styletransfer.judging.settings import JudgingParameters
from styletransfer.judging.summary import over_donors
from styletransfer.judging.trust import disagreement_worth, domain_rates, doubt_of
from styletransfer.metrics import KID_REASON, score_pair
from styletransfer.model import TranslatorSpec
from styletransfer.translate import TranslatedImage, Translation, translate_folder
from styletransfer.translator import Translator
from styletransfer.weights import load_translator, method_of

SCORES_NAME, SUMMARY_NAME, TRAINING_NAME = "scores.csv", "summary.json", "train.json"
KEYS = ("split", "group", "donor", "acquisition", "exposure", "model")
_DIGITS = 5


def judge_translators(
    sessions: Sequence[PairedSession],
    models: Mapping[str, Path],
    parameters: JudgingParameters,
    out_images: Path,
    out_results: Path,
    device: str = "cpu",
    on_done: Callable[[str], None] = lambda name: None,
) -> dict[str, Any]:
    """Translate the real images of held-out donors with every model, and judge what comes out against the DRRs.

    Writes ``OUT_IMAGES/<model>/<acquisition_id>/<exposure_id>.tif`` (line integrals of the same cameras), and in
    ``OUT_RESULTS`` scores.csv (a row for each model and scored pair), summary.json and pictures.

    Args:
        sessions: Of a pair set.
        models: Translators, ``<name>.safetensors``, by the names that they are judged under.
        parameters: How, and whose donors.
        out_images: Folder for translated images.
        out_results: Folder for tables, numbers and pictures.
        device: Of torch.
        on_done: Told what was just done.

    Returns:
        The content of summary.json.

    Raises:
        InputError: No model, no session of a split, a model that learned from a donor that is judged, or a file that
            cannot be used.
    """
    close_up = parameters.pictures.close_up
    if not models or (close_up is not None and close_up not in models):
        raise InputError("translators", ", ".join(models) or "none", f"at least one, {close_up or 'any'} among them")
    held = [hold(sessions, split, parameters.exposures) for split in parameters.splits]
    tables, records = [], {}
    for name, path in models.items():
        translator, spec = load_translator(path, device)
        for one in held:
            check_apart(name, spec, one)
        done: dict[str, TranslatedImage] = {}
        for one in held:
            done |= _translated(path, one, parameters, out_images / name, device)
        on_done(f"{name}: translated")
        tables.append(pd.concat([_scored(name, one, parameters, out_images / name) for one in held]))
        on_done(f"{name}: scored")
        records[name] = {
            **_about(path, spec),
            "seconds_per_image": float(np.median([image.seconds for image in done.values()])),
            **_by_group(tables[-1], parameters),
            "domain": domain_rates(held[0], done),
            "disagreement": disagreement_worth(
                translator, held[0], parameters.disagreement_pairs, out_images / name, device
            ),
        }
        if name == close_up:
            _draw_close_ups(translator, name, held[0], parameters, out_images / name, out_results / "pictures", device)
        on_done(f"{name}: judged")
    summary = {
        "simulated": all(session.simulated for session in sessions if session.split in parameters.splits),
        "splits": list(parameters.splits),
        "donors": {one.split: len(set(one.source.donor_ids)) for one in held},
        "models": records,
        "kid": None,
        "kid_reason": KID_REASON,
    }
    _write_table(out_results / SCORES_NAME, pd.concat(tables, ignore_index=True))
    write_json(out_results / SUMMARY_NAME, summary)
    _draw_comparisons(list(models), held[0], parameters, out_images, out_results / "pictures")
    return summary


def _translated(
    path: Path, held: HeldOut, parameters: JudgingParameters, images: Path, device: str
) -> dict[str, TranslatedImage]:
    """Translate the judged exposures of a split; returns what is known of each image, by pair."""

    def work(session: PairedSession) -> Translation:
        out = images / session.acquisition_id
        names = held.exposures(session.acquisition_id)
        return translate_folder(path, session.pairs, out, names, precision=parameters.precision, device=device)

    with ThreadPoolExecutor(parameters.workers) as pool:
        made = list(pool.map(work, held.sessions))
    return {
        f"{session.acquisition_id}/{image.name}": image
        for session, translation in zip(held.sessions, made, strict=True)
        for image in translation.images
    }


def _scored(name: str, held: HeldOut, parameters: JudgingParameters, images: Path) -> pd.DataFrame:
    """Score some pairs of each session of a split: a row a pair."""

    def work(number: int) -> dict[str, Any]:
        pair = held.source[number]
        keys = (held.split, pair.group, pair.donor_id, pair.acquisition_id, pair.exposure_id, name)
        translated = read_image(translated_path(images, pair))
        scores = score_pair(translated, pair.synthetic, pair.field, held.mm_per_px[number])
        return dict(zip(KEYS, keys, strict=True)) | scores

    with ThreadPoolExecutor(parameters.workers) as pool:
        return pd.DataFrame(list(pool.map(work, held.some(parameters.scored_pairs))))


def _about(path: Path, spec: TranslatorSpec) -> dict[str, Any]:
    """Say what a model is and what it learned from."""
    record = path.with_name(TRAINING_NAME)
    seconds = json.loads(record.read_text())["seconds"] if record.is_file() else None
    return {
        "method": spec.method,
        "learning": method_of(spec.method).learning,
        "train_donors": len(spec.training.get("train_donors", ())),
        "train_pairs": spec.training.get("pairs", 0),
        "train_seconds": None if seconds is None else round(seconds, 1),
        "model_sha256": content_sha256(path),
    }


def _by_group(table: pd.DataFrame, parameters: JudgingParameters) -> dict[str, Any]:
    """Summarize by group: those of the first split as ``groups``, of another one as ``<split>_groups``."""
    metrics = [column for column in table.columns if column not in KEYS]
    found: dict[str, Any] = {}
    for number, split in enumerate(parameters.splits):
        rows = table[table["split"] == split]
        found["groups" if number == 0 else f"{split}_groups"] = {
            str(group): {
                "donors": int(part["donor"].nunique()),
                "pairs": len(part),
                **over_donors(part, metrics, parameters.bootstrap),
            }
            for group, part in rows.groupby("group", sort=False)
        }
    return found


def _draw_comparisons(
    names: Sequence[str], held: HeldOut, parameters: JudgingParameters, out_images: Path, folder: Path
) -> None:
    for acquisition_id, pairs in _pictured(held, parameters):
        rows = [
            (pair, {name: read_image(translated_path(out_images / name, pair)) for name in names})
            for pair in (held.source[number] for number in pairs)
        ]
        group = rows[0][0].group
        write_comparison(folder / f"{acquisition_id}.png", rows, f"{acquisition_id}, {held.split} donor, {group}")


def _draw_close_ups(
    translator: Translator,
    name: str,
    held: HeldOut,
    parameters: JudgingParameters,
    images: Path,
    folder: Path,
    device: str,
) -> None:
    for acquisition_id, pairs in _pictured(held, parameters):
        rows = []
        for number in pairs:
            pair = held.source[number]
            translated = read_image(translated_path(images, pair))
            disagreement = doubt_of(translator, pair.real, device)
            rows.append(CloseUp(pair, translated, disagreement, held.mm_per_px[number]))
        title = f"{name}: {acquisition_id}, {held.split} donor, {rows[0].pair.group}"
        write_close_up(folder / f"{acquisition_id}-{name}.png", rows, title)


def _pictured(held: HeldOut, parameters: JudgingParameters) -> list[tuple[str, list[int]]]:
    """Choose sessions of each group, and of each the views that it has."""
    wanted, chosen = parameters.pictures, []
    left = dict.fromkeys(held.groups, wanted.sessions)
    for acquisition_id, numbers in held.numbers.items():
        at = {held.source.places[number].exposure_id: number for number in numbers}
        pairs = [at[view] for view in wanted.views if view in at]
        group = held.source.places[numbers[0]].group
        if pairs and left[group] > 0:
            left[group] -= 1
            chosen.append((acquisition_id, pairs))
    return chosen


def _write_table(path: Path, table: pd.DataFrame) -> None:
    stream = io.StringIO()
    table.round(_DIGITS).to_csv(stream, index=False, lineterminator="\n")
    write_bytes(path, stream.getvalue().encode())
