"""OpenCV: rvec, tvec and camera matrix, pixel centers at integers; the world in the units of tvec, here mm (LPS)."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from drrkit.errors import InputError
from drrkit.geometry import rigid
from drrkit.geometry.camera import Camera
from drrkit.geometry.convert.matrix import refuse_skew
from drrkit.geometry.rigid import ArrayLike


@dataclass(frozen=True, eq=False)
class OpenCvView:
    """What ``cv2.projectPoints`` takes.

    Args:
        rvec: (3,) Rodrigues vector of world to camera, in radians.
        tvec: (3,) translation of world to camera, in millimeters.
        camera_matrix: (3, 3) K; a mirrored image has a negative fx.
    """

    rvec: Float[np.ndarray, " 3"]
    tvec: Float[np.ndarray, " 3"]
    camera_matrix: Float[np.ndarray, "3 3"]


def opencv_from_camera(camera: Camera) -> OpenCvView:
    """Return rvec, tvec and K.

    Raises:
        InputError: A skewed camera: OpenCV ignores the skew entry of K.
    """
    refuse_skew(camera, "OpenCV")
    pose = camera.camera_from_world
    return OpenCvView(
        Rotation.from_matrix(pose[:3, :3]).as_rotvec(), pose[:3, 3].copy(), camera.pixel_from_camera.copy()
    )


def camera_from_opencv(
    rvec: ArrayLike,
    tvec: ArrayLike,
    camera_matrix: ArrayLike,
    height: int,
    width: int,
    pixel_spacing_mm: tuple[float, float],
    dist_coeffs: ArrayLike = (),
) -> Camera:
    """Build a camera from OpenCV's numbers.

    Args:
        rvec: (3,), (3, 1) or (1, 3) Rodrigues vector.
        tvec: Likewise, in millimeters.
        camera_matrix: (3, 3) K. Its skew entry, which OpenCV ignores, must be 0.
        height: Image rows.
        width: Image columns.
        pixel_spacing_mm: (row, column) spacing at the detector; OpenCV does not know it.
        dist_coeffs: Must be empty or zero: a Camera is a pinhole.

    Raises:
        InputError: Lens distortion, a skew, or numbers that make no camera.
    """
    if np.any(np.asarray(dist_coeffs, dtype=np.float64)):
        raise InputError("dist_coeffs", "lens distortion", "none: undistort the image first (cv2.undistort)")
    matrix = np.array(camera_matrix, dtype=np.float64)
    if matrix.shape == (3, 3) and matrix[0, 1] != 0:
        raise InputError("camera_matrix", f"skew {matrix[0, 1]:g}", "0: OpenCV projects without it")
    rotation = Rotation.from_rotvec(np.reshape(np.asarray(rvec, dtype=np.float64), 3)).as_matrix()
    pose = rigid.from_rotation_translation(rotation, np.reshape(np.asarray(tvec, dtype=np.float64), 3))
    return Camera(matrix, pose, height, width, pixel_spacing_mm)
