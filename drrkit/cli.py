"""``drrkit``: verbs do a user's work, nouns group the rest. Exit codes: 0 done, 1 findings, 2 bad input or usage."""

import sys
from importlib.metadata import entry_points

import typer
from rich.console import Console

from drrkit.commands import cohort, geometry
from drrkit.commands.render import render
from drrkit.errors import InputError

COMMANDS_GROUP = "drrkit.commands"


def build_app() -> typer.Typer:
    """Assemble the command line; sibling packages join by entry points of the group ``drrkit.commands``.

    An entry point is a function (a verb) or a Typer app (a noun with verbs of its own).
    """
    app = typer.Typer(
        name="drrkit",
        help="From CT scans and C-arm X-rays to 3D lumbar spines.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    app.command("render")(render)
    app.add_typer(geometry.app, name="geometry")
    app.add_typer(cohort.app, name="cohort")
    for entry_point in entry_points(group=COMMANDS_GROUP):
        loaded = entry_point.load()
        if isinstance(loaded, typer.Typer):
            app.add_typer(loaded, name=entry_point.name)
        else:
            app.command(entry_point.name)(loaded)
    return app


def main() -> None:
    """Run the command line; bad input ends in one line on stderr and exit code 2."""
    try:
        build_app()()
    except InputError as error:
        Console(stderr=True, soft_wrap=True, highlight=False).print(
            f"drrkit: {' '.join(str(error).split())}", markup=False
        )
        sys.exit(2)
