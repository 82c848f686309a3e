"""Plots of evaluations and studies: means over donors with bands of their confidence intervals."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from drrkit.errors import InputError
from drrkit.io.store import write_bytes
from reconstruction.judging.evaluation import UNION
from reconstruction.judging.summary import BootstrapParameters, summarize
from reconstruction.metrics import REGIONS, WHOLE

# Okabe and Ito's colors: told apart with any color vision, and in grey by markers.
COLORS: tuple[str, ...] = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_MARKERS: tuple[str, ...] = ("o", "s", "^", "D", "v", "P")
INK = "#202020"

SCORES: tuple[tuple[str, str], ...] = (
    ("f1", "F1"),
    ("surface_2mm", "surface score at 2 mm"),
    ("surface_1mm", "surface score at 1 mm"),
)
_REGION_SCORES: tuple[tuple[str, str], ...] = (
    ("recall", "recall of voxels"),
    ("near_2mm", "surface within 2 mm"),
    ("near_1mm", "surface within 1 mm"),
)
_AXIS_LABELS = {
    ("number_of_views", "views"): "number of views",
    ("view_angle", "deg"): "angle between the two lines of sight (degrees)",
    ("camera_noise", "deg"): "error of rotation (degrees)",
    ("camera_noise", "mm"): "error of position (mm)",
    ("image_noise", "photons"): "photons a pixel without object",
    ("image_noise", "part of the densest bone"): "noise (part of the densest bone)",
    ("origin_error", "mm"): "distance of the grid from its place (mm)",
}


def color_of(names: Sequence[str], name: str) -> str:
    """Return the color of one of several things that are drawn together."""
    return COLORS[list(names).index(name) % len(COLORS)]


def write_png(path: Path, figure: Figure) -> None:
    """Write a figure; the same picture has the same bytes with every version of the library's name."""
    FigureCanvasAgg(figure)
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=130, metadata={"Software": None})
    write_bytes(path, stream.getvalue())


def write_study(path: Path, table: pd.DataFrame, bootstrap: BootstrapParameters, title: str) -> None:
    """Plot a study over its amount, a panel for each setting that has a unit of its own.

    Args:
        path: PNG to write.
        table: Of one study in :mod:`reconstruction.judging.studies`.
        bootstrap: Of the bands.
        title: Stands above.

    Raises:
        InputError: Rows of several studies.
    """
    names = table["study"].unique()
    if len(names) != 1:
        raise InputError("table", f"the studies {', '.join(names)}", "one study")
    if names[0] == "view_sets":
        _write_view_sets(path, table, bootstrap, title)
        return
    union = _union(table)
    one_line = names[0] in ("number_of_views", "view_angle")
    settings = [None] if one_line else list(dict.fromkeys(union["setting"]))
    figure = Figure(figsize=(max(6.4, 0.6 + 4.4 * len(settings)), 4.3), layout="constrained")
    axes = figure.subplots(1, len(settings), squeeze=False, sharey=True)[0]
    for axis, setting in zip(axes, settings, strict=True):
        part = union if setting is None else union[union["setting"] == setting]
        summary = summarize(part, ["value"], bootstrap).sort_values("value")
        _lines(axis, summary, logarithmic=(part["unit"] == "photons").all())
        axis.set_xlabel(_AXIS_LABELS[names[0], part["unit"].iloc[0]])
        if setting is not None and len(settings) > 1:
            axis.set_title(setting, fontsize=10)
    axes[0].set_ylabel("score of the union of L1-L5")
    _finish(figure, axes[0], title, summary_donors(union), bootstrap)
    write_png(path, figure)


def write_levels(path: Path, table: pd.DataFrame, bootstrap: BootstrapParameters, title: str) -> None:
    """Plot scores by level as bars.

    Args:
        path: PNG to write.
        table: Of :func:`reconstruction.judging.evaluation.evaluate`, with one number of views.
        bootstrap: Of the error bars.
        title: Stands above.
    """
    whole = table[table["region"] == WHOLE]
    summary = summarize(whole, ["level"], bootstrap)
    _write_bars(path, summary, "level", list(dict.fromkeys(whole["level"])), SCORES, title, whole, bootstrap)


def write_regions(path: Path, table: pd.DataFrame, bootstrap: BootstrapParameters, title: str) -> None:
    """Plot scores by region of all levels as bars, seen from the truth; arguments as :func:`write_levels`.

    Raises:
        InputError: A table without regions.
    """
    parts = table[(table["level"] != UNION) & (table["region"] != WHOLE)]
    if parts.empty:
        raise InputError("table", "no regions", "cases whose labels tell regions")
    present = [region for region in REGIONS if region in set(parts["region"])]
    summary = summarize(parts, ["region"], bootstrap)
    _write_bars(path, summary, "region", present, _REGION_SCORES, title, parts, bootstrap)


