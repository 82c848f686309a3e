"""Stage ``train_translator``: translators, one item a name, trained on the train donors of data/rehearse (SIMULATED).

``python -m styletransfer.stages.train_translator NAME`` writes models/train_translator/NAME: weights, their
description, the log, and what is needed to go on after a kill. No file of a test donor is opened. Donors are SIMULATED
until a lab has its own.
"""

import sys
from pathlib import Path

from drrkit.accounts import run_stage
from drrkit.errors import InputError
from drrkit.learning.checkpoint import going_on
from drrkit.learning.fabric import fastest_device
from drrkit.parameters import Parameters, read_parameters
from protocols.pairset import read_pairset
from styletransfer.settings import TranslatorParameters
from styletransfer.training import train

SESSIONS = Path("data/sessions")
OUT = Path("models/train_translator")
INPUTS = (SESSIONS, Path("data/rehearse"), Path("drrkit"), Path("protocols"), Path("styletransfer"))


class TranslatorsParameters(Parameters):
    """The translators by name."""

    models: dict[str, TranslatorParameters]


def main(name: str) -> None:
    """Write models/train_translator/NAME."""
    models = read_parameters("train_translator", TranslatorsParameters).models
    if name not in models:
        raise InputError("params.yaml, train_translator.models", f"no {name}", " or ".join(models))
    with going_on(OUT / name, models[name].model_dump(mode="json"), INPUTS):
        train(read_pairset(SESSIONS / models[name].fold), models[name], OUT / name, fastest_device())


if __name__ == "__main__":
    run_stage("train_translator", main, sys.argv[1])
