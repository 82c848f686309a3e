"""xreg and DeepFluoro: LPS, pixel centers at integers, but the camera's z axis points toward the source.

With x along the columns and y along the rows that frame shows the image from the detector's side, as radiologists look
at it. So every camera of theirs is mirrored here (negative fx), and every camera that goes there must be.

Source: xregPerspectiveXform (MakeNaiveIntrins, kORIGIN_AT_FOCAL_PT_DET_NEG_Z); "Notes on Spatial Transforms" in
hdf5_layouts/Readme.md of DeepFluoroLabeling-IPCAI2020.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from drrkit.errors import InputError
from drrkit.geometry import rigid
from drrkit.geometry.camera import Camera
from drrkit.geometry.rigid import ArrayLike

# Half a turn about y: z then points to the detector, and x against the columns.
CAMERA_FROM_XREG = np.diag([-1.0, 1.0, -1.0, 1.0])


@dataclass(frozen=True, eq=False)
class XregView:
    """``proj-params`` of one view.

    Args:
        intrinsic: (3, 3) with negative focal entries.
        extrinsic: (4, 4) from world (LPS mm) to xreg's camera frame.
    """

    intrinsic: Float[np.ndarray, "3 3"]
    extrinsic: Float[np.ndarray, "4 4"]


def xreg_from_camera(camera: Camera) -> XregView:
    """Return intrinsic and extrinsic as xreg and DeepFluoro store them.

    Raises:
        InputError: A camera that is not mirrored.
    """
    if not camera.is_mirrored:
        raise InputError(
            "camera for xreg",
            "an image as the source sees it",
            "its mirror image: flip image and camera together (flipped_horizontally; --flip)",
        )
    intrinsic = -camera.pixel_from_camera @ CAMERA_FROM_XREG[:3, :3]
    return XregView(intrinsic, CAMERA_FROM_XREG @ camera.camera_from_world)


def camera_from_xreg(
    intrinsic: ArrayLike,
    extrinsic: ArrayLike,
    height: int,
    width: int,
    pixel_spacing_mm: tuple[float, float],
    ct_from_world: ArrayLike | None = None,
) -> Camera:
    """Build a camera from ``proj-params`` and, in DeepFluoro, the pose of a bone.

    Args:
        intrinsic: (3, 3). Negative focal entries: z toward the source. Positive ones: z toward the detector, xreg's
            other frame.
        extrinsic: (4, 4) from the C-arm's world to the camera frame.
        height: ``num-rows``.
        width: ``num-cols``.
        pixel_spacing_mm: (``pixel-row-spacing``, ``pixel-col-spacing``).
        ct_from_world: (4, 4) ``cam-to-pelvis-vol`` and its like, from the C-arm's world to the CT; the camera then
            looks at that CT.

    Raises:
        InputError: Focal entries of two signs, or numbers that make no camera.
    """
    matrix = np.array(intrinsic, dtype=np.float64)
    pose = rigid.check_rigid(extrinsic, "extrinsic")
    if ct_from_world is not None:
        pose = pose @ rigid.invert(rigid.check_rigid(ct_from_world, "ct_from_world"))
    if matrix.shape != (3, 3) or matrix[0, 0] * matrix[1, 1] <= 0:
        raise InputError("intrinsic", matrix.tolist(), "3 x 3 with two focal entries of one sign")
    if matrix[1, 1] < 0:
        matrix = -matrix @ CAMERA_FROM_XREG[:3, :3]
        pose = CAMERA_FROM_XREG @ pose
    return Camera(matrix, pose, height, width, pixel_spacing_mm)
