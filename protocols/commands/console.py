"""What the commands share: arguments, progress, messages."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

Id = Annotated[str, typer.Argument(metavar="ID", help="Name of the acquisition.")]
Data = Annotated[Path, typer.Option(help="Data folder: raw/, calibrate/, pair/, qc/, review/ lie in it.")]
DATA = Path("data")


def say(text: str) -> None:
    """Tell the user, on stderr: stdout is for what was asked for."""
    Console(stderr=True, soft_wrap=True, highlight=False).print(text, markup=False)


@contextmanager
def progress(what: str) -> Iterator[Callable[[str], None]]:
    """Show a bar; the function that it yields takes the name of what was just done."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda name: bar.update(task, advance=1, description=f"{what}: {name}")
