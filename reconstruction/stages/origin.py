"""Stage ``origin``: the network that finds where the grid goes, and how far off it is on the test donors.

Writes models/origin/model.safetensors with its JSON, and results/origin/errors.csv.
"""

from pathlib import Path

import pandas as pd

from drrkit.accounts import run_stage
from drrkit.parameters import read_parameters
from reconstruction.cases import of_split, read_cases
from reconstruction.judging.results import write_table
from reconstruction.judging.viewplan import views_for
from reconstruction.origin.settings import OriginSettings
from reconstruction.origin.study import origin_errors
from reconstruction.origin.training import train_origin

CASES = Path("data/cases")
OUT = Path("models/origin")
ERRORS = Path("results/origin/errors.csv")
VIEW_COUNTS = (2, 3, 4)


def main() -> None:
    """Write models/origin and results/origin."""
    cases = read_cases(CASES)
    model = train_origin(cases, read_parameters("origin", OriginSettings), OUT / "model.safetensors")
    judged = of_split(cases, "test", CASES)
    tables = [
        origin_errors(judged, model, views_for(count)).assign(split="test", n_views=count) for count in VIEW_COUNTS
    ]
    write_table(ERRORS, pd.concat(tables, ignore_index=True))


if __name__ == "__main__":
    run_stage("origin", main)
