"""Stage ``pretrain``: the networks, one item a network, trained on the train donors of data/cases.

``python -m reconstruction.stages.pretrain NAME`` writes models/pretrain/NAME: weights, their description, the
log, and what is needed to go on after a kill. No file of a test donor is opened.
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
OUT = Path("models/pretrain")
INPUTS = (CASES, Path("data/spines"), Path("drrkit"), Path("reconstruction"))


class PretrainParameters(Parameters):
    """The networks by name."""

    models: dict[str, LearningParameters]


def main(name: str) -> None:
    """Write models/pretrain/NAME."""
    models = read_parameters("pretrain", PretrainParameters).models
    if name not in models:
        raise InputError("params.yaml, pretrain.models", f"no {name}", " or ".join(models))
    with going_on(OUT / name, models[name].model_dump(mode="json"), INPUTS):
        train_on_cases(read_cases(CASES), models[name], OUT / name, fastest_device())


if __name__ == "__main__":
    run_stage("pretrain", main, sys.argv[1])
