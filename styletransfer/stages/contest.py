"""Stage ``contest``: the ladder's translator and its rivals on donors that none of them saw, by what their images are.

Writes data/contest (translated images by translator and session) and results/contest (scores, summary.json, pictures).
Donors are those of data/sessions, SIMULATED until a lab has its own.
"""

from pathlib import Path

from drrkit.accounts import run_stage
from drrkit.learning.fabric import fastest_device
from drrkit.parameters import read_parameters
from protocols.pairset import read_pairset
from styletransfer.judging.evaluation import judge_translators
from styletransfer.judging.settings import JudgingParameters

PAIRS = Path("data/sessions/frozen")
MODELS = (Path("models/train_translator"), Path("models/rival"))
IMAGES = Path("data/contest")
OUT = Path("results/contest")


def main() -> None:
    """Write data/contest and results/contest."""
    parameters = read_parameters("contest", JudgingParameters)
    models = {path.parent.name: path for folder in MODELS for path in sorted(folder.glob("*/model.safetensors"))}
    judge_translators(read_pairset(PAIRS), models, parameters, IMAGES, OUT, fastest_device())


if __name__ == "__main__":
    run_stage("contest", main, account=False)
