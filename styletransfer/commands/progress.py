"""What long runs of style transfer show meanwhile: a bar in a terminal, a line a minute elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from styletransfer.training_job import StepReport

# Where lines are kept (a log of a cluster), one a minute is enough.
LINES_APART_S = 60.0


class StepBar:
    """Shows the steps of a training; it can go to a spawned process, and makes its bar there."""

    def __init__(self) -> None:
        self.bar: Progress | None = None
        self.task = TaskID(0)
        self.last_line_s: float | None = None

    def __call__(self, report: "StepReport") -> None:
        """Show one report."""
        last = report.step == report.steps
        words = _words(report)
        if not sys.stderr.isatty():
            now_s = time.monotonic()
            if last or self.last_line_s is None or now_s - self.last_line_s >= LINES_APART_S:
                self.last_line_s = now_s
                line_console().print(f"step {report.step} of {report.steps}: {words}", markup=False)
            return
        if self.bar is None:
            columns = (TextColumn("training"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
            self.bar = Progress(*columns, console=line_console(), transient=True)
            self.task = self.bar.add_task("", total=report.steps)
            self.bar.start()
        self.bar.update(self.task, completed=report.step, description=words)
        if last:
            self.bar.stop()

    def __getstate__(self) -> dict[str, Any]:
        """A bar stays in its process."""
        return {"bar": None, "task": TaskID(0), "last_line_s": None}


@contextmanager
def step_bar() -> Iterator[StepBar]:
    """Show steps; a training that fails leaves no bar behind."""
    steps = StepBar()
    try:
        yield steps
    finally:
        if steps.bar is not None:
            steps.bar.stop()


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
    bar = Progress(*columns, console=line_console(), transient=True)
    task = bar.add_task("", total=None)
    last_line_s = time.monotonic()

    def show(name: str, done: int, total: int) -> None:
        nonlocal last_line_s
        if sys.stderr.isatty():
            if not bar.live.is_started:
                bar.start()
            bar.update(task, completed=done, total=total, description=name)
        elif time.monotonic() - last_line_s >= LINES_APART_S:
            last_line_s = time.monotonic()
            line_console().print(f"image {done} of {total}: {name}", markup=False)

    try:
        yield show
    finally:
        bar.stop()


def line_console() -> Console:
    """Return what commands talk through: stderr, one fact a line however wide the terminal is."""
    return Console(stderr=True, soft_wrap=True, highlight=False)


def _words(report: "StepReport") -> str:
    loss = f"loss {report.losses['loss']:.3f}, " if "loss" in report.losses else ""
    quality = f"psnr {report.scores['psnr_db']:.1f} dB, " if "psnr_db" in report.scores else ""
    return f"{loss}{quality}{timedelta(seconds=round(report.seconds_left))} left"
