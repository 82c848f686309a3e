"""The learning set and the rendered CT cohorts of a lab as one list of cases."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from drrkit.cohort import read_cohort, read_splits, resolve
from drrkit.cohort.splits import SPLITS_NAME
from drrkit.cohort.table import CSV_NAME
from drrkit.dataset.plan import CAMERAS_NAME
from drrkit.errors import InputError
from drrkit.io.manifest import MANIFEST_NAME, read_manifest
from drrkit.io.store import content_sha256, write_json
from drrkit.parameters import Parameters
from reconstruction.cases import CASES_NAME, Case, check_cases, write_cases
from reconstruction.sets.adapters import cases_from_renders

SOURCES_NAME = "sources.json"
SOURCES_CONVENTION = "drrkit-sources/1"


class RenderedCohort(Parameters):
    """A cohort folder with its frozen splits, and what ``drrkit render`` wrote for it."""

    cohort: str
    renders: str


class CasesParameters(Parameters):
    """The cohorts by name."""

    cohorts: dict[str, RenderedCohort]


def cohort_cases(rendered: Path, cohort: Path) -> list[Case]:
    """List the cases of one rendered cohort by its frozen splits.

    Raises:
        InputError: As :func:`reconstruction.sets.adapters.cases_from_renders`; no frozen splits, images of anything but
            bone, a missing image, or labels that changed since the cohort was imported.
    """
    for row in read_manifest(rendered).values():
        if row.tissue != "bone":
            found = f"the image {row.id} of {row.tissue}"
            raise InputError(rendered, found, "images of bone, as the learning set has: drrkit render --tissue bone")
    splits = read_splits(cohort)
    if splits is None:
        raise InputError(cohort, f"no {SPLITS_NAME}", "a cohort with frozen splits: drrkit cohort split")
    cases = cases_from_renders(rendered, cohort, splits)
    known = {row.ct_id: (row.labels_path, row.labels_sha256) for row in read_cohort(cohort).itertuples()}
    for case in cases:
        labels_path, labels_sha256 = known[case.case_id]
        if content_sha256(resolve(cohort, labels_path)) != labels_sha256:
            raise InputError(case.labels, "other labels than were imported", "the cohort imported and rendered again")
        for view_id in case.views:
            if not case.image(view_id).is_file():
                raise InputError(case.image(view_id), "no such file", f"an image for each row of {rendered}")
    return cases


def gather_cases(learning_set: Sequence[Case], cohorts: Mapping[str, RenderedCohort]) -> list[Case]:
    """List the cases of the learning set and of every cohort.

    Raises:
        InputError: As :func:`cohort_cases`; a donor in two splits, or one name for two cases.
    """
    cases = list(learning_set)
    for name, source in cohorts.items():
        cases += cohort_cases(Path(source.renders), Path(source.cohort))
        check_cases(cases, f"the learning set with cohorts up to {name}")
    return cases


def write_gathered(out: Path, cases: Sequence[Case], cohorts: Mapping[str, RenderedCohort]) -> None:
    """Write ``cases.json``, and ``sources.json`` with the hashes of what each cohort holds.

    The manifest of a render has the hash of every image and of the CT and labels behind it, so whoever depends on the
    folder runs again when one of them changed.

    Raises:
        InputError: As :func:`reconstruction.cases.write_cases`, or a missing file.
    """
    sources: dict[str, Any] = {name: _source(Path(one.renders), Path(one.cohort)) for name, one in cohorts.items()}
    write_json(out / SOURCES_NAME, {"convention": SOURCES_CONVENTION, "cohorts": sources})
    write_cases(out / CASES_NAME, cases)


def _source(rendered: Path, cohort: Path) -> dict[str, str]:
    return {
        "manifest_sha256": content_sha256(rendered / MANIFEST_NAME),
        "cameras_sha256": content_sha256(rendered / CAMERAS_NAME),
        "table_sha256": content_sha256(cohort / CSV_NAME),
        "splits_sha256": content_sha256(cohort / SPLITS_NAME),
    }
