"""Overview pictures of a session's pairs, made from its files."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float32
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from scipy import ndimage

from drrkit.errors import InputError
from drrkit.io.store import read_image, read_mask, write_bytes
from protocols.pairs import field_path, image_path, read_pairs

_PANEL_INCHES = 2.6
_BACKGROUND, _INK, _EDGE = "#111418", "#e8e8e8", (1.0, 0.62, 0.1)
EDGE_QUANTILE = 0.93
_ROWS = {"real_with_balls": "as taken, undistorted", "real": "balls filled in", "drr_bone": "DRR, bone only"}


def write_pairs_picture(pairs: Path, exposure_ids: Sequence[str], path: Path, title: str) -> None:
    """Draw pairs in columns: the X-ray, the X-ray without its balls, the DRR, and the DRR's edges on the X-ray.

    Args:
        pairs: A folder written by ``drrkit acquisition pair``.
        exposure_ids: Which pairs, left to right.
        path: PNG to write.
        title: Stands above; it is followed by ``SIMULATED`` where the session is.

    Raises:
        InputError: A pair that the folder does not have.
    """
    rows = {row.exposure_id: row for row in read_pairs(pairs)}
    missing = [exposure_id for exposure_id in exposure_ids if exposure_id not in rows]
    if missing or not exposure_ids:
        raise InputError(pairs, f"no pair {missing[0]}" if missing else "no pair asked for", "calibrated exposures")
    count = len(exposure_ids)
    height_inches = 4 * _PANEL_INCHES + 0.6
    figure = Figure(figsize=(_PANEL_INCHES * count, height_inches), facecolor=_BACKGROUND)
    axes = figure.subplots(4, count, squeeze=False)
    for column, exposure_id in enumerate(exposure_ids):
        images = {kind: read_image(pairs / image_path(kind, exposure_id)) for kind in _ROWS}
        field = read_mask(pairs / field_path(exposure_id))
        for axis, (kind, words) in zip(axes[:, column], _ROWS.items(), strict=False):
            axis.imshow(_shown(images[kind], field), cmap="gray", vmin=0, vmax=1)
            _label(axis, words if column == 0 else "")
        overlay = np.repeat(_shown(images["real"], field)[..., None], 3, axis=-1)
        overlay[bone_edges(images["drr_bone"])] = _EDGE
        axes[3, column].imshow(overlay)
        _label(axes[3, column], "edges of the DRR on the X-ray" if column == 0 else "")
        axes[0, column].set_title(exposure_id, color=_INK, fontsize=9)
    simulated = " (SIMULATED)" if any(rows[exposure_id].simulated for exposure_id in exposure_ids) else ""
    figure.suptitle(f"{title}{simulated}", color=_INK, fontsize=10)
    figure.subplots_adjust(left=0.01, right=0.99, top=1 - 0.55 / height_inches, bottom=0.01, wspace=0.03, hspace=0.03)
    FigureCanvasAgg(figure)
    stream = io.BytesIO()
    # Without the library's version in the file, the same picture has the same bytes.
    figure.savefig(stream, format="png", dpi=100, facecolor=_BACKGROUND, metadata={"Software": None})
    write_bytes(path, stream.getvalue())


def bone_edges(drr_bone: Float32[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    """Find the edges of bone: thinned ridges of the gradient, the strongest ones."""
    smooth = ndimage.gaussian_filter(drr_bone, 1.0)
    down, right = np.gradient(smooth)
    strength = np.hypot(down, right)
    if not strength.any():
        return np.zeros(drr_bone.shape, bool)
    # A pixel stays if it is the largest along its own gradient, to the nearest of eight neighbors.
    rows, columns = np.indices(drr_bone.shape)
    step_v, step_u = (np.rint(part / np.maximum(strength, 1e-12)) for part in (down, right))
    ahead, behind = (
        ndimage.map_coordinates(strength, [rows + sign * step_v, columns + sign * step_u], order=0, mode="nearest")
        for sign in (1, -1)
    )
    strong = strength > np.quantile(strength, EDGE_QUANTILE)
    return strong & (strength >= ahead) & (strength >= behind)


def _shown(pixels: Float32[np.ndarray, "h w"], field: Bool[np.ndarray, "h w"]) -> Float32[np.ndarray, "h w"]:
    """Stretch what lies in the field of view to 0 and 1, bright where much is absorbed."""
    low, high = np.quantile(pixels[field] if field.any() else pixels, [0.02, 0.998])
    return np.clip((pixels - low) / max(high - low, 1e-6), 0, 1).astype(np.float32)


def _label(axis: Axes, words: str) -> None:
    axis.set_axis_off()
    if words:
        axis.text(
            0.02, 0.97, words, transform=axis.transAxes, color=_INK, fontsize=7, va="top",
            bbox={"facecolor": _BACKGROUND, "edgecolor": "none", "alpha": 0.6, "pad": 1.5},
        )  # fmt: skip
