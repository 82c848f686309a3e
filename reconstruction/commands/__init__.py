"""Commands of reconstruction: ``drrkit reconstruct`` and ``drrkit reconstructor``."""

import typer

from reconstruction.commands.cases import cases
from reconstruction.commands.evaluate import evaluate
from reconstruction.commands.export import export
from reconstruction.commands.reconstruct import reconstruct
from reconstruction.commands.reconstructor import finetune, train

__all__ = ["reconstruct", "reconstructor"]

reconstructor = typer.Typer(help="Train, adapt, judge and export networks that reconstruct.", no_args_is_help=True)
reconstructor.command("cases")(cases)
reconstructor.command("train")(train)
reconstructor.command("finetune")(finetune)
reconstructor.command("evaluate")(evaluate)
reconstructor.command("export")(export)
