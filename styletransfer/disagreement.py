"""Where a translation is doubtful: variants of one image that must not matter, and several translators, disagree there.

What a translator gets wrong the same way every time stays unseen. How far a map can be trusted is measured on pairs:
:func:`predicts_error`.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float32
from scipy import ndimage, stats

from drrkit.errors import InputError
from styletransfer.translator import Translator

Image = Float32[np.ndarray, "h w"]

SIZE_MULTIPLE_PX = 8
DOUBTFUL_SHARE = 0.1
"""Share of the pixels, the most doubtful ones, whose error :func:`predicts_error` sums up."""

_MIRROR = np.s_[:, ::-1]
_LEAST = np.float32(1e-6)  # line integral: exactly 0 would say that no beam was there


@dataclass(frozen=True)
class Variants:
    """How far an image is varied; 0 leaves a variant out.

    Args:
        is_mirrored: Whether the image is also translated mirrored left to right.
        offset: Added to and taken from line integrals: the open beam is known to about a tenth where automatic
            exposure changes the tube's output between exposures.
        gain: Part by which line integrals are larger and smaller: another tube voltage hardens the beam.
        shift_px: (rows, columns) by which the image is shifted, both ways. Odd whole numbers visit other places of
            strided networks; fractions are interpolated, which alone disagrees a little at sharp edges.
        noise: Standard deviation of noise that is added, in line integrals.
        seed: Of the noise.

    Raises:
        InputError: An amount below 0, a gain of 1 or more, or a shift that is not finite.
    """

    is_mirrored: bool = True
    offset: float = 0.1
    gain: float = 0.05
    shift_px: tuple[float, float] = (3.0, 5.0)
    noise: float = 0.01
    seed: int = 0

    def __post_init__(self) -> None:
        amounts = (self.offset, self.gain, self.noise)
        if (
            not all(0 <= amount < np.inf for amount in amounts)
            or self.gain >= 1
            or not np.isfinite(self.shift_px).all()
        ):
            raise InputError("variants", self, "finite amounts, zero or more, and a gain below 1")


@dataclass(frozen=True)
class ErrorPrediction:
    """How well maps of disagreement tell where translations are wrong.

    Args:
        rank_correlation: Spearman's, between disagreement and absolute error over the pixels of an image, mean of the
            images: 0 tells nothing, 1 everything.
        image_rank_correlation: Spearman's, between the images' mean disagreements and mean errors: whether the map
            tells which image is bad. NaN for fewer than three images.
        error_share: Share of all absolute error that the most doubtful tenth of an image's pixels holds, mean of the
            images: a tenth if the map tells nothing.
        best_error_share: What the tenth with the largest errors itself holds: no map can do better.
    """

    rank_correlation: float
    image_rank_correlation: float
    error_share: float
    best_error_share: float


def translate_whole(translator: Translator, pixels: Image) -> Image:
    """Translate an image in one piece, continued to a size that networks take by its mirror image."""
    height, width = pixels.shape
    padding = [(0, -size % SIZE_MULTIPLE_PX) for size in (height, width)]
    padded = np.pad(np.asarray(pixels, np.float32), padding, mode="symmetric")
    translated = translator.synthetic_from_real(torch.from_numpy(np.ascontiguousarray(padded))[None, None])
    whole: Image = translated[0, 0].detach().cpu().float().numpy()[:height, :width]
    return whole


def disagreement_map(
    translator: Translator | Sequence[Translator],
    pixels: Image,
    variants: Variants | None = None,
    translate: Callable[[Translator, Image], Image] = translate_whole,
) -> Image:
    """Return by how much translations of one image differ, pixel by pixel.

    Args:
        translator: One, or several that were trained apart.
        pixels: (H, W) real line integrals, 0 where no beam fell.
        variants: Amounts; None for the usual ones.
        translate: How a translator is applied to an image, for example in tiles.

    Returns:
        (H, W) standard deviation of the line integrals, over variants and translators together. 0 where the image is.

    Raises:
        InputError: No (H, W) image, NaN, no translator, or nothing to compare.
    """
    translators = [translator] if isinstance(translator, Translator) else list(translator)
    if not translators:
        raise InputError("translators", "none", "at least one")
    if pixels.ndim != 2 or not np.isfinite(pixels).all():
        raise InputError("image", f"shape {pixels.shape}, or NaN", "finite (H, W) line integrals")
    amounts = Variants() if variants is None else variants
    # Welford's sums: a few images are held, however many variants there are.
    variant_count, counts, mean, squares = 0, *(np.zeros(pixels.shape) for _ in range(3))
    for one in translators:
        for varied, undo in _varied(np.asarray(pixels, np.float32), amounts):
            result, is_known = undo(translate(one, varied))
            variant_count += 1
            counts += is_known
            # What a shift brought in from outside of the image is not compared.
            off = np.where(is_known, result - mean, 0)
            mean += off / np.maximum(counts, 1)
            squares += off * np.where(is_known, result - mean, 0)
    if variant_count < 2:
        raise InputError("variants", "none of the image beside itself, and one translator", "something to compare")
    spread: Image = np.sqrt(squares / np.maximum(counts - 1, 1)).astype(np.float32)
    return np.where(pixels == 0, np.float32(0), spread)


def predicts_error(
    maps: Sequence[Image], errors: Sequence[Image], fields: Sequence[Bool[np.ndarray, "h w"]] | None = None
) -> ErrorPrediction:
    """Measure on pairs how well maps of disagreement tell where translations are wrong.

    Args:
        maps: Of :func:`disagreement_map`, one an image.
        errors: Translated minus synthetic image, with or without sign.
        fields: Pixels that count; None for all.

    Raises:
        InputError: No image, different numbers or sizes, or NaN.
    """
    masks = [np.ones(one.shape, bool) for one in maps] if fields is None else list(fields)
    if not maps or not len(maps) == len(errors) == len(masks):
        found = f"{len(maps)} maps, {len(errors)} errors and {len(masks)} fields"
        raise InputError("maps, errors and fields", found, "as many of each, at least one")
    scores, doubts, mistakes = [], [], []
    for doubt, error, field in zip(maps, errors, masks, strict=True):
        if not doubt.shape == error.shape == field.shape or not field.any():
            found = f"shapes {doubt.shape}, {error.shape} and {field.shape}"
            raise InputError("map, error and field", found, "one size, and a field with pixels")
        first, second = doubt[field].astype(np.float64), np.abs(error[field].astype(np.float64))
        if not (np.isfinite(first).all() and np.isfinite(second).all()):
            raise InputError("map and error", "NaN or infinite pixels", "finite pixels")
        most = max(1, round(DOUBTFUL_SHARE * first.size))
        total = max(float(second.sum()), np.finfo(np.float64).tiny)
        shares = [float(second[np.argsort(one, kind="stable")[-most:]].sum()) / total for one in (first, second)]
        scores.append((_rank_correlation(first, second), *shares))
        doubts.append(first.mean())
        mistakes.append(second.mean())
    of_images = _rank_correlation(np.array(doubts), np.array(mistakes)) if len(maps) >= 3 else float("nan")
    rank_correlation, share, best = np.mean(scores, axis=0)
    return ErrorPrediction(float(rank_correlation), of_images, float(share), float(best))


def _rank_correlation(first: np.ndarray, second: np.ndarray) -> float:
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return 0.0
    return float(stats.spearmanr(first, second).statistic)


Undo = Callable[[Image], tuple[Image, Bool[np.ndarray, "h w"]]]


def _varied(pixels: Image, variants: Variants) -> Iterator[tuple[Image, Undo]]:
    """Yield the image and its variants, each with the way back to the image's own pixels."""
    inside = pixels != 0
    everywhere = np.ones(pixels.shape, bool)

    def as_it_is(translated: Image) -> tuple[Image, Bool[np.ndarray, "h w"]]:
        return translated, everywhere

    def photometric(values: np.ndarray) -> Image:
        changed: Image = np.where(inside, np.maximum(values, _LEAST), 0).astype(np.float32)
        return changed

    yield pixels, as_it_is
    if variants.is_mirrored:
        yield np.ascontiguousarray(pixels[_MIRROR]), lambda translated: (translated[_MIRROR], everywhere)
    for sign in (1, -1):
        if variants.offset:
            yield photometric(pixels + sign * variants.offset), as_it_is
        if variants.gain:
            yield photometric(pixels * (1 + sign * variants.gain)), as_it_is
        if any(variants.shift_px):
            yield _shifted(pixels, variants.shift_px, sign), _shift_back(variants.shift_px, sign)
    if variants.noise:
        noise = np.random.default_rng(variants.seed).normal(0, variants.noise, pixels.shape)
        yield photometric(pixels + noise), as_it_is


def _shifted(pixels: Image, shift_px: tuple[float, float], sign: int) -> Image:
    """Shift; what comes in from outside repeats the border. Pixels without a beam stay without."""
    amount = sign * np.array(shift_px)
    if not (amount % 1).any():
        moved: Image = ndimage.shift(pixels, amount, order=0, mode="nearest")
        return moved
    inside = ndimage.shift((pixels != 0).astype(np.float32), amount, order=1, mode="nearest") > 0.5
    moved = ndimage.shift(pixels, amount, order=3, mode="nearest")
    return np.where(inside, np.maximum(moved, _LEAST), np.float32(0))


def _shift_back(shift_px: tuple[float, float], sign: int) -> Undo:
    def undo(translated: Image) -> tuple[Image, Bool[np.ndarray, "h w"]]:
        amount = -sign * np.array(shift_px)
        order = 3 if (amount % 1).any() else 0
        is_known = ndimage.shift(np.ones(translated.shape, np.float32), amount, order=1, mode="constant") > 0.999
        return ndimage.shift(translated, amount, order=order, mode="nearest"), is_known

    return undo
