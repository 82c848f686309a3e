"""Images as the page shows them: 8 bits, small, as text inside the HTML."""

import base64
import io

import numpy as np
from jaxtyping import Bool, Float, Float32, UInt8
from PIL import Image
from scipy.ndimage import binary_dilation, binary_erosion, gaussian_filter, gaussian_gradient_magnitude
from skimage.feature import canny
from skimage.measure import approximate_polygon, find_contours
from skimage.morphology import remove_small_objects

from drrkit.errors import InputError

# The longer side of an image on the page: eighty exposures stay below 25 MB, and a screen shows hardly more.
PAGE_SIZE_PX = 768
THUMBNAIL_SIZE_PX = 72

# Line integrals between these percentiles use the full range of gray; balls and collimator blades lie beyond.
_WINDOW_PERCENT = (0.5, 99.7)
# WebP: finer than the noise of an X-ray; method 2 is quick and costs a few percent of size.
_WEBP_QUALITY, _WEBP_METHOD = 82, 2
_THUMBNAIL_QUALITY = 60

# Local contrast: this share of what is smooth over this part of the image is taken away, as C-arms do on their screens.
_SMOOTH_SHARE, _SMOOTH_SIZE = 0.85, 0.06

# Trabeculae are left out: smoothing and the least length are parts of the image's size, Canny's thresholds are
# quantiles of the gradient within the projected bone.
_EDGE_SIGMA, _EDGE_LENGTH = 1 / 256, 1 / 14
_EDGE_QUANTILES = (0.75, 0.94)
_BORDER_PX = 2
_EDGE_RGB = (64, 224, 255)
_OUTLINE_TOLERANCE_PX = 0.35


