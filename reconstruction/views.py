"""From X-rays of any C-arm to what a network sees: one window, one pixel size, one scale of values, the head up.

Every step moves the camera with the pixels, so that matrices stay exact: an integer cut of the needed region, one
antialiased resize, quarter turns and mirroring, and an integer crop or pad.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32
from torch.nn import functional

from drrkit.errors import InputError
from drrkit.geometry.camera import Camera
from drrkit.geometry.rigid import ArrayLike
from drrkit.radiograph import Radiograph
from reconstruction.grid import Grid
from reconstruction.model import ViewWindow

# Above the densest half percent lie rims, noise and the tips of metal; below this part of the scale lies nothing.
_SCALE_PERCENTILE = 99.5
_NOTHING_PART = 0.05
# Pixels of the result by which a region is cut too large, so that the filter never meets a border that is none.
_FILTER_PX = 3
_PROBE_COUNT = 7
_PROBE_MM = 10.0
_HEAD_WORLD = (0.0, 0.0, 1.0)


@dataclass(frozen=True, eq=False)
class PreparedViews:
    """Views ready for a network.

    Args:
        images: (V, 1, H, W) normalized line integrals; 0 outside the original image.
        pixel_from_grid: (V, 3, 4) homogeneous window pixels from voxel (x, y, z, 1); the third row is depth in mm.
        cameras: Those of the windows.
    """

    images: Float32[np.ndarray, "v 1 h w"]
    pixel_from_grid: Float32[np.ndarray, "v 3 4"]
    cameras: tuple[Camera, ...]


def prepare_views(radiographs: Sequence[Radiograph], grid: Grid, window: ViewWindow) -> PreparedViews:
    """Bring radiographs of any size and C-arm to the window of a network, with cameras that follow exactly.

    Mirrored images are mirrored back, and quarter turns bring the grid's third axis, the patient's head, up.

    Raises:
        InputError: No radiograph, one without a camera, not line integrals, or a view that sees none of the grid.
    """
    if not radiographs:
        raise InputError("views", "none", "at least one radiograph")
    images, matrices, cameras = [], [], []
    for number, radiograph in enumerate(radiographs, start=1):
        where = f"view {number}"
        check_sees(checked_camera(radiograph, where), grid, where)
        scaled = scaled_region(radiograph, grid.center_world, window, 0.0, grid.world_from_grid[:3, 2], where)
        pixels, field, camera = window_at(scaled, grid.center_world, window.size_px)
        if not field.any():
            raise InputError(where, "an image beside the window around the grid", "a view of the grid's middle")
        images.append(normalized(pixels, field)[None])
        matrices.append(grid.pixel_from_grid(camera).astype(np.float32))
        cameras.append(camera)
    return PreparedViews(np.stack(images), np.stack(matrices), tuple(cameras))


def mirrored_views(prepared: PreparedViews, grid_width: int) -> PreparedViews:
    """Show the same scene in a mirror that swaps the first axis of the grid, the patient's right and left.

    A spine and its mirror image are equally likely, so what a network makes of the mirrored views, mirrored back, is a
    second opinion.

    Args:
        prepared: Views of a grid.
        grid_width: Voxels of the grid along its first axis (X).

    Returns:
        Images mirrored along their columns, with matrices from the mirrored grid to the mirrored pixels.
    """
    columns = prepared.images.shape[-1]
    mirrored_from_pixel = np.array([[-1, 0, columns - 1], [0, 1, 0], [0, 0, 1]], np.float32)
    grid_from_mirrored = np.diag(np.array([-1, 1, 1, 1], np.float32))
    grid_from_mirrored[0, 3] = grid_width - 1
    return PreparedViews(
        np.ascontiguousarray(prepared.images[..., ::-1]),
        (mirrored_from_pixel @ prepared.pixel_from_grid @ grid_from_mirrored).astype(np.float32),
        tuple(camera.flipped_horizontally() for camera in prepared.cameras),
    )


def normalized(
    pixels: Float32[np.ndarray, "h w"], field: Bool[np.ndarray, "h w"] | None = None
) -> Float32[np.ndarray, "h w"]:
    """Scale line integrals so that the densest part of the image is about 1. All networks' inputs come from here.

    The one scale is a high percentile of the pixels that show anything: empty surroundings, however large, do not move
    it, nor do a few pixels of metal. Nothing is subtracted: where no bone is stays 0, and the soft tissue of a real
    image stays the offset that it is. An image of nothing stays 0.

    Args:
        pixels: Line integrals.
        field: Where the image has been exposed; everywhere if None. Pixels outside become 0.
    """
    scale = densest(pixels, field)
    if scale == 0:
        return np.zeros_like(pixels)
    scaled = pixels / np.float32(scale)
    return scaled if field is None else np.where(field, scaled, np.float32(0))


def densest(pixels: Float32[np.ndarray, "h w"], field: Bool[np.ndarray, "h w"] | None = None) -> float:
    """Return the scale of :func:`normalized`: the line integral of the densest part, 0 where there is nothing."""
    positive = pixels[pixels > 0] if field is None else pixels[(pixels > 0) & field]
    if not positive.size:
        return 0.0
    dense = np.percentile(positive, _SCALE_PERCENTILE)
    something = positive[positive > _NOTHING_PART * dense]
    return float(np.percentile(something, _SCALE_PERCENTILE))


def scaled_region(
    radiograph: Radiograph,
    center_world: ArrayLike,
    window: ViewWindow,
    margin_mm: float,
    head_world: ArrayLike = _HEAD_WORLD,
    where: object = "view",
) -> Radiograph:
    """Resample what a window around a point needs to the window's pixel size at the depth of that point.

    A region has whole pixels before and after, so the pixel size is that of the window to within half a percent; the
    camera says exactly what it is.

    Args:
        radiograph: Line integrals with a camera.
        center_world: (3,) the point.
        window: Size and pixel size of the windows that will be cut out.
        margin_mm: How far the middle of a window may be off the point, along and across.
        head_world: (3,) direction that shall be up in the image, to within 45 degrees.
        where: Named in errors.

    Returns:
        The part of the image that there is, upright and not mirrored; possibly smaller than a window.

    Raises:
        InputError: No camera, not line integrals, or an image beside the region.
    """
    camera = checked_camera(radiograph, where)
    center_world = np.asarray(center_world, np.float64)
    depth_mm = float(camera.depth_mm(center_world))
    if depth_mm <= 0:
        raise InputError(where, "the grid behind the X-ray source", "a camera that looks at the grid")
    scale = depth_mm / camera.focal_px / window.pixel_mm
    # A quarter turn may still swap rows and columns.
    half_px = (max(window.size_px) / 2 + _FILTER_PX + margin_mm / window.pixel_mm) / scale
    left, top = np.floor(camera.project(center_world) - half_px).astype(int)
    right, bottom = np.ceil(camera.project(center_world) + half_px).astype(int) + 1
    left, top, right, bottom = max(left, 0), max(top, 0), min(right, camera.width), min(bottom, camera.height)
    if left >= right or top >= bottom:
        raise InputError(where, "an image that shows none of the region of interest", "a view of the grid")
    pixels = radiograph.pixels[top:bottom, left:right]
    camera = camera.cropped(int(top), int(left), *pixels.shape)
    size = tuple(max(1, round(length * scale)) for length in pixels.shape)
    region = torch.from_numpy(np.ascontiguousarray(pixels))[None, None]
    resized = functional.interpolate(region, size=size, mode="bilinear", align_corners=False, antialias=True)
    return _upright(resized[0, 0].numpy(), camera.resized(*size), center_world, head_world)


def window_at(
    scaled: Radiograph, center_world: ArrayLike, size_px: tuple[int, int]
) -> tuple[Float32[np.ndarray, "h w"], Bool[np.ndarray, "h w"], Camera]:
    """Crop or pad by whole pixels to a window whose middle is, to half a pixel, where a point projects.

    Returns:
        Pixels (0 outside the image), where the image has pixels, and the camera of the window.
    """
    camera = checked_camera(scaled, "view")
    height, width = size_px
    column, row = camera.project(center_world)
    left, top = round(float(column) - (width - 1) / 2), round(float(row) - (height - 1) / 2)
    pixels, field = np.zeros(size_px, np.float32), np.zeros(size_px, bool)
    rows = slice(max(top, 0), max(0, min(top + height, camera.height)))
    columns = slice(max(left, 0), max(0, min(left + width, camera.width)))
    if rows.start < rows.stop and columns.start < columns.stop:
        target = (slice(rows.start - top, rows.stop - top), slice(columns.start - left, columns.stop - left))
        pixels[target] = scaled.pixels[rows, columns]
        field[target] = True
    return pixels, field, camera.cropped(top, left, height, width)


def checked_camera(radiograph: Radiograph, where: object) -> Camera:
    """Return the camera of a radiograph that a network can use.

    Raises:
        InputError: It has none, or its pixels are no line integrals.
    """
    if radiograph.camera is None:
        raise InputError(where, "no camera", "a calibrated view")
    if radiograph.domain != "line_integral":
        raise InputError(where, f"pixels of the domain {radiograph.domain}", "line integrals")
    return radiograph.camera


def check_sees(camera: Camera, grid: Grid, where: object) -> None:
    """Assert that a view shows a part of a grid.

    Raises:
        InputError: It shows none.
    """
    z, y, x = np.meshgrid(*(np.linspace(-0.5, size - 0.5, _PROBE_COUNT) for size in grid.shape), indexing="ij")
    homogeneous = np.stack([x, y, z, np.ones_like(x)], axis=-1).reshape(-1, 4) @ grid.pixel_from_grid(camera).T
    ahead = homogeneous[homogeneous[:, 2] > 0]
    pixels: Float[np.ndarray, "n 2"] = ahead[:, :2] / ahead[:, 2:]
    inside = (pixels >= -0.5) & (pixels <= [camera.width - 0.5, camera.height - 0.5])
    if not inside.all(axis=1).any():
        raise InputError(where, "a view that sees none of the grid", "cameras and grid of one patient, in one world")


def _upright(
    pixels: Float32[np.ndarray, "h w"], camera: Camera, center_world: ArrayLike, head_world: ArrayLike
) -> Radiograph:
    """Mirror back, then turn by quarters until the head is up."""
    if camera.is_mirrored:
        pixels, camera = pixels[:, ::-1], camera.flipped_horizontally()
    head = np.asarray(head_world, np.float64) / np.linalg.norm(head_world)
    right, down = camera.project(center_world + _PROBE_MM * head) - camera.project(center_world)
    # How far up the head points after 0, 1, 2, 3 turns counterclockwise; the first of equals counts.
    turns = int(np.argmax([-down, right, down, -right]))
    turned = np.ascontiguousarray(np.rot90(pixels, turns))
    return Radiograph(turned, "line_integral", camera.rotated90(turns))
