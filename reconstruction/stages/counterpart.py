"""Stage ``counterpart``: networks that the whole-lumbar one is compared with, one item a network.

``python -m reconstruction.stages.counterpart NAME`` writes models/counterpart/NAME, as the stage ``pretrain`` does.
"""

import sys
from pathlib import Path

from drrkit.accounts import run_stage
from drrkit.errors import InputError
from drrkit.learning.checkpoint import going_on
from drrkit.learning.fabric import fastest_device
from drrkit.parameters import Parameters, read_parameters
from reconstruction.cases import read_cases
from reconstruction.learning.lessons import LearningParameters, train_on_cases

CASES = Path("data/cases")
OUT = Path("models/counterpart")
INPUTS = (CASES, Path("data/spines"), Path("drrkit"), Path("reconstruction"))


class CounterpartParameters(Parameters):
    """The networks by name."""

    models: dict[str, LearningParameters]


def main(name: str) -> None:
    """Write models/counterpart/NAME."""
    models = read_parameters("counterpart", CounterpartParameters).models
    if name not in models:
        raise InputError("params.yaml, counterpart.models", f"no {name}", " or ".join(models))
    with going_on(OUT / name, models[name].model_dump(mode="json"), INPUTS):
        train_on_cases(read_cases(CASES), models[name], OUT / name, fastest_device())


if __name__ == "__main__":
    run_stage("counterpart", main, sys.argv[1], account=False)
