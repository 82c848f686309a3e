"""Flat figures: the ladder, the studies, the map of angles and what calibration can prove."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from reconstruction.report.drawings import (
    ALL,
    COLORS,
    GRID,
    QUIET,
    Control,
    Drawing,
    color_bar,
    empty_figure,
    interval,
    words,
)
from reconstruction.report.ladder import Ladder
from reconstruction.report.quality import AcquisitionQuality
from reconstruction.report.settings import LEVELS

# Column of the ladder -> words on the axis.
METRICS: Mapping[str, str] = {
    "f1": "F1 of L1-L5 together",
    **{f"f1_{level.lower()}": f"F1 of {level}" for level in LEVELS},
    "surface_1mm": "surface score at 1.0 mm",
    "surface_1p5mm": "surface score at 1.5 mm",
    "surface_2mm": "surface score at 2.0 mm",
    "assd_mm": "average surface distance (mm)",
    "hd95_mm": "95 % Hausdorff distance (mm)",
    "n_missed": "missed vertebrae of a donor",
}
_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "x")
# Vertical room between the marks of a rung when all numbers of views are drawn.
_ROOM = 0.16
STUDY_AXES = {"deg": "each camera turned by (degrees)", "mm": "each camera shifted by (mm)"}


def ladder_chart(ladder: Ladder) -> Drawing:
    """Draw the ladder as marks in rows, one row a rung."""
    figure = empty_figure(legend_tracegroupgap=0)
    rungs, counts = ladder.rungs, ladder.view_counts
    for metric, label in METRICS.items():
        for number, count in enumerate(counts):
            rows = ladder.table[ladder.table["views"] == count].set_index("rung").reindex(rungs)
            error = interval(rows["f1"], rows["ci_low"], rows["ci_high"]) if metric == "f1" else None
            for alone in (True, False):
                shift = 0.0 if alone else (number - (len(counts) - 1) / 2) * _ROOM
                figure.add_scatter(
                    x=rows[metric].tolist(),
                    y=[place + shift for place in range(len(rungs))],
                    error_x=error,
                    mode="markers",
                    marker={"size": 11, "color": COLORS[number % len(COLORS)], "symbol": _SYMBOLS[number % 6]},
                    name=f"{count} views",
                    customdata=[words(rung) for rung in rungs],
                    hovertemplate=f"%{{customdata}}, {count} views<br>{label}: %{{x:.3f}}<extra></extra>",
                    meta={"metric": [metric], "views": [str(count) if alone else ALL]},
                    visible=metric == "f1" and alone and count == ladder.views,
                )
    figure.update_yaxes(
        tickvals=list(range(len(rungs))), ticktext=[words(rung) for rung in rungs], range=[len(rungs) - 0.5, -0.5]
    )
    figure.update_xaxes(title_text=METRICS["f1"])
    controls = (
        Control(
            "views",
            "Views",
            {**{str(count): str(count) for count in counts}, ALL: "all"},
            str(ladder.views),
        ),
        Control(
            "metric",
            "Measure",
            METRICS,
            "f1",
            "menu",
            {key: {"xaxis.title.text": label} for key, label in METRICS.items()},
        ),
    )
    spoken = "The six rungs of the ladder, with the chosen measure on the horizontal axis"
    return Drawing("ladder", figure, 400, spoken, controls)


def views_chart(table: pd.DataFrame) -> Drawing:
    """Draw F1 over the number of views."""
    figure = empty_figure(showlegend=False)
    _add_line(figure, table, COLORS[0], "views")
    figure.update_xaxes(title_text="number of views", dtick=1)
    figure.update_yaxes(title_text="F1 of L1-L5 together")
    return Drawing("views", figure, 320, "F1 over the number of views")


def sets_chart(table: pd.DataFrame) -> Drawing:
    """Draw the F1 of sets of three views in rows, best first."""
    ordered = table.sort_values("mean", ascending=False, kind="stable").reset_index(drop=True)
    figure = empty_figure(showlegend=False)
    figure.add_scatter(
        x=ordered["mean"].tolist(),
        y=ordered.index.tolist(),
        error_x=interval(ordered["mean"], ordered["low"], ordered["high"]),
        mode="markers",
        marker={"size": 9, "color": COLORS[0]},
        customdata=ordered["setting"].tolist(),
        hovertemplate="%{customdata}<br>F1 %{x:.3f}<extra></extra>",
    )
    figure.update_yaxes(
        tickvals=ordered.index.tolist(),
        ticktext=[_short(shots) for shots in ordered["shots"]],
        tickfont={"size": 10},
        range=[len(ordered) - 0.5, -0.5],
    )
    figure.update_xaxes(title_text="F1 of L1-L5 together")
    return Drawing("sets", figure, 44 * len(ordered) + 60, "F1 of sets of three views, best first")


def camera_chart(table: pd.DataFrame) -> Drawing:
    """Draw F1 over errors of the cameras, one kind of error at a time."""
    figure = empty_figure(showlegend=False)
    kinds = list(dict.fromkeys(table["setting"]))
    for number, kind in enumerate(kinds):
        rows = table[table["setting"] == kind]
        _add_line(figure, rows, COLORS[number % len(COLORS)], str(kind), {"error": [str(kind)]}, number == 0)
    units = {kind: str(table.loc[table["setting"] == kind, "unit"].iloc[0]) for kind in kinds}
    layouts = {str(kind): {"xaxis.title.text": STUDY_AXES.get(unit, unit)} for kind, unit in units.items()}
    figure.update_xaxes(title_text=layouts[str(kinds[0])]["xaxis.title.text"])
    figure.update_yaxes(title_text="F1 of L1-L5 together")
    control = Control("error", "Cameras", {str(kind): str(kind) for kind in kinds}, str(kinds[0]), layouts=layouts)
    return Drawing("cameras", figure, 320, "F1 over errors of calibration", (control,))


def origin_chart(table: pd.DataFrame) -> Drawing:
    """Draw F1 over the distance of the grid from where it belongs."""
    figure = empty_figure(showlegend=False)
    _add_line(figure, table, COLORS[0], "origin")
    figure.update_xaxes(title_text="grid placed off by (mm)")
    figure.update_yaxes(title_text="F1 of L1-L5 together")
    return Drawing("origin", figure, 320, "F1 over errors of the origin")


def donors_chart(table: pd.DataFrame) -> Drawing:
    """Draw F1 over the number of paired donors; both ends of the gap are lines across."""
    figure = empty_figure(showlegend=False)
    series = table[table["donors"].notna()].sort_values("donors")
    learned = series.rename(columns={"donors": "value", "f1": "mean", "ci_low": "low", "ci_high": "high"})
    _add_line(figure, learned, COLORS[0], "paired donors")
    for row in table[table["donors"].isna()].itertuples():
        figure.add_hline(
            y=row.f1,
            line={"dash": "dash", "color": QUIET, "width": 1.5},
            annotation_text="ceiling: the DRRs themselves",
        )
    figure.update_xaxes(title_text="paired donors that the translator learned from")
    figure.update_yaxes(title_text="F1 of L1-L5 together")
    return Drawing("donors", figure, 320, "F1 over the number of paired donors")


def angle_map_chart(maps: Mapping[str, pd.DataFrame], bases: Mapping[str, Sequence[str]]) -> Drawing:
    """Draw the F1 that is lost at each angle: AP in the middle, laterals at the rim, cranial tilts above.

    The distance from the middle is the angle between a line of sight and the plain AP, the direction is where the
    detector went.

    Args:
        maps: Tables by name.
        bases: The shots that were there already, by name of the map.
    """
    figure = empty_figure(showlegend=False, margin={"l": 40, "r": 40, "t": 28, "b": 104})
    for number, (name, table) in enumerate(maps.items()):
        radius_deg, direction_deg = off_ap(table["primary_deg"], table["secondary_deg"])
        figure.add_scatterpolar(
            r=radius_deg.round(3).tolist(),
            theta=direction_deg.round(3).tolist(),
            mode="markers",
            marker={
                "size": 18,
                "color": table["f1_loss"].tolist(),
                "colorscale": "Viridis",
                "reversescale": True,
                "cmin": 0,
                "cmax": float(table["f1_loss"].max()) or 1,
                "line": {"color": "#ffffff", "width": 1.5},
                "colorbar": {**color_bar("F1 lost"), "y": -0.14},
            },
            customdata=np.stack([table[key] for key in ("primary_deg", "secondary_deg", "f1", "ci_low", "ci_high")], 1),
            text=table["view"].tolist(),
            hovertemplate=(
                "%{text}: LAO %{customdata[0]:.0f}, cranial %{customdata[1]:.0f} degrees<br>F1 %{customdata[2]:.3f} "
                "[%{customdata[3]:.3f}, %{customdata[4]:.3f}]<br>lost %{marker.color:.3f}<extra></extra>"
            ),
            meta={"base": [name]},
            visible=number == 0,
        )
    figure.update_polars(
        bgcolor="rgba(0,0,0,0)",
        radialaxis={
            "range": [0, 105],
            "tickvals": [30, 60, 90],
            "ticksuffix": "°",
            "angle": 60,
            "tickangle": 60,
            "tickfont": {"size": 10},
            "gridcolor": GRID,
            "linecolor": GRID,
        },
        angularaxis={
            "tickvals": [0, 90, 180, 270],
            "ticktext": ["LAO", "cranial", "RAO", "caudal"],
            "gridcolor": GRID,
            "linecolor": GRID,
        },
    )
    controls: tuple[Control, ...] = ()
    if len(maps) > 1:
        options = {name: ", ".join(bases.get(name, ())) or words(name) for name in maps}
        controls = (Control("base", "Shots already there", options, next(iter(maps))),)
    return Drawing("angles", figure, 440, "F1 that is lost with a shot from each angle of the C-arm", controls)


def off_ap(primary_deg: Sequence[float], secondary_deg: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """Return how far lines of sight are off the plain AP, and which way (0 LAO, 90 cranial), in degrees."""
    primary, secondary = np.radians(np.asarray([primary_deg, secondary_deg], dtype=np.float64))
    across, along, up = np.sin(primary) * np.cos(secondary), np.cos(primary) * np.cos(secondary), np.sin(secondary)
    return np.degrees(np.arctan2(np.hypot(across, up), along)), np.degrees(np.arctan2(up, across)) % 360


def calibration_chart(qualities: Sequence[AcquisitionQuality]) -> Drawing:
    """Draw the target error of every exposure, a column for each acquisition."""
    figure = empty_figure(showlegend=False)
    for number, quality in enumerate(qualities):
        name = f"{quality.acquisition_id}{' (SIMULATED)' if quality.simulated else ''}"
        figure.add_trace(
            go.Box(
                y=list(quality.target_errors_mm),
                name=name,
                boxpoints="all",
                jitter=0.4,
                pointpos=0,
                marker={"color": COLORS[number % len(COLORS)], "size": 6},
                line={"width": 1.2},
                fillcolor="rgba(0,0,0,0)",
            )
        )
    figure.update_yaxes(title_text="target error (mm)", rangemode="tozero")
    return Drawing("calibration", figure, 320, "Target error of every exposure by acquisition")


def _add_line(
    figure: go.Figure,
    table: pd.DataFrame,
    color: str,
    name: str,
    meta: Mapping[str, Sequence[str]] | None = None,
    visible: bool = True,
) -> None:
    """Add a line over ``value`` with intervals."""
    rows = table.sort_values("value", kind="stable")
    figure.add_scatter(
        x=rows["value"].astype(float).tolist(),
        y=rows["mean"].tolist(),
        error_y=interval(rows["mean"], rows["low"], rows["high"]),
        mode="lines+markers",
        marker={"size": 8, "color": color},
        line={"color": color, "width": 2},
        name=name,
        hovertemplate="%{x:g}: F1 %{y:.3f}<extra></extra>",
        meta=meta,
        visible=visible,
    )


def _short(shots: str) -> str:
    """Return names of views in a form that leaves room for the plot on a phone."""
    brief = {"cranial": "cra", "caudal": "cau", "left": "L", "right": "R", "misc": "m"}
    names = shots.split("+")
    return "<br>".join("-".join(brief.get(part, part) for part in name.split("-")) for name in names)
