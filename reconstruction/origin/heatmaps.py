"""A small 2D network that says where in a whole X-ray each lumbar level is, if it is there at all."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

INPUT_CHANNELS = 2  # the image, and where it was exposed


class LevelHeatmaps(nn.Module):
    """A U-Net below full resolution: one heat map a level, and a score for "outside the image".

    Args:
        levels: Number of levels.
        stride: Input pixels a cell of the heat maps.
        widths: Channels from fine to coarse.
    """

    def __init__(self, levels: int, stride: int, widths: Sequence[int]) -> None:
        super().__init__()
        self.stride, self.multiple = stride, stride * 2 ** (len(widths) - 1)
        self.stem = nn.Conv2d(INPUT_CHANNELS, widths[0], 2 * stride - 1, stride, stride - 1)
        self.down = nn.ModuleList(_block(a, b) for a, b in zip((widths[0], *widths), widths, strict=False))
        self.up = nn.ModuleList(_block(coarse + fine, fine) for fine, coarse in pairwise(widths))
        self.heat = nn.Conv2d(widths[0], levels, 1)
        self.outside = nn.Linear(widths[-1], levels)

    def forward(self, images: Float[Tensor, "b 2 h w"]) -> Float[Tensor, "b l cells"]:
        """Return log-probabilities that a level's centroid is in each cell (row by row) and, last, in none.

        Args:
            images: Normalized whole images and their exposed fields; sides are multiples of ``multiple``.
        """
        features = self.stem(images)
        kept = []
        for number, block in enumerate(self.down):
            features = block(features if number == 0 else nn.functional.avg_pool2d(features, 2))
            kept.append(features)
        outside = self.outside(features.mean(dim=(2, 3)))
        for block, fine in zip(reversed(self.up), reversed(kept[:-1]), strict=True):
            features = nn.functional.interpolate(features, scale_factor=2, mode="bilinear", align_corners=False)
            features = block(torch.cat([features, fine], dim=1))
        scores = torch.cat([self.heat(features).flatten(2), outside[:, :, None]], dim=2)
        return nn.functional.log_softmax(scores, dim=2)


def _block(inputs: int, outputs: int) -> nn.Sequential:
    """Two convolutions; groups of four channels are normalized alone, so that batches of one image are fine."""
    layers: list[nn.Module] = []
    for channels in (inputs, outputs):
        layers += [nn.Conv2d(channels, outputs, 3, padding=1), nn.GroupNorm(outputs // 4, outputs), nn.ReLU()]
    return nn.Sequential(*layers)


def pixel_from_cell(cells: Float[Tensor, "*batch"], stride: int) -> Float[Tensor, "*batch"]:
    """Turn heat-map coordinates into input pixels; both have integers at centers."""
    return (cells + 0.5) * stride - 0.5
