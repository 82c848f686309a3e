"""Fusion kinds side by side: the same network, data, seed and steps; validation F1 with four views and seconds a step.

python benchmarks/fusion.py [--steps N] [--fusions NAME ...] needs data/spines (make repro).
"""

import argparse
import json
import tempfile
from pathlib import Path

from drrkit.parameters import read_parameters
from reconstruction.cases import read_cases
from reconstruction.learning.lessons import LearningParameters, train_on_cases
from reconstruction.networks.fusion import FUSIONS

CASES = Path("data/spines")
SECTION = "reconstructor.models.lumbar"


def measured(fusion: str, steps: int) -> dict[str, float]:
    whole = read_parameters(SECTION, LearningParameters)
    training = whole.training.model_copy(
        update={"steps": steps, "validate_every": steps, "checkpoint_every": steps, "log_every": steps}
    )
    parameters = whole.model_copy(update={"settings": {**whole.settings, "fusion": fusion}, "training": training})
    with tempfile.TemporaryDirectory() as folder:
        result = train_on_cases(read_cases(CASES), parameters, Path(folder))
        seconds = json.loads((Path(folder) / "train.json").read_text())["seconds_per_step"]
    return {**result.scores, "seconds_per_step": seconds}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=170)
    parser.add_argument("--fusions", nargs="+", choices=list(FUSIONS), default=list(FUSIONS))
    arguments = parser.parse_args()
    rows = {fusion: measured(fusion, arguments.steps) for fusion in arguments.fusions}
    print(f"{arguments.steps} steps; validation donors, four views, on the network's own grid")
    print("| fusion | union F1 | level F1 | s a step, loading and validation included |\n|---|---|---|---|")
    for fusion, row in rows.items():
        print(f"| {fusion} | {row['f1']:.3f} | {row['class_f1']:.3f} | {row['seconds_per_step']:.2f} |")


if __name__ == "__main__":
    main()
