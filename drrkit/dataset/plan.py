"""What a dataset needs: which images are there already, which must be rendered, and why."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from drrkit.cohort import read_cohort, resolve
from drrkit.dataset.rig import Rig
from drrkit.errors import InputError
from drrkit.io.manifest import JOURNAL_NAME, ManifestRow, read_journal, read_manifest
from drrkit.io.store import content_sha256, read_camera_records
from drrkit.projection.attenuation import Tissue

# Raise when the images change though no input did: it makes every dataset render anew.
RENDERER_VERSION = "drrkit-render/1"
CAMERAS_NAME = "cameras.json"


@dataclass(frozen=True)
class Source:
    """One CT to render, with its labels if it has any."""

    ct_path: Path
    labels_path: Path | None = None
    label_scheme: str | None = None
    ct_id: str = ""
    donor_id: str = ""


def cohort_sources(folder: Path) -> list[Source]:
    """List the CTs of a cohort folder, in the order of its table."""
    return [
        Source(
            ct_path=resolve(folder, row.ct_path),
            labels_path=resolve(folder, row.labels_path) if row.labels_path else None,
            label_scheme=row.label_scheme or None,
            ct_id=row.ct_id,
            donor_id=row.donor_id,
        )
        for row in read_cohort(folder).itertuples()
    ]


@dataclass(frozen=True)
class Settings:
    """What the images show and who renders them; ``backend`` is a concrete one here, never ``auto``."""

    tissue: Tissue
    bone_threshold_hu: float
    energy_kev: float
    backend: str
    device: str = "cpu"


@dataclass(frozen=True)
class Item:
    """One image of the dataset.

    ``reason`` says why it must be rendered; it is empty when the image on disk is up to date.
    """

    image_id: str
    source: Source
    view_id: str
    identity: dict[str, Any]
    reason: str


@dataclass(frozen=True)
class Plan:
    """All images of a dataset, in order, with what is on disk already."""

    out: Path
    rig: Rig
    settings: Settings
    items: list[Item]
    rows: dict[str, ManifestRow]
    camera_records: dict[str, dict[str, Any]]

    @property
    def pending(self) -> list[Item]:
        """Images to render."""
        return [item for item in self.items if item.reason]

    @property
    def stale_files(self) -> list[str]:
        """Files that an earlier run wrote for images that the dataset no longer has, relative to ``out``."""
        wanted = {item.image_id for item in self.items}
        return [file for row in self.rows.values() if row.id not in wanted for file in row.files]


# The columns that make an image what it is, with the words for a change; the first that differs is the reason.
_CHANGES = {
    "renderer": "another renderer version",
    "ct_sha256": "the CT changed",
    "labels_sha256": "the labels changed",
    "view_sha256": "the view changed",
    "tissue": "another tissue",
    "bone_threshold_hu": "another bone threshold",
    "energy_kev": "another energy",
    "backend": "another backend",
}


def make_plan(out: Path, sources: Sequence[Source], rig: Rig, settings: Settings, verify: bool = False) -> Plan:
    """Compare what is wanted with what is on disk.

    Args:
        out: The dataset's folder; it need not exist.
        sources: The CTs.
        rig: The views of each CT.
        settings: What the images show.
        verify: Hash the images on disk too, instead of only looking whether they are there.

    Raises:
        InputError: No CT, a CT that is not there, an image id twice, or an unreadable manifest.
    """
    if not sources:
        raise InputError("cohort", "no CT", "at least one CT to render")
    if out.exists() and not out.is_dir():
        raise InputError(out, "a file", "a folder, or a path that does not exist yet")
    journal = read_journal(out)
    rows = read_manifest(out) | {row.id: row for row, _ in journal}
    records = _known_cameras(out, bool(rows)) | {record["id"]: record for _, record in journal}
    view_hashes = {view_id: rig.fingerprint(view_id) for view_id in rig.view_ids}
    items = []
    for source in sources:
        common = {
            "renderer": RENDERER_VERSION,
            "ct_sha256": content_sha256(source.ct_path),
            "labels_sha256": content_sha256(source.labels_path) if source.labels_path else "",
            "tissue": settings.tissue,
            "bone_threshold_hu": settings.bone_threshold_hu,
            "energy_kev": settings.energy_kev,
            "backend": settings.backend,
        }
        for view_id, view_sha256 in view_hashes.items():
            image_id = f"{source.ct_id}_{view_id}" if source.ct_id else view_id
            identity = common | {"view_sha256": view_sha256}
            reason = _reason(out, rows.get(image_id), identity, image_id in records, verify)
            items.append(Item(image_id, source, view_id, identity, reason))
    ids = [item.image_id for item in items]
    if len(set(ids)) < len(ids):
        twice = sorted({image_id for image_id in ids if ids.count(image_id) > 1})
        raise InputError("image ids", f"{twice[0]} twice", "a name of its own for every pair of CT and view")
    return Plan(out, rig, settings, items, rows, records)


def _reason(out: Path, row: ManifestRow | None, identity: dict[str, Any], has_camera: bool, verify: bool) -> str:
    if row is None:
        return "new"
    for column, words in _CHANGES.items():
        if getattr(row, column) != identity[column]:
            return words
    if not has_camera or not all((out / file).is_file() for file in row.files):
        return "a file is missing"
    if verify:
        hashes = [row.image_sha256, *row.masks_sha256.values()]
        if any(content_sha256(out / file) != digest for file, digest in zip(row.files, hashes, strict=True)):
            return "a file was altered"
    return ""


def _known_cameras(out: Path, has_rows: bool) -> dict[str, dict[str, Any]]:
    path = out / CAMERAS_NAME
    # A cameras.json without our manifest is somebody else's: say so before the run overwrites it.
    if path.is_file() and not has_rows and not (out / JOURNAL_NAME).is_file():
        raise InputError(
            path, "a camera file but no manifest beside it", "an empty folder, or one that drrkit rendered"
        )
    return {record["id"]: record for record in read_camera_records(path)} if path.is_file() else {}
