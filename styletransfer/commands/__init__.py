"""Commands of style transfer: ``drrkit translate`` and ``drrkit translator``."""

import typer

from styletransfer.commands.evaluate import evaluate
from styletransfer.commands.train import train
from styletransfer.commands.translate import translate

__all__ = ["translate", "translator"]

translator = typer.Typer(help="Train and judge translators from real X-rays to DRRs.", no_args_is_help=True)
translator.command("train")(train)
translator.command("evaluate")(evaluate)
