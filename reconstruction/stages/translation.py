"""Stage ``translation``: what the unchanged whole-lumbar network makes of the images of translators and their rivals.

Between the images as they are (source-only) and the DRRs of the same cameras (the ceiling). Writes results/translation.
"""

from pathlib import Path

from drrkit.accounts import run_stage
from drrkit.parameters import read_parameters
from protocols.pairset import read_pairset
from reconstruction.adaptation.summary import read_translator_records
from reconstruction.adaptation.translations import TranslationParameters, judge_translations

PAIRS = Path("data/sessions/frozen")
IMAGES = Path("data/contest")
TRANSLATORS = Path("results/contest/summary.json")
MODEL = Path("models/pretrain/lumbar/model.safetensors")
OUT = Path("results/translation")


def main() -> None:
    """Write results/translation."""
    parameters = read_parameters("translation", TranslationParameters)
    records = read_translator_records(TRANSLATORS)
    images = {name: IMAGES / name for name in records}
    judge_translations(MODEL, read_pairset(PAIRS), images, records, parameters, OUT)


if __name__ == "__main__":
    run_stage("translation", main, account=False)
