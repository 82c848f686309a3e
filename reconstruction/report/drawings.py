"""Figures for the page and the buttons that belong to them; what all figures share stands here."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import plotly.graph_objects as go

# Okabe and Ito's colors: told apart with any color vision.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
INK, GRID, QUIET = "#1d2733", "#e4e8ec", "#66717d"
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
ALL = "all"


@dataclass(frozen=True)
class Control:
    """One choice that the reader has.

    Traces whose ``meta`` names this control are shown when its list holds the chosen option.

    Args:
        name: Key in ``meta``.
        label: Stands before the buttons.
        options: Value -> words.
        chosen: Value at first.
        kind: How it looks.
        layouts: Value -> changes of the layout, by dotted names.
    """

    name: str
    label: str
    options: Mapping[str, str]
    chosen: str
    kind: Literal["buttons", "menu"] = "buttons"
    layouts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Drawing:
    """A figure of the page.

    Args:
        name: Id in the page.
        figure: Its traces are shown or hidden by ``controls``.
        height_px: On screen.
        spoken: What it shows, for who cannot see it.
        controls: Choices of the reader.
    """

    name: str
    figure: go.Figure
    height_px: int
    spoken: str
    controls: tuple[Control, ...] = ()

    def to_json(self) -> str:
        """Return traces, layout and controls as JSON that can stand in a script element."""
        content = json.loads(self.figure.to_json())
        content.pop("frames", None)
        content["controls"] = [
            {"name": one.name, "chosen": one.chosen, "layouts": {key: dict(of) for key, of in one.layouts.items()}}
            for one in self.controls
        ]
        # A closing tag within a string would end the script.
        return json.dumps(content, separators=(",", ":"), sort_keys=True).replace("<", "\\u003c")


def empty_figure(**layout: Any) -> go.Figure:
    """Return a figure without traces in the page's style."""
    axis = {
        "gridcolor": GRID,
        "zeroline": False,
        "linecolor": GRID,
        "automargin": True,
        "title": {"standoff": 8, "font": {"size": 13}},
    }
    base: dict[str, Any] = {
        "template": "none",
        "font": {"family": FONT, "size": 13, "color": INK},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "margin": {"l": 8, "r": 12, "t": 12, "b": 8},
        "hoverlabel": {"font": {"family": FONT, "size": 13}},
        "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0, "font": {"size": 12}},
        "dragmode": False,
        "xaxis": dict(axis),
        "yaxis": dict(axis),
    }
    return go.Figure(layout={**base, **layout})


def interval(middle: Sequence[float], low: Sequence[float], high: Sequence[float]) -> dict[str, Any]:
    """Return unequal error bars around ``middle``; an end that is missing is drawn with no length."""
    center, lower, upper = (np.asarray(values, dtype=np.float64) for values in (middle, low, high))
    return {
        "type": "data",
        "symmetric": False,
        "array": np.nan_to_num(np.maximum(upper - center, 0)).round(6).tolist(),
        "arrayminus": np.nan_to_num(np.maximum(center - lower, 0)).round(6).tolist(),
        "thickness": 1.6,
        "width": 4,
    }


def color_bar(title: str) -> dict[str, Any]:
    """Return a color bar below the figure: beside it, it would leave no room on a phone."""
    place = {"orientation": "h", "x": 0.5, "xanchor": "center", "y": -0.02, "yanchor": "top"}
    return {**place, "title": {"text": title, "side": "bottom", "font": {"size": 13}}, "thickness": 10, "len": 0.7}


def words(name: str) -> str:
    """Return a name of the pipeline as words: ``source_only`` is source only."""
    return name.replace("_", " ")
