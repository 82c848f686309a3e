"""The 3-D U-Net that turns fused features into classes."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

from reconstruction.networks.blocks import ConvBlock3d


class VolumeUnet(nn.Module):
    """A U-Net whose output has twice the resolution of its input.

    Most of the work is done on the coarse copy of the grid, where a convolution costs an eighth.

    Args:
        inputs: Channels of the coarse input.
        widths: Channels at the input's resolution, 1/2, 1/4 ... of it.
        fine_inputs: Channels of an input at the output's resolution, joined just before the end; 0 for none.
        fine_width: Channels at the output's resolution.
        outputs: Classes.
    """

    def __init__(self, inputs: int, widths: Sequence[int], fine_inputs: int, fine_width: int, outputs: int) -> None:
        super().__init__()
        self.enter = nn.Sequential(ConvBlock3d(inputs, widths[0]), ConvBlock3d(widths[0], widths[0]))
        self.down = nn.ModuleList(
            nn.Sequential(ConvBlock3d(before, after, stride=2), ConvBlock3d(after, after))
            for before, after in pairwise(widths)
        )
        self.up = nn.ModuleList(
            nn.ConvTranspose3d(below, here, 2, stride=2)
            for below, here in zip(reversed(widths[1:]), reversed(widths[:-1]), strict=True)
        )
        self.join = nn.ModuleList(ConvBlock3d(2 * here, here) for here in reversed(widths[:-1]))
        self.refine_up = nn.ConvTranspose3d(widths[0], fine_width, 2, stride=2)
        self.refine = ConvBlock3d(fine_width + fine_inputs, fine_width)
        self.head = nn.Conv3d(fine_width, outputs, 1)
        # Of the fine grid.
        self.grid_multiple = 2 ** len(widths)

    def forward(
        self, coarse: Float[Tensor, "b i z2 y2 x2"], fine: Float[Tensor, "b f z y x"] | None
    ) -> Float[Tensor, "b o z y x"]:
        """Return logits at twice the resolution of ``coarse``."""
        levels = [self.enter(coarse)]
        for down in self.down:
            levels.append(down(levels[-1]))
        x = levels[-1]
        for up, join, skip in zip(self.up, self.join, reversed(levels[:-1]), strict=True):
            x = join(torch.cat([up(x), skip], dim=1))
        x = self.refine_up(x)
        return self.head(self.refine(x if fine is None else torch.cat([x, fine], dim=1)))
