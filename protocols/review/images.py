"""Images as the page shows them: 8 bits, small, as text inside the HTML."""

import base64
import io
import math

import numpy as np
from jaxtyping import Bool, Float32, UInt8
from PIL import Image
from skimage.feature import canny
from skimage.measure import approximate_polygon, find_contours

from drrkit.errors import InputError

# The longer side of an image on the page: eighty exposures stay below 25 MB, and a screen shows hardly more.
PAGE_SIZE_PX = 768
THUMBNAIL_SIZE_PX = 72

# Line integrals between these percentiles use the full range of gray; balls and collimator blades lie beyond.
_WINDOW_PERCENT = (0.5, 99.7)
# WebP: finer than the noise of an X-ray; method 2 is quick and costs a few percent of size.
_WEBP_QUALITY, _WEBP_METHOD = 82, 2
_THUMBNAIL_QUALITY = 60

_EDGE_SIGMA_PX = 1.4
# Canny's thresholds as quantiles of the gradient within the projected bone.
_EDGE_QUANTILES = (0.72, 0.90)
_EDGE_RGB = (64, 224, 255)
_OUTLINE_TOLERANCE_PX = 0.35


def page_size(height: int, width: int) -> tuple[int, int]:
    """Height and width on the page: the image's own, or reduced so that the longer side is ``PAGE_SIZE_PX``."""
    scale = min(1.0, PAGE_SIZE_PX / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


def to_gray(pixels: Float32[np.ndarray, "h w"], size: tuple[int, int], where: object) -> UInt8[np.ndarray, "h2 w2"]:
    """Bring line integrals to the page's size and to 8 bits; dense is bright.

    Args:
        pixels: Line integrals. Exact zeros, such as outside an intensifier's round field or beside the CT, take no
            part in choosing the window.
        size: Height and width wanted, not larger than the image.
        where: The file, for messages.

    Raises:
        InputError: Pixels that are not finite.
    """
    if not np.isfinite(pixels).all():
        raise InputError(where, "NaN or infinite pixels", "finite line integrals")
    shown = pixels[pixels != 0]
    low, high = np.percentile(shown, _WINDOW_PERCENT) if shown.size else (0.0, 1.0)
    # Where next to nothing varies, noise in the last digits must not fill the range.
    gray = (reduced(pixels, size) - low) / max(high - low, 1e-6)
    return (gray.clip(0, 1) * 255).round().astype(np.uint8)


def reduced(pixels: Float32[np.ndarray, "h w"], size: tuple[int, int]) -> Float32[np.ndarray, "h2 w2"]:
    """Resample the same area with fewer pixels, smoothing as needed; pixel edges coincide, as in Camera.resized."""
    if pixels.shape == size:
        return pixels
    image = Image.fromarray(np.ascontiguousarray(pixels))
    return np.asarray(image.resize((size[1], size[0]), Image.Resampling.BILINEAR), dtype=np.float32)


def webp(gray: UInt8[np.ndarray, "h w"], quality: int = _WEBP_QUALITY) -> str:
    """Encode gray pixels as WebP in base64."""
    stream = io.BytesIO()
    Image.fromarray(gray).save(stream, format="WEBP", quality=quality, method=_WEBP_METHOD)
    return base64.b64encode(stream.getvalue()).decode()


def thumbnail(gray: UInt8[np.ndarray, "h w"]) -> str:
    """Encode a small copy as WebP in base64."""
    image = Image.fromarray(gray)
    image.thumbnail((THUMBNAIL_SIZE_PX, THUMBNAIL_SIZE_PX), Image.Resampling.BILINEAR)
    return webp(np.asarray(image), _THUMBNAIL_QUALITY)


def bone_edges(drr: Float32[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    """Find the edges of a DRR, one pixel thin (Canny, thresholds relative to the bone's own gradients)."""
    if not drr.any():
        return np.zeros(drr.shape, bool)
    low, high = _EDGE_QUANTILES
    return canny(
        drr, _EDGE_SIGMA_PX, low_threshold=low, high_threshold=high, mask=_inside(drr.shape), use_quantiles=True
    )


def _inside(shape: tuple[int, ...]) -> Bool[np.ndarray, "h w"]:
    # The DRR ends at the border of the image, not at an edge of bone.
    inside = np.zeros(shape, bool)
    inside[2:-2, 2:-2] = True
    return inside


def edges_png(edges: Bool[np.ndarray, "h w"]) -> str:
    """Encode edges as a PNG with one bit a pixel, transparent beside them, in base64."""
    image = Image.fromarray(edges.astype(np.uint8)).convert("P")
    image.putpalette([0, 0, 0, *_EDGE_RGB])
    stream = io.BytesIO()
    image.save(stream, format="PNG", bits=1, transparency=0, optimize=True)
    return base64.b64encode(stream.getvalue()).decode()


def outlines(mask: Bool[np.ndarray, "h w"], size: tuple[int, int]) -> list[list[float]]:
    """Draw around a mask.

    Args:
        mask: Of the full size.
        size: Height and width on the page.

    Returns:
        Closed or, at the border, open polygons, each [u0, v0, u1, v1, ...] in pixels of the page's image.
    """
    scale_v, scale_u = size[0] / mask.shape[0], size[1] / mask.shape[1]
    polygons = []
    for contour in find_contours(mask.astype(np.float32), 0.5):
        points = (contour + 0.5) * (scale_v, scale_u) - 0.5
        points = approximate_polygon(points, _OUTLINE_TOLERANCE_PX)
        if len(points) > 2:
            polygons.append([round(value, 1) for value in points[:, ::-1].ravel().tolist()])
    return polygons


def finite_or_none(value: float | None, digits: int = 4) -> float | None:
    """Round a number for the page; None where there is none."""
    return None if value is None or not math.isfinite(value) else round(float(value), digits)
