"""Stage ``evaluate``: the whole-lumbar network on the test donors of data/spines, with studies of what it depends on.

Writes results/evaluate: tables, plots, pictures.
"""

from pathlib import Path

from drrkit.parameters import read_parameters
from reconstruction.cases import read_cases
from reconstruction.judging.judge import JudgingParameters, judge_model

CASES = Path("data/spines")
MODEL = Path("models/pretrain/lumbar/model.safetensors")
OUT = Path("results/evaluate")


def main() -> None:
    """Write results/evaluate."""
    judge_model(MODEL, read_cases(CASES), "test", read_parameters("evaluate", JudgingParameters), OUT)


if __name__ == "__main__":
    main()
