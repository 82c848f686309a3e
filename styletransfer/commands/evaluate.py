"""``drrkit translator evaluate``: how good translators are on donors that they never saw."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

_what = "What is judged"
_how = "How"
# Columns of the printed table: score of summary.json -> heading.
_SHOWN = {
    "psnr_db": "PSNR (dB)",
    "ssim": "SSIM",
    "gradient_ncc": "gradient NCC",
    "bone_edge_shift_mm": "edge shift (mm)",
    "edges_lost": "edges lost",
}


def evaluate(
    models: Annotated[list[Path], typer.Argument(metavar="MODEL...", help="Weights, <name>.safetensors.")],
    pairset: Annotated[Path, typer.Argument(metavar="PAIRSET", help="pairset.json, or its folder.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder for images/ and results/.")],
    split: Annotated[
        str | None, typer.Option(help="Donors that are judged: test or validation.", rich_help_panel=_what)
    ] = None,
    close_up: Annotated[
        str | None,
        typer.Option(help="Model whose edges and disagreement are drawn.", metavar="NAME", rich_help_panel=_what),
    ] = None,
    config: Annotated[
        Path, typer.Option(help="YAML file with the parameters.", metavar="FILE", rich_help_panel=_how)
    ] = Path("params.yaml"),
    section: Annotated[
        str, typer.Option(help="Section of that file.", metavar="NAME", rich_help_panel=_how)
    ] = "translate",
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:1.", rich_help_panel=_how)] = "cpu",
) -> None:
    """Judge translators on held-out donors: likeness to the DRRs, bone edges in mm, domain, with intervals over donors.

    Each model is named after its file, or after its folder where the file is model.safetensors.
    """
    from drrkit.errors import InputError
    from drrkit.parameters import read_parameters
    from protocols.pairset import read_pairset
    from styletransfer.judging.evaluation import judge_translators
    from styletransfer.judging.settings import JudgingParameters

    if split not in (None, "test", "validation"):
        raise InputError("--split", split, "test or validation: a model is not judged by what it learned from")
    names = [path.parent.name if path.stem == "model" else path.stem for path in models]
    if len(set(names)) < len(names):
        raise InputError(
            "MODEL", f"two models named {max(names, key=names.count)}", "every model once, by its own name"
        )
    parameters = read_parameters(section, JudgingParameters, config)
    pictures = parameters.pictures.model_copy(update={"close_up": close_up})
    chosen = {"pictures": pictures} | ({} if split is None else {"splits": (split,)})
    parameters = parameters.model_copy(update=chosen)
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    with console.status("judging") as status:
        summary = judge_translators(
            read_pairset(pairset),
            dict(zip(names, models, strict=True)),
            parameters,
            out / "images",
            out / "results",
            device,
            lambda done: status.update(f"judging: {done}"),
        )
    table = Table(
        "model", "group", "donors", *_SHOWN.values(), title=f"{parameters.splits[0]} donors, means over donors"
    )
    for name, record in summary["models"].items():
        for group, scores in record["groups"].items():
            numbers = [scores[metric]["mean"] for metric in _SHOWN]
            words = ["-" if number is None else f"{number:.3f}" for number in numbers]
            table.add_row(name, group, str(scores["donors"]), *words)
    Console().print(table)
    console.print(f"{out / 'results' / 'summary.json'}", markup=False)
