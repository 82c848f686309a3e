"""What one step looks at: patches or whole images, turned or not, drawn from pairs as a function of seed and step.

A draw depends on seed, step and place in the batch alone: a run that is resumed, or shared by more processes, sees the
same examples.
"""

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int64
from scipy import ndimage

from drrkit.errors import InputError
from styletransfer.augmentation import augmented
from styletransfer.images import PairImage, Pairs, donor_numbers
from styletransfer.settings import SamplingSettings
from styletransfer.translator import Batch, Learning

# Sizes that networks can halve.
MULTIPLE_PX = 16
# Patches that show less of the field than this teach little.
LEAST_FIELD = 0.25
# Streams of random numbers that must not touch.
_ORDER, _EXAMPLE = range(2)
# Of a pixel that is made of others: nearly all of these.
_WHOLE = 0.999


@dataclass(frozen=True)
class _Cut:
    """A patch of an image: corner, size, and whether left and right change places."""

    top: int
    left: int
    height: int
    width: int
    mirrored: bool

    def of(self, array: np.ndarray) -> np.ndarray:
        """Cut it out; where the image ends earlier, 0 or False follows below and to the right."""
        part = array[self.top : self.top + self.height, self.left : self.left + self.width]
        missing = (self.height - part.shape[0], self.width - part.shape[1])
        if any(missing):
            part = np.pad(part, ((0, missing[0]), (0, missing[1])))
        return part[:, ::-1] if self.mirrored else part


def draw_batch(
    source: Pairs,
    sampling: SamplingSettings,
    learning: Learning,
    seed: int,
    step: int,
    rank: int = 0,
    processes: int = 1,
) -> Batch:
    """Draw the part of a step's batch that one process works on; the same arguments give the same bits.

    Real images are taken in turn, in a new order each time round. For ``unpaired`` learning the synthetic image is of
    another donor, or of another view where there is one donor, and is cut and mirrored on its own.

    Args:
        source: What to draw from.
        sampling: How to draw.
        learning: What the translator learns from.
        seed: With the step it determines every number.
        step: Of the training, from 0.
        rank: Of the process.
        processes: How many share a batch.

    Raises:
        InputError: No pair, a batch that cannot be shared equally, a patch that is no multiple of 16 pixels, or whole
            images of several sizes.
    """
    if not len(source):
        raise InputError("pairs", "none", "at least one to learn from")
    if sampling.batch % processes or not 0 <= rank < processes:
        found = f"{sampling.batch} examples, process {rank} of {processes}"
        raise InputError("sampling.batch", found, "a multiple of the processes")
    if sampling.patch_px and any(side % MULTIPLE_PX for side in sampling.patch_px):
        raise InputError("sampling.patch_px", sampling.patch_px, f"multiples of {MULTIPLE_PX}")
    share = sampling.batch // processes
    examples = [
        _example(source, sampling, learning, seed, step, place) for place in range(rank * share, (rank + 1) * share)
    ]
    sizes = {image.shape for example in examples for image in example}
    if len(sizes) > 1:
        found = f"images of {' and '.join(f'{height} x {width}' for height, width in sorted(sizes))} pixels"
        raise InputError("sampling.patch_px", found, "a size of patches, as whole images must have one size")
    real, synthetic, field = (torch.from_numpy(np.stack(images))[:, None] for images in zip(*examples, strict=True))
    return Batch(real, synthetic, field)


def _example(
    source: Pairs, sampling: SamplingSettings, learning: Learning, seed: int, step: int, place: int
) -> tuple[Float32[np.ndarray, "h w"], Float32[np.ndarray, "h w"], Bool[np.ndarray, "h w"]]:
    rng = np.random.default_rng([seed, _EXAMPLE, step, place])
    turn, number = divmod(step * sampling.batch + place, len(source))
    index = int(_order(len(source), seed, turn)[number])
    pair = _moved(source[index], sampling, rng)
    cut = _drawn_cut(pair, sampling, rng)
    field = cut.of(pair.field)
    real = augmented(cut.of(np.where(pair.field, pair.real, np.float32(0))), field, sampling.augmentation, rng)
    if learning == "unpaired":
        pair = _moved(source[_other(donor_numbers(source), index, rng)], sampling, rng)
        # By the same rule as the real one, so that both show the same parts of the body equally often.
        cut = _drawn_cut(pair, sampling, rng)
    return real, cut.of(pair.synthetic), field


