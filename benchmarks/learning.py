"""Ways to learn side by side: same data, seed and steps; validation F1 with four views and seconds a step.

python benchmarks/learning.py [--steps N] [--variants NAME ...] needs data/spines (make repro).
"""

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from drrkit.parameters import read_parameters
from reconstruction.cases import read_cases
from reconstruction.learning.lessons import LearningParameters, train_on_cases
from reconstruction.networks.fusion import FUSIONS

CASES = Path("data/spines")
SECTION = "pretrain.models.lumbar"
# What differs from the section: of the network's settings, and of the training.
VARIANTS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    **{fusion: ({"fusion": fusion}, {}) for fusion in FUSIONS},
    "adamw": ({}, {"kernel_learning_rate": None}),
}


def measured(variant: str, steps: int) -> dict[str, float]:
    of_network, of_training = VARIANTS[variant]
    whole = read_parameters(SECTION, LearningParameters)
    every = dict.fromkeys(("steps", "validate_every", "checkpoint_every", "log_every"), steps)
    training = whole.training.model_copy(update={**every, **of_training})
    parameters = whole.model_copy(update={"settings": {**whole.settings, **of_network}, "training": training})
    with tempfile.TemporaryDirectory() as folder:
        result = train_on_cases(read_cases(CASES), parameters, Path(folder))
        seconds = json.loads((Path(folder) / "train.json").read_text())["seconds_per_step"]
    return {**result.scores, "seconds_per_step": seconds}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=120)
    parser.add_argument("--variants", nargs="+", choices=list(VARIANTS), default=list(VARIANTS))
    arguments = parser.parse_args()
    rows = {variant: measured(variant, arguments.steps) for variant in arguments.variants}
    print(f"{arguments.steps} steps; validation donors, four views, on the network's own grid")
    print("| variant | union F1 | level F1 | s a step, loading and validation included |\n|---|---|---|---|")
    for variant, row in rows.items():
        print(f"| {variant} | {row['f1']:.3f} | {row['class_f1']:.3f} | {row['seconds_per_step']:.2f} |")


if __name__ == "__main__":
    main()
