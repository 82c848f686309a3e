"""``drrkit translator train``: translators, from a set of pairs and a section of parameters."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from drrkit.console import line_console
from styletransfer.commands.progress import step_bar

if TYPE_CHECKING:
    from styletransfer.training_job import TrainingResult

_what = "What is learned"
_how = "How"


def train(
    pairset: Annotated[Path, typer.Argument(metavar="PAIRSET", help="pairset.json, or its folder.")],
    out: Annotated[
        Path, typer.Argument(metavar="OUT", help="Folder for model.safetensors, metrics, train.json and the state.")
    ],
    config: Annotated[
        Path, typer.Option(help="YAML file with the parameters.", metavar="FILE", rich_help_panel=_what)
    ] = Path("params.yaml"),
    section: Annotated[
        str, typer.Option(help="Section of that file.", metavar="NAME", rich_help_panel=_what)
    ] = "train_translator.models.paired",
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:1.", rich_help_panel=_how)] = "cpu",
    resume: Annotated[
        bool,
        typer.Option("--resume/--force", help="Go on where a killed run stopped, or start anew.", rich_help_panel=_how),
    ] = True,
) -> None:
    """Train a translator on the donors that PAIRSET calls train; those called validation show how it does.

    No file of a test donor is opened. A killed run goes on where it was, if parameters and pairs are the same.
    """
    from drrkit.learning.checkpoint import forget
    from drrkit.parameters import read_parameters
    from protocols.pairset import read_pairset
    from styletransfer.settings import TranslatorParameters
    from styletransfer.training import train as train_translator

    parameters = read_parameters(section, TranslatorParameters, config)
    sessions = read_pairset(pairset)
    if not resume:
        forget(out)
    with step_bar() as report:
        _say(train_translator(sessions, parameters, out, device, report))


def _say(result: "TrainingResult") -> None:
    scores = ", ".join(f"{name} {score:.3f}" for name, score in result.scores.items())
    words = f"{result.model}: {result.steps} steps in {result.seconds:.0f} s; {scores or 'no validation donor'}"
    line_console().print(words, markup=False)
