"""Figures that can be turned: vertebrae of a donor and of the mean spine, colored by surface error."""

from collections.abc import Mapping

import numpy as np
import plotly.graph_objects as go

from reconstruction.report.drawings import Control, Drawing, color_bar, empty_figure, words
from reconstruction.report.settings import TRUTH
from reconstruction.report.surfaces import Surface

_BONE = "#d9cfb8"
_LIGHT = {"ambient": 0.72, "diffuse": 0.45, "specular": 0.08, "roughness": 0.8, "fresnel": 0.02}
# From behind the reader's shoulder; colors must not drown in shadow.
_LAMP = {"x": 1000, "y": 2000, "z": 1500}
# World and vertebra's frame are left, back, head: looked at from behind, from the left and a little from above.
_EYE = np.array([1.1, 1.5, 0.45])
# A spine is taller than wide; so far away all of it is in sight.
_STEP_BACK = 1.45


def mesh_scene(meshes: Mapping[str, Mapping[str, Surface]], limit_mm: float) -> Drawing:
    """Draw L1 to L5 of one donor, a button for each rung and one for the truth.

    Args:
        meshes: Of :func:`reconstruction.report.surfaces.read_meshes`.
        limit_mm: Where the colors end.
    """
    figure = _scene(_STEP_BACK)
    for name, surfaces in meshes.items():
        for number, (level, surface) in enumerate(surfaces.items()):
            trace = _mesh(surface, level, {"rung": [name]}, name == next(iter(meshes)))
            if surface.error_mm is None:
                trace.update(color=_BONE, hovertemplate=f"{level}, true surface<extra></extra>")
            else:
                trace.update(
                    intensity=surface.error_mm.astype(np.float32),
                    colorscale="RdBu",
                    reversescale=True,
                    cmin=-limit_mm,
                    cmax=limit_mm,
                    showscale=number == 0,
                    colorbar=color_bar("mm outside the true surface"),
                    hovertemplate=f"{level}: %{{intensity:.2f}} mm<extra></extra>",
                )
            figure.add_trace(trace)
    options = {name: "true surface" if name == TRUTH else words(name) for name in meshes}
    control = Control("rung", "Show", options, next(iter(meshes)))
    return Drawing(
        "meshes", figure, 560, "Vertebrae L1 to L5 in three dimensions, colored by surface error", (control,)
    )


def mean_vertebra_scene(surfaces: Mapping[str, Surface]) -> Drawing:
    """Draw the mean vertebra of a level, colored by the mean distance between reconstruction and truth."""
    figure = _scene()
    errors = np.concatenate(
        [one.error_mm[np.isfinite(one.error_mm)] for one in surfaces.values() if one.error_mm is not None]
    )
    # A few vertices must not take all the colors.
    limit_mm = float(np.percentile(errors, 99)) if errors.size else 1.0
    for number, (level, surface) in enumerate(surfaces.items()):
        trace = _mesh(surface, level, {"level": [level]}, number == 0)
        trace.update(
            intensity=surface.error_mm,
            colorscale="YlOrRd",
            cmin=0,
            cmax=limit_mm or 1,
            showscale=True,
            colorbar=color_bar("mean surface error (mm)"),
            hovertemplate=f"{level}: %{{intensity:.2f}} mm<extra></extra>",
        )
        figure.add_trace(trace)
    control = Control("level", "Level", {level: level for level in surfaces}, next(iter(surfaces)))
    return Drawing("regions", figure, 440, "The mean vertebra, colored by surface error", (control,))


def _mesh(surface: Surface, level: str, meta: Mapping[str, list[str]], visible: bool) -> go.Mesh3d:
    # A tenth of a millimeter less than the digits that are kept is far below what a screen shows.
    x, y, z = np.round(surface.vertices_mm.T, 2).astype(np.float32)
    i, j, k = surface.faces.T
    return go.Mesh3d(
        x=x, y=y, z=z, i=i, j=j, k=k, name=level, meta=meta, visible=visible, lighting=_LIGHT, lightposition=_LAMP
    )


def _scene(distance: float = 1.0) -> go.Figure:
    eye = dict(zip("xyz", (distance * _EYE).round(4).tolist(), strict=True))
    camera = {"eye": eye, "up": {"x": 0, "y": 0, "z": 1}}
    hidden = {"visible": False, "showspikes": False}
    figure = empty_figure(
        margin={"l": 0, "r": 0, "t": 0, "b": 56}, dragmode="orbit", uirevision="kept", showlegend=False
    )
    figure.update_scenes(
        aspectmode="data", xaxis=hidden, yaxis=hidden, zaxis=hidden, camera=camera, dragmode="orbit", uirevision="kept"
    )
    return figure
