"""What heat maps learn from: whole images with the pixels of centroids, changed anew each time they are shown."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from drrkit.volume import LUMBAR_LEVELS
from reconstruction.learning.augmentation import augmented
from reconstruction.origin.images import whole_views
from reconstruction.origin.settings import AugmentationSettings, OriginSettings
from reconstruction.origin.spines import KnownSpine


@dataclass(frozen=True, eq=False)
class KnownImages:
    """Whole images whose levels are known.

    Args:
        images: (N, 2, S, S) as :func:`reconstruction.origin.images.whole_views` makes them.
        pixels: (N, L, 2) pixel (u, v) of each level's centroid; anywhere where the level is not known.
        known: (N, L) whether the level is known.
    """

    images: Float[Tensor, "n 2 s s"]
    pixels: Float[Tensor, "n l 2"]
    known: Bool[Tensor, "n l"]

    @classmethod
    def joined(cls, parts: Sequence["KnownImages"]) -> "KnownImages":
        """Put the images of several spines together."""
        return cls(*(torch.cat([getattr(part, name) for part in parts]) for name in ("images", "pixels", "known")))

    def subset(self, indices: Tensor) -> "KnownImages":
        """Return some of them."""
        return KnownImages(self.images[indices], self.pixels[indices], self.known[indices])

    def visible(self) -> Bool[Tensor, "n l"]:
        """Whether a centroid projects into the exposed field."""
        size = self.images.shape[2]
        inside = ((self.pixels >= 0) & (self.pixels <= size - 1)).all(dim=2)
        column, row = self.pixels.round().long().clamp(0, size - 1).unbind(dim=2)
        field = self.images[torch.arange(len(self.images))[:, None], 1, row, column]
        return inside & (field > 0.5)


def known_images(spine: KnownSpine, settings: OriginSettings, multiple: int, rng: np.random.Generator) -> KnownImages:
    """Prepare views of a spine, some of them; the isocenter is that of all.

    Raises:
        InputError: As :func:`reconstruction.origin.images.whole_views`.
    """
    training = settings.training
    whole = whole_views(spine.radiographs, settings.network.pixel_mm, multiple, training.size_px)
    count = min(training.views_per_case, len(whole.cameras))
    chosen = np.sort(rng.permutation(len(whole.cameras))[:count])
    points = np.stack([spine.levels.get(level, np.zeros(3)) for level in LUMBAR_LEVELS])
    # Behind the source there is no pixel; far outside is as good.
    pixels = np.nan_to_num(np.stack([whole.cameras[index].project(points) for index in chosen]), nan=-1e6)
    known = np.tile([level in spine.levels for level in LUMBAR_LEVELS], (count, 1))
    return KnownImages(
        torch.from_numpy(whole.images[chosen]), torch.from_numpy(pixels.astype(np.float32)), torch.from_numpy(known)
    )


def changed(
    shown: KnownImages, settings: AugmentationSettings, pixel_mm: float, generator: torch.Generator
) -> KnownImages:
    """Turn, scale, shift and mirror images, narrow their fields, and change their pixels."""
    count, size = len(shown.images), shown.images.shape[2]
    angle = torch.deg2rad(settings.rotation_deg * _uniform((count,), generator))
    mirror = torch.where(_uniform((count,), generator) < 0, -1.0, 1.0)
    turn = torch.stack([torch.cos(angle), -torch.sin(angle), torch.sin(angle), torch.cos(angle)], 1).view(-1, 2, 2)
    linear = turn * (1 + settings.scale * _uniform((count,), generator))[:, None, None]
    linear = linear * torch.stack([mirror, torch.ones(count)], 1)[:, None, :]
    shift_px = settings.shift_mm / pixel_mm * _uniform((count, 2), generator)
    middle = (size - 1) / 2
    pixels = (shown.pixels - middle) @ linear.transpose(1, 2) + shift_px[:, None] + middle
    images, fields = _warped(shown.images, linear, shift_px).unbind(dim=1)
    fields = (fields * _narrow_fields(count, size, settings, pixel_mm, generator) > 0.5).float()
    seed = int(torch.randint(2**31, (1,), generator=generator))
    streams = np.random.default_rng(seed).spawn(count)
    other = [
        augmented(image, field > 0, settings.pixels, stream)
        for image, field, stream in zip(images.numpy(), fields.numpy(), streams, strict=True)
    ]
    return KnownImages(torch.stack([torch.from_numpy(np.stack(other)), fields], dim=1), pixels, shown.known)


def _uniform(shape: tuple[int, ...], generator: torch.Generator) -> Float[Tensor, "*shape"]:
    """Draw between -1 and 1."""
    return 2 * torch.rand(shape, generator=generator) - 1


def _warped(
    images: Float[Tensor, "n 2 s s"], linear: Float[Tensor, "n 2 2"], shift_px: Float[Tensor, "n 2"]
) -> Float[Tensor, "n 2 s s"]:
    """Resample so that what was at x from the middle is at ``linear x + shift``; 0 comes in from outside."""
    inverse = torch.linalg.inv(linear)
    # grid_sample counts from the middle of the image in halves of its side.
    offset = -(inverse @ shift_px[:, :, None]) * (2 / images.shape[2])
    grid = nn.functional.affine_grid(torch.cat([inverse, offset], dim=2), list(images.shape), align_corners=False)
    return nn.functional.grid_sample(images, grid, align_corners=False)


def _narrow_fields(
    count: int, size: int, settings: AugmentationSettings, pixel_mm: float, generator: torch.Generator
) -> Float[Tensor, "n s s"]:
    """Draw rectangles, 1 inside: panels of other sizes, whose middles are where they may be."""
    low, high = settings.field_mm
    half_px = (low + (high - low) * (_uniform((count, 2), generator) + 1) / 2) / pixel_mm / 2
    middle_px = (size - 1) / 2 + settings.shift_mm / pixel_mm * _uniform((count, 2), generator)
    places = torch.arange(size, dtype=torch.float32)
    inside = (places - middle_px[..., None]).abs() <= half_px[..., None]
    return (inside[:, 1, :, None] & inside[:, 0, None, :]).float()
