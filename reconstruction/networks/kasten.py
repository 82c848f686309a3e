"""A counterpart without calibration: replicate an AP and a lateral along assumed rays, segment the volume in 3-D.

After Kasten, Doktofsky, Kovler, "End-to-end convolutional neural network for 3D reconstruction of knee bones from
bi-planar X-ray images", MLMIR 2020, arXiv 2004.00871: two X-rays at right angles fill a 3-D array, each replicated in
a channel of its own, and a CNN predicts the classes. Our choices: the 3-D part is the U-Net of the calibrated network,
with the position in the grid as input there as here, so that the two differ in what they know of the cameras; the
losses are those of the calibrated network as well; the paper's style transfer is not part of a network.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from reconstruction.networks.blocks import ConvBlock3d, coordinates
from reconstruction.networks.planes import VIEW_ROLES, check_grid, planes_of_views
from reconstruction.networks.unet import VolumeUnet

_COORDINATES = 3


class Kasten(nn.Module):
    """An AP and a lateral (see :mod:`reconstruction.networks.planes`) to logits; cameras are ignored.

    Args:
        classes: Number of classes with background.
        voxel_px: Side of a voxel in pixels: the grid's spacing over the pixel size of the window.
        enter_width: Channels that the replicated volume is reduced to, at every second voxel.
        volume_widths: Channels of the 3-D U-Net, from every second voxel down.
        fine_width: Channels at the full grid.
    """

    order_free = False
    view_roles = VIEW_ROLES

    def __init__(
        self, classes: int, voxel_px: float, enter_width: int, volume_widths: Sequence[int], fine_width: int
    ) -> None:
        super().__init__()
        self.voxel_px = voxel_px
        self.reduce = ConvBlock3d(len(VIEW_ROLES), enter_width, stride=2)
        self.unet = VolumeUnet(enter_width + _COORDINATES, len(VIEW_ROLES), volume_widths, fine_width, classes)
        self.grid_multiple: int = self.unet.grid_multiple

    def forward(
        self,
        images: Float[Tensor, "b v 1 h w"],
        pixel_from_grid: Float[Tensor, "b v 3 4"],
        grid_shape: tuple[int, int, int],
    ) -> Float[Tensor, "b c z y x"]:
        """Return logits of every class; the contract is in :mod:`reconstruction.networks`."""
        check_grid(grid_shape, self.grid_multiple)
        volume = replicated(*planes_of_views(images, grid_shape, self.voxel_px))
        coarse = self.reduce(volume)
        return self.unet(torch.cat([coarse, coordinates(coarse)], dim=1), volume)


def replicated(ap: Float[Tensor, "b 1 z x"], lateral: Float[Tensor, "b 1 z y"]) -> Float[Tensor, "b 2 z y x"]:
    """Replicate the AP along y and the lateral along x, each in its channel."""
    columns, rows = ap.shape[-1], lateral.shape[-1]
    along_y = ap.unsqueeze(3).expand(-1, -1, -1, rows, -1)
    along_x = lateral.unsqueeze(4).expand(-1, -1, -1, -1, columns)
    return torch.cat([along_y, along_x], dim=1)
