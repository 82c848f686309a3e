"""A C-arm: machine numbers and DICOM positioner angles in, a Camera out.

Angles are those of DICOM PS3.3 C.8.7.5 (X-Ray Positioner), patient-based, in degrees: primary 0 has the patient facing
the detector, +90 the detector at the patient's left (LAO); positive secondary angles move the detector cranially. In
world coordinates (LPS) the detector lies from the isocenter along

    d = (sin p cos s, -cos p cos s, sin s).

Images are as the source sees them, head up: at (0, 0) the patient's right is on the right of the image. Mirror with
``Radiograph.flipped_horizontally`` for the view from the detector, as it is usually displayed.
"""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from drrkit.errors import InputError
from drrkit.geometry import rigid
from drrkit.geometry.camera import Camera, check_spacing
from drrkit.geometry.rigid import ArrayLike


@dataclass(frozen=True)
class CArm:
    """An isocentric C-arm with a flat detector; valid when it exists.

    Args:
        source_to_detector_mm: Focal spot to detector plane (DICOM 0018,1110).
        source_to_isocenter_mm: Focal spot to the center of rotation (DICOM 0018,9402).
        height: Detector rows.
        width: Detector columns.
        pixel_spacing_mm: (row, column) spacing at the detector (DICOM 0018,1164).
        principal_point_px: (u, v) where the central ray meets the detector; None for its center.
        source: Where the numbers come from.

    Raises:
        InputError: A size or distance that no machine has, or an isocenter beyond the detector.
    """

    source_to_detector_mm: float
    source_to_isocenter_mm: float
    height: int
    width: int
    pixel_spacing_mm: tuple[float, float]
    principal_point_px: tuple[float, float] | None = None
    source: str = ""

    def __post_init__(self) -> None:
        if not 0 < self.source_to_isocenter_mm < self.source_to_detector_mm < np.inf:
            raise InputError(
                "C-arm",
                f"source to isocenter {self.source_to_isocenter_mm} mm, to detector {self.source_to_detector_mm} mm",
                "0 < source to isocenter < source to detector (the isocenter lies between the two)",
            )
        camera = self.camera(0.0, 0.0)  # the camera's own checks cover size and spacing
        # One spelling of every number (1000 and 1000.0), so that equal machines hash alike when written out.
        center = self.principal_point_px
        for name, value in (
            ("source_to_detector_mm", float(self.source_to_detector_mm)),
            ("source_to_isocenter_mm", float(self.source_to_isocenter_mm)),
            ("height", camera.height),
            ("width", camera.width),
            ("pixel_spacing_mm", camera.pixel_spacing_mm),
            ("principal_point_px", None if center is None else tuple(camera.pixel_from_camera[:2, 2].tolist())),
        ):
            object.__setattr__(self, name, value)

    @property
    def pixel_from_camera(self) -> Float[np.ndarray, "3 3"]:
        """K."""
        row_mm, column_mm = check_spacing(self.pixel_spacing_mm, "C-arm pixel_spacing_mm")
        center_u, center_v = self.principal_point_px or ((self.width - 1) / 2, (self.height - 1) / 2)
        return np.array(
            [
                [self.source_to_detector_mm / column_mm, 0.0, center_u],
                [0.0, self.source_to_detector_mm / row_mm, center_v],
                [0.0, 0.0, 1.0],
            ]
        )

    def camera(
        self,
        primary_deg: float,
        secondary_deg: float,
        roll_deg: float = 0.0,
        isocenter_world: ArrayLike = (0.0, 0.0, 0.0),
    ) -> Camera:
        """Place the C-arm.

        Args:
            primary_deg: DICOM positioner primary angle (0018,1510).
            secondary_deg: DICOM positioner secondary angle (0018,1511).
            roll_deg: Turns the image clockwise as seen on a screen, about the central ray.
            isocenter_world: (3,) center of rotation in world millimeters.
        """
        rotation = rotation_from_angles(primary_deg, secondary_deg, roll_deg)
        translation = np.array([0.0, 0.0, self.source_to_isocenter_mm]) - rotation @ np.asarray(isocenter_world, float)
        pose = rigid.from_rotation_translation(rotation, translation)
        return Camera(self.pixel_from_camera, pose, self.height, self.width, self.pixel_spacing_mm)

    def resized(self, height: int, width: int) -> "CArm":
        """Return the same detector area read out with other pixels."""
        camera = self.camera(0.0, 0.0).resized(height, width)
        center = None if self.principal_point_px is None else tuple(camera.pixel_from_camera[:2, 2].tolist())
        return replace(
            self, height=height, width=width, pixel_spacing_mm=camera.pixel_spacing_mm, principal_point_px=center
        )

    def with_detector(self, height: int, width: int, pixel_spacing_mm: tuple[float, float]) -> "CArm":
        """Return the same gantry with another, centered detector."""
        return replace(self, height=height, width=width, pixel_spacing_mm=pixel_spacing_mm, principal_point_px=None)


def rotation_from_angles(primary_deg: float, secondary_deg: float, roll_deg: float = 0.0) -> Float[np.ndarray, "3 3"]:
    """Rotation camera_from_world of DICOM positioner angles and an in-plane roll, all in degrees."""
    primary, secondary, roll = np.radians([primary_deg, secondary_deg, roll_deg])
    to_detector = np.array(
        [np.sin(primary) * np.cos(secondary), -np.cos(primary) * np.cos(secondary), np.sin(secondary)]
    )
    # Rows run against the direction in which a growing secondary angle moves the detector: toward the feet.
    down = -np.array([-np.sin(primary) * np.sin(secondary), np.cos(primary) * np.sin(secondary), np.cos(secondary)])
    right = np.cross(down, to_detector)
    cosine, sine = np.cos(roll), np.sin(roll)
    in_plane = np.array([[cosine, -sine, 0.0], [sine, cosine, 0.0], [0.0, 0.0, 1.0]])
    return in_plane @ np.stack([right, down, to_detector])


def angles_from_camera(camera: Camera) -> tuple[float, float, float]:
    """Read primary, secondary and roll, in degrees, off a camera; the inverse of :meth:`CArm.camera`.

    At a secondary angle of +-90 degrees primary and roll turn about the same axis; all of it is then called primary.
    """
    rotation = camera.camera_from_world[:3, :3]
    x, y, z = rotation[2]
    secondary_deg = float(np.degrees(np.arcsin(np.clip(z, -1, 1))))
    if np.hypot(x, y) < 1e-9:
        direction = rotation[1, :2] * np.sign(z)
        return float(np.degrees(np.arctan2(direction[0], -direction[1]))), secondary_deg, 0.0
    primary_deg = float(np.degrees(np.arctan2(x, -y)))
    unrolled = rotation_from_angles(primary_deg, secondary_deg)
    roll = rotation @ unrolled.T
    return primary_deg, secondary_deg, float(np.degrees(np.arctan2(roll[1, 0], roll[0, 0])))
