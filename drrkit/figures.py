"""Overview pictures of a rendered dataset, made from its files."""

import io
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from jaxtyping import Float
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from drrkit.dataset.plan import CAMERAS_NAME
from drrkit.errors import InputError
from drrkit.geometry.camera import Camera
from drrkit.io.manifest import read_manifest
from drrkit.io.store import read_cameras, read_image, read_mask, write_bytes

_PANEL_INCHES = 2.6
_BACKGROUND, _INK = "#111418", "#e8e8e8"


def patient_letters(direction_world: Float[np.ndarray, " 3"]) -> str:
    """Name a world direction (LPS) as viewers do: L, R, A, P, H, F, and two letters for an oblique one."""
    names = [("L", "R"), ("P", "A"), ("H", "F")]
    order = np.argsort(-np.abs(direction_world))
    # cos 67.5 deg: past that, the second axis no longer deserves its letter.
    letters = [names[axis][int(direction_world[axis] < 0)] for axis in order if abs(direction_world[axis]) > 0.383]
    return "".join(letters[:2])


def write_overview(dataset: Path, image_ids: Sequence[str], path: Path, title: str) -> None:
    """Draw DRRs in a row, below them the same with the outlines of the projected vertebrae.

    Letters at the sides name the patient's direction there.

    Args:
        dataset: A folder written by ``drrkit render``.
        image_ids: Which images, left to right.
        path: PNG to write.
        title: Stands above the row.

    Raises:
        InputError: An image that the dataset does not have.
    """
    rows = read_manifest(dataset)
    missing = [image_id for image_id in image_ids if image_id not in rows]
    if missing or not image_ids:
        raise InputError(dataset, f"no image {missing[0]}" if missing else "no image asked for", "rendered image ids")
    cameras = read_cameras(dataset / CAMERAS_NAME)
    images = {image_id: read_image(dataset / rows[image_id].image) for image_id in image_ids}
    levels = list(dict.fromkeys(level for image_id in image_ids for level in rows[image_id].boxes))
    colors = {level: mpl.colormaps["Set2"](number % 8) for number, level in enumerate(levels)}
    top, bottom = _rows_with_content(list(images.values()))
    aspect = (bottom - top + 1) / images[image_ids[0]].shape[1]
    figure = Figure(figsize=(_PANEL_INCHES * len(image_ids), 2 * _PANEL_INCHES * aspect + 0.9), facecolor=_BACKGROUND)
    axes = figure.subplots(2, len(image_ids), squeeze=False)
    for column, image_id in enumerate(image_ids):
        row, camera, pixels = rows[image_id], cameras[image_id], images[image_id]
        for axis in axes[:, column]:
            axis.imshow(pixels, cmap="gray", vmin=0, vmax=np.percentile(pixels, 99.8) or 1, interpolation="bilinear")
            axis.set_ylim(bottom + 0.5, top - 0.5)
            axis.set_axis_off()
            _mark_sides(axis, camera)
        for level in row.masks_sha256:
            mask = read_mask(dataset / row.mask_path(level))
            axes[1, column].contour(mask, levels=[0.5], colors=[colors[level]], linewidths=1.1)
        axes[0, column].set_title(image_id.removeprefix(f"{row.ct_id}_"), color=_INK, fontsize=9)
    handles = [Line2D([], [], color=colors[level], label=level) for level in levels]
    if handles:
        figure.legend(
            handles=handles, loc="lower center", ncols=len(handles), frameon=False, labelcolor=_INK, fontsize=8
        )
    figure.suptitle(title, color=_INK, fontsize=10)
    height_inches = figure.get_figheight()
    edges = {"left": 0.01, "right": 0.99, "top": 1 - 0.55 / height_inches, "bottom": 0.3 / height_inches}
    figure.subplots_adjust(**edges, wspace=0.03, hspace=0.03)
    FigureCanvasAgg(figure)
    stream = io.BytesIO()
    # Without the library's version in the file, the same picture has the same bytes.
    figure.savefig(stream, format="png", dpi=110, facecolor=_BACKGROUND, metadata={"Software": None})
    write_bytes(path, stream.getvalue())


def _rows_with_content(images: Sequence[np.ndarray]) -> tuple[int, int]:
    """First and last row in which any image shows something: below the end of a CT there is nothing to see."""
    rows = [np.flatnonzero(pixels.max(axis=1) > 0.01 * pixels.max()) for pixels in images if pixels.any()]
    if not rows:
        return 0, images[0].shape[0] - 1
    return int(min(found[0] for found in rows)), int(max(found[-1] for found in rows))


def _mark_sides(axis: mpl.axes.Axes, camera: Camera) -> None:
    right_world = camera.camera_from_world[0, :3] * (-1 if camera.is_mirrored else 1)
    for text, place, align in ((-right_world, 0.02, "left"), (right_world, 0.98, "right")):
        axis.text(
            place, 0.5, patient_letters(text), transform=axis.transAxes, color=_INK, fontsize=8, ha=align, va="center"
        )
