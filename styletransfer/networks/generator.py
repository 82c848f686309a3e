"""The generator of all methods: a plain U-Net, whose every pixel has a limited view."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from drrkit.errors import InputError
from styletransfer.networks.blocks import ConvBlock, Normalization

_STEM_PX = 5
# Sides of the surroundings that a pixel is compared with, and factors that bring the difference to about 1. The edge of
# a thin process is a hundredth of the range of a real image: too little for bfloat16, but not as a difference.
_DETAILS = ((5, 16.0), (17, 6.0))


class Generator(nn.Module):
    """A U-Net from an image of one domain to an image of the other, both in the scale of networks.

    Beside the image it is shown how each pixel differs from the mean of its surroundings, small and larger.
    Coarse features are brought up by bilinear resizing and a convolution: transposed convolutions leave checkerboards
    (Odena et al. 2016).

    Args:
        widths: Channels at full, 1/2, 1/4 ... resolution; at least two. Multiples of 16 are fast.
        normalization: ``batch``; or ``none``, for methods whose generators see images of several kinds in one step.

    Raises:
        InputError: Fewer than two widths, or an unknown normalization.
    """

    def __init__(self, widths: Sequence[int], normalization: Normalization) -> None:
        super().__init__()
        if len(widths) < 2:
            raise InputError("generator, widths", list(widths), "two or more")
        stem = nn.Conv2d(1 + len(_DETAILS), widths[0], _STEM_PX, padding=_STEM_PX // 2)
        self.stem = nn.Sequential(stem, nn.SiLU(inplace=True), ConvBlock(widths[0], widths[0], normalization))
        self.down = nn.ModuleList(
            nn.Sequential(ConvBlock(before, after, normalization, stride=2), ConvBlock(after, after, normalization))
            for before, after in pairwise(widths)
        )
        self.up = nn.ModuleList(
            ConvBlock(below + here, here, normalization)
            for below, here in zip(reversed(widths[1:]), reversed(widths[:-1]), strict=True)
        )
        self.upsample = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)
        self.head = nn.Conv2d(widths[0], 1, 3, padding=1)
        self.multiple_px = 2 ** (len(widths) - 1)

    @property
    def reach_px(self) -> int:
        """How far from a pixel what decides on it may lie, along rows and along columns."""
        levels = range(1, len(self.down) + 1)
        contracting = sum(2 ** (level - 1) + 2**level for level in levels)
        expanding = sum(2**level + 2 ** (level - 1) for level in levels)
        stem, head = max(side_px for side_px, _ in _DETAILS) // 2 + _STEM_PX // 2 + 1, 1
        return stem + contracting + expanding + head

    def features(self, image: Float[Tensor, "b 1 h w"]) -> list[Tensor]:
        """Return the features of the contracting half, finest first: (B, widths[n], H / 2^n, W / 2^n)."""
        levels = [self.stem(with_details(image))]
        for down in self.down:
            levels.append(down(levels[-1]))
        return levels

    def forward(self, image: Float[Tensor, "b 1 h w"]) -> Float[Tensor, "b 1 h w"]:
        """Translate; height and width are multiples of ``multiple_px``."""
        *skips, x = self.features(image)
        for up, skip in zip(self.up, reversed(skips), strict=True):
            x = up(torch.cat([self.upsample(x), skip], dim=1))
        return self.head(x)


def with_details(image: Float[Tensor, "b 1 h w"]) -> Float[Tensor, "b c h w"]:
    """Return an image and, as further channels, what it is above the mean of its surroundings."""
    details = [factor * (image - _surroundings(image, side_px)) for side_px, factor in _DETAILS]
    return torch.cat([image, *details], dim=1)


def _surroundings(image: Tensor, side_px: int) -> Tensor:
    """Average over a square about each pixel, as far as the image reaches."""
    half = side_px // 2
    along_rows = functional.avg_pool2d(image, (1, side_px), stride=1, padding=(0, half), count_include_pad=False)
    return functional.avg_pool2d(along_rows, (side_px, 1), stride=1, padding=(half, 0), count_include_pad=False)
