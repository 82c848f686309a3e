"""``drrkit acquisition``: from an ex-vivo C-arm session to calibrated real/synthetic pairs, without writing Python."""

import typer

from protocols.commands.intake import anonymize, check, new
from protocols.commands.pairs import calibrate, pair, review
from protocols.commands.sets import make_set
from protocols.commands.simulate import simulate

app = typer.Typer(
    help="From an ex-vivo C-arm session to calibrated pairs of real and synthetic X-rays.", no_args_is_help=True
)
app.command("new")(new)
app.command("check")(check)
app.command("anonymize")(anonymize)
app.command("calibrate")(calibrate)
app.command("pair")(pair)
app.command("review")(review)
app.command("set")(make_set)
app.command("simulate")(simulate)
