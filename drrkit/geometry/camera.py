"""The calibrated X-ray camera: a focal spot, a flat detector, and the matrices between world and pixels.

World is LPS in millimeters. The camera frame has its origin in the focal spot, x along detector columns, y down the
rows and z from the source to the detector. Integer pixel coordinates are pixel centers, given as (u, v), column first.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from drrkit.errors import InputError
from drrkit.geometry import rigid
from drrkit.geometry.rigid import ArrayLike

# fx * column spacing and fy * row spacing are the same distance; calibration may leave them a little apart.
FOCAL_MISMATCH_LIMIT = 0.05


@dataclass(frozen=True, eq=False)
class Camera:
    """One calibrated view; valid when it exists.

    A negative ``fx`` marks a mirrored image. ``fy`` is always positive: a vertical flip is a half turn of the pose and
    a horizontal flip, so every camera has one normal form.

    Args:
        pixel_from_camera: (3, 3) K, upper triangular, in pixels.
        camera_from_world: (4, 4) rigid transform from world (LPS mm) to the camera frame.
        height: Detector rows.
        width: Detector columns.
        pixel_spacing_mm: (row spacing, column spacing) at the detector, in DICOM's order.

    Raises:
        InputError: A matrix, size or spacing that no real camera has.
    """

    pixel_from_camera: Float[np.ndarray, "3 3"]
    camera_from_world: Float[np.ndarray, "4 4"]
    height: int
    width: int
    pixel_spacing_mm: tuple[float, float]

    def __post_init__(self) -> None:
        matrix = _checked_intrinsics(self.pixel_from_camera)
        pose = rigid.check_rigid(self.camera_from_world, "camera_from_world")
        height, width = _checked_size(self.height, self.width)
        row_mm, column_mm = check_spacing(self.pixel_spacing_mm)
        from_columns_mm, from_rows_mm = abs(matrix[0, 0]) * column_mm, matrix[1, 1] * row_mm
        if abs(from_columns_mm - from_rows_mm) > FOCAL_MISMATCH_LIMIT * max(from_columns_mm, from_rows_mm):
            raise InputError(
                "camera",
                f"fx * column spacing = {from_columns_mm:.1f} mm, fy * row spacing = {from_rows_mm:.1f} mm",
                "one source-to-detector distance (is pixel_spacing_mm in the order [row, column]?)",
            )
        for name, array in (("pixel_from_camera", matrix), ("camera_from_world", pose)):
            array.setflags(write=False)
            object.__setattr__(self, name, array)
        object.__setattr__(self, "height", height)
        object.__setattr__(self, "width", width)
        object.__setattr__(self, "pixel_spacing_mm", (row_mm, column_mm))

    # ---- what the matrices say -------------------------------------------------------------------------------

    @property
    def pixel_from_world(self) -> Float[np.ndarray, "3 4"]:
        """The projection matrix P = K [R | t]."""
        return self.pixel_from_camera @ self.camera_from_world[:3]

    @property
    def world_from_camera(self) -> Float[np.ndarray, "4 4"]:
        """The inverse pose."""
        return rigid.invert(self.camera_from_world)

    @property
    def source_world(self) -> Float[np.ndarray, " 3"]:
        """The focal spot in world millimeters."""
        return self.world_from_camera[:3, 3]

    @property
    def view_direction_world(self) -> Float[np.ndarray, " 3"]:
        """Unit vector from the source toward the detector, normal to the detector."""
        return self.camera_from_world[2, :3].copy()

    @property
    def source_to_detector_mm(self) -> float:
        """Distance from the focal spot to the detector plane, from K and the spacing."""
        row_mm, column_mm = self.pixel_spacing_mm
        return float(abs(self.pixel_from_camera[0, 0]) * column_mm + self.pixel_from_camera[1, 1] * row_mm) / 2

    @property
    def focal_px(self) -> float:
        """Focal length in pixels: the mean of |fx| and fy, for sizes of things that are the same in every direction."""
        return float(np.abs(np.diag(self.pixel_from_camera)[:2]).mean())

    @property
    def is_mirrored(self) -> bool:
        """Whether the image is a mirror image of what the source sees."""
        return bool(self.pixel_from_camera[0, 0] < 0)

    def project(self, points_world: ArrayLike) -> Float[np.ndarray, "*batch 2"]:
        """Project world points of shape (..., 3) to pixels (u, v) of shape (..., 2); NaN behind the source."""
        points_camera = rigid.apply(self.camera_from_world, points_world)
        homogeneous = points_camera @ self.pixel_from_camera.T
        depth_mm = homogeneous[..., 2:]
        safe_depth_mm = np.where(depth_mm > 0, depth_mm, np.nan)
        return homogeneous[..., :2] / safe_depth_mm

    def depth_mm(self, points_world: ArrayLike) -> Float[np.ndarray, "*batch"]:
        """Distance of world points from the source along the detector normal."""
        return rigid.apply(self.camera_from_world, points_world)[..., 2]

    def detector_frame_world(
        self,
    ) -> tuple[Float[np.ndarray, " 3"], Float[np.ndarray, " 3"], Float[np.ndarray, " 3"]]:
        """Describe the detector in the world: where pixel (u, v) lies is ``corner + u * u_step + v * v_step``.

        Returns:
            The center of pixel (0, 0) and the steps to the next column and to the next row, all in millimeters.
        """
        camera_from_pixel = np.linalg.inv(self.pixel_from_camera) * self.source_to_detector_mm
        world_from_pixel = self.world_from_camera[:3, :3] @ camera_from_pixel
        return self.source_world + world_from_pixel[:, 2], world_from_pixel[:, 0], world_from_pixel[:, 1]

    def rays(self, pixels: ArrayLike) -> Float[np.ndarray, "*batch 3"]:
        """Back-project pixels (u, v) of shape (..., 2) to unit directions in the world, away from the source."""
        pixels = np.asarray(pixels, dtype=np.float64)
        corner, u_step, v_step = self.detector_frame_world()
        directions = corner - self.source_world + pixels[..., :1] * u_step + pixels[..., 1:] * v_step
        return directions / np.linalg.norm(directions, axis=-1, keepdims=True)

    # ---- the same view after the image was changed -----------------------------------------------------------

    def warped(self, new_pixel_from_pixel: ArrayLike, height: int, width: int) -> "Camera":
        """Follow an affine change of the image.

        A rotation of the image becomes a roll of the pose, so K stays upper triangular.

        Args:
            new_pixel_from_pixel: (3, 3) affine map of (u, v, 1).
            height: Rows of the new image.
            width: Columns of the new image.

        Raises:
            InputError: A map that is not affine or that has no inverse.
        """
        warp = np.asarray(new_pixel_from_pixel, dtype=np.float64)
        if warp.shape != (3, 3) or not np.array_equal(warp[2], [0, 0, 1]) or not abs(np.linalg.det(warp)) > 0:
            raise InputError(
                "new_pixel_from_pixel", warp.tolist(), "an invertible 3 x 3 affine with last row [0, 0, 1]"
            )
        matrix = warp @ self.pixel_from_camera
        pose = self.camera_from_world
        if matrix[1, 0] != 0 or matrix[1, 1] < 0:
            cosine, sine = np.array([matrix[1, 1], -matrix[1, 0]]) / np.hypot(matrix[1, 0], matrix[1, 1])
            roll = np.array([[cosine, sine, 0.0], [-sine, cosine, 0.0], [0.0, 0.0, 1.0]])
            matrix = matrix @ roll.T
            matrix[1, 0] = 0.0
            pose = rigid.from_rotation_translation(roll, np.zeros(3)) @ pose
        row_mm, column_mm = self.pixel_spacing_mm
        focal_mm = np.diag(np.diag(self.pixel_from_camera)[:2] * (column_mm, row_mm))
        step_mm = focal_mm @ np.linalg.inv(warp[:2, :2] @ self.pixel_from_camera[:2, :2])
        new_column_mm = float(np.hypot(*step_mm[:, 0]))
        # Rows of a sheared grid are as far apart as their pixels' area says.
        new_row_mm = abs(float(np.linalg.det(step_mm))) / new_column_mm
        return Camera(matrix, pose, height, width, (new_row_mm, new_column_mm))

    def cropped(self, top: int, left: int, height: int, width: int) -> "Camera":
        """Keep ``height`` x ``width`` pixels from (top, left); negative corners pad."""
        return self.warped([[1, 0, -left], [0, 1, -top], [0, 0, 1]], height, width)

    def resized(self, height: int, width: int) -> "Camera":
        """Resample the same detector area to another pixel count (pixel edges coincide, not pixel centers)."""
        scale_v, scale_u = height / self.height, width / self.width
        warp: list[list[float]] = [[scale_u, 0, (scale_u - 1) / 2], [0, scale_v, (scale_v - 1) / 2], [0, 0, 1]]
        return self.warped(warp, height, width)

    def flipped_horizontally(self) -> "Camera":
        """Mirror left and right: K gets a negative fx."""
        return self.warped([[-1, 0, self.width - 1], [0, 1, 0], [0, 0, 1]], self.height, self.width)

    def flipped_vertically(self) -> "Camera":
        """Mirror up and down: a half turn and a horizontal flip."""
        return self.warped([[1, 0, 0], [0, -1, self.height - 1], [0, 0, 1]], self.height, self.width)

    def rotated90(self, quarter_turns: int = 1) -> "Camera":
        """Turn the image counterclockwise by quarter turns, as ``numpy.rot90`` does."""
        camera = self
        for _ in range(quarter_turns % 4):
            warp = [[0, 1, 0], [-1, 0, camera.width - 1], [0, 0, 1]]
            camera = camera.warped(warp, camera.width, camera.height)
        return camera

    def rotated(self, angle_deg: float) -> "Camera":
        """Turn the image about its center, clockwise as seen on a screen, keeping its size."""
        cosine, sine = np.cos(np.radians(angle_deg)), np.sin(np.radians(angle_deg))
        center_u, center_v = (self.width - 1) / 2, (self.height - 1) / 2
        warp = [
            [cosine, -sine, center_u - cosine * center_u + sine * center_v],
            [sine, cosine, center_v - sine * center_u - cosine * center_v],
            [0, 0, 1],
        ]
        return self.warped(warp, self.height, self.width)

    # ---- records ---------------------------------------------------------------------------------------------

    def to_record(self, camera_id: str) -> dict[str, Any]:
        """Return this camera as an entry of a ``drrkit-camera/1`` file."""
        return {
            "id": camera_id,
            "K": self.pixel_from_camera.tolist(),
            "camera_from_world": self.camera_from_world.tolist(),
            "height": self.height,
            "width": self.width,
            "pixel_spacing_mm": list(self.pixel_spacing_mm),
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any], where: str = "camera record") -> "Camera":
        """Build a camera from an entry of a ``drrkit-camera/1`` file.

        Raises:
            InputError: A missing or unusable field; the message starts with ``where``.
        """
        wanted = ("K", "camera_from_world", "height", "width", "pixel_spacing_mm")
        missing = [name for name in wanted if name not in record]
        if missing:
            raise InputError(where, f"no {', '.join(missing)}", f"the fields {', '.join(wanted)}")
        try:
            return cls(
                _checked_intrinsics(record["K"]),
                rigid.check_rigid(record["camera_from_world"], "camera_from_world"),
                *_checked_size(record["height"], record["width"]),
                check_spacing(record["pixel_spacing_mm"]),
            )
        except InputError as error:
            raise InputError(f"{where}, {error.where}", error.found, error.wanted) from error
        except (TypeError, ValueError) as error:
            raise InputError(
                where, f"a field that is not numeric ({error})", "numbers as drrkit-camera/1 says"
            ) from error

    def allclose(self, other: "Camera", tolerance: float = 1e-6) -> bool:
        """Whether two cameras agree in size and, to ``tolerance``, in every matrix entry and spacing."""
        return (
            (self.height, self.width) == (other.height, other.width)
            and np.allclose(self.pixel_from_camera, other.pixel_from_camera, rtol=0, atol=tolerance)
            and np.allclose(self.camera_from_world, other.camera_from_world, rtol=0, atol=tolerance)
            and np.allclose(self.pixel_spacing_mm, other.pixel_spacing_mm, rtol=0, atol=tolerance)
        )


def check_spacing(pixel_spacing_mm: Any, where: str = "pixel_spacing_mm") -> tuple[float, float]:
    """Return (row, column) spacing as floats, or say why it is none.

    Raises:
        InputError: Not two positive numbers.
    """
    try:
        row_mm, column_mm = (float(spacing) for spacing in pixel_spacing_mm)
    except (TypeError, ValueError):
        row_mm = column_mm = np.nan
    if not (np.isfinite([row_mm, column_mm]).all() and row_mm > 0 and column_mm > 0):
        raise InputError(where, pixel_spacing_mm, "two positive numbers, row then column")
    return row_mm, column_mm


def _checked_size(height: Any, width: Any) -> tuple[int, int]:
    try:
        size = int(height), int(width)
    except (TypeError, ValueError, OverflowError):
        size = 0, 0
    if size != (height, width) or min(size) < 1:
        raise InputError("camera size", f"{height} x {width}", "whole numbers of pixels, at least 1 x 1")
    return size


def _checked_intrinsics(pixel_from_camera: ArrayLike) -> Float[np.ndarray, "3 3"]:
    matrix = np.array(pixel_from_camera, dtype=np.float64)
    if matrix.shape != (3, 3):
        raise InputError("K", f"shape {matrix.shape}", "3 x 3")
    if not np.isfinite(matrix).all():
        raise InputError("K", "NaN or infinite entries", "finite numbers")
    if not np.allclose(matrix[2], [0, 0, 1], atol=1e-9) or abs(matrix[1, 0]) > 1e-9 * abs(matrix[1, 1]):
        raise InputError("K", matrix.tolist(), "[[fx, skew, cx], [0, fy, cy], [0, 0, 1]]")
    if matrix[0, 0] == 0 or matrix[1, 1] <= 0:
        raise InputError(
            "K",
            f"fx = {matrix[0, 0]:g}, fy = {matrix[1, 1]:g}",
            "fy > 0 and fx not 0: the source lies off the detector plane, z points to the detector "
            "(xreg and DeepFluoro files have z toward the source: convert them first)",
        )
    return matrix
