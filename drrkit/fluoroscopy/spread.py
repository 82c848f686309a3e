"""Point spreads, narrow and wide: blur, scatter's smear, the veiling glare of light."""

import numpy as np
from jaxtyping import Float, Float32
from scipy import fft, ndimage

# Full width at half maximum of a Gaussian over its standard deviation.
FWHM_PER_SIGMA = 2.0 * np.sqrt(2.0 * np.log(2.0))
# What spreads widely is so smooth that it is computed on pixels of about this part of its width.
_COARSENESS = 12


def blur(image: Float32[np.ndarray, "h w"], fwhm_px: float) -> None:
    """Blur an image in place by a Gaussian; nothing happens below a quarter of a pixel."""
    if fwhm_px > 0.25:
        ndimage.gaussian_filter(image, fwhm_px / FWHM_PER_SIGMA, output=image, mode="nearest", truncate=4)


def smear(image: Float32[np.ndarray, "h w"], fwhm_px: float) -> Float32[np.ndarray, "h w"]:
    """Spread an image by a wide Gaussian; nothing comes in from beyond the image."""
    sigma_px = fwhm_px / FWHM_PER_SIGMA
    side = max(1, int(sigma_px / _COARSENESS))
    blocks = np.pad(_blocks(image, side), 2)
    return _fine(ndimage.gaussian_filter(blocks, sigma_px / side, mode="constant", truncate=4), image.shape, side)


def glare(image: Float32[np.ndarray, "h w"], radius_px: float) -> Float32[np.ndarray, "h w"]:
    """Spread an image as veiling glare does, by exp(-r / radius) / (2 pi radius r).

    The form is that of Seibert, Nalcioglu & Roeck, Med. Phys. 11 (1984) 172. Its Fourier transform is
    1 / sqrt(1 + (2 pi radius f)^2). Nothing comes in from beyond the image.
    """
    side = max(1, int(radius_px / _COARSENESS))
    blocks = np.pad(_blocks(image, side), 2)
    # Twice the size, so that what runs out on one side does not come in on the other.
    height, width = (fft.next_fast_len(2 * size, real=True) for size in blocks.shape)
    frequency = np.hypot(fft.fftfreq(height)[:, None], fft.rfftfreq(width)) * radius_px / side
    transfer = (1 / np.sqrt(1 + (2 * np.pi * frequency) ** 2)).astype(np.float32)
    spread = fft.irfft2(fft.rfft2(blocks, (height, width)) * transfer, (height, width))
    return _fine(spread[: blocks.shape[0], : blocks.shape[1]], image.shape, side)


def _blocks(image: Float32[np.ndarray, "h w"], side: int) -> Float32[np.ndarray, "r c"]:
    """Average over square blocks of pixels, filled up with zeros."""
    height, width = image.shape
    rows, columns = -(-height // side), -(-width // side)
    filled = np.zeros((rows * side, columns * side), np.float32)
    filled[:height, :width] = image
    return filled.reshape(rows, side, columns, side).mean(axis=(1, 3))


def _fine(blocks: Float[np.ndarray, "r c"], shape: tuple[int, ...], side: int) -> Float32[np.ndarray, "h w"]:
    """Interpolate between the centers of blocks that have two rows and columns around the image."""
    v, u = (2 + (np.arange(size) - (side - 1) / 2) / side for size in shape)
    above, left = np.floor(v).astype(int), np.floor(u).astype(int)
    down, right = (v - above)[:, None], u - left
    rows = blocks[above] * (1 - down) + blocks[above + 1] * down
    return np.maximum(rows[:, left] * (1 - right) + rows[:, left + 1] * right, 0).astype(np.float32)
