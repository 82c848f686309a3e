"""Translators side by side: the same pairs, seed and seconds of training; how near their images come to the DRRs.

python benchmarks/translators.py [NAME ...] [--seconds S] [--split validation|test] needs data/rehearse (make repro).
Names are those of train_translator.models in params.yaml. Steps are as many as fit into the seconds, and learning
rates fall over them; reading pairs for the first time counts, validation does not. What learns nothing sees each pair
once.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from drrkit.io.store import write_image
from drrkit.parameters import Parameters, read_parameters
from protocols.pairset import PairedSession, read_pairset, sessions_of
from styletransfer.judging.held import HeldOut, hold, translated_path
from styletransfer.metrics import score_pair
from styletransfer.settings import SubsetSettings, TranslatorParameters
from styletransfer.tiling import translate_image
from styletransfer.training import train
from styletransfer.training_job import StepReport
from styletransfer.translator import Translator
from styletransfer.weights import load_translator, method_of

PAIRSET = Path("data/rehearse/pairset.json")
# What every other one is compared with: the image as it is.
NONE = "none"
# Steps that say how long one takes; the first ones also read files and compile.
PROBE_STEPS, WARM_STEPS = 12, 4
SHIFT = "bone_edge_shift_mm"


class Models(Parameters):
    """The section ``translator`` of params.yaml."""

    models: dict[str, TranslatorParameters]


def with_training(parameters: TranslatorParameters, **changes: Any) -> TranslatorParameters:
    return parameters.model_copy(update={"training": parameters.training.model_copy(update=changes)})


def seconds_a_step(sessions: Sequence[PairedSession], parameters: TranslatorParameters, device: str) -> float:
    stamps: list[float] = []

    def stamp(report: StepReport) -> None:
        stamps.append(time.perf_counter())

    short = {"steps": PROBE_STEPS, "log_every": 1, "validate_every": None, "validation_pairs": 1}
    with tempfile.TemporaryDirectory() as folder:
        probe = with_training(parameters, **short, processes=1, checkpoint_every=PROBE_STEPS)
        train(sessions, probe, Path(folder), device, stamp)
    # The last one tells of a validation too.
    return float(np.median(np.diff(stamps[WARM_STEPS:-1])))


def trained(
    sessions: Sequence[PairedSession], parameters: TranslatorParameters, seconds: float, out: Path, device: str
) -> dict[str, float]:
    """Train for so many seconds; return what the training says of itself."""
    steps = parameters.training.steps
    if method_of(parameters.method).learning != "nothing":
        steps = max(1, round(seconds / seconds_a_step(sessions, parameters, device)))
    rise = round(steps * parameters.training.warmup_steps / parameters.training.steps)
    rare = dict.fromkeys(("log_every", "checkpoint_every"), steps)
    same = {"steps": steps, "warmup_steps": rise, "validate_every": None, "validation_pairs": 1, "processes": 1}
    train(sessions, with_training(parameters, **same, **rare), out, device)
    account = json.loads((out / "train.json").read_text())
    return {"seconds": account["seconds_per_step"] * account["steps"], "steps": account["steps"]}


def scored(translator: Translator, held: HeldOut, most: int | None, device: str) -> dict[str, float]:
    """Score pairs of each session; means over donors of means over their pairs, of the shift medians of both."""
    rows = []
    for number in held.some(most):
        pair = held.source[number]
        translated = translate_image(translator, pair.real, device=device)
        scores = score_pair(translated, pair.synthetic, pair.field, held.mm_per_px[number])
        rows.append({"donor": pair.donor_id, **scores})
    donors = pd.DataFrame(rows).groupby("donor")
    return {**donors.mean().mean().to_dict(), SHIFT: float(donors[SHIFT].median().median())}


def reconstructed(
    model: Path,
    translator: Translator | None,
    sessions: Sequence[PairedSession],
    held: HeldOut,
    config: Path,
    device: str,
) -> float:
    """Mean union F1 of an unchanged network on the held-out sessions, seen by translated images or by DRRs."""
    from reconstruction.adaptation.sessions import load_session
    from reconstruction.adaptation.translations import TranslationParameters
    from reconstruction.judging.evaluation import UNION, predicted_masks
    from reconstruction.judging.prediction import network_predictor
    from reconstruction.loading import read_case_radiographs
    from reconstruction.metrics import WHOLE, judge
    from reconstruction.weights import load_model

    parameters = read_parameters("translation", TranslationParameters, config)
    network, spec = load_model(model, device)
    predictor = network_predictor(network, spec.window)
    found = []
    for session in sessions_of(sessions, held.split):
        loaded = load_session(session, parameters.headline_views, parameters.match_limit_deg)
        views = loaded.case.views[: parameters.headline_views]
        with tempfile.TemporaryDirectory() as folder:
            images = session.pairs / "drr_bone"
            if translator is not None:
                images = Path(folder) / session.acquisition_id
                for number in held.numbers[session.acquisition_id]:
                    if held.source.places[number].exposure_id in views:
                        pair = held.source[number]
                        translated = translate_image(translator, pair.real, device=device)
                        write_image(translated_path(Path(folder), pair), translated)
            kind = "drr" if translator is None else "translated"
            case = replace(loaded.case, kind=kind, images=images, views=views)
            shown = replace(loaded, case=case, radiographs=dict(zip(views, read_case_radiographs(case), strict=True)))
            masks = predicted_masks(predictor, shown, views, spec)
        found.append(judge(masks[UNION], loaded.truths[UNION])[WHOLE]["f1"])
    return float(np.mean(found))


def print_table(rows: Mapping[str, Mapping[str, float]], ceiling: float | None) -> None:
    none = rows[NONE]
    titles = ["translator", "training s", "steps", "PSNR dB", "SSIM", "gradient NCC", "mean error, of none's"]
    titles += ["bone-edge shift mm", "shift, of none's", *([] if ceiling is None else ["union F1"])]
    print(f"| {' | '.join(titles)} |\n|{'---|' * len(titles)}")
    for name, row in rows.items():
        cells = [name, f"{row['seconds']:.1f}", f"{row['steps']:.0f}", f"{row['psnr_db']:.2f}", f"{row['ssim']:.3f}"]
        cells += [f"{row['gradient_ncc']:.3f}", f"{row['mae'] / none['mae']:.3f}"]
        cells += [f"{row[SHIFT]:.3f}", f"{row[SHIFT] / none[SHIFT]:.2f}"]
        cells += [f"{row['f1']:.3f}"] if "f1" in row else []
        print(f"| {' | '.join(cells)} |")
    if ceiling is not None:
        print(f"| DRR (ceiling) |{' |' * (len(titles) - 2)} {ceiling:.3f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="of train_translator.models; all if none is given")
    parser.add_argument("--pairset", type=Path, default=PAIRSET, metavar="FILE")
    parser.add_argument("--config", type=Path, default=Path("params.yaml"), metavar="FILE")
    parser.add_argument("--seconds", type=float, default=300.0, help="of training, of each one that learns")
    parser.add_argument("--split", choices=("validation", "test"), default="validation")
    parser.add_argument("--donors", type=int, help="train donors; all if not given")
    parser.add_argument("--pairs", type=int, help="pairs of each train donor; all if not given")
    parser.add_argument("--scored", type=int, help="pairs of each session that are scored; all if not given")
    parser.add_argument("--reconstructor", type=Path, metavar="FILE", help="model.safetensors of an unchanged network")
    parser.add_argument("--device", default="cpu")
    asked = parser.parse_args()
    models = read_parameters("translator", Models, asked.config).models
    names = [NONE, *(name for name in asked.names or models if name != NONE)]
    unknown = sorted(set(names) - {NONE, *models})
    if unknown:
        parser.error(f"{unknown[0]} is none of {', '.join(models)}")
    subset = SubsetSettings(donors=asked.donors, pairs=asked.pairs)
    sessions = read_pairset(asked.pairset)
    held = hold(sessions, asked.split)
    rows: dict[str, dict[str, float]] = {}
    for name in names:
        parameters = models.get(name) or next(iter(models.values())).model_copy(update={"method": NONE, "settings": {}})
        parameters = parameters.model_copy(update={"subset": subset})
        with tempfile.TemporaryDirectory() as folder:
            account = trained(sessions, parameters, asked.seconds, Path(folder), asked.device)
            translator, spec = load_translator(Path(folder) / "model.safetensors", asked.device)
        rows[name] = account | scored(translator, held, asked.scored, asked.device)
        if asked.reconstructor is not None:
            rows[name]["f1"] = reconstructed(
                asked.reconstructor, translator, sessions, held, asked.config, asked.device
            )
    ceiling = None
    if asked.reconstructor is not None:
        ceiling = reconstructed(asked.reconstructor, None, sessions, held, asked.config, asked.device)
    kind = "SIMULATED X-rays" if all(one.simulated for one in sessions) else "X-rays"
    judged = f"{len(set(held.source.donor_ids))} {asked.split} donors"
    print(f"{kind}; {spec.training['pairs']} pairs of {len(spec.training['train_donors'])} train donors; {judged}")
    print(f"{asked.seconds:.0f} s of training each; {asked.device}, {torch.get_num_threads()} threads\n")
    print_table(rows, ceiling)


if __name__ == "__main__":
    main()
