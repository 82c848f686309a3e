"""``drrkit reconstructor evaluate``: how good a model is on donors that it never saw."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

_what = "What is judged"
_how = "How"


def evaluate(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="Weights, <name>.safetensors.")],
    cases: Annotated[Path, typer.Argument(metavar="CASES", help="cases.json, or its folder.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder for tables, summary.json, plots and pictures.")],
    views: Annotated[
        list[int] | None,
        typer.Option(help="Number of views, 1 to 8; may be given several times.", metavar="N", rich_help_panel=_what),
    ] = None,
    study: Annotated[
        list[str] | None,
        typer.Option(
            help="number_of_views, view_sets, view_angle, camera_noise, image_noise, origin_error or none; may be"
            " given several times.",
            metavar="NAME",
            rich_help_panel=_what,
        ),
    ] = None,
    split: Annotated[
        str, typer.Option(help="Donors that are judged: test or validation.", rich_help_panel=_what)
    ] = "test",
    config: Annotated[
        Path, typer.Option(help="YAML file with the parameters.", metavar="FILE", rich_help_panel=_how)
    ] = Path("params.yaml"),
    section: Annotated[
        str, typer.Option(help="Section of that file.", metavar="NAME", rich_help_panel=_how)
    ] = "evaluate",
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:1.", rich_help_panel=_how)] = "cpu",
) -> None:
    """Judge a model on held-out donors: F1, surface score, distances; by level and region; with intervals over donors.

    What --views and --study do not say stands in the parameters.
    """
    from drrkit.errors import InputError
    from drrkit.parameters import read_parameters
    from reconstruction.cases import Split, read_cases
    from reconstruction.judging.judge import JudgingParameters, judge_model
    from reconstruction.judging.studies import STUDIES
    from reconstruction.judging.viewplan import views_for

    if split not in ("test", "validation"):
        raise InputError("--split", split, "test or validation: a model is not judged by what it learned from")
    chosen: Split = "validation" if split == "validation" else "test"
    parameters = read_parameters(section, JudgingParameters, config)
    if views:
        for count in views:
            views_for(count)
        parameters = parameters.model_copy(update={"view_counts": tuple(sorted(set(views)))})
    if study:
        names = tuple(name for name in study if name != "none")
        unknown = [name for name in names if name not in STUDIES]
        if unknown:
            raise InputError("--study", ", ".join(unknown), f"none, or some of {', '.join(STUDIES)}")
        parameters = parameters.model_copy(update={"study_names": names})
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    with console.status("judging") as status:
        summary = judge_model(
            model, read_cases(cases), chosen, parameters, out, device, lambda name: status.update(f"judging: {name}")
        )
    scores = {count: summary.get(f"f1_views{count}") for count in (2, 3, 4)}
    words = ", ".join(f"{count} views {score:.3f}" for count, score in scores.items() if score is not None)
    console.print(f"{out}: {summary['donors']} donors; union F1: {words or 'see summary.json'}", markup=False)
