"""What another exposure of the same view would change in the real image; geometry is never changed.

Pixels are line integrals: a beam k times as strong adds -log k where the open field is not measured anew, scatter adds
to exp(-L), and the variance of quantum noise grows with exp(L). All ranges are this project's choice.
"""

import os
import random
import threading
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32

from styletransfer.settings import AugmentationName

Pixels = Float32[np.ndarray, "h w"]
Range = tuple[float, float]


@dataclass(frozen=True)
class Exposure:
    """How much one exposure differs from another; each change is made with ``chance``, its amount drawn evenly.

    Args:
        chance: Probability of each change.
        open_field: Log of how far the open field is misjudged: it adds to every line integral.
        gain: Factor of line integrals: softer or harder rays.
        hardening: Exponent of line integrals about their mean; below 1 as polychromatic beams bend them.
        scatter: Scatter in parts of the mean intensity, smooth.
        blur_px: Standard deviation of the blur of focal spot and detector.
        photons: Those of the open beam in a pixel, whose quantum noise is added; drawn evenly in their logarithm.
    """

    chance: float
    open_field: Range
    gain: Range
    hardening: Range
    scatter: Range
    blur_px: Range
    photons: Range


PHOTOMETRIC = Exposure(
    chance=0.5,
    open_field=(-0.2, 0.2),
    gain=(0.85, 1.15),
    hardening=(0.85, 1.15),
    scatter=(0.0, 0.3),
    blur_px=(0.3, 1.0),
    photons=(3e3, 1e5),
)
# Behind metal hardly anything arrives; there the electronics bound the noise, here this line integral.
_NOISE_LIMIT = 6.0
_WAVES = 4


def augmented(real: Pixels, field: Bool[np.ndarray, "h w"], name: AugmentationName, rng: np.random.Generator) -> Pixels:
    """Return a real image as another exposure would have shown it.

    Args:
        real: Line integrals, 0 outside of ``field``.
        field: Where the beam fell on the detector.
        name: ``none`` or ``photometric``.
        rng: Decides everything: the same state gives the same pixels.

    Returns:
        New line integrals. Pixels that are exactly 0 stay so: no beam fell there, or more than the detector holds.
    """
    seen = field & (real != 0)
    if name == "none" or not seen.any():
        return real.copy()
    amounts = PHOTOMETRIC
    pixels = real
    if rng.random() < amounts.chance:
        pixels = _hardened(pixels, seen, amounts, rng)
    if rng.random() < amounts.chance:
        pixels = _scattered(pixels, seen, amounts, rng)
    pixels = _blurred(pixels, seen, amounts, rng)
    if rng.random() < amounts.chance:
        pixels = _noisy(pixels, amounts, rng)
    if rng.random() < amounts.chance:
        pixels = pixels + np.float32(rng.uniform(*amounts.open_field))
    return np.where(seen, pixels, np.float32(0))


def _hardened(pixels: Pixels, seen: Bool[np.ndarray, "h w"], amounts: Exposure, rng: np.random.Generator) -> Pixels:
    """Bend and stretch line integrals as rays of other energies do; overexposed ones, below 0, alike."""
    middle = max(np.float32(np.abs(pixels[seen]).mean()), np.float32(1e-3))
    exponent, gain = np.float32(rng.uniform(*amounts.hardening)), np.float32(rng.uniform(*amounts.gain))
    return gain * middle * np.sign(pixels) * (np.abs(pixels) / middle) ** exponent


def _scattered(pixels: Pixels, seen: Bool[np.ndarray, "h w"], amounts: Exposure, rng: np.random.Generator) -> Pixels:
    """Add slowly varying scatter to the intensity; contrast falls where it is dark."""
    intensity = np.exp(-pixels)
    share = np.float32(rng.uniform(*amounts.scatter)) * intensity[seen].mean()
    return -np.log(intensity + share * _smooth(pixels.shape, rng))


def _blurred(pixels: Pixels, seen: Bool[np.ndarray, "h w"], amounts: Exposure, rng: np.random.Generator) -> Pixels:
    """Blur; what lies outside of the field does not leak in."""
    pipeline = _blur_pipeline(amounts, threading.get_ident())
    # One stream for all: set_random_seed would start every transform with the same numbers.
    pipeline.set_random_state(rng, random.Random(int(rng.integers(2**63))))
    # The library cuts floats off at 0 and 1.
    lowest = pixels[seen].min()
    reach = max(pixels[seen].max() - lowest, np.float32(1e-6))
    weight = seen.astype(np.float32)
    blurred = pipeline(image=np.stack([(pixels - lowest) / reach * weight, weight], axis=-1))["image"]
    return blurred[..., 0] / np.maximum(blurred[..., 1], np.float32(1e-3)) * reach + lowest


@cache
def _blur_pipeline(amounts: Exposure, thread_id: int) -> Any:
    """Build the transform, which takes longer than to use it; one a thread, as it holds a random state."""
    # Imported here: the import takes seconds, which runs without augmentation need not pay.
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # else it asks the network for a newer version
    import albumentations

    return albumentations.Compose(
        [albumentations.GaussianBlur(blur_limit=0, sigma_limit=amounts.blur_px, p=amounts.chance)]
    )


def _noisy(pixels: Pixels, amounts: Exposure, rng: np.random.Generator) -> Pixels:
    """Add quantum noise: the relative deviation of a count n is 1 / sqrt(n), and so is that of its logarithm."""
    photons = np.exp(rng.uniform(*np.log(amounts.photons)))
    spread = np.exp(np.minimum(pixels, np.float32(_NOISE_LIMIT)) / 2) / np.float32(np.sqrt(photons))
    return pixels + spread * rng.standard_normal(pixels.shape, dtype=np.float32)


def _smooth(shape: tuple[int, ...], rng: np.random.Generator) -> Pixels:
    """Draw a field between 0 and 1 out of a few waves that are longer than half the image."""
    v, u = np.ogrid[: shape[0], : shape[1]]
    waves = np.zeros(shape, np.float32)
    for _ in range(_WAVES):
        along_v, along_u = rng.uniform(-2, 2, 2) * 2 * np.pi / np.array(shape)
        phase = v.astype(np.float32) * np.float32(along_v) + u.astype(np.float32) * np.float32(along_u)
        waves += np.cos(phase + np.float32(rng.uniform(0, 2 * np.pi)))
    return (waves - waves.min()) / max(np.ptp(waves), np.float32(1e-6))
