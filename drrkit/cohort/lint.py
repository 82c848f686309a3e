"""Find what is wrong with a cohort before it is rendered and trained on."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from drrkit.cohort.files import labels_grid, read_own_labels, voxels_sha256
from drrkit.cohort.findings import Finding
from drrkit.cohort.measures import measure_spine
from drrkit.cohort.rules import check_spine
from drrkit.cohort.splits import duplicate_cts
from drrkit.cohort.table import read_cohort, resolve
from drrkit.cohort.workers import each
from drrkit.errors import InputError
from drrkit.io.ct import read_ct
from drrkit.io.grid import Grid
from drrkit.io.store import content_sha256


def lint_cohort(
    folder: Path,
    workers: int = 1,
    on_ct: Callable[[int, int], None] = lambda done, total: None,
) -> list[Finding]:
    """Check every CT with its labels, and the CTs against each other.

    Args:
        folder: The cohort folder.
        workers: Processes; each holds one CT.
        on_ct: Called with the number of CTs done and their total.

    Returns:
        Findings, those on the whole table first, then CT by CT.

    Raises:
        InputError: No cohort there, or an empty one.
    """
    table = read_cohort(folder)
    findings = find_duplicates(table)
    rows = table.to_dict("records")
    on_ct(0, len(rows))
    for done, found in enumerate(each(partial(lint_ct, folder=Path(folder)), rows, workers), start=1):
        findings += found
        on_ct(done, len(rows))
    return findings


def lint_ct(row: dict[str, Any], folder: Path) -> list[Finding]:
    """Check one row of the table: its files, the grids, and the labelled spine."""
    ct_id, ct_path = row["ct_id"], resolve(folder, row["ct_path"])
    findings = []
    try:
        volume = read_ct(ct_path)
    except InputError as error:
        return [_unreadable(ct_id, error)]
    if voxels_sha256(volume) != row["voxels_sha256"]:
        findings.append(_changed(ct_id, ct_path))
    if not row["labels_path"]:
        return findings
    labels_path = resolve(folder, row["labels_path"])
    try:
        own_grid, ct_grid = labels_grid(labels_path), Grid.of(volume)
        labelled = read_own_labels(labels_path, row["label_scheme"])
    except InputError as error:
        return [*findings, _unreadable(ct_id, error)]
    if content_sha256(labels_path) != row["labels_sha256"]:
        findings.append(_changed(ct_id, labels_path))
    fits = own_grid.matches(ct_grid)
    if not fits:
        findings.append(_other_grid(ct_id, own_grid, ct_grid))
    if labelled.labels is not None:
        spine = measure_spine(labelled.labels, labelled.world_from_voxel, volume.hu if fits else None)
        findings += check_spine(ct_id, spine)
    return findings


def find_duplicates(table: pd.DataFrame) -> list[Finding]:
    """Find one CT under two names, and one label map for two CTs."""
    findings = []
    for first, second in duplicate_cts(table):
        if first.donor_id != second.donor_id:
            findings.append(
                Finding(
                    "error",
                    second.ct_id,
                    "duplicate",
                    f"the same CT as {first.ct_id}, under the donors {first.donor_id} and {second.donor_id}",
                    "one CT would train and test at once",
                    "give both the same donor_id, or leave one out",
                )
            )
        else:
            findings.append(
                Finding(
                    "warning",
                    second.ct_id,
                    "duplicate",
                    f"the same CT as {first.ct_id}",
                    "it counts twice in training and evaluation",
                    "leave one out",
                )
            )
    labelled = table[table["labels_sha256"] != ""]
    for _, group in labelled.groupby("labels_sha256", sort=False):
        rows = list(group.itertuples())
        findings += [
            Finding(
                "error",
                row.ct_id,
                "shared-labels",
                f"the label map of {rows[0].ct_id}, of another CT",
                "two different CTs do not have the same voxels of bone: one file was copied to a wrong name",
                "put the CT's own label map there, then import again",
            )
            for row in rows[1:]
            if row.voxels_sha256 != rows[0].voxels_sha256
        ]
    return findings


def _unreadable(ct_id: str, error: InputError) -> Finding:
    return Finding("error", ct_id, "unreadable", f"{error.where}: {error.found}", f"wanted {error.wanted}", "repair it")


def _changed(ct_id: str, path: Path) -> Finding:
    return Finding(
        "error",
        ct_id,
        "changed",
        f"{path} is not what was imported",
        "levels, hashes and splits in the table belong to the earlier file",
        "import again, or restore the file",
    )


def _other_grid(ct_id: str, labels: Grid, ct: Grid) -> Finding:
    return Finding(
        "error",
        ct_id,
        "grid",
        f"labels of {labels}; CT of {ct}",
        "the label of a voxel would be laid on another voxel of the CT",
        "correct the header of the label map: the sizes agree, only the placement differs"
        if labels.shape == ct.shape
        else "resample the label map to the CT's grid, by nearest neighbor",
    )
