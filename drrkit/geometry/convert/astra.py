"""ASTRA ``cone_vec``: twelve numbers a view: source, detector center, step to the next column, step to the next row.

ASTRA's world has no anatomy. Its volumes lie about its origin unless ``create_vol_geom`` is given windows, so the
origin's place in the patient is a parameter here.
"""

import numpy as np
from jaxtyping import Float

from drrkit.errors import InputError
from drrkit.geometry.camera import Camera
from drrkit.geometry.convert.matrix import camera_from_detector_frame
from drrkit.geometry.rigid import ArrayLike


def astra_from_camera(camera: Camera, origin_world: ArrayLike = (0.0, 0.0, 0.0)) -> Float[np.ndarray, " 12"]:
    """Return the row of ``cone_vec`` vectors of this view, for a detector of ``camera.height`` x ``camera.width``.

    Args:
        camera: The view; mirrored and skewed ones are no obstacle.
        origin_world: (3,) where ASTRA's origin is, in world millimeters; the CT's center for a volume geometry
            without windows.
    """
    corner, u_step, v_step = camera.detector_frame_world()
    center = corner + u_step * (camera.width - 1) / 2 + v_step * (camera.height - 1) / 2
    origin = np.asarray(origin_world, dtype=np.float64)
    return np.concatenate([camera.source_world - origin, center - origin, u_step, v_step])


def camera_from_astra(vector: ArrayLike, height: int, width: int, origin_world: ArrayLike = (0.0, 0.0, 0.0)) -> Camera:
    """Build a camera from one row of ``cone_vec`` vectors.

    Args:
        vector: (12,) source, detector center, u, v, in millimeters.
        height: ``det_row_count``.
        width: ``det_col_count``.
        origin_world: (3,) where ASTRA's origin is, in world millimeters.

    Raises:
        InputError: Not twelve numbers, or a detector without area.
    """
    numbers = np.asarray(vector, dtype=np.float64)
    if numbers.shape != (12,):
        raise InputError("cone_vec", f"shape {numbers.shape}", "12 numbers: source, detector center, u, v")
    source, center, u_step, v_step = numbers.reshape(4, 3)
    origin = np.asarray(origin_world, dtype=np.float64)
    corner = center - u_step * (width - 1) / 2 - v_step * (height - 1) / 2
    return camera_from_detector_frame(source + origin, corner + origin, u_step, v_step, height, width)
