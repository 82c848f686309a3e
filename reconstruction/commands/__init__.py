"""Commands of reconstruction: ``drrkit reconstruct``, ``drrkit reconstructor`` and ``drrkit views``."""

import typer

from reconstruction.commands.cases import cases
from reconstruction.commands.evaluate import evaluate
from reconstruction.commands.export import export
from reconstruction.commands.reconstruct import reconstruct
from reconstruction.commands.reconstructor import finetune, train
from reconstruction.commands.views import views

__all__ = ["reconstruct", "reconstructor", "views"]

reconstructor = typer.Typer(help="Train, adapt, judge and export networks that reconstruct.", no_args_is_help=True)
reconstructor.command("cases")(cases)
reconstructor.command("train")(train)
reconstructor.command("finetune")(finetune)
reconstructor.command("evaluate")(evaluate)
reconstructor.command("export")(export)
