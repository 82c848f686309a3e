"""The two pictures of the ladder: F1 by rung and number of views, and surfaces colored by how far off they are."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke

from reconstruction.judging.plots import INK, write_png
from reconstruction.ladder.meshes import JudgedMesh
from reconstruction.ladder.raster import Stand, painted
from reconstruction.ladder.rungs import CEILING, RUNGS, SOURCE_ONLY
from reconstruction.mesh import Mesh

# From light to dark with the number of views: told apart in gray, too.
_SHADES = ("#9ecae1", "#4292c6", "#08519c", "#08254f")
_MARKERS = ("o", "s", "D", "^")
_TRUE_COLOR = (0.80, 0.80, 0.78)
# From the color of bone over yellow and red to dark violet: lightness falls all the way.
_ERRORS = LinearSegmentedColormap.from_list("errors", ["#efe9dc", "#f6d27a", "#ee8a3c", "#c9352f", "#6b1450"])
# From behind and a little from the left and above.
_AZIMUTH_DEG, _ELEVATION_DEG = 38.0, 14.0
_MARGIN_MM, _PIXELS_PER_MM, _PANEL_IN = 3.0, 3.2, 2.3
_HALO = [withStroke(linewidth=3.5, foreground="white")]


def write_ladder(path: Path, table: pd.DataFrame, summary: Mapping[str, Any], images: str, confidence: float) -> None:
    """Draw F1 by rung, with an interval, for every number of views.

    Args:
        path: PNG to write.
        table: Of :func:`reconstruction.ladder.table.ladder_table`.
        summary: Of :func:`reconstruction.ladder.table.ladder_summary`.
        images: What made the X-rays, for the title.
        confidence: Of the intervals.
    """
    headline = int(summary["headline_views"])
    counts = sorted(int(count) for count in table["views"].unique())
    figure = Figure(figsize=(9.6, 5.1), layout="constrained")
    axis = figure.subplots()
    step = 0.74 / max(len(counts), 2)
    for place, rung in enumerate(RUNGS):
        if place % 2 == 0:
            axis.axvspan(place - 0.5, place + 0.5, color="#f4f4f1", linewidth=0, zorder=0)
        for number, count in enumerate(counts):
            row = table[(table["rung"] == rung) & (table["views"] == count)].iloc[0]
            _point(axis, place + (number - (len(counts) - 1) / 2) * step, row, number, bold=count == headline)
    scores = table[table["views"] == headline].set_index("rung")["f1"]
    for rung in (SOURCE_ONLY, CEILING):
        axis.axhline(scores[rung], color="#8a8a8a", linewidth=0.9, linestyle=(0, (4, 3)), zorder=1)
    axis.set_xticks(np.arange(len(RUNGS)), [_under(rung, summary, headline) for rung in RUNGS], fontsize=11)
    axis.tick_params(axis="x", length=0)
    axis.tick_params(axis="y", labelsize=11)
    axis.set_xlim(-0.5, len(RUNGS) - 0.5)
    axis.set_ylim(*_limits(table))
    axis.set_ylabel("F1 of L1-L5 as one", fontsize=12)
    axis.grid(axis="y", alpha=0.3)
    axis.set_axisbelow(True)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
    axis.legend(handles=_legend(counts), loc="lower right", ncols=len(counts), fontsize=11, framealpha=0.95)
    donors = int(table["donors"].max())
    held_out = f"{donors} held-out donor{'' if donors == 1 else 's'}"
    figure.suptitle(f"What each step of adaptation is worth: {images}, {held_out}", fontsize=13.5, weight="bold")
    interval = "" if donors < 2 else f"bars: {confidence:.0%} bootstrap intervals over donors; "
    axis.set_title(f"{interval}numbers and gaps: {headline} views", fontsize=10.5, color="#505050")
    write_png(path, figure)


def write_mesh_picture(
    path: Path,
    truth: Mapping[str, JudgedMesh],
    rungs: Mapping[str, Mapping[str, JudgedMesh]],
    scores: Mapping[str, float],
    title: str,
    limit_mm: float,
) -> None:
    """Draw the true vertebrae beside those of some rungs, colored by the distance to the true surface.

    Args:
        path: PNG to write.
        truth: True surfaces, by level.
        rungs: Surfaces of each rung, by level.
        scores: F1 of the union of each rung.
        title: Stands above.
        limit_mm: Error at the end of the color bar.
    """
    every = np.concatenate([judged.mesh.vertices_world for judged in truth.values()])
    stand = Stand.around(every, _AZIMUTH_DEG, _ELEVATION_DEG, _MARGIN_MM, _PIXELS_PER_MM)
    height, width = stand.size_px
    count = 1 + len(rungs)
    figure = Figure(figsize=(_PANEL_IN * count + 1.2, _PANEL_IN * height / width + 1.0), layout="constrained")
    axes = figure.subplots(1, count, squeeze=False)[0]
    seen = painted(*_joined(truth, limit_mm), stand)
    _panel(axes[0], seen, None)
    axes[0].set_title("truth\n(labels of the CT)", fontsize=12)
    for axis, (rung, meshes) in zip(axes[1:], rungs.items(), strict=True):
        _panel(axis, painted(*_joined(meshes, limit_mm), stand) if meshes else None, seen[..., 3])
        errors = [judged.error_mm for judged in meshes.values() if judged.error_mm is not None]
        words = f"F1 {scores[rung]:.2f}"
        if errors:
            words += f", {np.median(np.abs(np.concatenate(errors))):.1f} mm median"
        axis.set_title(f"{rung.replace('_', ' ')}\n{words}", fontsize=12)
        missing = [level for level in truth if level not in meshes]
        if missing:
            axis.text(0.02, 0.01, f"not found: {', '.join(missing)}", transform=axis.transAxes, fontsize=11)
    bar = figure.colorbar(ScalarMappable(Normalize(0, limit_mm), _ERRORS), ax=list(axes), extend="max", shrink=0.8)
    bar.set_label("distance to the true surface (mm)", fontsize=11)
    bar.ax.tick_params(labelsize=10)
    figure.suptitle(title, fontsize=13.5, weight="bold")
    figure.supxlabel("seen from behind and from the left; gray outline: the true bone", fontsize=11, color="#505050")
    write_png(path, figure)


def _panel(axis: Axes, picture: Float[np.ndarray, "h w 4"] | None, true_alpha: Float[np.ndarray, "h w"] | None) -> None:
    axis.set_axis_off()
    axis.set_aspect("equal")
    for seen in (picture, true_alpha):
        if seen is not None:
            axis.set_xlim(-0.5, seen.shape[1] - 0.5)
            axis.set_ylim(seen.shape[0] - 0.5, -0.5)
    if true_alpha is not None:
        # What is missing shows as well: around the true bone a line.
        axis.contourf(true_alpha, levels=[0.5, 2.0], colors=["#000000"], alpha=0.05)
        axis.contour(true_alpha, levels=[0.5], colors=["#8c8c8c"], linewidths=0.8)
    if picture is not None:
        axis.imshow(picture, interpolation="antialiased")


def _joined(
    meshes: Mapping[str, JudgedMesh], limit_mm: float
) -> tuple[Float[np.ndarray, "n 3"], np.ndarray, Float[np.ndarray, "n 3"]]:
    """Return vertices, faces and colors of several surfaces as one."""
    parts: list[Mesh] = [judged.mesh for judged in meshes.values()]
    starts = np.cumsum([0, *(len(part.vertices_world) for part in parts)])
    faces = [part.faces + start for part, start in zip(parts, starts[:-1], strict=True)]
    colors = [_colors(judged, limit_mm) for judged in meshes.values()]
    return np.concatenate([part.vertices_world for part in parts]), np.concatenate(faces), np.concatenate(colors)


def _colors(judged: JudgedMesh, limit_mm: float) -> Float[np.ndarray, "n 3"]:
    if judged.error_mm is None:
        return np.tile(_TRUE_COLOR, (len(judged.mesh.vertices_world), 1))
    return np.asarray(_ERRORS(np.abs(judged.error_mm) / limit_mm))[:, :3]


def _point(axis: Axes, place: float, row: pd.Series, number: int, bold: bool) -> None:
    shade, marker = _SHADES[number % len(_SHADES)], _MARKERS[number % len(_MARKERS)]
    if not np.isnan(row["ci_low"]):
        axis.plot([place, place], [row["ci_low"], row["ci_high"]], color=shade, linewidth=2.2, zorder=2)
    axis.plot(place, row["f1"], marker, color=shade, markersize=8, markeredgecolor="white", zorder=3)
    if bold:
        top = row["f1"] if np.isnan(row["ci_high"]) else row["ci_high"]
        axis.annotate(
            f"{row['f1']:.2f}", (place, top), (0, 6), textcoords="offset points", ha="center", fontsize=12,
            weight="bold", color=INK, path_effects=_HALO,
        )  # fmt: skip


def _under(rung: str, summary: Mapping[str, Any], headline: int) -> str:
    """Name a rung, and below it how much of the gap it closes."""
    name = rung.replace("_", "\n", 1) if "_" in rung else f"{rung}\n"
    if rung in (SOURCE_ONLY, CEILING):
        return name
    share = summary["gap_closed"][rung][f"views{headline}"][0]
    return name if share is None else f"{name}\n{100 * share:.0f} % of gap"


def _limits(table: pd.DataFrame) -> tuple[float, float]:
    low = float(np.nanmin(table[["f1", "ci_low"]].to_numpy()))
    return max(0.0, np.floor(10 * low - 0.5) / 10), 1.0


def _legend(counts: Sequence[int]) -> list[Line2D]:
    return [
        Line2D(
            [], [], color=_SHADES[number % len(_SHADES)], marker=_MARKERS[number % len(_MARKERS)], markersize=8,
            markeredgecolor="white", linewidth=2.2, label=f"{count} view{'' if count == 1 else 's'}",
        )
        for number, count in enumerate(counts)
    ]  # fmt: skip