def page_size(height: int, width: int) -> tuple[int, int]:
    """Height and width on the page: the image's own, or reduced so that the longer side is ``PAGE_SIZE_PX``."""
    scale = min(1.0, PAGE_SIZE_PX / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


def drr_gray(drr: Float32[np.ndarray, "h w"], size: tuple[int, int], where: object) -> UInt8[np.ndarray, "h2 w2"]:
    """Bring a DRR to the page's size and to 8 bits; dense is bright, beside the bone is black.

    Args:
        drr: Line integrals.
        size: Height and width wanted, not larger than the image.
        where: The file, for messages.

    Raises:
        InputError: Pixels that are not finite.
    """
    _check_finite(drr, where)
    image, bone = reduced(drr, size), reduced((drr != 0).astype(np.float32), size) > 0.5
    return _gray(image, bone, (0.0, _window(image, bone)[1]))


def xray_grays(
    real: Float32[np.ndarray, "h w"],
    with_balls: Float32[np.ndarray, "h w"],
    field: Bool[np.ndarray, "h w"],
    size: tuple[int, int],
    where: object,
) -> dict[str, UInt8[np.ndarray, "h2 w2"]]:
    """Bring an X-ray without and with its balls to the page's size and to 8 bits, all in the same window.

    Args:
        real: Line integrals.
        with_balls: The same with the balls.
        field: Where the beam fell on the detector; the rest is black and takes no part in choosing the window.
        size: Height and width wanted, not larger than the image.
        where: The file, for messages.

    Returns:
        ``real`` and ``with_balls``, and with the suffix ``_local`` the same with less of what is smooth, so that bone
        shows behind thick soft tissue: a linear filter that is the same everywhere, so nothing moves.

    Raises:
        InputError: Pixels that are not finite.
    """
    _check_finite(real, where)
    _check_finite(with_balls, where)
    image, balls = reduced(real, size), reduced(with_balls, size)
    inside = reduced(field.astype(np.float32), size) > 0.5
    # The balls stay out of the mean around them: they must not cast dark rings.
    background = _SMOOTH_SHARE * _smooth(image, inside, _SMOOTH_SIZE * max(size))
    window, local_window = _window(image, inside), _window(image - background, inside)
    return {
        "real": _gray(image, inside, window),
        "with_balls": _gray(balls, inside, window),
        "real_local": _gray(image - background, inside, local_window),
        "with_balls_local": _gray(balls - background, inside, local_window),
    }


def _check_finite(pixels: Float32[np.ndarray, "h w"], where: object) -> None:
    if not np.isfinite(pixels).all():
        raise InputError(where, "NaN or infinite pixels", "finite line integrals")


def _window(image: Float32[np.ndarray, "h w"], inside: Bool[np.ndarray, "h w"]) -> tuple[float, float]:
    low, high = np.percentile(image[inside], _WINDOW_PERCENT) if inside.any() else (0.0, 1.0)
    return float(low), float(high)


def _gray(
    image: Float32[np.ndarray, "h w"], inside: Bool[np.ndarray, "h w"], window: tuple[float, float]
) -> UInt8[np.ndarray, "h w"]:
    low, high = window
    # Where next to nothing varies, noise in the last digits must not fill the range.
    gray = np.where(inside, (image - low) / max(high - low, 1e-6), 0)
    return (gray.clip(0, 1) * 255).round().astype(np.uint8)


def _smooth(
    image: Float32[np.ndarray, "h w"], inside: Bool[np.ndarray, "h w"], sigma_px: float
) -> Float32[np.ndarray, "h w"]:
    """Mean around each pixel, over the pixels inside only: the border of a round field must not glow."""
    # What is smooth over thirty pixels can be computed on every eighth.
    step = max(1, int(sigma_px / 4))
    coarse = max(1, round(image.shape[0] / step)), max(1, round(image.shape[1] / step))
    sums = gaussian_filter(reduced(np.where(inside, image, 0).astype(np.float32), coarse), sigma_px / step)
    weights = gaussian_filter(reduced(inside.astype(np.float32), coarse), sigma_px / step)
    mean = Image.fromarray(sums / np.maximum(weights, 1e-3))
    return np.asarray(mean.resize((image.shape[1], image.shape[0]), Image.Resampling.BICUBIC), dtype=np.float32)


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


def difference_webp(gray: UInt8[np.ndarray, "h w"], other: UInt8[np.ndarray, "h w"]) -> str:
    """Encode where ``other`` differs from ``gray`` as WebP in base64, transparent elsewhere: a layer to lay upon it."""
    # One pixel more all around, since the image below is only nearly what was encoded.
    differs = binary_dilation(gray != other, iterations=1)
    image = Image.fromarray(np.dstack([other, other, other, differs.astype(np.uint8) * 255]))
    stream = io.BytesIO()
    image.save(stream, format="WEBP", quality=_WEBP_QUALITY, method=_WEBP_METHOD)
    return base64.b64encode(stream.getvalue()).decode()


def thumbnail(gray: UInt8[np.ndarray, "h w"]) -> str:
    """Encode a small copy as WebP in base64."""
    image = Image.fromarray(gray)
    image.thumbnail((THUMBNAIL_SIZE_PX, THUMBNAIL_SIZE_PX), Image.Resampling.BILINEAR)
    return webp(np.asarray(image), _THUMBNAIL_QUALITY)


def bone_edges(
    drr: Float32[np.ndarray, "h w"], field: Bool[np.ndarray, "h0 w0"], size: tuple[int, int]
) -> Bool[np.ndarray, "h w"]:
    """Find the edges of a DRR, one pixel thin.

    Args:
        drr: At the page's size.
        field: Where the beam fell on the detector, of the full size: beyond it there is nothing to compare with.
        size: Height and width on the page.
    """
    if drr.max() <= 0:
        return np.zeros(size, bool)
    bone = drr > 0.02 * drr.max()
    sigma_px = _EDGE_SIGMA * max(size)
    low, high = np.quantile(gaussian_gradient_magnitude(drr, sigma_px)[bone], _EDGE_QUANTILES)
    # The DRR ends at the border of image and field, not at an edge of bone.
    inside = binary_erosion(reduced(field.astype(np.float32), size) > 0.5, iterations=_BORDER_PX)
    # Canny weighs with Sobel's kernel, which is four times the derivative.
    scale = 4.0
    edges = canny(drr, sigma_px, low_threshold=scale * low, high_threshold=scale * high, mask=inside)
    return remove_small_objects(edges, max_size=int(_EDGE_LENGTH * max(size)), connectivity=2)


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
        # Every second point is a pixel from the next, which is as fine as a mask can tell.
        ends = contour[-1:] if len(contour) % 2 == 0 else contour[:0]
        points = (_corners(np.concatenate([contour[::2], ends])) + 0.5) * (scale_v, scale_u) - 0.5
        points = approximate_polygon(points, _OUTLINE_TOLERANCE_PX)
        if len(points) > 2:
            polygons.append([round(value, 1) for value in points[:, ::-1].ravel().tolist()])
    return polygons


def _corners(contour: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "m 2"]:
    # Points along a straight line say nothing, and leaving them out first makes the simplification quick.
    steps = np.diff(contour, axis=0)
    turns = (np.abs(np.diff(steps, axis=0)) > 1e-9).any(axis=1)
    return contour[np.concatenate([[True], turns, [True]])]
