"""Plots of what translated images are worth: every translator between source-only and the ceiling."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reconstruction.adaptation.summary import CEILING, SOURCE, TranslatorRecord
from reconstruction.judging.evaluation import UNION
from reconstruction.judging.plots import COLORS, INK, write_png
from reconstruction.metrics import WHOLE

_GRAY = "#9a9a9a"


def write_translation_plots(
    folder: Path,
    means: pd.DataFrame,
    summary: Mapping[str, Any],
    translators: Mapping[str, TranslatorRecord],
    best: str,
    shown: tuple[int, str, str | None],
) -> None:
    """Write methods.png, views.png, regions.png and, where methods learned from several amounts, amounts.png.

    Args:
        folder: Where.
        means: Of :func:`reconstruction.adaptation.summary.translation_means`.
        summary: Of :func:`reconstruction.adaptation.summary.summary_of`.
        translators: What is known of each.
        best: The translator of the headlines.
        shown: Number of views, group of the known device, group of the unseen one or None.
    """
    views, group, unseen_group = shown
    whole = means[(means["split"] == "test") & (means["level"] == UNION) & (means["metric"] == "f1")]
    union = whole[whole["region"] == WHOLE]
    kind = "SIMULATED X-rays" if summary["simulated"] else "X-rays"
    groups = [name for name in (group, unseen_group) if name is not None]
    _write_methods(folder / "methods.png", union[union["n_views"] == views], groups, translators, views, kind)
    own = union[(union["group"] == group) & union["images"].isin([SOURCE, best, CEILING])]
    _write_views(folder / "views.png", own, best, group, kind)
    if summary["f1_by_region"][CEILING]:
        _write_regions(folder / "regions.png", summary, best, kind)
    if summary["study"]:
        _write_amounts(folder / "amounts.png", summary, kind)


def _write_methods(
    path: Path,
    union: pd.DataFrame,
    groups: list[str],
    translators: Mapping[str, TranslatorRecord],
    views: int,
    kind: str,
) -> None:
    names = [name for name in dict.fromkeys(union["images"]) if name not in (SOURCE, CEILING)]
    figure = Figure(figsize=(0.8 + 5.2 * len(groups), 1.7 + 0.34 * len(names)), layout="constrained")
    axes = figure.subplots(1, len(groups), squeeze=False, sharey=True)[0]
    for axis, group in zip(axes, groups, strict=True):
        rows = union[union["group"] == group].set_index("images")
        values = rows.loc[names]
        spread = np.abs(values[["low", "high"]].to_numpy().T - values["mean"].to_numpy())
        colors = [COLORS[0] if translators[name].learns else _GRAY for name in names]
        axis.barh(np.arange(len(names)), values["mean"], xerr=spread, color=colors, ecolor=INK, height=0.7)
        for name, style in ((SOURCE, "--"), (CEILING, "-")):
            axis.axvline(float(rows.loc[name, "mean"]), color=INK, linestyle=style, linewidth=1.2, label=name)
        axis.set_yticks(np.arange(len(names)), names)
        axis.set_xlim(0, 1)
        axis.set_xlabel("F1 of the union of L1-L5")
        axis.set_title(f"{group}, {int(rows['donors'].max())} donors", fontsize=10)
        axis.grid(axis="x", alpha=0.25)
        axis.set_axisbelow(True)
    axes[0].invert_yaxis()
    _finish(figure, axes[0], f"The unchanged network on translated images, {views} views ({kind}); gray: baselines")
    write_png(path, figure)


def _write_views(path: Path, union: pd.DataFrame, best: str, group: str, kind: str) -> None:
    figure = Figure(figsize=(6.4, 4.3), layout="constrained")
    axis = figure.subplots()
    for number, name in enumerate((CEILING, best, SOURCE)):
        rows = union[union["images"] == name].sort_values("n_views")
        axis.plot(rows["n_views"], rows["mean"], marker="os^"[number], color=COLORS[number], label=name)
        axis.fill_between(rows["n_views"], rows["low"], rows["high"], color=COLORS[number], alpha=0.18, linewidth=0)
    axis.set_xticks(sorted(union["n_views"].unique()))
    axis.set_xlabel("number of views")
    axis.set_ylabel("F1 of the union of L1-L5")
    axis.set_ylim(0, 1)
    axis.grid(alpha=0.25)
    _finish(figure, axis, f"{group}, {int(union['donors'].max())} donors ({kind})")
    write_png(path, figure)


def _write_regions(path: Path, summary: Mapping[str, Any], best: str, kind: str) -> None:
    by_region = summary["f1_by_region"]
    regions = list(by_region[CEILING])
    figure = Figure(figsize=(1.8 + 1.25 * len(regions), 4.3), layout="constrained")
    axis = figure.subplots()
    for number, (name, label) in enumerate(((SOURCE, SOURCE), ("translated", best), (CEILING, CEILING))):
        places = np.arange(len(regions)) + 0.27 * (number - 1)
        axis.bar(places, [by_region[name][region] for region in regions], 0.25, color=COLORS[2 - number], label=label)
    axis.set_xticks(np.arange(len(regions)), [region.replace("_", " ") for region in regions])
    axis.set_ylabel("F1 by region")
    axis.set_ylim(0, 1)
    axis.grid(axis="y", alpha=0.25)
    axis.set_axisbelow(True)
    _finish(figure, axis, f"{summary['group']}, {summary['views']} views, {summary['donors']} donors ({kind})")
    write_png(path, figure)


def _write_amounts(path: Path, summary: Mapping[str, Any], kind: str) -> None:
    gap = f"gap_closed_views{summary['views']}"
    table = pd.DataFrame(summary["study"]).dropna(subset=[gap])
    figure = Figure(figsize=(8.6, 4.5), layout="constrained")
    axis = figure.subplots()
    # Models of one series are named alike but for a number: paired-donors-4, paired-donors-8. Others trained otherwise.
    series = table["model"].str.replace(r"-\d+$", "", regex=True)
    for number, (name, rows) in enumerate(table.groupby(series, sort=True)):
        ordered = rows.sort_values("train_pairs")
        color = COLORS[number % len(COLORS)]
        seconds = ordered["train_seconds"].median()
        label = str(name) if np.isnan(seconds) else f"{name} ({seconds:.0f} s)"
        axis.plot(ordered["train_pairs"], 100 * ordered[gap], marker="o", color=color, label=label)
    # Points above each other share a label.
    for row in table.drop_duplicates(["train_pairs", "train_donors"]).to_dict("records"):
        donors = f"{row['train_donors']} donor{'' if row['train_donors'] == 1 else 's'}"
        axis.annotate(donors, (row["train_pairs"], 100 * row[gap]), (3, 5), textcoords="offset points", fontsize=8)
    axis.set_xscale("log")
    axis.margins(x=0.12)
    axis.set_xlabel("pairs learned from")
    axis.set_ylabel("gap closed (%)")
    axis.grid(alpha=0.25)
    _finish(figure, axis, f"{summary['group']}, {summary['views']} views, {summary['donors']} donors ({kind})")
    write_png(path, figure)


def _finish(figure: Figure, axis: Axes, title: str) -> None:
    handles, labels = axis.get_legend_handles_labels()
    if handles:
        figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    figure.suptitle(title, fontsize=10)
