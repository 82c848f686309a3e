"""Building blocks that the 2-D and the 3-D parts share.

Every channel of every example is normalized for itself: the same with one example a batch as with many, in training as
in use. With several channels to a group, those that tell bone from air drown those that tell one level from the next,
and levels are learned late or not at all (docs/reconstruction.md).
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional


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
        return self.activation(self._normalized(self.conv(x)))

    def _normalized(self, x: Float[Tensor, "b c z y x"]) -> Float[Tensor, "b c z y x"]:
        norm = self.norm
        if x.shape[0] > 1 or not torch.is_grad_enabled():
            return norm(x)
        # Of one example, batch and instance are the same; and batch_norm does not move the channels to and fro.
        return functional.batch_norm(x, None, None, norm.weight, norm.bias, training=True, eps=norm.eps)


class Doubling3d(nn.ConvTranspose3d):
    """A transposed convolution that makes 2 x 2 x 2 voxels of each, as the matrix product that it is.

    Libraries take twice as long for its slope.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 2, stride=2)

    # A transposed convolution may be asked for another size; this one has just one.
    def forward(self, x: Float[Tensor, "b i z y x"]) -> Float[Tensor, "b o z2 y2 x2"]:  # type: ignore[override]
        """Return the grid of twice as many voxels along each side."""
        batch, _, depth, height, width = x.shape
        # (i, (z y x o)), and voxels with channels last.
        kernel = self.weight.permute(0, 2, 3, 4, 1).flatten(1)
        blocks = (x.permute(0, 2, 3, 4, 1) @ kernel).view(batch, depth, height, width, 2, 2, 2, self.out_channels)
        doubled = blocks.permute(0, 1, 4, 2, 5, 3, 6, 7).reshape(batch, 2 * depth, 2 * height, 2 * width, -1)
        assert self.bias is not None  # it was asked for
        return (doubled + self.bias.to(doubled.dtype)).permute(0, 4, 1, 2, 3)


def coordinates(volume: Float[Tensor, "b c z y x"]) -> Float[Tensor, "b 3 z y x"]:
    """Where a voxel is in the grid, -1 to 1 along each axis: vertebrae that look alike differ by where they are."""
    axes = [torch.linspace(-1, 1, size, device=volume.device, dtype=volume.dtype) for size in volume.shape[2:]]
    return torch.stack(torch.meshgrid(*axes, indexing="ij")).expand(volume.shape[0], -1, -1, -1, -1)
