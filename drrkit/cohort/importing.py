"""From a folder of CTs to the cohort table: every file is read once, hashed, and its levels listed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from drrkit.cohort.files import read_own_labels, voxels_sha256
from drrkit.cohort.layouts import find_scans
from drrkit.cohort.scans import Scan
from drrkit.cohort.table import check_table
from drrkit.cohort.workers import each
from drrkit.errors import InputError
from drrkit.io.ct import read_ct
from drrkit.io.store import content_sha256

_FAULTS_SHOWN = 3


def import_cohort(
    root: Path,
    layout: str = "auto",
    *,
    donors_csv: Path | None = None,
    label_scheme: str | None = None,
    skip_unreadable: bool = False,
    workers: int = 1,
    on_scan: Callable[[int, int], None] = lambda done, total: None,
    on_note: Callable[[str], None] = lambda note: None,
) -> pd.DataFrame:
    """Read all CTs below a folder into one table, with absolute paths.

    Args:
        root: The folder.
        layout: ``auto``, ``verse``, ``ctspine1k``, ``totalsegmentator`` or ``plain``.
        donors_csv: Table of ``ct_id``, ``donor_id`` and ``label_scheme`` that overrules what names tell.
        label_scheme: Numbering of all label maps, where it is not the layout's own.
        skip_unreadable: Leave out what cannot be read, with a note, instead of refusing the whole folder.
        workers: Processes; each holds one CT.
        on_scan: Called with the number of CTs done and their total.
        on_note: Called with a sentence on each thing that was left out or could not be told from names.

    Raises:
        InputError: As :func:`drrkit.cohort.layouts.find_scans`; files that cannot be read, all of them in one message.
    """
    found = find_scans(root, layout, donors_csv, label_scheme)
    for note in found.notes:
        on_note(note)
    records, faults = [], []
    on_scan(0, len(found.scans))
    for done, result in enumerate(each(_record_or_fault, found.scans, workers), start=1):
        if isinstance(result, InputError):
            faults.append(result)
        else:
            records.append(result | {"layout": found.layout})
        on_scan(done, len(found.scans))
    if faults and (not skip_unreadable or not records):
        shown = "; ".join(str(fault) for fault in faults[:_FAULTS_SHOWN])
        more = f"; and {len(faults) - _FAULTS_SHOWN} more" if len(faults) > _FAULTS_SHOWN else ""
        raise InputError(
            root,
            f"{len(faults)} of {len(found.scans)} CTs that cannot be imported ({shown}{more})",
            "readable files; --skip-unreadable leaves these CTs out",
        )
    for fault in faults:
        on_note(f"left out: {fault}")
    return check_table(pd.DataFrame(records), str(root))


def _record_or_fault(scan: Scan) -> dict[str, Any] | InputError:
    """Return a fault instead of raising it, so that one message can name all of them."""
    try:
        return _record(scan)
    except InputError as error:
        return error


def _record(scan: Scan) -> dict[str, Any]:
    volume = read_ct(scan.ct_path)
    levels: tuple[str, ...] = ()
    if scan.labels_path is not None:
        # On their own grid: whether that is the CT's is the linter's business.
        levels = read_own_labels(scan.labels_path, scan.label_scheme).levels
    return {
        "ct_id": scan.ct_id,
        "donor_id": scan.donor_id,
        "ct_path": str(scan.ct_path.absolute()),
        "labels_path": str(scan.labels_path.absolute()) if scan.labels_path else "",
        "label_scheme": scan.label_scheme,
        "levels": list(levels),
        "shape": list(volume.shape),
        "spacing_mm": [round(mm, 6) for mm in volume.spacing_mm],
        "ct_sha256": content_sha256(scan.ct_path),
        "labels_sha256": content_sha256(scan.labels_path) if scan.labels_path else "",
        "voxels_sha256": voxels_sha256(volume),
    }
