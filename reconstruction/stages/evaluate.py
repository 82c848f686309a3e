"""Stage ``evaluate``: the ladder, from source-only to the synthetic ceiling, on donors that no model of a fold saw.

Writes results/ladder.csv, results/evaluate (tables, headlines, pictures) and data/evaluate (meshes of one donor).
"""

from pathlib import Path

from drrkit.accounts import run_stage
from drrkit.learning.fabric import fastest_device
from drrkit.parameters import read_parameters
from protocols.pairset import read_pairset
from reconstruction.ladder.evaluation import Outputs, evaluate_ladder
from reconstruction.ladder.judged import Places
from reconstruction.ladder.rungs import LadderParameters

SETS = Path("data/sessions")
PLACES = Places(Path("models"), Path("models/train_translator"), Path("data/translate"))
OUTPUTS = Outputs(Path("results/ladder.csv"), Path("results/evaluate"), Path("data/evaluate/meshes"))


def main() -> None:
    """Write the ladder."""
    parameters = read_parameters("evaluate", LadderParameters)
    sets = {fold: read_pairset(SETS / fold) for fold in parameters.folds}
    evaluate_ladder(sets, PLACES, parameters, OUTPUTS, fastest_device())


if __name__ == "__main__":
    run_stage("evaluate", main)
