"""Pictures for people: real, translated, synthetic and the difference, side by side, a pair a row."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Shaped, UInt8

from drrkit.errors import InputError

Pixels = Float32[np.ndarray, "h w"]

# Larger images are thinned out to this: a grid is for looking at, not for measuring.
LONGEST_SIDE_PX = 384
_GAP_PX = 4
_GAP_GRAY = 96
# What of the gray scale's ends is cut off: a few pixels of metal or noise must not darken the rest.
_CUT_PERCENT = 0.5


@dataclass(frozen=True, eq=False)
class GridRow:
    """One pair and its translation, all of one size.

    Args:
        real: Line integrals that a C-arm saw.
        translated: The same, made to look synthetic.
        synthetic: The DRR of the same camera.
        field: Where the beam fell on the detector in ``real``.
    """

    real: Pixels
    translated: Pixels
    synthetic: Pixels
    field: Bool[np.ndarray, "h w"]


def image_grid(rows: Sequence[GridRow]) -> UInt8[np.ndarray, "height width"]:
    """Lay pairs out as rows of real | translated | synthetic | difference; dense is bright.

    A real image has a gray scale of its own; a translated one has that of its DRR. The difference is middle gray where
    there is none, brighter where the translated image is denser, white and black at the full range of the DRR.

    Args:
        rows: Pairs, of any sizes.

    Raises:
        InputError: No rows, or images of one row that differ in size.
    """
    if not rows:
        raise InputError("image grid", "no pairs", "one pair or more")
    pictures = [_row(row) for row in rows]
    height = sum(picture.shape[0] for picture in pictures) + _GAP_PX * (len(pictures) - 1)
    width = max(picture.shape[1] for picture in pictures)
    grid = np.full((height, width), _GAP_GRAY, np.uint8)
    top = 0
    for picture in pictures:
        grid[top : top + picture.shape[0], : picture.shape[1]] = picture
        top += picture.shape[0] + _GAP_PX
    return grid


def _row(row: GridRow) -> UInt8[np.ndarray, "h w"]:
    sizes = {pixels.shape for pixels in (row.real, row.translated, row.synthetic, row.field)}
    if len(sizes) != 1:
        raise InputError("image grid", f"images of {sorted(sizes)}", "images of one size in a row")
    real, translated, synthetic, field = (
        _thinned(pixels) for pixels in (row.real, row.translated, row.synthetic, row.field)
    )
    real_range = _range(real[field] if field.any() else real)
    low, high = _range(synthetic)
    difference = np.where(field, translated - synthetic, 0)
    panels = (
        _gray(real, *real_range),
        _gray(translated, low, high),
        _gray(synthetic, low, high),
        _gray(difference, low - high, high - low),
    )
    gap = np.full((real.shape[0], _GAP_PX), _GAP_GRAY, np.uint8)
    return np.hstack([part for panel in panels for part in (panel, gap)][:-1])


def _thinned(pixels: Shaped[np.ndarray, "h w"]) -> Shaped[np.ndarray, "a b"]:
    step = -(-max(pixels.shape) // LONGEST_SIDE_PX)
    return pixels[::step, ::step]


def _range(pixels: np.ndarray) -> tuple[float, float]:
    low, high = np.percentile(pixels, (_CUT_PERCENT, 100 - _CUT_PERCENT))
    return float(low), float(max(high, low + 1e-6))


def _gray(pixels: np.ndarray, low: float, high: float) -> UInt8[np.ndarray, "h w"]:
    shades = np.nan_to_num((pixels - low) / (high - low)) * 255
    # Round half up, so that the middle of a range about 0 is exactly the middle gray.
    return np.clip(np.floor(shades + 0.5), 0, 255).astype(np.uint8)
