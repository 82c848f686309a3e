"""A counterpart without calibration: encode AP and lateral in 2-D, grow the missing axis, join and decode in 3-D.

After TwoDPermuteConcat of the public benchmark by Shakya and Khanal ("Benchmarking encoder-decoder architectures for
biplanar X-ray to 3D bone shape reconstruction", NeurIPS 2023 Datasets and Benchmarks, arXiv 2309.13587; code
naamiinepal/xrayto3D-benchmark), which follows TransVert (Bayat et al., "Inferring the 3D standing spine posture from
2D radiographs", MICCAI 2020). As there: one encoder a view, the missing axis grown from one voxel by transposed
convolutions, volumes joined by channel, and a decoder without skip connections.

Our choices: group in place of batch normalization (batches are small), upsampling convolutions of 2 and a last
convolution of 3 voxels, and a linear resize of the grown axis where the grid asks for another length.
"""

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from drrkit.errors import InputError
from reconstruction.networks.blocks import ConvBlock3d
from reconstruction.networks.planes import VIEW_ROLES, check_grid, planes_of_views

# Axes of (batch, channel, z, y, x) that an X-ray along them does not show.
_AP_RAY_AXIS, _LATERAL_RAY_AXIS = 3, 4


class PermuteConcat(nn.Module):
    """An AP and a lateral (see :mod:`reconstruction.networks.planes`) to logits; cameras are ignored.

    Args:
        classes: Number of classes with background.
        voxel_px: Side of a voxel in pixels: the grid's spacing over the pixel size of the window.
        samples_per_voxel: Image samples along the side of a voxel that the encoders see.
        encoder_widths: Channels after each 2-D convolution.
        encoder_strides: 1 or 2 for each of them.
        encoder_kernel_px: Side of the 2-D convolutions, in samples; odd.
        expansion_width: Channels while the missing axis grows.
        expansion_stages: How often the missing axis doubles, from one voxel.
        decoder_widths: Channels after each 3-D convolution; the last of them double the resolution, as often as the
            encoders halved that of the grid.
    """

    order_free = False
    view_roles = VIEW_ROLES

    def __init__(
        self,
        classes: int,
        voxel_px: float,
        samples_per_voxel: int,
        encoder_widths: Sequence[int],
        encoder_strides: Sequence[int],
        encoder_kernel_px: int,
        expansion_width: int,
        expansion_stages: int,
        decoder_widths: Sequence[int],
    ) -> None:
        super().__init__()
        doublings = _doublings(encoder_widths, encoder_strides, samples_per_voxel, decoder_widths)
        self.voxel_px = voxel_px
        self.samples_per_voxel = samples_per_voxel
        self.grid_multiple = 2**doublings
        encoder = (encoder_widths, encoder_strides, encoder_kernel_px)
        self.ap_encoder, self.lateral_encoder = _encoder(*encoder), _encoder(*encoder)
        widths = [encoder_widths[-1]] + [expansion_width] * expansion_stages
        self.ap_expansion = _expansion(widths, _AP_RAY_AXIS)
        self.lateral_expansion = _expansion(widths, _LATERAL_RAY_AXIS)
        self.decoder = _decoder([2 * widths[-1], *decoder_widths], doublings)
        self.head = nn.Conv3d(decoder_widths[-1], classes, 3, padding=1)

    def forward(
        self,
        images: Float[Tensor, "b v 1 h w"],
        pixel_from_grid: Float[Tensor, "b v 3 4"],
        grid_shape: tuple[int, int, int],
    ) -> Float[Tensor, "b c z y x"]:
        """Return logits of every class; the contract is in :mod:`reconstruction.networks`."""
        check_grid(grid_shape, self.grid_multiple)
        ap, lateral = planes_of_views(images, grid_shape, self.voxel_px, self.samples_per_voxel)
        along_y = self.ap_expansion(self.ap_encoder(ap).unsqueeze(_AP_RAY_AXIS))
        along_x = self.lateral_expansion(self.lateral_encoder(lateral).unsqueeze(_LATERAL_RAY_AXIS))
        size = [length // self.grid_multiple for length in grid_shape]
        return self.head(self.decoder(torch.cat([_sized(along_y, size), _sized(along_x, size)], dim=1)))


def _doublings(
    encoder_widths: Sequence[int], strides: Sequence[int], samples_per_voxel: int, decoder_widths: Sequence[int]
) -> int:
    if len(encoder_widths) != len(strides):
        found = f"{len(encoder_widths)} encoder_widths and {len(strides)} encoder_strides"
        raise InputError("permute-concat", found, "as many of one as of the other")
    reduction = math.prod(strides)
    doublings = round(math.log2(max(reduction / samples_per_voxel, 1)))
    if 2**doublings * samples_per_voxel != reduction or not doublings <= len(decoder_widths):
        found = f"strides {tuple(strides)}, {samples_per_voxel} samples a voxel, {len(decoder_widths)} decoder_widths"
        raise InputError("permute-concat", found, "a grid that is halved a whole number of times, once a decoder width")
    return doublings


def _encoder(widths: Sequence[int], strides: Sequence[int], kernel_px: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for inputs, outputs, stride in zip([1, *widths[:-1]], widths, strides, strict=True):
        convolution = nn.Conv2d(inputs, outputs, kernel_px, stride=stride, padding=kernel_px // 2, bias=False)
        layers += [convolution, nn.InstanceNorm2d(outputs, affine=True), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


def _expansion(widths: Sequence[int], axis: int) -> nn.Sequential:
    doubled = (1, 2, 1) if axis == _AP_RAY_AXIS else (1, 1, 2)
    added = (0, 1, 0) if axis == _AP_RAY_AXIS else (0, 0, 1)
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths):
        grow = nn.ConvTranspose3d(inputs, outputs, 3, stride=doubled, padding=1, output_padding=added, bias=False)
        layers += [grow, nn.InstanceNorm3d(outputs, affine=True), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


def _decoder(widths: Sequence[int], doublings: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    stages = len(widths) - 1
    for number, (inputs, outputs) in enumerate(pairwise(widths)):
        if number < stages - doublings:
            layers.append(ConvBlock3d(inputs, outputs))
        else:
            double = nn.ConvTranspose3d(inputs, outputs, 2, stride=2, bias=False)
            layers += [double, nn.InstanceNorm3d(outputs, affine=True), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


def _sized(volume: Float[Tensor, "b c z1 y1 x1"], size: list[int]) -> Float[Tensor, "b c z y x"]:
    if list(volume.shape[2:]) == size:
        return volume
    return functional.interpolate(volume, size=size, mode="trilinear", align_corners=False)
