"""Plain folders: a folder a CT, or files side by side, with ``cohort.yaml`` and ``donors.csv`` for what names hide."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from drrkit.cohort.scans import Found, Scan, as_id, shortened, stem_of
from drrkit.errors import InputError

# The numbers that write_labels of this package writes; cohort.yaml, donors.csv and --label-scheme name others.
PLAIN_SCHEME = "verse"
_LABEL_NAMES = ("labels", "seg", "mask")


def find_plain(root: Path) -> Found:
    """Find CTs of one's own.

    A folder with ``ct.nii.gz`` (or another volume file, or a DICOM folder ``ct``) is one CT, with ``labels``, ``seg``
    or ``mask`` beside it; it goes by its folder's name. Elsewhere every volume file is one, with ``<name>_labels``,
    ``_seg`` or ``_mask`` beside it. The first folder below ``root`` is the donor: two CTs in it are of one person.

    Raises:
        InputError: Two label maps for one CT.
    """
    scans: list[Scan] = []
    notes: list[str] = []
    _walk(root, root, scans, notes)
    counts = Counter(scan.donor_id for scan in scans)
    shared = [donor for donor, count in counts.items() if count > 1]
    if shared:
        notes.append(f"CTs in one folder are taken as one donor's: {shortened(shared)}; donors.csv can say otherwise")
    return Found("plain", scans, notes)


def _walk(root: Path, folder: Path, scans: list[Scan], notes: list[str]) -> None:
    entries = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    files = {stem: path for path in entries if path.is_file() and (stem := stem_of(path)) is not None}
    parts = folder.relative_to(root).parts
    if "ct" in files or (folder / "ct").is_dir():
        labels = [files[name] for name in _LABEL_NAMES if name in files]
        parts = parts or (root.absolute().name,)
        scans.append(_scan(parts, parts[0], files.get("ct", folder / "ct"), labels))
        return
    labels_of: dict[str, list[Path]] = {}
    for stem, path in files.items():
        base, _, ending = stem.rpartition("_")
        if base and ending in _LABEL_NAMES:
            labels_of.setdefault(base, []).append(path)
    label_files = {path for paths in labels_of.values() for path in paths}
    for stem, path in files.items():
        if path not in label_files:
            scans.append(_scan((*parts, stem), parts[0] if parts else stem, path, labels_of.pop(stem, [])))
    notes.extend(f"{path} has no CT beside it: left out" for paths in labels_of.values() for path in paths)
    for below in entries:
        if below.is_dir():
            _walk(root, below, scans, notes)


def _scan(parts: Iterable[str], donor: str, ct_path: Path, labels: list[Path]) -> Scan:
    if len(labels) > 1:
        raise InputError(ct_path, f"{' and '.join(path.name for path in labels)} beside it", "one label map for a CT")
    return Scan(as_id("-".join(parts)), donor, ct_path, labels[0] if labels else None, PLAIN_SCHEME if labels else "")
