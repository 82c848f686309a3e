"""What a network learns from: views and the classes of every voxel of a grid, drawn from cases."""

from dataclasses import dataclass

from jaxtyping import Float32, UInt8
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Batch:
    """Examples with equally many views.

    Args:
        images: (B, V, 1, H, W) normalized windows.
        pixel_from_grid: (B, V, 3, 4) homogeneous window pixels from voxel (x, y, z, 1).
        classes: (B, Z, Y, X) class of every voxel, 0 for background.
    """

    images: Float32[Tensor, "b v 1 h w"]
    pixel_from_grid: Float32[Tensor, "b v 3 4"]
    classes: UInt8[Tensor, "b z y x"]
