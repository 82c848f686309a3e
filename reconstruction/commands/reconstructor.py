"""``drrkit reconstructor train|finetune``: networks that reconstruct, from cases and a section of parameters."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from reconstruction.commands.progress import case_bar, step_bar

if TYPE_CHECKING:
    from reconstruction.cases import Case
    from reconstruction.learning.training_job import TrainingResult

_what = "What is learned"
_how = "How"

Cases = Annotated[Path, typer.Argument(metavar="CASES", help="cases.json, or its folder.")]
Out = Annotated[
    Path, typer.Argument(metavar="OUT", help="Folder for model.safetensors, metrics, train.json and the state.")
]
Config = Annotated[Path, typer.Option(help="YAML file with the parameters.", metavar="FILE", rich_help_panel=_what)]
Section = Annotated[str, typer.Option(help="Section of that file.", metavar="NAME", rich_help_panel=_what)]
Device = Annotated[str, typer.Option(help="cpu, cuda or cuda:1.", rich_help_panel=_how)]
Resume = Annotated[
    bool,
    typer.Option("--resume/--force", help="Go on where a killed run stopped, or start anew.", rich_help_panel=_how),
]


def train(
    cases: Cases,
    out: Out,
    config: Config = Path("params.yaml"),
    section: Section = "train",
    device: Device = "cpu",
    resume: Resume = True,
) -> None:
    """Train a network on the donors that CASES calls train; those called validation judge it meanwhile.

    No file of a test donor is opened. A killed run goes on where it was, if the parameters are the same.
    """
    from drrkit.learning.checkpoint import forget
    from drrkit.parameters import read_parameters
    from reconstruction.cases import read_cases
    from reconstruction.learning.lessons import LearningParameters, train_on_cases

    parameters = read_parameters(section, LearningParameters, config)
    found = read_cases(cases)
    if not resume:
        forget(out)
    with case_bar(_learners(found)) as on_case, step_bar() as report:
        result = train_on_cases(found, parameters, out, device, report, on_case)
    _say(result)


def finetune(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="Weights to start from, <name>.safetensors.")],
    cases: Cases,
    out: Out,
    config: Config = Path("params.yaml"),
    section: Section = "finetune",
    freeze: Annotated[
        str | None,
        typer.Option(
            help="What stays as it is, if not as the parameters say: nothing, encoder, 3d, all-but-encoder,"
            " all-but-head.",
            metavar="PART",
            rich_help_panel=_what,
        ),
    ] = None,
    leave_out: Annotated[
        str | None,
        typer.Option(
            help="Leave this donor out for testing; the next one says when to stop. Else CASES says who does what.",
            metavar="DONOR",
            rich_help_panel=_what,
        ),
    ] = None,
    device: Device = "cpu",
    resume: Resume = True,
) -> None:
    """Go on training a model on other images, and keep the weights that the validation donor likes best."""
    from drrkit.learning.checkpoint import forget
    from drrkit.parameters import read_parameters
    from reconstruction.cases import read_cases
    from reconstruction.learning.lessons import FinetuneParameters, finetune_on_cases
    from reconstruction.learning.transfer import cases_of_fold, fold_without

    parameters = read_parameters(section, FinetuneParameters, config)
    if freeze is not None:
        parameters = parameters.model_copy(update={"freeze": freeze})
    found = read_cases(cases)
    if leave_out is not None:
        found = cases_of_fold(found, fold_without(leave_out, sorted({case.donor_id for case in found})))
    if not resume:
        forget(out)
    with case_bar(_learners(found)) as on_case, step_bar() as report:
        result = finetune_on_cases(model, found, parameters, out, device, report, on_case)
    _say(result)


def _learners(cases: "list[Case]") -> int:
    return sum(case.split == "train" for case in cases)


def _say(result: "TrainingResult") -> None:
    scores = ", ".join(f"{name} {score:.3f}" for name, score in result.scores.items())
    words = f"{result.model}: {result.steps} steps in {result.seconds:.0f} s, of step {result.best_step}: {scores}"
    Console(stderr=True, soft_wrap=True, highlight=False).print(words, markup=False)
