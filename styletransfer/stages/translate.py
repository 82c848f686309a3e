"""Stage ``translate``: translators on donors that they never saw, and their images for whoever learns from them.

Writes data/translate (translated images by translator and session) and results/translate (scores, summary.json,
pictures; of a second fold and further ones in folders of their names). Donors are those of data/sessions, SIMULATED
until a lab has its own.
"""

from pathlib import Path

from pydantic import Field

from drrkit.accounts import run_stage
from drrkit.learning.fabric import fastest_device
from drrkit.parameters import Parameters, read_parameters
from protocols.pairset import read_pairset
from styletransfer.judging.evaluation import judge_translators
from styletransfer.judging.settings import JudgingParameters
from styletransfer.translate import translate_sessions

SESSIONS = Path("data/sessions")
MODELS = Path("models/train_translator")
IMAGES = Path("data/translate")
OUT = Path("results/translate")


class FoldParameters(Parameters):
    """Which translators are judged on the held-out donors of a fold, and which ones translate all its other donors."""

    judged: tuple[str, ...] = Field(min_length=1)
    learned_from: tuple[str, ...]


class TranslateParameters(JudgingParameters):
    """How translators are judged, and on which folds; the first one's results lead."""

    folds: dict[str, FoldParameters] = Field(min_length=1)


def main() -> None:
    """Write data/translate and results/translate."""
    parameters = read_parameters("translate", TranslateParameters)
    for number, (fold, wanted) in enumerate(parameters.folds.items()):
        sessions = read_pairset(SESSIONS / fold)
        models = {name: MODELS / name / "model.safetensors" for name in wanted.judged}
        out = OUT if number == 0 else OUT / fold
        judge_translators(sessions, models, parameters, IMAGES, out, fastest_device())
        for name in wanted.learned_from:
            learners = [session for session in sessions if session.split != "test"]
            model = MODELS / name / "model.safetensors"
            translate_sessions(model, learners, IMAGES / name, parameters.precision, fastest_device())


if __name__ == "__main__":
    run_stage("translate", main)
