"""The 3-D U-Net that turns fused features into classes."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

from reconstruction.networks.blocks import ConvBlock3d, Doubling3d

# Most voxels are background; a network that starts by saying so need not learn it first.
_BACKGROUND_AT_START = 3.0


class VolumeUnet(nn.Module):
    """A U-Net that takes detail at the full resolution and does most of its work at half of it and below.

    A convolution of the coarse grid costs an eighth of one of the full grid.

    Args:
        inputs: Channels of the input at half resolution.
        fine_inputs: Channels of the input at full resolution; 0 for none.
        widths: Channels at half, a quarter ... of the resolution.
        fine_width: Channels at full resolution.
        outputs: Classes.
    """

    def __init__(self, inputs: int, fine_inputs: int, widths: Sequence[int], fine_width: int, outputs: int) -> None:
        super().__init__()
        self.enter_fine = ConvBlock3d(fine_inputs, fine_width) if fine_inputs else None
        self.fine_down = ConvBlock3d(fine_width, widths[0], stride=2) if fine_inputs else None
        joined = inputs + (widths[0] if fine_inputs else 0)
        self.enter = nn.Sequential(ConvBlock3d(joined, widths[0]), ConvBlock3d(widths[0], widths[0]))
        self.down = nn.ModuleList(
            nn.Sequential(ConvBlock3d(before, after, stride=2), ConvBlock3d(after, after))
            for before, after in pairwise(widths)
        )
        self.up = nn.ModuleList(
            Doubling3d(below, here) for below, here in zip(reversed(widths[1:]), reversed(widths[:-1]), strict=True)
        )
        self.join = nn.ModuleList(ConvBlock3d(2 * here, here) for here in reversed(widths[:-1]))
        self.fine_up = Doubling3d(widths[0], fine_width)
        self.refine = ConvBlock3d(fine_width * (2 if fine_inputs else 1), fine_width)
        self.head = nn.Conv3d(fine_width, outputs, 1)
        at_start = torch.zeros(outputs)
        at_start[0] = _BACKGROUND_AT_START
        self.head.bias = nn.Parameter(at_start)
        # Of the full grid.
        self.grid_multiple = 2 ** len(widths)

    def forward(
        self, coarse: Float[Tensor, "b i z2 y2 x2"], fine: Float[Tensor, "b f z y x"] | None
    ) -> Float[Tensor, "b o z y x"]:
        """Return logits at full resolution."""
        detail = None
        if self.enter_fine is not None and self.fine_down is not None and fine is not None:
            detail = self.enter_fine(fine)
            coarse = torch.cat([self.fine_down(detail), coarse], dim=1)
        levels = [self.enter(coarse)]
        for down in self.down:
            levels.append(down(levels[-1]))
        x = levels[-1]
        for up, join, skip in zip(self.up, self.join, reversed(levels[:-1]), strict=True):
            x = join(torch.cat([up(x), skip], dim=1))
        x = self.fine_up(x)
        return self.head(self.refine(x if detail is None else torch.cat([x, detail], dim=1)))
