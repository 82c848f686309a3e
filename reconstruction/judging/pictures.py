"""The picture of one reconstruction: outlines of prediction and truth from two sides, distances of the surfaces."""

from collections.abc import Mapping
from pathlib import Path

import matplotlib as mpl
import numpy as np
from jaxtyping import Bool, Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from drrkit.errors import InputError
from reconstruction.judging.evaluation import UNION, EvaluationCase
from reconstruction.judging.plots import INK, color_of, write_png
from reconstruction.metrics import surface_from_mask

_MARGIN_MM = 12.0
_LONGEST_MM = 6.0
_BIN_MM = 0.25


def write_reconstruction(
    path: Path, loaded: EvaluationCase, masks: Mapping[str, Bool[np.ndarray, "z y x"]], title: str
) -> None:
    """Draw one reconstruction: seen from the front and from the left, and the distances of the surfaces.

    In grey the projected thickness of the true bone, solid outlines around what was predicted, dotted around the truth.

    Args:
        path: PNG to write.
        loaded: The case.
        masks: Of :func:`reconstruction.judging.evaluation.predicted_masks`.
        title: Stands above.

    Raises:
        InputError: Labels whose axes are not along the patient's.
    """
    order, signs = _patient_axes(loaded.world_from_voxel)
    figure = Figure(figsize=(11.5, 5.2), layout="constrained")
    front, side, bars = figure.subplots(1, 3, width_ratios=(1.0, 1.0, 1.35))
    # Seen from the front, the patient's left is on the right of the picture.
    panels = ((front, 1, 0, "left-right (mm)", ("R", "L")), (side, 0, 1, "front-back (mm)", ("A", "P")))
    levels = loaded.levels
    for axis, along, across, label, letters in panels:
        for level in levels:
            truth = _whole(loaded, level)
            _outline(axis, _seen(truth, order, signs, along), loaded, across, order, color_of(levels, level), ":")
            seen = _seen(masks[level], order, signs, along)
            if seen.any():
                _outline(axis, seen, loaded, across, order, color_of(levels, level), "-")
        _background(axis, _whole(loaded, UNION), loaded, along, across, order, signs)
        axis.set_xlabel(label)
        axis.set_ylabel("foot-head (mm)")
        for letter, place in zip(letters, (0.03, 0.97), strict=True):
            axis.text(place, 0.98, letter, transform=axis.transAxes, ha="center", va="top", color=INK, weight="bold")
    front.set_title("from the front")
    side.set_title("from the left")
    _histogram(bars, loaded, masks)
    styles = [
        Line2D([], [], color=INK, linestyle="-", label="predicted"),
        Line2D([], [], color=INK, linestyle=":", label="truth"),
    ]
    colors = [Line2D([], [], color=color_of(levels, level), linewidth=4, label=level) for level in levels]
    figure.legend(handles=[*colors, *styles], loc="outside lower center", ncols=len(levels) + 2, frameon=False)
    figure.suptitle(title)
    write_png(path, figure)


def _patient_axes(world_from_voxel: Float[np.ndarray, "4 4"]) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """Return, for world x, y, z, the array axis that runs along it and in which sense."""
    steps = world_from_voxel[:3, :3] / np.linalg.norm(world_from_voxel[:3, :3], axis=0)
    columns = np.abs(steps).argmax(axis=1)
    if sorted(columns) != [0, 1, 2]:
        raise InputError("labels", "axes at 45 degrees to the patient's", "axes along the patient's")
    x, y, z = (int(2 - column) for column in columns)
    signs = [int(np.sign(steps[row, column])) for row, column in enumerate(columns)]
    return (x, y, z), (signs[0], signs[1], signs[2])


def _whole(loaded: EvaluationCase, level: str) -> Bool[np.ndarray, "z y x"]:
    mask = np.zeros(loaded.shape, bool)
    truth = loaded.truths[level]
    mask[truth.box] = truth.mask
    return mask


