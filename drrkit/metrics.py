"""How alike two images are. All take (H, W) images of the same size and, if wanted, a mask of the pixels that count."""

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import ArrayLike
from scipy import ndimage
from skimage.metrics import structural_similarity

from drrkit.errors import InputError

Image = Float[np.ndarray, "h w"]
Mask = Bool[np.ndarray, "h w"]

# Wang et al. 2004: Gaussian window of standard deviation 1.5 px, cut to 11 x 11.
SSIM_SIGMA_PX = 1.5
SSIM_WINDOW_PX = 11

# A standard deviation below this part of the largest value is rounding, not contrast.
_ROUNDING = 1e-12


def ncc(image: ArrayLike, reference: ArrayLike, mask: ArrayLike | None = None) -> float:
    """Normalized cross-correlation: whether one image is a linear function of the other.

    With means over the pixels of the mask,

        NCC = sum((a - mean a)(b - mean b)) / sqrt(sum((a - mean a)^2) sum((b - mean b)^2)).

    Args:
        image: (H, W) image.
        reference: (H, W) image.
        mask: (H, W) bool, pixels that count; None for all.

    Returns:
        -1 to 1: 1 for ``reference = gain * image + offset`` with a positive gain, -1 with a negative one. 0 if either
        is constant, because then it tells nothing about the other.

    Raises:
        InputError: Images or a mask that do not fit together, NaN, or an empty mask.
    """
    first, second, inside = _checked(image, reference, mask)
    return _correlation(first[inside], second[inside])


def gradient_ncc(image: ArrayLike, reference: ArrayLike, mask: ArrayLike | None = None) -> float:
    """Gradient correlation: the mean NCC of the horizontal and of the vertical derivatives.

    Edges count, slow changes of brightness (scatter, heel effect) do not; a standard of 2D/3D registration (Penney et
    al., IEEE TMI 1998, 17(4):586). Derivatives are Sobel's, at pixels whose 3 x 3 neighborhood lies inside image and
    mask. A direction in which both images are constant is left out: they agree on it, but there is nothing to measure.

    Args:
        image: (H, W) image.
        reference: (H, W) image.
        mask: (H, W) bool, pixels that count; None for all.

    Returns:
        -1 to 1; 0 if either image is constant.

    Raises:
        InputError: Images or a mask that do not fit together, NaN, or no 3 x 3 neighborhood inside the mask.
    """
    first, second, inside = _checked(image, reference, mask)
    inside = ndimage.binary_erosion(inside, np.ones((3, 3)))
    if not inside.any():
        raise InputError("mask", "no pixel with all its neighbors", "at least one block of 3 x 3 pixels")
    scores = []
    for axis in (0, 1):
        derivatives = [ndimage.sobel(pixels, axis=axis)[inside] for pixels in (first, second)]
        if not all(_is_constant(values, np.abs(first).max() + np.abs(second).max()) for values in derivatives):
            scores.append(_correlation(*derivatives))
    return float(np.mean(scores)) if scores else 0.0


def ssim(
    image: ArrayLike, reference: ArrayLike, mask: ArrayLike | None = None, data_range: float | None = None
) -> float:
    """Structural similarity (Wang et al., IEEE TIP 2004, 13(4):600), averaged over the pixels.

    With local means m, variances s^2 and covariance s_ab under a Gaussian window (standard deviation 1.5 px, 11 x 11),
    c1 = (0.01 L)^2 and c2 = (0.03 L)^2,

        SSIM = (2 m_a m_b + c1)(2 s_ab + c2) / ((m_a^2 + m_b^2 + c1)(s_a^2 + s_b^2 + c2)).

    Args:
        image: (H, W) image.
        reference: (H, W) image.
        mask: (H, W) bool, pixels whose SSIM is averaged (their windows reach past it by 5 px); None for all pixels
            with a whole window.
        data_range: L, the span of values that images can have; None for the reference's maximum minus minimum.

    Returns:
        Up to 1 (identical).

    Raises:
        InputError: Images or a mask that do not fit together, NaN, images smaller than the window, or no data range.
    """
    first, second, inside = _checked(image, reference, mask)
    if min(first.shape) < SSIM_WINDOW_PX:
        raise InputError("image", f"{first.shape[0]} x {first.shape[1]} pixels", f"at least {SSIM_WINDOW_PX} a side")
    span = _checked_range(second[inside], data_range)
    whole, local = structural_similarity(
        first,
        second,
        data_range=span,
        gaussian_weights=True,
        sigma=SSIM_SIGMA_PX,
        use_sample_covariance=False,
        full=True,
    )
    return float(whole if mask is None else local[inside].mean())


def psnr(
    image: ArrayLike, reference: ArrayLike, mask: ArrayLike | None = None, data_range: float | None = None
) -> float:
    """Peak signal-to-noise ratio in decibels: 10 log10(L^2 / mean((a - b)^2)).

    Args:
        image: (H, W) image.
        reference: (H, W) image.
        mask: (H, W) bool, pixels that count; None for all.
        data_range: L, the span of values that images can have; None for the reference's maximum minus minimum.

    Returns:
        Decibels; infinite for identical images.

    Raises:
        InputError: Images or a mask that do not fit together, NaN, or no data range.
    """
    first, second, inside = _checked(image, reference, mask)
    span = _checked_range(second[inside], data_range)
    mean_square = float(np.mean((first - second)[inside] ** 2))
    return float("inf") if mean_square == 0 else 10 * float(np.log10(span**2 / mean_square))


def _checked(image: ArrayLike, reference: ArrayLike, mask: ArrayLike | None) -> tuple[Image, Image, Mask]:
    first, second = np.asarray(image, dtype=np.float64), np.asarray(reference, dtype=np.float64)
    if first.ndim != 2 or first.shape != second.shape:
        raise InputError("images", f"shapes {first.shape} and {second.shape}", "two (H, W) images of one size")
    inside = np.ones(first.shape, dtype=bool) if mask is None else np.asarray(mask)
    if inside.dtype != bool or inside.shape != first.shape:
        raise InputError("mask", f"{inside.dtype} of shape {inside.shape}", f"bool of the images' shape {first.shape}")
    if not inside.any():
        raise InputError("mask", "no pixel", "at least one pixel that counts")
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        raise InputError("images", "NaN or infinite pixels", "finite pixels, outside the mask as well")
    return first, second, inside


def _checked_range(reference: Float[np.ndarray, " n"], data_range: float | None) -> float:
    span = float(np.ptp(reference)) if data_range is None else float(data_range)
    if not 0 < span < np.inf:
        raise InputError("data_range", span, "a positive span of values (a constant reference has none: give one)")
    return span


def _correlation(first: Float[np.ndarray, " n"], second: Float[np.ndarray, " n"]) -> float:
    if _is_constant(first, np.abs(first).max()) or _is_constant(second, np.abs(second).max()):
        return 0.0
    first, second = first - first.mean(), second - second.mean()
    score = (first @ second) / (np.linalg.norm(first) * np.linalg.norm(second))
    return float(np.clip(score, -1.0, 1.0))


def _is_constant(values: Float[np.ndarray, " n"], scale: float) -> bool:
    return bool(values.std() <= _ROUNDING * scale)
