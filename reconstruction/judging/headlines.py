"""The numbers that a reader wants first, gathered from everything that was judged: summary.json."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import pandas as pd
from pydantic import Field, PositiveInt

from drrkit.errors import InputError
from drrkit.parameters import Parameters
from drrkit.radiograph import Radiograph
from reconstruction.cases import Case
from reconstruction.judging.evaluation import UNION, load_evaluation_case
from reconstruction.judging.viewplan import views_for
from reconstruction.metrics import WHOLE
from reconstruction.reconstruct import reconstruct
from reconstruction.runtime import open_runtime
from reconstruction.runtime.onnx import export_onnx

_DIGITS = 4


class LatencyParameters(Parameters):
    """How long one reconstruction takes with a loaded model: from radiographs in memory to labels.

    Args:
        views: Number of views.
        repeats: Of which the median counts; one more runs before.
        spacing_mm: Of the labels.
    """

    views: PositiveInt
    repeats: PositiveInt
    spacing_mm: float = Field(gt=0)


def real_scores(table: pd.DataFrame, view_count: int) -> dict[str, dict[str, float]]:
    """Read union F1 of real vertebrae out of a table of judged cases: (donor and level) -> input -> F1.

    Args:
        table: Rows of judged cases of :mod:`reconstruction.sets.anatomy`.
        view_count: Which rows.
    """
    rows = table[(table["n_views"] == view_count) & (table["level"] == UNION) & (table["region"] == WHOLE)]
    scores: dict[str, dict[str, float]] = {}
    for row in rows.to_dict("records"):
        vertebra, _, shown = str(row["case"]).rpartition("-")
        scores.setdefault(vertebra, {})[shown] = round(float(row["f1"]), _DIGITS)
    return scores


def latency_ms(model: Path, case: Case, parameters: LatencyParameters, folder: Path) -> dict[str, float]:
    """Time one reconstruction with every backend; returns the median in milliseconds by backend.

    Args:
        model: ``<name>.safetensors``.
        case: Whose views are reconstructed.
        parameters: How often, from how many views.
        folder: Where the exported model goes.

    Raises:
        InputError: As :func:`reconstruction.reconstruct.reconstruct`.
    """
    loaded = load_evaluation_case(case)
    views = {view: loaded.radiographs[view] for view in views_for(parameters.views)}
    exported = folder / f"{model.stem}.onnx"
    export_onnx(model, exported)
    backends = {"torch": (model, "float32"), "torch_bf16": (model, "bfloat16"), "onnx": (exported, "float32")}
    return {
        name: _median_ms(path, precision, views, loaded.lumbar_center_world, parameters)
        for name, (path, precision) in backends.items()
    }


def _median_ms(
    path: Path, precision: str, views: Mapping[str, Radiograph], center_world: Any, parameters: LatencyParameters
) -> float:
    runtime = open_runtime(path, precision=precision)
    runs = [
        reconstruct(views, runtime, parameters.spacing_mm, center_world).seconds["total"]
        for _ in range(parameters.repeats + 1)
    ]
    return round(1000 * median(runs[1:]), 1)


def read_record(path: Path) -> dict[str, Any]:
    """Read a JSON object that an earlier stage wrote.

    Raises:
        InputError: No such file, or no JSON object.
    """
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise InputError(path, error, "a JSON file of an earlier stage") from error
    if not isinstance(content, dict):
        raise InputError(path, "no JSON object", "a JSON file of an earlier stage")
    return content


def chosen(record: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """Return some entries of a record.

    Raises:
        InputError: One that is not there.
    """
    missing = [name for name in names if name not in record]
    if missing:
        raise InputError("summary.json", f"no {', '.join(missing)}", f"an evaluation with {', '.join(names)}")
    return {name: record[name] for name in names}