def _patient(mask: np.ndarray, order: tuple[int, int, int], signs: tuple[int, int, int]) -> np.ndarray:
    """Bring an array to axes (x, y, z) that grow to the patient's left, back and head."""
    x_sign, y_sign, z_sign = signs
    turned: np.ndarray = mask.transpose(order)[::x_sign, ::y_sign, ::z_sign]
    return turned


def _seen(
    mask: Bool[np.ndarray, "z y x"], order: tuple[int, int, int], signs: tuple[int, int, int], along: int
) -> Bool[np.ndarray, "rows columns"]:
    """Project along world axis 0 or 1: (z, the other axis)."""
    return np.asarray(_patient(mask, order, signs).any(axis=along)).T


def _extent_mm(loaded: EvaluationCase, across: int, order: tuple[int, int, int]) -> tuple[float, float]:
    spacing_mm = np.linalg.norm(loaded.world_from_voxel[:3, :3], axis=0)[::-1]
    return float(spacing_mm[order[across]]), float(spacing_mm[order[2]])


def _outline(
    axis: Axes,
    seen: np.ndarray,
    loaded: EvaluationCase,
    across: int,
    order: tuple[int, int, int],
    color: str,
    style: str,
) -> None:
    step_mm, up_mm = _extent_mm(loaded, across, order)
    rows, columns = (np.arange(size) * step for size, step in zip(seen.shape, (up_mm, step_mm), strict=True))
    axis.contour(columns, rows, seen.astype(float), levels=[0.5], colors=[color], linestyles=style, linewidths=1.4)


def _background(
    axis: Axes,
    mask: np.ndarray,
    loaded: EvaluationCase,
    along: int,
    across: int,
    order: tuple[int, int, int],
    signs: tuple[int, int, int],
) -> None:
    step_mm, up_mm = _extent_mm(loaded, across, order)
    thickness = _patient(mask, order, signs).sum(axis=along).T.astype(float)
    height, width = thickness.shape
    borders = (-0.5 * step_mm, (width - 0.5) * step_mm, -0.5 * up_mm, (height - 0.5) * up_mm)
    axis.imshow(thickness, cmap="Greys", vmax=2.5 * thickness.max(), origin="lower", extent=borders, aspect="equal")
    rows, columns = np.nonzero(thickness)
    axis.set_xlim(columns.min() * step_mm - _MARGIN_MM, columns.max() * step_mm + _MARGIN_MM)
    axis.set_ylim(rows.min() * up_mm - _MARGIN_MM, rows.max() * up_mm + _MARGIN_MM)


def _histogram(axis: Axes, loaded: EvaluationCase, masks: Mapping[str, Bool[np.ndarray, "z y x"]]) -> None:
    edges = np.arange(0.0, _LONGEST_MM + _BIN_MM, _BIN_MM)
    for level in loaded.levels:
        truth = loaded.truths[level]
        predicted = surface_from_mask(masks[level], truth.surface.spacing_mm)
        if not predicted.areas_mm2.size:
            continue
        distances_mm = truth.surface.distances_mm(predicted)
        weights = 100 * truth.surface.areas_mm2 / truth.surface.areas_mm2.sum()
        order = np.argsort(distances_mm)
        axis.step(
            distances_mm[order],
            np.cumsum(weights[order]),
            where="post",
            color=color_of(loaded.levels, level),
            label=level,
        )
    for tolerance_mm in (1.0, 2.0):
        axis.axvline(tolerance_mm, color=mpl.colors.to_hex("0.6"), linewidth=0.8, linestyle="--")
    axis.set_xlim(0, edges[-1])
    axis.set_ylim(0, 100)
    axis.set_xlabel("distance to the predicted surface (mm)")
    axis.set_ylabel("true surface within it (% of area)")
    axis.set_title("how near the surfaces are")
    axis.grid(alpha=0.25)
