"""What long runs of style transfer show meanwhile: a bar in a terminal, a line a minute elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from drrkit import console

if TYPE_CHECKING:
    from styletransfer.training_job import StepReport


def step_bar() -> AbstractContextManager[console.StepBar]:
    """Show the steps of a training."""
    return console.step_bar(_words)


@contextmanager
def image_bar() -> Iterator[Callable[[str, int, int], None]]:
    """Show how far a translation is; the bar goes away with the last image, and if the run fails.

    Yields:
        What takes the name of the last image, how many are done, and how many there are.
    """
    columns = (
        TextColumn("translating"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.description}"),
    )
    bar = Progress(*columns, console=console.line_console(), transient=True)
    task = bar.add_task("", total=None)
    last_line_s = time.monotonic()

    def show(name: str, done: int, total: int) -> None:
        nonlocal last_line_s
        if sys.stderr.isatty():
            if not bar.live.is_started:
                bar.start()
            bar.update(task, completed=done, total=total, description=name)
        elif time.monotonic() - last_line_s >= console.LINES_APART_S:
            last_line_s = time.monotonic()
            console.line_console().print(f"image {done} of {total}: {name}", markup=False)

    try:
        yield show
    finally:
        bar.stop()


def _words(report: "StepReport") -> str:
    loss = f"loss {report.losses['loss']:.3f}, " if "loss" in report.losses else ""
    quality = f"psnr {report.scores['psnr_db']:.1f} dB, " if "psnr_db" in report.scores else ""
    return f"{loss}{quality}{timedelta(seconds=round(report.seconds_left))} left"
