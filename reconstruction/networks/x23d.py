"""The calibrated network: encode every view, back-project through its camera, fuse, and decode in 3-D.

After X23D (Jecklin et al., J. Imaging 2022, 8(10):271), a learnt stereo machine that is fed the calibration. Its text
does not give the layers: widths, depths, the two resolutions, the in-image mask, the relative depth, and mean and
spread as the default fusion are this project's choice.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from drrkit.errors import InputError
from reconstruction.networks.backprojection import backproject
from reconstruction.networks.blocks import coordinates
from reconstruction.networks.encoder import ImageEncoder
from reconstruction.networks.fusion import FUSIONS
from reconstruction.networks.unet import VolumeUnet

_COORDINATES = 3


class X23D(nn.Module):
    """Any number of calibrated views to logits in a grid that stands anywhere.

    Args:
        classes: Number of classes with background.
        image_widths: Channels of the encoder, at full, 1/2, 1/4 ... resolution.
        features: Channels that are back-projected to the coarse grid (every second voxel).
        fine_features: Channels that are back-projected to the full grid; 0 for none.
        volume_widths: Channels of the 3-D U-Net, from the coarse grid down.
        fine_width: Channels at the full grid.
        fusion: Name in ``FUSIONS``.
    """

    def __init__(
        self,
        classes: int,
        image_widths: Sequence[int],
        features: int,
        fine_features: int,
        volume_widths: Sequence[int],
        fine_width: int,
        fusion: str,
    ) -> None:
        super().__init__()
        if fusion not in FUSIONS:
            raise InputError("x23d, fusion", fusion, " or ".join(FUSIONS))
        self.encoder = ImageEncoder(image_widths, features, fine_features)
        # One channel more: the depth.
        self.fusion = FUSIONS[fusion](features + 1)
        self.fine_fusion = FUSIONS["mean-spread"](fine_features) if fine_features else None
        inputs = int(self.fusion.out_channels) + _COORDINATES  # type: ignore[arg-type]
        fine_inputs = 0 if self.fine_fusion is None else int(self.fine_fusion.out_channels)  # type: ignore[arg-type]
        self.unet = VolumeUnet(inputs, fine_inputs, volume_widths, fine_width, classes)
        self.grid_multiple: int = self.unet.grid_multiple
        self.order_free = bool(self.fusion.order_free)

    def forward(
        self,
        images: Float[Tensor, "b v 1 h w"],
        pixel_from_grid: Float[Tensor, "b v 3 4"],
        grid_shape: tuple[int, int, int],
    ) -> Float[Tensor, "b c z y x"]:
        """Return logits of every class; the contract is in :mod:`reconstruction.networks`."""
        batch, views, _, height, width = images.shape
        if any(size % self.grid_multiple for size in grid_shape):
            raise InputError("x23d", f"a grid of {tuple(grid_shape)} voxels", f"multiples of {self.grid_multiple}")
        if height % self.encoder.image_multiple or width % self.encoder.image_multiple:
            found = f"images of {height} x {width}"
            raise InputError("x23d", found, f"multiples of {self.encoder.image_multiple} pixels")
        cameras = pixel_from_grid.flatten(0, 1)
        maps, fine_maps = self.encoder(images.flatten(0, 1))
        features, inside, depth = backproject(maps, cameras, grid_shape, pixels_per_feature=2, voxels_per_sample=2)
        coarse = self.fusion(
            torch.cat([features, depth], dim=1).unflatten(0, (batch, views)), inside.unflatten(0, (batch, views))
        )
        coarse = torch.cat([coarse, coordinates(coarse)], dim=1)
        fine = None
        if self.fine_fusion is not None and fine_maps is not None:
            features, inside, _ = backproject(fine_maps, cameras, grid_shape)
            fine = self.fine_fusion(features.unflatten(0, (batch, views)), inside.unflatten(0, (batch, views)))
        return self.unet(coarse, fine)
