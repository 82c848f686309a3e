"""The door to dvclive: curves and images of a training, which go on where a killed run stopped."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from drrkit.io.store import write_bytes


@dataclass(frozen=True, eq=False)
class TrainingLog:
    """An open log.

    Args:
        live: What writes, ``dvclive.Live``.
    """

    live: Any

    def write_row(self, step: int, values: Mapping[str, float]) -> None:
        """Add the values of a step to the curves ``plots/metrics/<name>.tsv``, and note them in ``metrics.json``."""
        self.live.step = step
        for name, value in values.items():
            self.live.log_metric(name, value)
        self.live.make_summary()

    def write_image(self, step: int, name: str, image: UInt8[np.ndarray, "..."] | Path) -> None:
        """Keep a picture of a step as ``plots/images/<name>/<step>.png``.

        Args:
            step: What it shows was true after so many steps.
            name: Of the row of pictures that it belongs to.
            image: Gray (H, W) or color (H, W, 3), or the file of a picture.
        """
        self.live.log_image(f"{name}/{step}.png", image)


@contextmanager
def training_log(folder: Path, step: int) -> Iterator[TrainingLog]:
    """Open the log of a training that has done ``step`` steps; what a run that was killed wrote later is dropped.

    Writes ``plots/metrics/<name>.tsv`` (step, value), ``metrics.json`` (last values) and
    ``plots/images/<name>/<step>.png``.
    """
    # Only the first process of a training needs it, and it takes long to import.
    from dvclive import Live

    class _Log(Live):
        """Live without its look at the repository: in a git repository without DVC it would run ``dvc init``."""

        def _init_dvc(self) -> None:
            self._dvc_file = "dvc.yaml"

    for table in sorted((folder / "plots" / "metrics").rglob("*.tsv")):
        _cut(table, step)
    for image in sorted((folder / "plots" / "images").rglob("*.png")):
        if int(image.stem) > step:
            image.unlink()
    # A kill may have cut it short, and the next row writes it anew.
    (folder / "metrics.json").unlink(missing_ok=True)
    with _Log(dir=str(folder), resume=step > 0, report=None, save_dvc_exp=False, dvcyaml=None) as live:
        yield TrainingLog(live)


def _cut(table: Path, step: int) -> None:
    lines = table.read_text().splitlines(keepends=True)
    kept = lines[:1] + [row for row in lines[1:] if int(row.split("\t")[0]) <= step]
    if len(kept) > 1:
        write_bytes(table, "".join(kept).encode())
    else:
        table.unlink()
