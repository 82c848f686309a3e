"""Stage ``cohort``: one table of all CTs, linted, with donor splits that do not move."""

from dataclasses import replace
from pathlib import Path

from drrkit.accounts import run_stage
from drrkit.cohort import (
    freeze_splits,
    import_cohort,
    join_cohorts,
    lint_cohort,
    read_splits,
    write_cohort,
    write_splits,
)
from drrkit.io.store import write_json
from drrkit.parameters import Parameters, read_parameters

SOURCES = (Path("data/sample"), Path("data/phantom"))
OUT = Path("data/cohort")
REPORT = Path("results/cohort/lint.json")


class CohortParameters(Parameters):
    """How donors are dealt out; ``pinned`` donors have their split given: the real CT is never trained on."""

    split_fractions: dict[str, float]
    split_seed: int
    pinned: dict[str, str]


def main() -> None:
    """Write data/cohort and results/cohort."""
    parameters = read_parameters("cohort", CohortParameters)
    table = join_cohorts(*(import_cohort(source, "plain") for source in SOURCES))
    write_cohort(table, OUT)
    frozen = read_splits(OUT)
    if frozen is not None:
        asked = (parameters.split_fractions, parameters.split_seed)
        # Donors stay where they are unless params.yaml asks for another deal. Contents are not frozen here: the
        # pipeline remakes its own CTs, and DVC tracks them.
        frozen = replace(frozen, cts={}) if (frozen.fractions, frozen.seed) == asked else None
    splits = freeze_splits(table, parameters.split_fractions, parameters.split_seed, parameters.pinned, frozen)
    write_splits(splits, OUT, force=True)
    write_json(REPORT, [finding.to_record() for finding in lint_cohort(OUT)])


if __name__ == "__main__":
    run_stage("cohort", main)
