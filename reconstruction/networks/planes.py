"""What networks without calibration assume: an AP and a lateral X-ray, at right angles, along the grid's axes.

View 0 is AP-like (the patient faces the detector, primary angle about 0) and view 1 lateral-like with the detector at
the patient's left (primary angle about +90). Images are upright and as the source sees them, as
:mod:`reconstruction.views` prepares them. For a grid along the patient's axes (LPS) that means: rows run against z,
columns of the AP against x, and columns of the lateral against y. A PA view, or a lateral with the detector at the
right, shows the same mirrored: flip its columns (``images.flip(-1)``) before it comes here. Whoever chooses the views
does so, because nothing here looks at a camera; what is known without calibration is only how large a voxel is in the
middle of the image. Views after the second are ignored.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from drrkit.errors import InputError

VIEW_ROLES = ("ap", "lateral-left")


def planes_of_views(
    images: Float[Tensor, "b v 1 h w"], grid_shape: tuple[int, int, int], voxel_px: float, samples_per_voxel: int = 1
) -> tuple[Float[Tensor, "b 1 zs xs"], Float[Tensor, "b 1 zs ys"]]:
    """Resample the AP to the grid's (z, x) plane and the lateral to its (z, y) plane.

    The middle of an image is the middle of the grid. Samples are means over their area, or linear between pixels where
    samples are finer than pixels; outside the image is zero.

    Args:
        images: Views; the first two are the AP and the lateral.
        grid_shape: (Z, Y, X).
        voxel_px: Side of a voxel in pixels, at the depth of the grid's middle.
        samples_per_voxel: Samples along the side of a voxel, to keep what the image shows finer than the grid.

    Returns:
        Both planes, in the order of the grid's axes.

    Raises:
        InputError: Fewer than two views.
    """
    if images.shape[1] < len(VIEW_ROLES):
        raise InputError("views", f"{images.shape[1]} of them", "two: an AP, then a lateral with the detector left")
    height, width = images.shape[-2:]
    sample_px = voxel_px / samples_per_voxel
    rows, lateral_columns, ap_columns = (
        _resampling(size * samples_per_voxel, length, sample_px).to(images)
        for size, length in zip(grid_shape, (height, width, width), strict=True)
    )
    return rows @ images[:, 0] @ ap_columns.T, rows @ images[:, 1] @ lateral_columns.T


def check_grid(grid_shape: tuple[int, int, int], multiple: int) -> None:
    """Assert that a network can halve a grid as often as it has to.

    Raises:
        InputError: A side that is not a multiple.
    """
    if any(size < multiple or size % multiple for size in grid_shape):
        raise InputError("grid", f"shape {tuple(grid_shape)}", f"sides (Z, Y, X) that are multiples of {multiple}")


def _resampling(samples: int, pixels: int, sample_px: float) -> Float[Tensor, "samples pixels"]:
    """Weights of pixels in samples about the same middle, the first sample at the last pixels.

    A sample's weights are the overlap of its interval with the pixels'. An interval of one pixel makes this linear
    interpolation, so intervals are never shorter.
    """
    middles = (pixels - 1) / 2 - (torch.arange(samples, dtype=torch.float64) - (samples - 1) / 2) * sample_px
    width_px = max(sample_px, 1.0)
    places = torch.arange(pixels, dtype=torch.float64)
    start = torch.maximum((middles - width_px / 2)[:, None], places - 0.5)
    end = torch.minimum((middles + width_px / 2)[:, None], places + 0.5)
    return (end - start).clamp(min=0) / width_px
