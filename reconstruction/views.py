"""From X-rays of any C-arm to what a network sees: one window, one pixel size, one scale of values."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

from drrkit.geometry.camera import Camera
from drrkit.radiograph import Radiograph
from reconstruction.grid import Grid
from reconstruction.model import ViewWindow


@dataclass(frozen=True, eq=False)
class PreparedViews:
    """Views ready for a network.

    Args:
        images: (V, 1, H, W) normalized line integrals; 0 outside the original image.
        pixel_from_grid: (V, 3, 4) homogeneous window pixels from voxel (x, y, z, 1); the third row is depth in mm.
        cameras: Those of the windows.
    """

    images: Float32[np.ndarray, "v 1 h w"]
    pixel_from_grid: Float32[np.ndarray, "v 3 4"]
    cameras: tuple[Camera, ...]


def prepare_views(radiographs: Sequence[Radiograph], grid: Grid, window: ViewWindow) -> PreparedViews:
    """Bring radiographs of any size and C-arm to the window of a network, with cameras that follow exactly.

    Raises:
        InputError: No radiograph, one without a camera, not line integrals, or a view that sees none of the grid.
    """
    raise NotImplementedError  # helper "data" writes it
