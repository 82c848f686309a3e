"""Calibrated back-projection: every voxel looks up, in every view, the feature of the pixel that it projects to.

Sampling is the 4-D grid_sample on the 2-D feature maps, which ONNX has everywhere (the 5-D one it has not). Features
outside an image are zero and the voxel counts as unseen there; repeating the border's pixels, as is often done, would
invent bone outside of what the detector saw.
"""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional


def backproject(
    features: Float[Tensor, "v c h w"],
    pixel_from_grid: Float[Tensor, "v 3 4"],
    grid_shape: tuple[int, int, int],
    pixels_per_feature: int = 1,
    voxels_per_sample: int = 1,
) -> tuple[Float[Tensor, "v c z y x"], Float[Tensor, "v 1 z y x"], Float[Tensor, "v 1 z y x"]]:
    """Carry image features into the grid.

    Args:
        features: Feature maps of the views, ``pixels_per_feature`` times smaller than the images.
        pixel_from_grid: Homogeneous image pixels from voxel (x, y, z, 1); the third row is the depth in millimeters.
        grid_shape: (Z, Y, X) of the full grid.
        pixels_per_feature: Image pixels along the side of one feature.
        voxels_per_sample: Grid voxels along the side of one sample: the output is that many times smaller than the grid
            and sampled at the middle of each block of voxels.

    Returns:
        The features of every view; 1 where the sample falls into that view's image, else 0; and the depth behind the
        middle of the grid over half the grid's height, so about -1 to 1 whatever the machine, 0 where unseen.
    """
    views, _, height, width = features.shape
    depth_size, row_size, column_size = (size // voxels_per_sample for size in grid_shape)
    projection = pixel_from_grid.float()
    z, y, x = (
        torch.arange(size, device=projection.device) * float(voxels_per_sample) + (voxels_per_sample - 1) / 2
        for size in (depth_size, row_size, column_size)
    )
    by_x, by_y, by_z, constant = projection.reshape(views, 3, 4, 1, 1, 1).unbind(dim=2)
    projected = by_x * x + (by_y * y.reshape(-1, 1) + (by_z * z.reshape(-1, 1, 1) + constant))
    u, v, depth_mm = projected.unbind(dim=1)
    per_depth = 2 / depth_mm.clamp(min=1e-3)
    # Pixel u of the image is feature (u + 0.5) / n - 0.5; without align_corners, -1 and 1 are the outer edges.
    across = (u * per_depth + 1) / (pixels_per_feature * width) - 1
    down = (v * per_depth + 1) / (pixels_per_feature * height) - 1
    inside = ((depth_mm > 0) & (across.abs() < 1) & (down.abs() < 1)).unsqueeze(1).to(features.dtype)
    places = torch.stack([across, down], dim=-1).reshape(views, depth_size, row_size * column_size, 2)
    # In single precision also where features are bfloat16: with its 8 bits a place would be off by half a pixel.
    sampled = functional.grid_sample(
        features.float(), places, mode="bilinear", padding_mode="zeros", align_corners=False
    ).reshape(views, -1, depth_size, row_size, column_size)
    sampled = sampled.to(features.dtype)
    middle = [(size - 1) / 2 for size in reversed(grid_shape)]
    middle_mm = projection[:, 2, 3] + sum(projection[:, 2, axis] * middle[axis] for axis in range(3))
    # The third row is a rotation's row times the voxel size.
    half_height_mm = projection[:, 2, :3].norm(dim=-1) * (grid_shape[0] / 2)
    relative = (depth_mm - middle_mm.reshape(-1, 1, 1, 1)) / half_height_mm.reshape(-1, 1, 1, 1)
    return sampled * inside, inside, relative.unsqueeze(1).to(features.dtype) * inside
