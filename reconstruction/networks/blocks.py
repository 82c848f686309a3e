"""Building blocks that the 2-D and the 3-D parts share.

Every channel of every example is normalized for itself: the same with one example a batch as with many, in training as
in use. With several channels to a group, those that tell bone from air drown those that tell one level from the next,
and levels are learned late or not at all (docs/reconstruction.md).
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn


class ConvBlock2d(nn.Module):
    """Convolution, instance normalization, ReLU."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.norm = nn.InstanceNorm2d(outputs, affine=True)
        self.activation = nn.ReLU(inplace=True)

    def forward(self, x: Float[Tensor, "b i h w"]) -> Float[Tensor, "b o h2 w2"]:
        """Apply the block."""
        return self.activation(self.norm(self.conv(x)))


class ConvBlock3d(nn.Module):
    """Convolution, instance normalization, ReLU."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv3d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.norm = nn.InstanceNorm3d(outputs, affine=True)
        self.activation = nn.ReLU(inplace=True)

    def forward(self, x: Float[Tensor, "b i z y x"]) -> Float[Tensor, "b o z2 y2 x2"]:
        """Apply the block."""
        return self.activation(self.norm(self.conv(x)))


def coordinates(volume: Float[Tensor, "b c z y x"]) -> Float[Tensor, "b 3 z y x"]:
    """Where a voxel is in the grid, -1 to 1 along each axis: vertebrae that look alike differ by where they are."""
    axes = [torch.linspace(-1, 1, size, device=volume.device, dtype=volume.dtype) for size in volume.shape[2:]]
    return torch.stack(torch.meshgrid(*axes, indexing="ij")).expand(volume.shape[0], -1, -1, -1, -1)
