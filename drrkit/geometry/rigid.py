"""Rigid transforms as 4x4 float64 matrices, named ``a_from_b``: ``a_from_b @ b_from_c`` cancels for the eye.

Translations are in millimeters, rotations in radians unless a name says ``_deg``.
"""

from collections.abc import Sequence
from functools import reduce
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from drrkit.errors import InputError

Matrix4 = Float[np.ndarray, "4 4"]
# Arrays or (nested) lists of numbers; numpy.typing.ArrayLike cannot be checked at run time.
ArrayLike = np.ndarray | Sequence[Any]

# Rotation matrices that were printed with six decimals pass; sheared or scaled ones do not.
ORTHONORMAL_TOLERANCE = 1e-5


def from_rotation_translation(rotation: ArrayLike, translation_mm: ArrayLike) -> Matrix4:
    """Build ``a_from_b`` from a 3x3 rotation and a 3-vector of millimeters."""
    transform = np.eye(4)
    transform[:3, :3] = rotation
    transform[:3, 3] = translation_mm
    return transform


def compose(*transforms: Matrix4) -> Matrix4:
    """Multiply left to right: ``compose(a_from_b, b_from_c) == a_from_c``."""
    return reduce(np.matmul, transforms, np.eye(4))


def invert(a_from_b: Matrix4) -> Matrix4:
    """Invert a rigid transform by its transpose, exact to rounding."""
    rotation = a_from_b[:3, :3]
    return from_rotation_translation(rotation.T, -rotation.T @ a_from_b[:3, 3])


def apply(a_from_b: Matrix4, points_b: ArrayLike) -> Float[np.ndarray, "*batch 3"]:
    """Map points of shape (..., 3) from frame b to frame a; any affine will do."""
    return np.asarray(points_b, dtype=np.float64) @ a_from_b[:3, :3].T + a_from_b[:3, 3]


def exp(twist: ArrayLike) -> Matrix4:
    """Map a twist to its rigid transform: the exponential of se(3).

    Args:
        twist: (6,) rotation vector in radians, then translation part in millimeters.

    Returns:
        The 4x4 transform; the identity at the zero twist.
    """
    twist = np.asarray(twist, dtype=np.float64)
    rotation_vector, translation_part = twist[:3], twist[3:]
    rotation = Rotation.from_rotvec(rotation_vector).as_matrix()
    return from_rotation_translation(rotation, _left_jacobian(rotation_vector) @ translation_part)


def log(a_from_b: Matrix4) -> Float[np.ndarray, " 6"]:
    """Map a rigid transform to its twist, the inverse of :func:`exp` for rotations below 180 degrees."""
    rotation_vector = Rotation.from_matrix(a_from_b[:3, :3]).as_rotvec()
    translation_part = np.linalg.solve(_left_jacobian(rotation_vector), a_from_b[:3, 3])
    return np.concatenate([rotation_vector, translation_part])


def geodesic_error(a_from_b: Matrix4, other_a_from_b: Matrix4) -> tuple[float, float]:
    """Measure how far two transforms are apart.

    Returns:
        The angle of the relative rotation in degrees, and the distance of the translations in millimeters.
    """
    relative = a_from_b[:3, :3].T @ other_a_from_b[:3, :3]
    rotation_deg = float(np.degrees(Rotation.from_matrix(relative).magnitude()))
    return rotation_deg, float(np.linalg.norm(a_from_b[:3, 3] - other_a_from_b[:3, 3]))


def check_rigid(transform: ArrayLike, where: str) -> Matrix4:
    """Return ``transform`` as a fresh float64 4x4 array, or say why it is not rigid.

    Raises:
        InputError: Wrong shape, not finite, rotation not orthonormal or left-handed, bad last row.
    """
    matrix = np.array(transform, dtype=np.float64)
    if matrix.shape != (4, 4):
        raise InputError(where, f"shape {matrix.shape}", "a 4x4 rigid transform")
    if not np.isfinite(matrix).all():
        raise InputError(where, "NaN or infinite entries", "finite numbers")
    if not np.allclose(matrix[3], [0, 0, 0, 1], atol=ORTHONORMAL_TOLERANCE):
        raise InputError(where, f"last row {matrix[3].tolist()}", "[0, 0, 0, 1]")
    rotation = matrix[:3, :3]
    defect = float(np.abs(rotation @ rotation.T - np.eye(3)).max())
    if defect > ORTHONORMAL_TOLERANCE:
        raise InputError(where, f"rotation off orthonormal by {defect:.2g}", "R R^T = I (no scale, no shear)")
    if np.linalg.det(rotation) < 0:
        raise InputError(
            where,
            "a reflected rotation (determinant -1)",
            "determinant +1; a mirrored image belongs into K (negative fx), never into the rotation",
        )
    return matrix


def _left_jacobian(rotation_vector: Float[np.ndarray, " 3"]) -> Float[np.ndarray, "3 3"]:
    """Left Jacobian of SO(3); its series keeps it finite at the identity (Sola et al. 2018, eq. 145)."""
    angle_rad = float(np.linalg.norm(rotation_vector))
    x, y, z = rotation_vector
    skew = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    if angle_rad < 1e-4:
        # Below this the closed form loses digits to cancellation; the next term is under 1e-17.
        first, second = 0.5 - angle_rad**2 / 24, 1 / 6 - angle_rad**2 / 120
    else:
        first = (1 - np.cos(angle_rad)) / angle_rad**2
        second = (angle_rad - np.sin(angle_rad)) / angle_rad**3
    return np.eye(3) + first * skew + second * skew @ skew
