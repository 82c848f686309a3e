"""CTs and label maps by the names of their files; nothing is opened here."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from drrkit.errors import InputError
from drrkit.io.store import content_sha256
from drrkit.io.volumefile import WRITABLE


@dataclass(frozen=True)
class Scan:
    """One CT, with its label map if it has one; ``label_scheme`` is empty without labels."""

    ct_id: str
    donor_id: str
    ct_path: Path
    labels_path: Path | None = None
    label_scheme: str = ""


@dataclass(frozen=True)
class Found:
    """What lies below a folder.

    Args:
        layout: Whose layout it is.
        scans: The CTs.
        notes: What was left out or could not be told from names, one sentence each.
    """

    layout: str
    scans: list[Scan] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def volume_files(root: Path) -> list[Path]:
    """List the volume files below a folder."""
    return sorted(path for path in root.rglob("*") if stem_of(path) is not None and path.is_file())


def stem_of(path: Path) -> str | None:
    """Return the name without the suffix of a volume file; None for other files and hidden ones."""
    suffix = next((suffix for suffix in WRITABLE if path.name.endswith(suffix)), None)
    return path.name.removesuffix(suffix) if suffix and not path.name.startswith(".") else None


def as_id(name: str) -> str:
    """Make a name fit for files: what is no letter, digit, dot, dash or underscore becomes a dash."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-._") or "ct"


def pair_by_name(layout: str, files: Iterable[Path], ct: re.Pattern[str], mask: re.Pattern[str]) -> Found:
    """Pair CTs and label maps whose names share a ``stem``, wherever they lie.

    Args:
        layout: Its name, which is that of its label scheme too.
        files: All volume files.
        ct: Pattern of a CT's name without suffix, with the groups ``stem`` and ``donor``.
        mask: Pattern of a label map's name without suffix, with the group ``stem``.

    Raises:
        InputError: Two files of one name with different contents.
    """
    masks: dict[str, tuple[re.Match[str], Path]] = {}
    cts: dict[str, tuple[re.Match[str], Path]] = {}
    notes = []
    for path in files:
        # A label map's name may look like a CT's, never the other way round.
        name = stem_of(path) or ""
        match, group = (found, masks) if (found := mask.fullmatch(name)) else (ct.fullmatch(name), cts)
        if match is None:
            continue
        _, other = group.setdefault(match["stem"], (match, path))
        if other != path:
            if content_sha256(other) != content_sha256(path):
                raise InputError(f"{other} and {path}", "one name for two contents", "one of them, or other names")
            notes.append(f"{path} is a copy of {other}: left out")
    scans = []
    for stem, (match, path) in cts.items():
        _, labels = masks.pop(stem, (None, None))
        scans.append(Scan(as_id(stem), match["donor"], path, labels, layout if labels else ""))
    if masks:
        names = sorted(path.name for _, path in masks.values())
        notes.append(f"{len(names)} label map(s) without a CT left out: {shortened(names)}")
    bare = [scan.ct_id for scan in scans if scan.labels_path is None]
    if bare:
        notes.append(f"{len(bare)} of {len(scans)} CTs have no label map: {shortened(bare)}")
    return Found(layout, scans, notes)


def shortened(names: list[str]) -> str:
    """Name the first three."""
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
