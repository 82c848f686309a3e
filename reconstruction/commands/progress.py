"""What a training of networks that reconstruct shows meanwhile."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from drrkit import console

if TYPE_CHECKING:
    from reconstruction.cases import Case
    from reconstruction.learning.training_job import StepReport


def step_bar() -> AbstractContextManager[console.StepBar]:
    """Show the steps of a training."""
    return console.step_bar(_words)


@contextmanager
def case_bar(total: int) -> Iterator["Callable[[Case], None]"]:
    """Show how many cases are loaded; the bar goes away with the last one."""
    columns = (TextColumn("loading cases"), BarColumn(), MofNCompleteColumn())
    bar = Progress(*columns, console=console.line_console(), transient=True)
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
