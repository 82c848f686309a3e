"""Commands of style transfer: ``drrkit translator``."""

import typer

from styletransfer.commands.train import train

__all__ = ["translator"]

translator = typer.Typer(help="Train and judge translators from real X-rays to DRRs.", no_args_is_help=True)
translator.command("train")(train)
