"""Stage ``rival``: translators that the ladder's one is compared with, one item a translator.

``python -m styletransfer.stages.rival NAME`` writes models/rival/NAME, as the stage ``train_translator`` does.
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
OUT = Path("models/rival")
INPUTS = (SESSIONS, Path("data/rehearse"), Path("drrkit"), Path("protocols"), Path("styletransfer"))


class RivalParameters(Parameters):
    """The translators by name."""

    models: dict[str, TranslatorParameters]


def main(name: str) -> None:
    """Write models/rival/NAME."""
    models = read_parameters("rival", RivalParameters).models
    if name not in models:
        raise InputError("params.yaml, rival.models", f"no {name}", " or ".join(models))
    with going_on(OUT / name, models[name].model_dump(mode="json"), INPUTS):
        train(read_pairset(SESSIONS / models[name].fold), models[name], OUT / name, fastest_device())


if __name__ == "__main__":
    run_stage("rival", main, sys.argv[1], account=False)
