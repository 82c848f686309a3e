"""``drrkit reconstructor export``: a trained model as one ONNX file."""

from pathlib import Path
from typing import Annotated

import typer


def export(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="<name>.safetensors with its JSON beside it.")],
    out: Annotated[
        Path | None, typer.Argument(metavar="OUT", help="File to write; <name>.onnx beside the model by default.")
    ] = None,
) -> None:
    """Write a model as ONNX for any number of views; the one file holds graph, weights and description."""
    from drrkit.errors import InputError
    from reconstruction.runtime.onnx import export_onnx

    path = model.with_suffix(".onnx") if out is None else out
    if path.suffix != ".onnx":
        raise InputError(path, f"a file name that ends in {path.suffix!r}", "<name>.onnx")
    export_onnx(model, path)
    typer.echo(path)