def _moved(pair: PairImage, sampling: SamplingSettings, rng: np.random.Generator) -> PairImage:
    """Turn and zoom both images of a pair about their middle; what comes in from beyond the border is no field.

    No camera is asked for afterward, so none is moved.
    """
    if sampling.turn_deg == 0 and sampling.zoom == 0:
        return pair
    turn = np.deg2rad(rng.uniform(-sampling.turn_deg, sampling.turn_deg))
    zoom = 1 + rng.uniform(-sampling.zoom, sampling.zoom)
    before_from_after = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) / zoom
    middle = (np.array(pair.field.shape) - 1) / 2
    offset = middle - before_from_after @ middle

    def moved(image: Float32[np.ndarray, "h w"]) -> Float32[np.ndarray, "h w"]:
        return ndimage.affine_transform(image, before_from_after, offset, order=1, mode="constant")

    # Where a pixel without a beam had a part in it, a real image would be neither 0 nor what was seen.
    lit = moved((pair.field & (pair.real != 0)).astype(np.float32))
    open_beam = moved((pair.field & (pair.real == 0)).astype(np.float32)) > _WHOLE
    real = np.where(lit > _WHOLE, moved(np.asarray(pair.real, np.float32)), np.float32(0))
    synthetic = moved(np.asarray(pair.synthetic, np.float32))
    return replace(pair, real=real, synthetic=synthetic, field=(lit > _WHOLE) | open_beam)


@lru_cache(maxsize=4)
def _order(count: int, seed: int, turn: int) -> Int64[np.ndarray, " count"]:
    """Draw the order of all pairs in one turn; a hundred thousand of them are not shuffled for every example."""
    return np.random.default_rng([seed, _ORDER, turn]).permutation(count)


def _drawn_cut(pair: PairImage, sampling: SamplingSettings, rng: np.random.Generator) -> _Cut:
    """Draw a patch, each that shows enough of the field with the same probability; else the one that shows most."""
    height, width = pair.field.shape
    size = sampling.patch_px or (-(-height // MULTIPLE_PX) * MULTIPLE_PX, -(-width // MULTIPLE_PX) * MULTIPLE_PX)
    shown_px = _field_px(pair.field, size)
    wanted_px = min(LEAST_FIELD * size[0] * size[1], shown_px.max())
    corners = np.flatnonzero(shown_px >= wanted_px)
    top, left = divmod(int(rng.choice(corners)), shown_px.shape[1])
    mirrored = sampling.mirror and bool(rng.random() < 0.5)
    return _Cut(top, left, size[0], size[1], mirrored)


def _field_px(field: Bool[np.ndarray, "h w"], size: tuple[int, int]) -> Int64[np.ndarray, "tops lefts"]:
    """Count the pixels of the field in the patch at every corner, from sums over all rectangles from (0, 0)."""
    sums = np.pad(field.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    tall, wide = min(size[0], field.shape[0]), min(size[1], field.shape[1])
    return sums[tall:, wide:] - sums[:-tall, wide:] - sums[tall:, :-wide] + sums[:-tall, :-wide]


def _other(donors: Int64[np.ndarray, " n"], index: int, rng: np.random.Generator) -> int:
    """Draw a pair of another donor; of another view where there is one donor; the same where it is the only one."""
    others = np.flatnonzero(donors != donors[index])
    if not others.size:
        others = np.delete(np.arange(len(donors)), index)
    return int(rng.choice(others)) if others.size else index
