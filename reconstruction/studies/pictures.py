"""Pictures of the studies: a map over the C-arm's angles, errors on mean vertebrae, and gains by number of donors."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float, Int32
from matplotlib import colormaps
from matplotlib.cm import ScalarMappable
from matplotlib.collections import PolyCollection
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.projections.polar import PolarAxes

from drrkit.geometry.viewsets import view_set
from reconstruction.adaptation.sessions import REAL, SYNTHETIC
from reconstruction.judging.plots import COLORS, INK, write_png
from reconstruction.judging.viewplan import VIEW_SET
from reconstruction.studies.hard_regions import LevelErrors, mean_errors

_LOSS_COLORS, _ERROR_COLORS = "viridis_r", "inferno"
# Radius of a shot without tilt: cranial tilts lie outside of it, caudal ones inside, a degree as so much.
_LEVEL_RADIUS, _RADIUS_LIMIT, _RADIUS_PER_DEG = 56.0, 100.0, 1.75
_RINGS_DEG = (-20, 0, 20)
_WIDEST_DEG = 104.0
# (title, from where one looks, what is up in the picture), both in the frame of a vertebra: x left, y back, z head.
_VIEWS = (
    ("from behind, obliquely", (0.55, 0.75, 0.35), (0.0, 0.0, 1.0)),
    ("from above", (0.0, 0.0, 1.0), (0.0, -1.0, 0.0)),
)
_BRIGHTEST_PERCENTILE = 98.0


def write_angle_maps(
    path: Path, maps: Mapping[str, pd.DataFrame], bases: Mapping[str, Sequence[str]], images: str
) -> None:
    """Draw maps of the F1 that is lost at each angle, side by side.

    Around goes the primary angle, AP at the top, the patient's left at the right, as seen from the feet of a patient on
    the back. The ring in the middle has no tilt, cranial tilts lie outside of it and caudal ones inside.

    Args:
        path: PNG to write.
        maps: Of :func:`reconstruction.studies.angle_map.summarize_map`, by name.
        bases: Shots that were there already, by name.
        images: What they are, for the title.
    """
    figure = Figure(figsize=(6.8 * len(maps), 6.4), layout="constrained")
    axes = figure.subplots(1, len(maps), squeeze=False, subplot_kw={"projection": "polar"})[0]
    for axis, (name, table) in zip(axes, maps.items(), strict=True):
        scale = Normalize(0, max(float(table["f1_loss"].max()), 1e-3))
        _draw_map(axis, table, bases[name], scale)
        colors = ScalarMappable(scale, colormaps[_LOSS_COLORS])
        label = "F1 lost against the best angle"
        figure.colorbar(colors, ax=axis, orientation="horizontal", shrink=0.7, aspect=40, pad=0.02, label=label)
    donors = max(int(table["donors"].max()) for table in maps.values())
    figure.suptitle(
        "Where to shoot next: union F1 lost by angle\n"
        f"mean over {donors} donor{'' if donors == 1 else 's'} ({images})\n"
        "seen from the patient's feet; bold ring: no tilt, outside of it cranial, inside caudal",
        fontsize=11,
    )
    write_png(path, figure)


def _draw_map(axis: PolarAxes, table: pd.DataFrame, base: Sequence[str], scale: Normalize) -> None:
    axis.set_theta_zero_location("N")
    axis.set_theta_direction(-1)
    axis.set_thetamin(-_WIDEST_DEG)
    axis.set_thetamax(_WIDEST_DEG)
    axis.set_ylim(0, _RADIUS_LIMIT)
    angles = (-90, -60, -45, -30, -15, 0, 15, 30, 45, 60, 90)
    names = {0: "AP", 90: "left\nlateral", -90: "right\nlateral"}
    labels = [names.get(angle, f"{'LAO' if angle > 0 else 'RAO'} {abs(angle)}°") for angle in angles]
    axis.set_xticks(np.radians(angles), labels, fontsize=9)
    axis.set_yticks([_radius(ring) for ring in _RINGS_DEG], [""] * len(_RINGS_DEG))
    axis.grid(alpha=0.3)
    around = np.radians(np.linspace(-_WIDEST_DEG, _WIDEST_DEG, 200))
    axis.plot(around, np.full(len(around), _radius(0)), color=INK, linewidth=1.4, zorder=1)
    for ring in _RINGS_DEG:
        word = f"cranial {ring}°" if ring > 0 else f"caudal {-ring}°" if ring else "no tilt"
        axis.text(np.radians(_WIDEST_DEG + 3), _radius(ring), word, fontsize=8, ha="center", va="top")
    best = float(table["f1"].max())
    for row in table.to_dict("records"):
        place = np.radians(row["primary_deg"]), _radius(row["secondary_deg"])
        there = row["view"] in base
        color = colormaps[_LOSS_COLORS](scale(row["f1_loss"]))
        edge = COLORS[1] if there else INK
        axis.scatter(*place, s=300, color=color, edgecolor=edge, linewidth=2.4 if there else 0.7, zorder=3)
        dark = scale(row["f1_loss"]) > 0.45
        text = f"{100 * row['f1_loss']:.1f}"
        axis.text(*place, text, fontsize=7, ha="center", va="center", color="white" if dark else INK, zorder=4)
    names_of = {view.id: view.clinical_name for view in view_set(VIEW_SET).views}
    first = names_of[str(table.loc[table["f1"].idxmax(), "view"])]
    axis.set_title(
        f"One more shot beside {' + '.join(names_of[view] for view in base)} (orange rims)\n"
        f"best: {first}, F1 {best:.3f}; numbers: hundredths of F1 lost",
        fontsize=10,
    )


def _radius(tilt_deg: float) -> float:
    return _LEVEL_RADIUS + _RADIUS_PER_DEG * tilt_deg


def write_hard_regions(path: Path, errors: Mapping[str, LevelErrors], title: str) -> None:
    """Draw the mean absolute error on the mean vertebra of each level, from two sides, with one scale in millimeters.

    Args:
        path: PNG to write.
        errors: By level, of :func:`reconstruction.studies.hard_regions.surface_errors`.
        title: Stands above; it says what is simulated.
    """
    by_level = {level: mean_errors(of)[0] for level, of in errors.items()}
    known = np.concatenate([values[np.isfinite(values)] for values in by_level.values()])
    brightest = float(np.percentile(known, _BRIGHTEST_PERCENTILE)) if known.size else 1.0
    scale = Normalize(0, brightest)
    figure = Figure(figsize=(2.6 * len(errors) + 0.8, 6.2), layout="constrained")
    axes = figure.subplots(len(_VIEWS), len(errors), squeeze=False)
    for row, (words, toward, up) in enumerate(_VIEWS):
        for column, (level, of) in enumerate(errors.items()):
            axis = axes[row, column]
            corners, colors = _shaded(of.vertices, of.faces, by_level[level], toward, up, scale)
            axis.add_collection(PolyCollection(list(corners), facecolors=colors, edgecolors=colors, linewidths=0.3))
            axis.set_aspect("equal")
            axis.autoscale_view()
            axis.set_xticks([])
            axis.set_yticks([])
            for side in axis.spines.values():
                side.set_visible(False)
            if row == 0:
                axis.set_title(f"{level}, {len(of.signed_mm)} donors", fontsize=10)
            if column == 0:
                axis.set_ylabel(words, fontsize=10)
    figure.colorbar(
        ScalarMappable(scale, colormaps[_ERROR_COLORS]), ax=axes, shrink=0.7, extend="max",
        label="mean distance between predicted and true surface (mm)",
    )  # fmt: skip
    figure.suptitle(title, fontsize=11)
    write_png(path, figure)


def _shaded(
    vertices: Float[np.ndarray, "n 3"],
    faces: Int32[np.ndarray, "m 3"],
    values: Float[np.ndarray, " n"],
    toward: Sequence[float],
    up: Sequence[float],
    scale: Normalize,
) -> tuple[Float[np.ndarray, "k 3 2"], Float[np.ndarray, "k 4"]]:
    """Project the faces that look at the viewer, the farthest first, with a light beside the viewer's head."""
    view = np.asarray(toward, np.float64) / np.linalg.norm(toward)
    right = np.cross(np.asarray(up, np.float64), view)
    right /= np.linalg.norm(right)
    top = np.cross(view, right)
    corners = vertices[faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    seen = np.flatnonzero(normals @ view > 0)
    seen = seen[np.argsort(corners[seen].mean(axis=1) @ view)]
    light = view + 0.4 * top - 0.3 * right
    shade = 0.45 + 0.55 * np.clip(normals[seen] @ light / np.linalg.norm(light), 0, 1)
    colors = colormaps[_ERROR_COLORS](scale(values[faces[seen]].mean(axis=1)))
    colors[:, :3] *= shade[:, None]
    return np.stack([corners[seen] @ right, corners[seen] @ top], axis=-1), colors


def write_paired_donors(path: Path, table: pd.DataFrame, views: int, series: str, simulated: bool) -> None:
    """Draw F1 on translated images against the number of donors that the translator learned from.

    Args:
        path: PNG to write.
        table: Of :func:`reconstruction.studies.paired_donors.paired_donor_table`.
        views: Number of views.
        series: Of the translators.
        simulated: Whether the X-rays are.
    """
    learned = table[~table["images"].isin([REAL, SYNTHETIC])]
    ends = table.set_index("images").loc[[REAL, SYNTHETIC]]
    figure = Figure(figsize=(6.8, 4.5), layout="constrained")
    axis = figure.subplots()
    donors = learned["donors"].to_numpy(np.float64)
    axis.plot(donors, learned["f1"], marker="o", color=COLORS[0], label=f"translated ({series}-N)")
    axis.fill_between(donors, learned["ci_low"], learned["ci_high"], color=COLORS[0], alpha=0.18, linewidth=0)
    for row in learned.to_dict("records"):
        place = row["donors"], row["f1"]
        axis.annotate(f"{row['gap_closed']:.0%}", place, (0, -14), textcoords="offset points", ha="center", fontsize=8)
    for name, words, style in ((REAL, "X-rays as they are", "--"), (SYNTHETIC, "paired DRRs (ceiling)", "-")):
        axis.axhline(float(ends.loc[name, "f1"]), color=INK, linestyle=style, linewidth=1.2, label=words)
    axis.set_xscale("log", base=2)
    axis.set_xticks(donors, [f"{count:g}" for count in donors])
    axis.minorticks_off()
    axis.set_xlabel("paired donors that the translator learned from")
    axis.set_ylabel("F1 of the union of L1-L5")
    axis.grid(alpha=0.25)
    handles, labels = axis.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False, fontsize=9)
    kind = "SIMULATED X-rays" if simulated else "X-rays"
    tested = int(table["test_donors"].max())
    figure.suptitle(
        f"How many paired donors? The unchanged network, {views} views, {tested} test donors ({kind})\n"
        "percent: of the gap to the ceiling that is closed",
        fontsize=10,
    )
    write_png(path, figure)
