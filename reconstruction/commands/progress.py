"""What a training shows meanwhile: a bar in a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

if TYPE_CHECKING:
    from reconstruction.cases import Case
    from reconstruction.learning.training_job import StepReport

# Where lines are kept (a log of a cluster), one a minute is enough.
LINES_APART_S = 60.0


class StepBar:
    """Shows the steps of a training; it can go to a spawned process, and makes its bar there."""

    def __init__(self) -> None:
        self.bar: Progress | None = None
        self.task = TaskID(0)
        self.last_line_s = 0.0

    def __call__(self, report: "StepReport") -> None:
        """Show one report."""
        last = report.step == report.steps
        words = _words(report)
        if not sys.stderr.isatty():
            if last or time.monotonic() - self.last_line_s >= LINES_APART_S:
                self.last_line_s = time.monotonic()
                _console().print(f"step {report.step} of {report.steps}: {words}", markup=False)
            return
        if self.bar is None:
            columns = (TextColumn("training"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
            self.bar = Progress(*columns, console=_console(), transient=True)
            self.task = self.bar.add_task("", total=report.steps)
            self.bar.start()
        self.bar.update(self.task, completed=report.step, description=words)
        if last:
            self.bar.stop()

    def __getstate__(self) -> dict[str, Any]:
        """A bar stays in its process."""
        return {"bar": None, "task": TaskID(0), "last_line_s": 0.0}


@contextmanager
def step_bar() -> Iterator[StepBar]:
    """Show steps; a training that stops early or fails leaves no bar behind."""
    steps = StepBar()
    try:
        yield steps
    finally:
        if steps.bar is not None:
            steps.bar.stop()


@contextmanager
def case_bar(total: int) -> Iterator["Callable[[Case], None]"]:
    """Show how many cases are loaded; the bar goes away with the last one."""
    columns = (TextColumn("loading cases"), BarColumn(), MofNCompleteColumn())
    bar = Progress(*columns, console=_console(), transient=True)
    task = bar.add_task("", total=total)

    def on_case(case: "Case") -> None:
        if not bar.live.is_started:
            bar.start()
        bar.advance(task)
        if bar.finished:
            bar.stop()

    try:
        yield on_case
    finally:
        bar.stop()


def _words(report: "StepReport") -> str:
    scores = "".join(f", {name} {score:.3f}" for name, score in report.scores.items())
    return f"loss {report.loss:.3f}{scores}, {timedelta(seconds=round(report.seconds_left))} left"


def _console() -> Console:
    return Console(stderr=True, soft_wrap=True, highlight=False)
