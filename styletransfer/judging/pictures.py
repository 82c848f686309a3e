"""Pictures of translations for people: every translator beside the other, and how far one of them can be trusted."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from scipy import ndimage
from skimage.feature import canny

from drrkit.errors import InputError
from drrkit.io.store import write_bytes
from styletransfer.edges import SMOOTHING_MM
from styletransfer.images import PairImage

_PANEL_INCHES = 1.9
_DPI = 110
_BACKGROUND, _INK = "#111418", "#e8e8e8"
# Told apart with any color vision; what both images have is drawn in the color of the DRR.
_REFERENCE_COLOR, _TRANSLATED_COLOR = (0.34, 0.71, 0.91), (0.90, 0.62, 0.0)
# Edges stronger than most of the DRR's gradients are drawn.
_EDGE_QUANTILES = (0.85, 0.95)
_TOP_PERCENTILE = 99.8

Image = Float32[np.ndarray, "h w"]


@dataclass(frozen=True, eq=False)
class CloseUp:
    """One view of one translator.

    Args:
        pair: The real image, its DRR and its field.
        translated: (H, W) line integrals.
        disagreement: (H, W) how far the translator's answers to the same image differ, in line integrals.
        mm_per_px: Size of a pixel in the middle of the patient.
    """

    pair: PairImage
    translated: Image
    disagreement: Image
    mm_per_px: float


def write_comparison(path: Path, rows: Sequence[tuple[PairImage, Mapping[str, Image]]], title: str) -> None:
    """Draw real | every translator | paired DRR, a view a row.

    Translations and DRR of a row share one gray scale, that of the DRR; the real image has its own, as its soft tissue
    lies above it.

    Args:
        path: PNG to write.
        rows: Pairs with their translations by name; all have the same names.
        title: Stands above.

    Raises:
        InputError: No row, or rows of different translators.
    """
    names = list(rows[0][1]) if rows else []
    if not names or any(list(translated) != names for _, translated in rows):
        raise InputError("picture", "no rows, or rows of different translators", "the same translators in each row")
    figure, axes = _panels(len(rows), ["real", *names, "paired DRR"])
    for line, (pair, translated) in zip(axes, rows, strict=True):
        top = _top(pair.synthetic)
        _show(line[0], pair.real, _top(pair.real[pair.field]))
        for axis, name in zip(line[1:-1], names, strict=True):
            _show(axis, translated[name], top)
        _show(line[-1], pair.synthetic, top)
        _name_row(line[0], pair.exposure_id)
    _finish(path, figure, title)


def write_close_up(path: Path, rows: Sequence[CloseUp], title: str) -> None:
    """Draw real | translated | paired DRR | edges of both | disagreement | error, a view a row.

    Edges of the DRR are blue, those of the translated image orange beside them. Disagreement and error (what differs
    from the DRR) share one scale of colors.

    Args:
        path: PNG to write.
        rows: Views.
        title: Stands above.

    Raises:
        InputError: No row.
    """
    if not rows:
        raise InputError("picture", "no rows", "at least one view")
    columns = ["real", "translated", "paired DRR", "edges: DRR blue, translated orange", "disagreement", "error"]
    figure, axes = _panels(len(rows), columns)
    for line, row in zip(axes, rows, strict=True):
        pair, top = row.pair, _top(row.pair.synthetic)
        error = np.where(pair.field, np.abs(row.translated - pair.synthetic), 0)
        _show(line[0], pair.real, _top(pair.real[pair.field]))
        _show(line[1], row.translated, top)
        _show(line[2], pair.synthetic, top)
        line[3].imshow(edge_overlay(row), interpolation="nearest")
        most = max(_top(error), 1e-6)
        line[4].imshow(row.disagreement, cmap="magma", vmin=0, vmax=most)
        line[5].imshow(error, cmap="magma", vmin=0, vmax=most)
        _name_row(line[0], pair.exposure_id)
    _finish(path, figure, title)


def edge_overlay(row: CloseUp) -> Float32[np.ndarray, "h w 3"]:
    """Lay the edges of the translated image and of the DRR over the dimmed DRR; red, green, blue from 0 to 1."""
    pair = row.pair
    sigma = max(SMOOTHING_MM / row.mm_per_px, 0.8)
    low, high = np.quantile(_gradients(pair.synthetic, sigma)[pair.field], _EDGE_QUANTILES)
    dimmed = 0.45 * np.clip(pair.synthetic / _top(pair.synthetic), 0, 1)
    shown = np.repeat(dimmed[..., None], 3, axis=2).astype(np.float32)
    # The DRR's edges are drawn last: where both agree, the picture is blue.
    for pixels, color in ((row.translated, _TRANSLATED_COLOR), (pair.synthetic, _REFERENCE_COLOR)):
        edges = canny(pixels, sigma, low, high, mask=pair.field)
        shown[edges] = color
    return shown


def _gradients(pixels: Image, sigma: float) -> Float32[np.ndarray, "h w"]:
    """Strength of the gradients as Canny's method in scikit-image measures them."""
    smoothed = ndimage.gaussian_filter(pixels, sigma, mode="constant")
    strength: Float32[np.ndarray, "h w"] = np.hypot(*(ndimage.sobel(smoothed, axis=axis) for axis in (0, 1)))
    return strength


def _top(pixels: np.ndarray) -> float:
    """Return the end of a gray scale that starts at 0."""
    return float(max(np.percentile(pixels, _TOP_PERCENTILE), 1e-6)) if pixels.size else 1.0


def _panels(rows: int, columns: Sequence[str]) -> tuple[Figure, np.ndarray]:
    size = (_PANEL_INCHES * len(columns), _PANEL_INCHES * rows + 0.6)
    figure = Figure(figsize=size, facecolor=_BACKGROUND, layout="constrained")
    axes = figure.subplots(rows, len(columns), squeeze=False)
    for axis in axes.flat:
        axis.set_xticks([])
        axis.set_yticks([])
        axis.set_frame_on(False)
    for axis, name in zip(axes[0], columns, strict=True):
        axis.set_title(name, color=_INK, fontsize=8)
    return figure, axes


def _show(axis: Axes, pixels: Image, top: float) -> None:
    axis.imshow(pixels, cmap="gray", vmin=0, vmax=top, interpolation="bilinear")


def _name_row(axis: Axes, name: str) -> None:
    axis.set_ylabel(name, color=_INK, fontsize=8)


def _finish(path: Path, figure: Figure, title: str) -> None:
    figure.suptitle(title, color=_INK, fontsize=10)
    FigureCanvasAgg(figure)
    stream = io.BytesIO()
    # Without the library's version in the file, the same picture has the same bytes.
    figure.savefig(stream, format="png", dpi=_DPI, facecolor=_BACKGROUND, metadata={"Software": None})
    write_bytes(path, stream.getvalue())
