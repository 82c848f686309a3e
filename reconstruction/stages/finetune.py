"""Stage ``finetune``: networks that go on learning, one item a rung of the ladder that learns.

``python -m reconstruction.stages.finetune RUNG`` writes models/finetune/RUNG. Paired donors are those of
data/sessions (SIMULATED until a lab has its own), translated images those of data/translate. No file of a test donor is
opened.
"""

import sys
from pathlib import Path

from drrkit.accounts import run_stage
from drrkit.errors import InputError
from drrkit.learning.checkpoint import going_on
from drrkit.learning.fabric import fastest_device
from drrkit.parameters import Parameters, read_parameters
from protocols.pairset import read_pairset
from reconstruction.adaptation.lessons import RungParameters, cases_of_rung
from reconstruction.cases import read_cases
from reconstruction.learning.lessons import finetune_on_cases

CASES = Path("data/cases")
SESSIONS = Path("data/sessions")
TRANSLATED = Path("data/translate")
NETWORKS = Path("models/pretrain")
OUT = Path("models/finetune")
INPUTS = (CASES, SESSIONS, TRANSLATED, NETWORKS, Path("data/spines"), Path("drrkit"), Path("reconstruction"))


class FinetuneStageParameters(Parameters):
    """The rungs that learn, by name."""

    rungs: dict[str, RungParameters]


def main(name: str) -> None:
    """Write models/finetune/NAME."""
    rungs = read_parameters("finetune", FinetuneStageParameters).rungs
    if name not in rungs:
        raise InputError("params.yaml, finetune.rungs", f"no {name}", " or ".join(rungs))
    rung = rungs[name]
    cases, repeats = cases_of_rung(read_pairset(SESSIONS / rung.fold), TRANSLATED, read_cases(CASES), rung)
    start = NETWORKS / rung.start / "model.safetensors"
    with going_on(OUT / name, rung.model_dump(mode="json"), INPUTS):
        finetune_on_cases(start, cases, rung, OUT / name, fastest_device(), repeats=repeats)


if __name__ == "__main__":
    run_stage("finetune", main, sys.argv[1])
