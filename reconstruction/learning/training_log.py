"""The door to dvclive: curves of a training as tables, which go on where a killed run stopped."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from drrkit.io.store import write_bytes


@contextmanager
def training_log(folder: Path, step: int) -> Iterator[Callable[[int, Mapping[str, float]], None]]:
    """Open the log of a training that has done ``step`` steps; later rows of a run that was killed are dropped.

    Yields a function that adds the values of a step.

    Writes ``plots/metrics/<name>.tsv`` (step, value) and ``metrics.json`` (last values).
    """
    # Only the first process of a training needs it, and it takes long to import.
    from dvclive import Live

    class _Log(Live):
        """Live without its look at the repository: in a git repository without DVC it would run ``dvc init``."""

        def _init_dvc(self) -> None:
            self._dvc_file = "dvc.yaml"

    for table in sorted((folder / "plots" / "metrics").rglob("*.tsv")):
        _cut(table, step)
    # A kill may have cut it short, and the next row writes it anew.
    (folder / "metrics.json").unlink(missing_ok=True)
    with _Log(dir=str(folder), resume=step > 0, report=None, save_dvc_exp=False, dvcyaml=None) as live:

        def write_row(at_step: int, values: Mapping[str, float]) -> None:
            live.step = at_step
            for name, value in values.items():
                live.log_metric(name, value)
            live.make_summary()

        yield write_row


def _cut(table: Path, step: int) -> None:
    lines = table.read_text().splitlines(keepends=True)
    kept = lines[:1] + [row for row in lines[1:] if int(row.split("\t")[0]) <= step]
    if len(kept) > 1:
        write_bytes(table, "".join(kept).encode())
    else:
        table.unlink()
