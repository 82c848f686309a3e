"""The 2-D encoder that all views share: a small U-Net from an image to feature maps."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

from reconstruction.networks.blocks import ConvBlock2d


class ImageEncoder(nn.Module):
    """A U-Net that ends at half the image's resolution, with finer features from full resolution beside it.

    Args:
        widths: Channels at full, 1/2, 1/4 ... resolution; at least two.
        outputs: Channels of the features at half resolution.
        fine_outputs: Channels of the features at full resolution; 0 for none.
    """

    def __init__(self, widths: Sequence[int], outputs: int, fine_outputs: int = 0) -> None:
        super().__init__()
        self.stem = ConvBlock2d(1, widths[0])
        self.down = nn.ModuleList(
            nn.Sequential(ConvBlock2d(before, after, stride=2), ConvBlock2d(after, after))
            for before, after in pairwise(widths)
        )
        self.up = nn.ModuleList(
            ConvBlock2d(below + here, here)
            for below, here in zip(reversed(widths[2:]), reversed(widths[1:-1]), strict=True)
        )
        self.upsample = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)
        self.head = nn.Conv2d(widths[1], outputs, 1)
        self.fine_head = (
            nn.Sequential(ConvBlock2d(widths[0] + widths[1], widths[0]), nn.Conv2d(widths[0], fine_outputs, 1))
            if fine_outputs
            else None
        )
        self.image_multiple = 2 ** (len(widths) - 1)

    def forward(
        self, images: Float[Tensor, "n 1 h w"]
    ) -> tuple[Float[Tensor, "n c h2 w2"], Float[Tensor, "n f h w"] | None]:
        """Return the features at half resolution, and those at full resolution if there are any."""
        full = self.stem(images)
        levels = [full]
        for down in self.down:
            levels.append(down(levels[-1]))
        x = levels[-1]
        for up, skip in zip(self.up, reversed(levels[1:-1]), strict=True):
            x = up(torch.cat([self.upsample(x), skip], dim=1))
        fine = None if self.fine_head is None else self.fine_head(torch.cat([full, self.upsample(x)], dim=1))
        return self.head(x), fine
