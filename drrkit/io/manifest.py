"""The list of rendered images: ``manifest.csv``, and the journal that grows while a render runs.

The journal gets one line an image, as soon as the image is on disk. A killed run leaves it behind, the next run reads
it, and a finished run folds it into the manifest.
"""

import csv
import io
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from drrkit.errors import InputError
from drrkit.io.store import write_bytes, writing

MANIFEST_NAME = "manifest.csv"
JOURNAL_NAME = ".journal.jsonl"

Box = tuple[int, int, int, int]


def image_path(image_id: str) -> str:
    """Path of an image below the output folder."""
    return f"images/{image_id}.tif"


def mask_path(image_id: str, level: str) -> str:
    """Path of one level's mask below the output folder."""
    return f"masks/{image_id}_{level}.png"


@dataclass(frozen=True)
class ManifestRow:
    """One rendered image: what it shows, where it lies, and the hashes of all that went into it.

    ``boxes`` are (left, top, right, bottom) in inclusive pixels, None for a level outside the image; ``visibility`` is
    the fraction of a level's voxels that project into the image.
    """

    id: str
    ct_id: str
    donor_id: str
    image: str
    camera: str
    tissue: str
    bone_threshold_hu: float
    energy_kev: float
    backend: str
    boxes: dict[str, Box | None]
    visibility: dict[str, float]
    image_sha256: str
    masks_sha256: dict[str, str]
    ct_sha256: str
    labels_sha256: str
    view_sha256: str
    renderer: str

    def mask_path(self, level: str) -> str:
        """Path of one level's mask below the output folder."""
        return mask_path(self.id, level)

    @property
    def files(self) -> list[str]:
        """All files of this image, relative to the output folder."""
        return [self.image, *(self.mask_path(level) for level in self.masks_sha256)]

    def to_strings(self) -> dict[str, str]:
        """Return the CSV cells; mappings become JSON."""
        return {
            name: json.dumps(value) if isinstance(value, dict) else str(value) for name, value in asdict(self).items()
        }

    @classmethod
    def from_strings(cls, cells: dict[str, str], where: str) -> "ManifestRow":
        """Read CSV cells.

        Raises:
            InputError: A missing column or a cell that cannot be read; the message starts with ``where``.
        """
        values: dict[str, Any] = {}
        try:
            for field in fields(cls):
                cell = cells[field.name]
                if field.type is float:
                    values[field.name] = float(cell)
                else:
                    values[field.name] = cell if field.type is str else json.loads(cell)
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(
                where, f"a row without a readable {error}", "a manifest written by drrkit render"
            ) from error
        values["boxes"] = {level: box and tuple(box) for level, box in values["boxes"].items()}
        return cls(**values)


def read_manifest(folder: Path) -> dict[str, ManifestRow]:
    """Read the rows of ``manifest.csv`` by image id; empty where there is no manifest.

    Raises:
        InputError: A manifest that cannot be read.
    """
    path = folder / MANIFEST_NAME
    if not path.is_file():
        return {}
    csv.field_size_limit(1 << 24)
    with path.open(newline="") as stream:
        rows = [ManifestRow.from_strings(cells, str(path)) for cells in csv.DictReader(stream)]
    return {row.id: row for row in rows}


def write_manifest(folder: Path, rows: Iterable[ManifestRow]) -> None:
    """Write ``manifest.csv`` in one piece."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, [field.name for field in fields(ManifestRow)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(row.to_strings() for row in rows)
    write_bytes(folder / MANIFEST_NAME, stream.getvalue().encode())


def read_journal(folder: Path) -> list[tuple[ManifestRow, dict[str, Any]]]:
    """Read (row, camera record) of each image that a killed run had finished; its cut-off last line is dropped."""
    path = folder / JOURNAL_NAME
    if not path.is_file():
        return []
    entries = []
    lines = path.read_text().split("\n")
    for number, line in enumerate(lines[:-1], start=1):  # what follows the last newline was cut off
        try:
            entry = json.loads(line)
        except ValueError as error:
            raise InputError(f"{path}, line {number}", f"no JSON ({error})", "an untouched journal, or none") from error
        entries.append((ManifestRow.from_strings(entry["row"], f"{path}, line {number}"), entry["camera"]))
    return entries


def append_journal(folder: Path, entries: Iterable[tuple[ManifestRow, dict[str, Any]]]) -> None:
    """Note finished images."""
    path = folder / JOURNAL_NAME
    lines = "".join(json.dumps({"row": row.to_strings(), "camera": camera}) + "\n" for row, camera in entries)
    with writing(path), path.open("a") as stream:
        stream.write(lines)


def trim_journal(folder: Path) -> None:
    """Cut off what a killed run left of its last line, so that new lines start on their own."""
    path = folder / JOURNAL_NAME
    if path.is_file():
        content = path.read_bytes()
        if not content.endswith(b"\n"):
            write_bytes(path, content[: content.rfind(b"\n") + 1])


def remove_journal(folder: Path) -> None:
    """End a run: its rows are in the manifest now."""
    (folder / JOURNAL_NAME).unlink(missing_ok=True)
