"""Many CTs as one cohort: a table of who and what, a linter, and frozen donor splits."""

from drrkit.cohort.findings import Finding
from drrkit.cohort.importing import import_cohort
from drrkit.cohort.lint import lint_cohort
from drrkit.cohort.splits import Splits, assert_split, freeze_splits, read_splits, write_splits
from drrkit.cohort.table import is_cohort, join_cohorts, read_cohort, resolve, write_cohort

__all__ = [
    "Finding",
    "Splits",
    "assert_split",
    "freeze_splits",
    "import_cohort",
    "is_cohort",
    "join_cohorts",
    "lint_cohort",
    "read_cohort",
    "read_splits",
    "resolve",
    "write_cohort",
    "write_splits",
]
