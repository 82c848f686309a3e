"""RTK: nine parameters a projection, rotation about y; the detector's pixels stand in the projection image's header.

RTK calls its fixed frame IEC 61217, but its programs take the physical coordinates of the CT file as they are, so a CT
that ITK reads (LPS) meets RTK's geometry in LPS: that is the default here. ``IEC_FROM_LPS`` serves geometries of
machines that really count in IEC 61217.

With a plain image header (x to the right, y along the rows) RTK's detector is seen against the beam: a mirrored image.
For a camera that is not mirrored the header's x axis runs backwards (direction -1), which :class:`RtkDetector` says.

Source: rtkThreeDCircularProjectionGeometry.cxx; the matrices of RTK 2.7 are pinned in the tests.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from drrkit.errors import InputError
from drrkit.geometry import rigid
from drrkit.geometry.camera import Camera
from drrkit.geometry.convert.euler import rotation_from_zxy, zxy_from_rotation
from drrkit.geometry.convert.matrix import camera_from_detector_frame, refuse_skew
from drrkit.geometry.rigid import ArrayLike

# IEC 61217 for a patient lying head first and supine: x to the patient's left, y to the head, z to the front.
IEC_FROM_LPS = np.array([[1.0, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 0], [0, 0, 0, 1]])
IEC_FROM_LPS.setflags(write=False)


@dataclass(frozen=True)
class RtkProjection:
    """The nine parameters of ``AddProjection``, named as in RTK's XML; angles in degrees, lengths in millimeters."""

    source_to_isocenter_distance: float
    source_to_detector_distance: float
    gantry_angle: float
    projection_offset_x: float = 0.0
    projection_offset_y: float = 0.0
    out_of_plane_angle: float = 0.0
    in_plane_angle: float = 0.0
    source_offset_x: float = 0.0
    source_offset_y: float = 0.0


@dataclass(frozen=True)
class RtkDetector:
    """What the header of the projection image says.

    Args:
        height: Rows.
        width: Columns.
        spacing_mm: (x, y), ITK's order: column spacing first.
        origin_mm: (x, y) of pixel (0, 0) in the detector's plane; None puts the image's center at 0.
        direction_x: 1, or -1 where columns run against RTK's x axis.
    """

    height: int
    width: int
    spacing_mm: tuple[float, float]
    origin_mm: tuple[float, float] | None = None
    direction_x: int = 1

    @property
    def corner_mm(self) -> tuple[float, float]:
        """Where pixel (0, 0) lies in the detector's plane."""
        if self.origin_mm is not None:
            return self.origin_mm
        x_mm, y_mm = self.spacing_mm
        return -self.direction_x * x_mm * (self.width - 1) / 2, -y_mm * (self.height - 1) / 2


def rtk_from_camera(camera: Camera, fixed_from_world: ArrayLike | None = None) -> tuple[RtkProjection, RtkDetector]:
    """Return the nine parameters and the image header that belongs to them.

    Args:
        camera: The view.
        fixed_from_world: (4, 4) from world (LPS) to RTK's fixed frame; None for the frame in which ITK reads the CT.

    Raises:
        InputError: A skewed camera.
    """
    refuse_skew(camera, "RTK")
    fixed = _fixed_from_world(fixed_from_world)
    corner_world, u_world, v_world = camera.detector_frame_world()
    source, corner = rigid.apply(fixed, camera.source_world), rigid.apply(fixed, corner_world)
    u_step, v_step = fixed[:3, :3] @ u_world, fixed[:3, :3] @ v_world
    direction_x = 1 if camera.is_mirrored else -1
    spacing_mm = float(np.linalg.norm(u_step)), float(np.linalg.norm(v_step))
    x_axis, y_axis = direction_x * u_step / spacing_mm[0], v_step / spacing_mm[1]
    to_source = np.cross(x_axis, y_axis)
    rotation = np.stack([x_axis, y_axis, to_source])
    in_plane, out_of_plane, gantry = -np.degrees(zxy_from_rotation(rotation))
    center = corner + u_step * (camera.width - 1) / 2 + v_step * (camera.height - 1) / 2
    projection = RtkProjection(
        source_to_isocenter_distance=float(to_source @ source),
        source_to_detector_distance=float(to_source @ (source - center)),
        gantry_angle=float(gantry % 360),
        projection_offset_x=float(x_axis @ center),
        projection_offset_y=float(y_axis @ center),
        out_of_plane_angle=float(out_of_plane % 360),
        in_plane_angle=float(in_plane % 360),
        source_offset_x=float(x_axis @ source),
        source_offset_y=float(y_axis @ source),
    )
    return projection, RtkDetector(camera.height, camera.width, spacing_mm, None, direction_x)


