"""The folder of pairs: names, manifest, and which pairs may train.

``real/``, ``real_with_balls/``, ``drr_bone/`` and ``drr_full/`` hold one float32 TIFF of line integrals for each
exposure, all under the same name; ``fields/`` where the beam fell on the detector; ``masks/`` the projected levels;
``cameras.json`` the cameras of these images.
"""

import csv
import io
import json
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from drrkit.errors import InputError
from drrkit.io.store import write_bytes

MANIFEST_NAME = "manifest.csv"
CAMERAS_NAME = "cameras.json"
IMAGE_KINDS = ("real", "real_with_balls", "drr_bone", "drr_full")

Box = tuple[int, int, int, int]


def image_path(kind: str, exposure_id: str) -> str:
    """Path of an image below the folder of pairs."""
    return f"{kind}/{exposure_id}.tif"


def field_path(exposure_id: str) -> str:
    """Path of the field of view below the folder of pairs."""
    return f"fields/{exposure_id}.png"


def mask_path(exposure_id: str, level: str) -> str:
    """Path of one level's mask below the folder of pairs."""
    return f"masks/{exposure_id}_{level}.png"


@dataclass(frozen=True)
class PairRow:
    """One pair: where it is from, how far to trust it, what it shows, and the hashes of what it is made of.

    ``boxes`` are (left, top, right, bottom) in inclusive pixels, None for a level outside the image; ``visibility`` is
    the fraction of a level's voxels that project into the image. ``open_field`` is the intensity that counted as the
    open beam. ``identity_sha256`` covers every input and setting.
    """

    pair_id: str
    acquisition_id: str
    exposure_id: str
    donor_id: str
    simulated: bool
    status: str
    reason: str
    rating: str
    target_error_mm: float | None
    rms_px: float | None
    open_field: float | None
    open_field_from: str
    boxes: dict[str, Box | None]
    visibility: dict[str, float]
    images_sha256: dict[str, str]
    field_sha256: str
    masks_sha256: dict[str, str]
    identity_sha256: str

    @property
    def files(self) -> list[str]:
        """All files of this pair, relative to the folder."""
        images = [image_path(kind, self.exposure_id) for kind in self.images_sha256]
        return [*images, field_path(self.exposure_id)] + [
            mask_path(self.exposure_id, level) for level in self.masks_sha256
        ]

    @property
    def may_train(self) -> bool:
        """Whether a network may learn from this pair: nobody rejected it, and a doubtful camera was accepted."""
        if self.rating == "reject" or self.status == "fail":
            return False
        return self.status == "pass" or self.rating == "accept"

    def judged(self, status: str, reason: str, rating: str) -> "PairRow":
        """Return the same pair under today's judgment."""
        return replace(self, status=status, reason=reason, rating=rating)


def training_pairs(folder: Path) -> list[PairRow]:
    """Read the pairs that may train.

    Raises:
        InputError: No pairs there, or a manifest that cannot be read.
    """
    rows = read_pairs(folder)
    if not rows:
        raise InputError(folder, "no pairs", "a folder that drrkit acquisition pair wrote")
    return [row for row in rows if row.may_train]


def read_pairs(folder: Path) -> list[PairRow]:
    """Read the manifest; empty where there is none.

    Raises:
        InputError: A manifest that cannot be read.
    """
    path = folder / MANIFEST_NAME
    if not path.is_file():
        return []
    with path.open(newline="") as stream:
        return [_row(cells, f"{path}, line {number}") for number, cells in enumerate(csv.DictReader(stream), start=2)]


def write_pairs(folder: Path, rows: Iterable[PairRow]) -> None:
    """Write the manifest in one piece."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, [field.name for field in fields(PairRow)], lineterminator="\n")
    writer.writeheader()
    for row in rows:
        cells = {field.name: getattr(row, field.name) for field in fields(PairRow)}
        # Words as they are; everything else, nothing and truth included, as JSON.
        writer.writerow({name: value if isinstance(value, str) else json.dumps(value) for name, value in cells.items()})
    write_bytes(folder / MANIFEST_NAME, stream.getvalue().encode())


def _row(cells: dict[str, str], where: str) -> PairRow:
    values: dict[str, Any] = {}
    try:
        for field in fields(PairRow):
            cell = cells[field.name]
            values[field.name] = cell if field.type is str else json.loads(cell)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(where, f"a row without a readable {error}", "a manifest of drrkit acquisition pair") from error
    values["boxes"] = {level: box and tuple(box) for level, box in values["boxes"].items()}
    return PairRow(**values)
