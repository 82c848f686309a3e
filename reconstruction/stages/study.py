"""Stage ``study``: what reconstructions depend on, and which shots to plan.

The in-silico network on DRRs of test donors, the adapted one on translated X-rays of a fold's test donors, which are
SIMULATED until a lab has its own. Writes results/study: a table and a plot for each study, summary.json; and
data/study/mean_vertebra.npz.
"""

from pathlib import Path

from drrkit.accounts import run_stage
from drrkit.parameters import read_parameters
from protocols.pairset import read_pairset
from reconstruction.adaptation.summary import read_translator_records
from reconstruction.cases import read_cases
from reconstruction.studies.settings import StudiesParameters
from reconstruction.studies.study import StudyInputs, run_studies

CASES = Path("data/cases")
SETS = Path("data/sessions")
IMAGES = Path("data/translate")
TRANSLATORS = Path("results/translate/summary.json")
MODEL = Path("models/pretrain/lumbar/model.safetensors")
ADAPTED = Path("models/finetune/both/model.safetensors")
MEAN_VERTEBRA = Path("data/study/mean_vertebra.npz")
OUT = Path("results/study")


def main() -> None:
    """Write results/study and data/study."""
    parameters = read_parameters("study", StudiesParameters)
    records, sessions = read_translator_records(TRANSLATORS), read_pairset(SETS / parameters.fold)
    inputs = StudyInputs(MODEL, ADAPTED, read_cases(CASES), sessions, IMAGES, records)
    run_studies(inputs, parameters, OUT, MEAN_VERTEBRA)


if __name__ == "__main__":
    run_stage("study", main)
