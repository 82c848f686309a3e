"""Stage ``spines``: the learning set, procedural phantoms seen by C-arms; the CTs themselves are not kept."""

from pathlib import Path

from drrkit.accounts import run_stage
from drrkit.parameters import read_parameters
from reconstruction.cases import CASES_NAME, write_cases
from reconstruction.sets.spines import SpinesParameters, make_spines

OUT = Path("data/spines")


def main() -> None:
    """Write data/spines."""
    cases = make_spines(read_parameters("spines", SpinesParameters), OUT)
    write_cases(OUT / CASES_NAME, cases)


if __name__ == "__main__":
    run_stage("spines", main)