def camera_from_rtk(
    projection: RtkProjection, detector: RtkDetector, fixed_from_world: ArrayLike | None = None
) -> Camera:
    """Build a camera from nine parameters and an image header.

    Args:
        projection: The nine parameters.
        detector: The header of the projection image.
        fixed_from_world: (4, 4) from world (LPS) to RTK's fixed frame; None for the frame in which ITK reads the CT.

    Raises:
        InputError: A parallel beam, or a header that is none.
    """
    if projection.source_to_detector_distance <= 0:
        raise InputError(
            "RTK projection",
            f"source to detector {projection.source_to_detector_distance} mm",
            "more than 0 (RTK writes 0 for a parallel beam, which is no camera)",
        )
    if detector.direction_x not in (1, -1):
        raise InputError("RTK detector", f"direction {detector.direction_x}", "1 or -1")
    fixed_from_detector = _rotation(projection).T
    x_axis, y_axis, to_source = fixed_from_detector.T
    corner_x_mm, corner_y_mm = detector.corner_mm
    depth_mm = projection.source_to_isocenter_distance - projection.source_to_detector_distance
    source = fixed_from_detector @ [
        projection.source_offset_x,
        projection.source_offset_y,
        projection.source_to_isocenter_distance,
    ]
    corner = (
        x_axis * (projection.projection_offset_x + corner_x_mm)
        + y_axis * (projection.projection_offset_y + corner_y_mm)
        + to_source * depth_mm
    )
    x_mm, y_mm = detector.spacing_mm
    world = rigid.invert(_fixed_from_world(fixed_from_world))
    return camera_from_detector_frame(
        rigid.apply(world, source),
        rigid.apply(world, corner),
        world[:3, :3] @ x_axis * (detector.direction_x * x_mm),
        world[:3, :3] @ y_axis * y_mm,
        detector.height,
        detector.width,
    )


def matrix_from_rtk(projection: RtkProjection) -> Float[np.ndarray, "3 4"]:
    """Return RTK's own 3x4 matrix: fixed frame to millimeters in the detector's plane, as its XML files hold it."""
    distance_mm, offset_x_mm, offset_y_mm = (
        projection.source_to_detector_distance,
        projection.source_offset_x,
        projection.source_offset_y,
    )
    shift = np.eye(3)
    shift[:2, 2] = offset_x_mm - projection.projection_offset_x, offset_y_mm - projection.projection_offset_y
    magnify = np.diag([-distance_mm, -distance_mm, 1.0])
    to_source_mm = [[offset_x_mm], [offset_y_mm], [projection.source_to_isocenter_distance]]
    return shift @ magnify @ np.hstack([_rotation(projection), -np.array(to_source_mm)])


def _rotation(projection: RtkProjection) -> Float[np.ndarray, "3 3"]:
    angles_deg = [projection.in_plane_angle, projection.out_of_plane_angle, projection.gantry_angle]
    return rotation_from_zxy(-np.radians(angles_deg))


def _fixed_from_world(fixed_from_world: ArrayLike | None) -> Float[np.ndarray, "4 4"]:
    return np.eye(4) if fixed_from_world is None else rigid.check_rigid(fixed_from_world, "fixed_from_world")