def summary_donors(table: pd.DataFrame) -> int:
    """Count the donors of a table."""
    return int(table["donor"].nunique())


def _union(table: pd.DataFrame) -> pd.DataFrame:
    return table[(table["level"] == UNION) & (table["region"] == WHOLE)]


def _lines(axis: Axes, summary: pd.DataFrame, logarithmic: bool) -> None:
    for number, (metric, name) in enumerate(SCORES):
        part = summary[summary["metric"] == metric]
        if part.empty:  # a study that judged voxels alone
            continue
        # No noise has no place on a logarithmic axis: it is drawn as a line across.
        zero, part = part[part["value"] == 0], part[part["value"] > 0] if logarithmic else part
        axis.plot(
            part["value"],
            part["mean"],
            marker=_MARKERS[number],
            markersize=5,
            linewidth=1.6,
            color=COLORS[number],
            label=name,
        )
        axis.fill_between(part["value"], part["low"], part["high"], color=COLORS[number], alpha=0.18, linewidth=0)
        if logarithmic and len(zero):
            axis.axhline(float(zero["mean"].iloc[0]), color=COLORS[number], linewidth=1.0, linestyle=":")
    if logarithmic:
        axis.set_xscale("log")
        axis.invert_xaxis()
    axis.set_ylim(0, 1)
    axis.grid(alpha=0.25)


def _write_view_sets(path: Path, table: pd.DataFrame, bootstrap: BootstrapParameters, title: str) -> None:
    union = _union(table)
    summary = summarize(union, ["setting", "shots"], bootstrap)
    order = summary[summary["metric"] == "f1"].sort_values("mean")
    groups = list(dict.fromkeys(union["setting"]))
    figure = Figure(figsize=(10.5, 1.6 + 0.36 * len(order)), layout="constrained")
    axis = figure.subplots()
    places = np.arange(len(order))
    known = set(summary["metric"])
    for number, (metric, name) in enumerate(SCORES):
        if metric not in known:
            continue
        chosen = summary[summary["metric"] == metric].set_index("shots").loc[list(order["shots"])]
        spread = np.abs(chosen[["low", "high"]].to_numpy().T - chosen["mean"].to_numpy())
        axis.errorbar(
            chosen["mean"],
            places + 0.18 * (1 - number),
            xerr=spread,
            fmt=_MARKERS[number],
            color=COLORS[number],
            markersize=5,
            linewidth=1.2,
            label=name,
        )
    labels = [f"{row.setting}: {row.shots.replace('+', ', ')}" for row in order.itertuples()]
    axis.set_yticks(places, labels, fontsize=8)
    axis.set_xlim(0, 1)
    axis.set_xlabel(f"score of the union of L1-L5, three shots ({len(groups)} kinds of triples)")
    axis.grid(alpha=0.25)
    _finish(figure, axis, title, summary_donors(union), bootstrap)
    write_png(path, figure)


def _write_bars(
    path: Path,
    summary: pd.DataFrame,
    column: str,
    names: Sequence[str],
    scores: Sequence[tuple[str, str]],
    title: str,
    table: pd.DataFrame,
    bootstrap: BootstrapParameters,
) -> None:
    figure = Figure(figsize=(1.8 + 1.25 * len(names), 4.3), layout="constrained")
    axis = figure.subplots()
    places, width = np.arange(len(names)), 0.8 / len(scores)
    for number, (metric, label) in enumerate(scores):
        chosen = summary[summary["metric"] == metric].set_index(column).loc[list(names)]
        spread = np.abs(chosen[["low", "high"]].to_numpy().T - chosen["mean"].to_numpy())
        axis.bar(
            places + (number - (len(scores) - 1) / 2) * width,
            chosen["mean"],
            width * 0.92,
            yerr=spread,
            color=COLORS[number],
            ecolor=INK,
            error_kw={"linewidth": 1.0},
            label=label,
        )
    axis.set_xticks(places, [name.replace("_", " ") for name in names])
    axis.set_ylim(0, 1)
    axis.set_ylabel("score" if column == "level" else "part of the true region that is found")
    axis.grid(axis="y", alpha=0.25)
    axis.set_axisbelow(True)
    _finish(figure, axis, title, summary_donors(table), bootstrap)
    write_png(path, figure)


def _finish(figure: Figure, axis: Axes, title: str, donors: int, bootstrap: BootstrapParameters) -> None:
    handles, labels = axis.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    interval = f"{bootstrap.confidence:.0%} intervals over {donors} donors" if donors > 1 else "one donor: no interval"
    figure.suptitle(f"{title}\n{interval}", fontsize=10)
