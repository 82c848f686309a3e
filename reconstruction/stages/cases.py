"""Stage ``cases``: what networks learn from, the cases of data/spines and those of a lab's own rendered CT cohorts.

Writes data/cases: cases.json, and sources.json with hashes of what the cohorts hold. No image is copied.
"""

from pathlib import Path

from drrkit.accounts import run_stage
from drrkit.parameters import read_parameters
from reconstruction.cases import read_cases
from reconstruction.sets.cohorts import CasesParameters, gather_cases, write_gathered

SPINES = Path("data/spines")
OUT = Path("data/cases")


def main() -> None:
    """Write data/cases."""
    cohorts = read_parameters("cases", CasesParameters).cohorts
    write_gathered(OUT, gather_cases(read_cases(SPINES), cohorts), cohorts)


if __name__ == "__main__":
    run_stage("cases", main)
