"""What long runs show meanwhile, for the commands of all packages: a bar in a terminal, a line a minute elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

# Where lines are kept (a log of a cluster), one a minute is enough.
LINES_APART_S = 60.0


class Stepped(Protocol):
    """What a training says of itself now and then: how many steps of how many are done."""

    @property
    def step(self) -> int:
        """Steps done."""

    @property
    def steps(self) -> int:
        """Steps in all."""


def line_console() -> Console:
    """Return what commands talk through: stderr, one fact a line however wide the terminal is."""
    return Console(stderr=True, soft_wrap=True, highlight=False)


class StepBar:
    """Shows the steps of a training; it can go to a spawned process, and makes its bar there.

    Args:
        words: Says the rest of a report in words; a function of a module, so that it can go along.
    """

    def __init__(self, words: Callable[[Any], str]) -> None:
        self.words = words
        self.bar: Progress | None = None
        self.task = TaskID(0)
        self.last_line_s: float | None = None

    def __call__(self, report: Stepped) -> None:
        """Show one report."""
        last = report.step == report.steps
        words = self.words(report)
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
        return {"words": self.words, "bar": None, "task": TaskID(0), "last_line_s": None}


@contextmanager
def step_bar(words: Callable[[Any], str]) -> Iterator[StepBar]:
    """Show steps; a training that stops early or fails leaves no bar behind."""
    steps = StepBar(words)
    try:
        yield steps
    finally:
        if steps.bar is not None:
            steps.bar.stop()
