"""What is done to the pixels of a window while learning, in three rungs; geometry is never changed.

``none`` leaves them; ``photometric`` is what another machine and another patient would change in a clean bone image;
``domain-randomization`` goes beyond any real machine, so that a network has to look for shapes. All numbers are this
project's choice.

Pixels are line integrals: an attenuator adds, scatter adds to exp(-L), quantum noise grows with exp(L / 2). Amounts are
parts of the window's scale, its densest bone, so that they mean the same in a bone image and in a real one.
"""

import os
import random
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float32

from reconstruction.views import densest, normalized

AugmentationName = Literal["none", "photometric", "domain-randomization"]
Pixels = Float32[np.ndarray, "h w"]
Range = tuple[float, float]


@dataclass(frozen=True)
class Rung:
    """How much is changed; each change is made with ``chance``, its amount drawn uniformly from its range.

    Args:
        chance: Probability of each change.
        gamma: Exponent of line integrals; below 1 as beam hardening bends them.
        tissue: Most attenuation of a smooth veil of soft tissue.
        scatter: Scatter in parts of the mean intensity of the window, at most; smooth, too.
        blur_px: Standard deviation of a Gaussian blur.
        motion_px: Longest smear; 0 for none.
        sharpening: Strength, up to 1, of the unsharp mask that machines put on their images.
        noise: Standard deviation of quantum noise where the window has its mean line integral.
        bars: Most instruments that lie across; ``bar_chance`` is the probability of any.
        bar_chance: See ``bars``.
        collimation: Most of the window's width or height that blades take on each side.
        gain: Factor of the normalized image: what implants or the sacrum do to the scale.
    """

    chance: float
    gamma: Range
    tissue: float
    scatter: float
    blur_px: Range
    motion_px: int
    sharpening: Range
    noise: Range
    bars: int
    bar_chance: float
    collimation: float
    gain: Range


RUNGS: Mapping[str, Rung] = MappingProxyType(
    {
        "photometric": Rung(
            chance=0.5,
            gamma=(0.8, 1.15),
            tissue=0.3,
            scatter=0.15,
            blur_px=(0.3, 0.9),
            motion_px=0,
            sharpening=(0.2, 0.6),
            noise=(0.002, 0.02),
            bars=1,
            bar_chance=0.15,
            collimation=0.1,
            gain=(0.9, 1.1),
        ),
        "domain-randomization": Rung(
            chance=0.7,
            gamma=(0.55, 1.6),
            tissue=1.5,
            scatter=0.6,
            blur_px=(0.3, 1.8),
            motion_px=5,
            sharpening=(0.2, 1.0),
            noise=(0.002, 0.08),
            bars=3,
            bar_chance=0.4,
            collimation=0.2,
            gain=(0.75, 1.3),
        ),
    }
)
# An instrument of steel against the densest bone, and its width in parts of the window.
_BAR_DENSITY: Range = (0.5, 3.0)
_BAR_WIDTH: Range = (0.01, 0.06)
_UNSHARP_PX: Range = (0.8, 2.5)
# What an unsharp mask may overshoot by.
_HEADROOM = 1.5
# Behind metal hardly anything arrives; noise there is bounded by the electronics, here by this exponent.
_NOISE_LIMIT = 4.0
_WAVES = 4


def augmented(
    pixels: Pixels, field: Bool[np.ndarray, "h w"], name: AugmentationName, rng: np.random.Generator
) -> Pixels:
    """Change the line integrals of a window as ``name`` says, and normalize them.

    Args:
        pixels: Line integrals.
        field: Where the window shows the image; the rest stays 0.
        name: A rung.
        rng: Decides everything: the same state gives the same pixels.
    """
    scale = densest(pixels, field)
    if name == "none" or scale == 0:
        return normalized(pixels, field)
    rung = RUNGS[name]
    pixels = _sharpness(pixels, rung, rng)
    for change in (_hardened, _veiled, _with_bars, _scattered, _noisy):
        pixels = change(pixels, rung, scale, rng)
    exposed = field & _blades(pixels.shape, rung, rng)
    # Where the image itself is a sliver, blades could take it all.
    return normalized(pixels, exposed if exposed.any() else field) * np.float32(rng.uniform(*rung.gain))


def _sharpness(pixels: Pixels, rung: Rung, rng: np.random.Generator) -> Pixels:
    """Blur, smear or sharpen."""
    pipeline = _sharpness_pipeline(rung, threading.get_ident())
    # One stream for all: set_random_seed would start every transform with the same numbers.
    pipeline.set_random_state(rng, random.Random(int(rng.integers(2**63))))
    # The library cuts floats off at 0 and 1.
    lowest = min(float(pixels.min()), 0.0)
    reach = np.float32(_HEADROOM * (float(pixels.max()) - lowest))
    changed: Pixels = pipeline(image=(pixels - np.float32(lowest)) / reach)["image"]
    return changed * reach + np.float32(lowest)


