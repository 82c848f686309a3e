"""DeepDRR: K and E world-to-camera, a world of its own beside the anatomical frame (RAS), samples at index + 0.5.

``world_from_anatomical`` places the patient in DeepDRR's world; NIfTI volumes have a RAS anatomical frame, others may
be LPS. Pixel edges are at integers, so the principal point is half a pixel larger than here.

Source: killeengeo (``CameraProjection``), deepdrr/projector/project_kernel.cu (u = index + 0.5), deepdrr/vol/volume.py.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from drrkit.errors import InputError
from drrkit.geometry import rigid
from drrkit.geometry.camera import Camera
from drrkit.geometry.convert.matrix import RAS_FROM_LPS, refuse_mirrored
from drrkit.geometry.rigid import ArrayLike

HALF_PIXEL = 0.5


@dataclass(frozen=True, eq=False)
class DeepDrrView:
    """What ``geo.CameraProjection(intrinsic, extrinsic)`` and ``CameraProjectionDevice`` take.

    Args:
        intrinsic: (3, 3) ``index_from_camera2d``.
        extrinsic: (4, 4) ``camera3d_from_world``, the world being DeepDRR's.
        sensor_height: Rows. Set it: DeepDRR guesses twice the principal point else.
        sensor_width: Columns.
        pixel_size: Millimeters at the detector.
    """

    intrinsic: Float[np.ndarray, "3 3"]
    extrinsic: Float[np.ndarray, "4 4"]
    sensor_height: int
    sensor_width: int
    pixel_size: float


def deepdrr_from_camera(
    camera: Camera, world_from_anatomical: ArrayLike | None = None, anatomical_frame: str = "RAS"
) -> DeepDrrView:
    """Return DeepDRR's numbers of a view.

    Args:
        camera: The view.
        world_from_anatomical: (4, 4) of the volume in DeepDRR; None for the identity.
        anatomical_frame: ``anatomical_coordinate_system`` of the volume.

    Raises:
        InputError: A mirrored camera, or pixels that are not square: DeepDRR has neither.
    """
    refuse_mirrored(camera, "DeepDRR")
    row_mm, column_mm = camera.pixel_spacing_mm
    if abs(row_mm - column_mm) > 1e-6 * row_mm:
        raise InputError("camera for DeepDRR", f"pixels of {row_mm} x {column_mm} mm", "square pixels: resize the view")
    intrinsic = camera.pixel_from_camera.copy()
    intrinsic[:2, 2] += HALF_PIXEL
    extrinsic = camera.camera_from_world @ rigid.invert(_deepdrr_from_world(world_from_anatomical, anatomical_frame))
    return DeepDrrView(intrinsic, extrinsic, camera.height, camera.width, column_mm)


def camera_from_deepdrr(
    view: DeepDrrView, world_from_anatomical: ArrayLike | None = None, anatomical_frame: str = "RAS"
) -> Camera:
    """Build a camera from DeepDRR's numbers.

    Args:
        view: Intrinsic, extrinsic and sensor.
        world_from_anatomical: (4, 4) of the volume in DeepDRR; None for the identity.
        anatomical_frame: ``anatomical_coordinate_system`` of the volume.

    Raises:
        InputError: Numbers that make no camera.
    """
    intrinsic = np.array(view.intrinsic, dtype=np.float64)
    if intrinsic.shape != (3, 3):
        raise InputError("intrinsic", f"shape {intrinsic.shape}", "3 x 3")
    intrinsic[:2, 2] -= HALF_PIXEL
    pose = rigid.check_rigid(view.extrinsic, "extrinsic") @ _deepdrr_from_world(world_from_anatomical, anatomical_frame)
    return Camera(intrinsic, pose, view.sensor_height, view.sensor_width, (view.pixel_size, view.pixel_size))


def _deepdrr_from_world(world_from_anatomical: ArrayLike | None, anatomical_frame: str) -> Float[np.ndarray, "4 4"]:
    if anatomical_frame not in ("RAS", "LPS"):
        raise InputError("anatomical_frame", anatomical_frame, "RAS or LPS")
    anatomical_from_lps = RAS_FROM_LPS if anatomical_frame == "RAS" else np.eye(4)
    if world_from_anatomical is None:
        return anatomical_from_lps.copy()
    return rigid.check_rigid(world_from_anatomical, "world_from_anatomical") @ anatomical_from_lps
