"""Bare projection matrices and detector frames: what all other tools come down to."""

import numpy as np
from jaxtyping import Float
from scipy.linalg import rq

from drrkit.errors import InputError
from drrkit.geometry import rigid
from drrkit.geometry.camera import Camera
from drrkit.geometry.rigid import ArrayLike

# Both ways: left and right, front and back change their signs. DICOM and ITK are LPS; NIfTI and Slicer are RAS.
RAS_FROM_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
RAS_FROM_LPS.setflags(write=False)

# A shear below this many pixels over the whole image is rounding.
SHEAR_TOLERANCE_PX = 0.01


def camera_from_matrix(
    pixel_from_world: ArrayLike,
    height: int,
    width: int,
    pixel_spacing_mm: tuple[float, float],
    seen_world: ArrayLike | None = None,
    pixel_center: float = 0.0,
) -> Camera:
    """Decompose a 3x4 projection matrix of any scale and sign.

    P and -P project alike, so a matrix does not say on which side of the source the detector is: a view and the
    mirrored view from the opposite side share one matrix. A point that the view shows settles it.

    Args:
        pixel_from_world: (3, 4) P, from world (LPS mm) to pixels.
        height: Detector rows.
        width: Detector columns.
        pixel_spacing_mm: (row, column) spacing at the detector.
        seen_world: (3,) a point between source and detector, for example the CT's center. Without it the image is
            taken to be not mirrored.
        pixel_center: Where P puts the center of the first pixel: 0 (as here) or 0.5 (pixel edges at integers).

    Raises:
        InputError: A matrix that is no perspective projection, or one that does not fit the spacing.
    """
    matrix = np.array(pixel_from_world, dtype=np.float64)
    if matrix.shape != (3, 4) or not np.isfinite(matrix).all():
        raise InputError("projection matrix", f"shape {matrix.shape}, or entries that are not finite", "a finite 3 x 4")
    depth_scale = float(np.linalg.norm(matrix[2, :3]))
    if depth_scale == 0 or np.linalg.cond(matrix[:, :3]) > 1e12:
        raise InputError(
            "projection matrix", "a singular left 3 x 3 block", "a cone beam (a source at finite distance)"
        )
    matrix /= depth_scale
    matrix[:2] -= pixel_center * matrix[2]
    if seen_world is None:
        matrix *= np.sign(np.linalg.det(matrix[:, :3]))
    else:
        depth_mm = float(matrix[2, :3] @ np.asarray(seen_world, dtype=np.float64) + matrix[2, 3])
        if depth_mm == 0:
            raise InputError("seen_world", "a point beside the source", "a point between source and detector")
        matrix *= np.sign(depth_mm)
    intrinsics, rotation = rq(matrix[:, :3])
    signs = np.sign(np.diag(intrinsics))
    if np.linalg.det(rotation) * signs.prod() < 0:
        signs[0] = -signs[0]  # a mirrored image: the only sign that is free
    intrinsics, rotation = intrinsics * signs, signs[:, None] * rotation
    pose = rigid.from_rotation_translation(rotation, np.linalg.solve(intrinsics, matrix[:, 3]))
    return Camera(intrinsics / intrinsics[2, 2], pose, height, width, pixel_spacing_mm)


def matrix_from_camera(camera: Camera, pixel_center: float = 0.0) -> Float[np.ndarray, "3 4"]:
    """Return P = K [R | t], its third row giving millimeters of depth.

    Args:
        camera: The view.
        pixel_center: Where the center of the first pixel is to be: 0, or 0.5 for tools with pixel edges at integers.
    """
    matrix = camera.pixel_from_world
    matrix[:2] += pixel_center * matrix[2]
    return matrix


def camera_from_detector_frame(
    source_world: ArrayLike, corner_world: ArrayLike, u_step: ArrayLike, v_step: ArrayLike, height: int, width: int
) -> Camera:
    """Build a camera from points in space, the inverse of :meth:`Camera.detector_frame_world`.

    Args:
        source_world: (3,) focal spot.
        corner_world: (3,) center of pixel (0, 0).
        u_step: (3,) from a pixel to the next column, in millimeters.
        v_step: (3,) from a pixel to the next row, in millimeters.
        height: Detector rows.
        width: Detector columns.

    Raises:
        InputError: A detector without area, or a source in its plane.
    """
    source, corner, u, v = (np.asarray(v, dtype=np.float64) for v in (source_world, corner_world, u_step, v_step))
    world_from_pixel = np.stack([u, v, corner - source], axis=1)
    column_mm = float(np.linalg.norm(u))
    area_mm2 = float(np.linalg.norm(np.cross(u, v)))
    if not (np.isfinite(world_from_pixel).all() and area_mm2 > 0 and abs(np.linalg.det(world_from_pixel)) > 0):
        raise InputError("detector", "no area, or the source in its plane", "two steps that span it, a source off it")
    rotation = np.linalg.inv(world_from_pixel)
    matrix = np.concatenate([rotation, -(rotation @ source)[:, None]], axis=1)
    return camera_from_matrix(matrix, height, width, (area_mm2 / column_mm, column_mm), seen_world=corner)


def refuse_mirrored(camera: Camera, tool: str) -> None:
    """Stop where a tool has no mirrored images.

    Raises:
        InputError: The camera is mirrored.
    """
    if camera.is_mirrored:
        raise InputError(
            f"camera for {tool}",
            "a mirrored image (negative fx)",
            "an image as the source sees it: flip image and camera together (flipped_horizontally; --flip)",
        )


def refuse_skew(camera: Camera, tool: str) -> None:
    """Stop where a tool has only rectangular pixels.

    Raises:
        InputError: The camera's pixel grid is sheared.
    """
    shear_px = abs(camera.pixel_from_camera[0, 1] / camera.pixel_from_camera[1, 1]) * camera.height
    if shear_px > SHEAR_TOLERANCE_PX:
        raise InputError(
            f"camera for {tool}",
            f"a skew of {shear_px:.2f} px over the image",
            "rectangular pixels: resample the image",
        )