@cache
def _sharpness_pipeline(rung: Rung, thread_id: int) -> Any:
    """Build the transforms, which takes longer than to use them; one set a thread, as they hold a random state."""
    # Imported here: the import takes seconds, which runs without augmentation need not pay.
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # else it asks the network for a newer version
    import albumentations

    changes = [
        albumentations.GaussianBlur(blur_limit=0, sigma_limit=rung.blur_px, p=1.0),
        albumentations.UnsharpMask(sigma_limit=_UNSHARP_PX, alpha=rung.sharpening, threshold=0, p=1.0),
    ]
    if rung.motion_px:
        # A smear to one side would move the bones away from where the camera projects them.
        changes.append(
            albumentations.MotionBlur((3, rung.motion_px), allow_shifted=False, direction_range=(0.0, 0.0), p=1.0)
        )
    return albumentations.Compose([albumentations.OneOf(changes, p=rung.chance)])


def _hardened(pixels: Pixels, rung: Rung, scale: float, rng: np.random.Generator) -> Pixels:
    """Bend line integrals as polychromatic beams and wrong open fields do; 0 and the scale stay."""
    if rng.random() >= rung.chance:
        return pixels
    gamma = np.float32(rng.uniform(*rung.gamma))
    return np.float32(scale) * np.maximum(pixels / np.float32(scale), 0) ** gamma


def _veiled(pixels: Pixels, rung: Rung, scale: float, rng: np.random.Generator) -> Pixels:
    """Add soft tissue that varies slowly."""
    if rng.random() >= rung.chance:
        return pixels
    return pixels + np.float32(rng.uniform(0, rung.tissue) * scale) * _smooth(pixels.shape, rng)


def _with_bars(pixels: Pixels, rung: Rung, scale: float, rng: np.random.Generator) -> Pixels:
    """Lay straight instruments across, from any side, to any depth."""
    if rng.random() >= rung.bar_chance:
        return pixels
    height, width = pixels.shape
    v, u = np.mgrid[:height, :width].astype(np.float32)
    for _ in range(int(rng.integers(1, rung.bars + 1))):
        angle = rng.uniform(0, 2 * np.pi)
        tip_u, tip_v = rng.uniform(0, width), rng.uniform(0, height)
        along = (u - tip_u) * np.cos(angle) + (v - tip_v) * np.sin(angle)
        across = np.abs((v - tip_v) * np.cos(angle) - (u - tip_u) * np.sin(angle))
        half_px = rng.uniform(*_BAR_WIDTH) * max(height, width) / 2
        # Soft by one pixel, as everything that is resampled.
        shadow = np.clip(half_px - across + 0.5, 0, 1) * np.clip(along + 0.5, 0, 1)
        pixels = pixels + np.float32(rng.uniform(*_BAR_DENSITY) * scale) * shadow.astype(np.float32)
    return pixels


def _scattered(pixels: Pixels, rung: Rung, scale: float, rng: np.random.Generator) -> Pixels:
    """Add slowly varying scatter to the intensity, the open beam recalibrated: contrast falls where it is dark."""
    if rng.random() >= rung.chance:
        return pixels
    intensity = np.exp(-pixels)
    share = rng.uniform(0, rung.scatter) * float(intensity.mean())
    scatter = np.float32(share) * _smooth(pixels.shape, rng)
    return np.log1p(scatter) - np.log(intensity + scatter)


def _noisy(pixels: Pixels, rung: Rung, scale: float, rng: np.random.Generator) -> Pixels:
    """Add quantum noise: its deviation grows with the square root of what does not arrive."""
    if rng.random() >= rung.chance:
        return pixels
    spread = np.exp(np.clip(pixels - pixels.mean(), -_NOISE_LIMIT, _NOISE_LIMIT) / 2)
    noise = rng.standard_normal(pixels.shape, dtype=np.float32)
    return pixels + np.float32(rng.uniform(*rung.noise) * scale) * spread * noise


def _blades(shape: tuple[int, ...], rung: Rung, rng: np.random.Generator) -> Bool[np.ndarray, "h w"]:
    """Say what the blades of a collimator leave open: each of the four comes in by itself."""
    comes, parts = rng.random(4) < rung.chance / 2, rng.uniform(0, rung.collimation, 4)
    top, bottom, left, right = np.where(comes, parts, 0.0) * np.repeat(shape, 2)
    v, u = np.ogrid[: shape[0], : shape[1]]
    return (v >= top) & (v < shape[0] - bottom) & (u >= left) & (u < shape[1] - right)


def _smooth(shape: tuple[int, ...], rng: np.random.Generator) -> Pixels:
    """Draw a field between 0 and 1 out of a few waves that are longer than half the window."""
    v, u = np.ogrid[: shape[0], : shape[1]]
    waves = np.zeros(shape, np.float32)
    for _ in range(_WAVES):
        along_v, along_u = rng.uniform(-2, 2, 2) * 2 * np.pi / np.array(shape)
        phase = v.astype(np.float32) * np.float32(along_v) + u.astype(np.float32) * np.float32(along_u)
        waves += np.cos(phase + np.float32(rng.uniform(0, 2 * np.pi)))
    return (waves - waves.min()) / max(float(np.ptp(waves)), 1e-6)
