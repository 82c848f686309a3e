"""Find the CTs of a collection, whatever its layout, and whose they are."""

import csv
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import yaml

from drrkit.cohort.plain import PLAIN_SCHEME, find_plain
from drrkit.cohort.public import find_ctspine1k, find_totalsegmentator, find_verse, has_ctspine1k_names
from drrkit.cohort.scans import Found
from drrkit.errors import InputError
from drrkit.io.labels import LABEL_SCHEMES

COHORT_YAML = "cohort.yaml"
DONORS_CSV = "donors.csv"


@dataclass(frozen=True)
class Layout:
    """One way to lay out files: how to find them, and what they look like in words."""

    find: Callable[[Path], Found]
    looks_for: str
    # CTSpine1K's names are so general that ``auto`` needs a telling one before it tries.
    applies: Callable[[Path], bool] = lambda root: True


# In the order in which ``auto`` tries them: the most telling names first.
LAYOUTS: dict[str, Layout] = {
    "totalsegmentator": Layout(find_totalsegmentator, "sXXXX/ct.nii.gz with sXXXX/segmentations/vertebrae_*.nii.gz"),
    "verse": Layout(
        find_verse, "rawdata/sub-*/sub-*_ct.nii.gz with derivatives/sub-*/sub-*_seg-vert_msk.nii.gz, or verse*.nii.gz"
    ),
    "ctspine1k": Layout(find_ctspine1k, "<name>.nii.gz with <name>_seg.nii.gz in any folder", has_ctspine1k_names),
    "plain": Layout(
        find_plain, "<id>/ct.nii.gz or DICOM folder <id>/ct with <id>/labels.nii.gz, or <id>.nii.gz with <id>_labels.*"
    ),
}


def find_scans(
    root: Path, layout: str = "auto", donors_csv: Path | None = None, label_scheme: str | None = None
) -> Found:
    """List the CTs below a folder.

    ``cohort.yaml`` (``label_scheme``, ``donors``) and ``donors.csv`` (``ct_id``, ``donor_id``, ``label_scheme``) in the
    folder overrule what names tell; the arguments overrule both.

    Args:
        root: The folder.
        layout: ``auto``, or one of :data:`LAYOUTS`.
        donors_csv: Table like ``donors.csv``; CTs that it does not list keep their donors.
        label_scheme: Numbering of all label maps.

    Raises:
        InputError: No folder, no CT, a CT id for two CTs, an unknown layout or scheme, a listed CT that is not there.
    """
    root = Path(root)
    if not root.is_dir():
        raise InputError(root, "no such folder", "a folder with CTs")
    if layout not in ("auto", *LAYOUTS):
        raise InputError("layout", repr(layout), f"auto, {', '.join(LAYOUTS)}")
    candidates = [name for name in LAYOUTS if LAYOUTS[name].applies(root)] if layout == "auto" else [layout]
    found = next((found for name in candidates if (found := LAYOUTS[name].find(root)).scans), None)
    if found is None:
        names = list(LAYOUTS) if layout == "auto" else [layout]
        raise InputError(root, "no CT", "; ".join(f"{name}: {LAYOUTS[name].looks_for}" for name in names))
    named_scheme = label_scheme
    if (root / COHORT_YAML).is_file():
        scheme, donors = _read_config(root / COHORT_YAML)
        found = _with_donors(_with_scheme(found, scheme), donors, {}, root / COHORT_YAML)
        named_scheme = named_scheme or scheme
    for path in (root / DONORS_CSV, donors_csv):
        if path is not None and (path == donors_csv or path.is_file()):
            found = _with_donors(found, *_read_donors(path), path)
    found = _with_scheme(found, label_scheme)
    _check_ids(root, found)
    notes = list(found.notes)
    if found.layout == "plain" and named_scheme is None and any(scan.labels_path for scan in found.scans):
        notes.append(f"label maps are read with the numbers of {PLAIN_SCHEME}; --label-scheme names another scheme")
    return replace(found, scans=sorted(found.scans, key=lambda scan: scan.ct_id), notes=notes)


def _check_ids(root: Path, found: Found) -> None:
    counts = Counter(scan.ct_id for scan in found.scans)
    ct_id, count = counts.most_common(1)[0]
    if count > 1:
        paths = ", ".join(str(scan.ct_path) for scan in found.scans if scan.ct_id == ct_id)
        raise InputError(root, f"the CT id {ct_id!r} for {paths}", "a name of its own for every CT")


def _read_donors(path: Path) -> tuple[dict[str, str], dict[str, str]]:
    """Read donor ids and label schemes by CT id."""
    try:
        with Path(path).open(newline="", encoding="utf-8-sig") as stream:
            rows = list(csv.DictReader(stream))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(path, error, "a CSV file with the columns ct_id and donor_id") from error
    donors, schemes = {}, {}
    for number, row in enumerate(rows, start=2):
        ct_id, donor = (row.get("ct_id") or "").strip(), (row.get("donor_id") or "").strip()
        if not ct_id or not donor:
            raise InputError(f"{path}, line {number}", row, "a ct_id and a donor_id")
        donors[ct_id] = donor
        if scheme := (row.get("label_scheme") or "").strip():
            schemes[ct_id] = scheme
    return donors, schemes


def _read_config(path: Path) -> tuple[str | None, dict[str, str]]:
    try:
        content = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise InputError(path, error, "a YAML file") from error
    if not isinstance(content, dict) or not set(content) <= {"label_scheme", "donors"}:
        raise InputError(path, content, "the fields label_scheme and donors")
    donors = content.get("donors") or {}
    if not isinstance(donors, dict):
        raise InputError(f"{path}, donors", donors, "a donor for each CT id")
    return content.get("label_scheme"), {str(ct_id): str(donor) for ct_id, donor in donors.items()}


def _with_scheme(found: Found, scheme: str | None) -> Found:
    if scheme is None:
        return found
    _check_scheme(scheme)
    scans = [replace(scan, label_scheme=scheme) if scan.labels_path else scan for scan in found.scans]
    return replace(found, scans=scans)


def _with_donors(found: Found, donors: Mapping[str, str], schemes: Mapping[str, str], where: Path) -> Found:
    unknown = (set(donors) | set(schemes)) - {scan.ct_id for scan in found.scans}
    if unknown:
        raise InputError(where, f"the CT id {min(unknown)!r}", "the id of a CT that is there")
    for scheme in schemes.values():
        _check_scheme(scheme)
    scans = [
        replace(
            scan,
            donor_id=donors.get(scan.ct_id, scan.donor_id),
            label_scheme=schemes.get(scan.ct_id, scan.label_scheme) if scan.labels_path else "",
        )
        for scan in found.scans
    ]
    return replace(found, scans=scans)


def _check_scheme(scheme: str) -> None:
    if scheme not in LABEL_SCHEMES:
        raise InputError("label scheme", repr(scheme), f"one of {', '.join(LABEL_SCHEMES)}")
