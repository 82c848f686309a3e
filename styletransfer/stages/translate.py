"""Stage ``translate``: every translator on the validation and test donors of data/rehearse (SIMULATED).

Writes data/translate (translated images by model and session) and results/translate (scores, summary.json, pictures).
"""

from pathlib import Path

from drrkit.errors import InputError
from drrkit.parameters import read_parameters
from protocols.pairset import read_pairset
from styletransfer.judging.evaluation import judge_translators
from styletransfer.judging.settings import JudgingParameters

PAIRS = Path("data/rehearse")
MODELS = Path("models/train_translator")
IMAGES = Path("data/translate")
OUT = Path("results/translate")


def main() -> None:
    """Write data/translate and results/translate."""
    parameters = read_parameters("translate", JudgingParameters)
    models = {path.parent.name: path for path in sorted(MODELS.glob("*/model.safetensors"))}
    if not models:
        raise InputError(MODELS, "no model", "what the stage translator wrote")
    judge_translators(read_pairset(PAIRS), models, parameters, IMAGES, OUT)


if __name__ == "__main__":
    main()
