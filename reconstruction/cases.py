"""Cases: what a reconstruction learns from or is judged on; one donor's views and the labels of the CT behind them.

A case names files and copies none. ``cases.json`` lists cases with paths relative to itself. An image is
``<images>/<view id>.tif``: float32 line integrals of the camera of the same id.
"""

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from drrkit.errors import InputError
from drrkit.io.store import write_json

CASES_NAME = "cases.json"
CASES_CONVENTION = "drrkit-cases/1"
SPLITS = ("train", "validation", "test")

Split = Literal["train", "validation", "test"]
# What made the images: rendered bone (drr), a C-arm (real), a SIMULATED C-arm (simulated), a translator (translated).
ImageKind = Literal["drr", "real", "simulated", "translated"]


@dataclass(frozen=True)
class Case:
    """One donor's views and labels.

    Args:
        case_id: Name that is safe in file names.
        donor_id: Splits are by donor.
        split: ``train``, ``validation`` or ``test``.
        kind: What made the images.
        views: Ids of the views, in order.
        cameras: A ``drrkit-camera/1`` file with a camera for each view.
        images: Folder with ``<view id>.tif`` for each view.
        labels: Label volume.
        label_scheme: Its numbers: verse, ctspine1k, totalsegmentator ...
        levels: Levels that the labels hold whole and that may be learned and judged.
        population: What the donor was drawn from, for example ``adults`` or ``shifted``; "" for people.
        regions: Volume of ``REGION_CODES`` of :mod:`drrkit.phantom.anatomy` on the labels' grid, or None.
    """

    case_id: str
    donor_id: str
    split: Split
    kind: ImageKind
    views: tuple[str, ...]
    cameras: Path
    images: Path
    labels: Path
    label_scheme: str
    levels: tuple[str, ...]
    population: str = ""
    regions: Path | None = None

    def image(self, view_id: str) -> Path:
        """Path of one view's image."""
        return self.images / f"{view_id}.tif"


def write_cases(path: Path, cases: Iterable[Case]) -> None:
    """Write ``cases.json`` with paths relative to its folder.

    Raises:
        InputError: A donor in two splits, or a case id twice.
    """
    cases = list(cases)
    check_cases(cases, path)
    write_json(path, {"convention": CASES_CONVENTION, "cases": [_record(case, path.parent) for case in cases]})


def read_cases(path: Path) -> list[Case]:
    """Read ``cases.json``; no image and no label is opened.

    Raises:
        InputError: No such file, another convention, a field missing or wrong, a donor in two splits, an id twice.
    """
    path = path / CASES_NAME if path.is_dir() else path
    try:
        content = json.loads(path.read_text())
    except OSError as error:
        raise InputError(path, error.strerror or error, f"a {CASES_CONVENTION} file") from error
    except ValueError as error:
        raise InputError(path, f"no JSON ({error})", f"a {CASES_CONVENTION} file") from error
    if not isinstance(content, dict) or content.get("convention") != CASES_CONVENTION:
        raise InputError(path, "another kind of file", f'"convention": "{CASES_CONVENTION}"')
    cases = [_case(record, path) for record in content.get("cases", [])]
    check_cases(cases, path)
    return cases


def of_split(cases: Sequence[Case], split: Split, where: object = "cases") -> list[Case]:
    """Return the cases of one split.

    Raises:
        InputError: There is none.
    """
    chosen = [case for case in cases if case.split == split]
    if not chosen:
        raise InputError(where, f"no case in the split {split}", f"at least one donor in {split}")
    return chosen


def check_cases(cases: Sequence[Case], where: object) -> None:
    """Assert that no donor is in two splits and no id is used twice.

    Raises:
        InputError: One is.
    """
    if not cases:
        raise InputError(where, "no cases", "at least one case")
    split_of: dict[str, str] = {}
    seen: set[str] = set()
    for case in cases:
        if case.split not in SPLITS:
            raise InputError(f"{where}, case {case.case_id}", f"split {case.split!r}", " or ".join(SPLITS))
        if split_of.setdefault(case.donor_id, case.split) != case.split:
            found = f"in {split_of[case.donor_id]} and in {case.split}"
            raise InputError(f"{where}, donor {case.donor_id}", found, "one split a donor")
        if case.case_id in seen:
            raise InputError(where, f"the case id {case.case_id} twice", "every id once")
        seen.add(case.case_id)


def _record(case: Case, folder: Path) -> dict[str, Any]:
    record = asdict(case)
    for name in ("cameras", "images", "labels", "regions"):
        if record[name] is not None:
            record[name] = Path(os.path.relpath(record[name], folder)).as_posix()
    return record


def _case(record: Any, path: Path) -> Case:
    try:
        case = Case(**record)
        places: dict[str, Any] = {
            name: None if getattr(case, name) is None else path.parent / getattr(case, name)
            for name in ("cameras", "images", "labels", "regions")
        }
        return replace(case, views=tuple(case.views), levels=tuple(case.levels), **places)
    except TypeError as error:
        raise InputError(path, f"a case that is none ({error})", f"the fields of {CASES_CONVENTION}") from error
