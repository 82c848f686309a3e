"""Whole X-rays of any C-arm, brought to one pixel size: what is looked at before it is known where the grid goes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

from drrkit.geometry.camera import Camera
from drrkit.radiograph import Radiograph
from reconstruction.model import ViewWindow
from reconstruction.origin.isocenter import isocenter_world
from reconstruction.views import checked_camera, normalized, scaled_region, window_at


@dataclass(frozen=True, eq=False)
class WholeViews:
    """Whole images of one size, upright and not mirrored.

    Args:
        images: (V, 2, H, W) normalized line integrals, and 1 where the image was exposed, else 0.
        cameras: Those of the images.
    """

    images: Float32[np.ndarray, "v 2 h w"]
    cameras: tuple[Camera, ...]


def whole_views(
    radiographs: Sequence[Radiograph], pixel_mm: float, multiple: int, size_px: int | None = None
) -> WholeViews:
    """Resample radiographs so that a pixel is ``pixel_mm`` wide at the depth of the isocenter.

    Args:
        radiographs: At least two line integrals with cameras.
        pixel_mm: Pixel size at the isocenter.
        multiple: The sides of the images become multiples of this.
        size_px: Side of the square images; as large as the largest field if None.

    Raises:
        InputError: Fewer than two views, views along one line, no camera, not line integrals, or a source behind the
            isocenter.
    """
    cameras = [checked_camera(radiograph, f"view {number}") for number, radiograph in enumerate(radiographs, start=1)]
    isocenter = isocenter_world(cameras)
    middles = [_middle_world(camera, isocenter) for camera in cameras]
    if size_px is None:
        size_px = multiple * int(
            np.ceil(max(_side_mm(*pair) for pair in zip(cameras, middles, strict=True)) / pixel_mm / multiple)
        )
    window = ViewWindow((size_px, size_px), pixel_mm)
    images, window_cameras = [], []
    for number, (radiograph, middle) in enumerate(zip(radiographs, middles, strict=True), start=1):
        scaled = scaled_region(radiograph, middle, window, 0.0, where=f"view {number}")
        pixels, field, camera = window_at(scaled, middle, window.size_px)
        images.append(np.stack([normalized(pixels, field), field.astype(np.float32)]))
        window_cameras.append(camera)
    return WholeViews(np.stack(images), tuple(window_cameras))


def _middle_world(camera: Camera, isocenter: np.ndarray) -> np.ndarray:
    """Return the point that the middle of the image shows, at the depth of the isocenter."""
    ray = camera.rays([(camera.width - 1) / 2, (camera.height - 1) / 2])
    point: np.ndarray = camera.source_world + ray * (camera.depth_mm(isocenter) / (ray @ camera.view_direction_world))
    return point


def _side_mm(camera: Camera, middle: np.ndarray) -> float:
    focal_u_px, focal_v_px = np.abs(np.diag(camera.pixel_from_camera)[:2])
    return float(camera.depth_mm(middle) * max(camera.width / focal_u_px, camera.height / focal_v_px))
