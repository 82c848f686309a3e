"""DICOM X-ray angiography: positioner angles, distances and ImagerPixelSpacing, plus the isocenter, which DICOM lacks.

Pixels are stored as radiologists look at them, the patient facing the viewer, which is the mirror image of what the
source sees; ``mirrored`` tells which of the two a camera is to describe.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from drrkit.geometry import rigid
from drrkit.geometry.camera import Camera
from drrkit.geometry.carm import CArm, angles_from_camera
from drrkit.geometry.convert.matrix import refuse_skew
from drrkit.geometry.rigid import ArrayLike


@dataclass(frozen=True, eq=False)
class DicomView:
    """The geometry tags of one frame, and what they leave out.

    Args:
        positioner_primary_angle: (0018,1510) in degrees, + to the patient's left (LAO).
        positioner_secondary_angle: (0018,1511) in degrees, + to the head.
        distance_source_to_detector: (0018,1110) in millimeters.
        distance_source_to_isocenter: (0018,9402), or DistanceSourceToPatient (0018,1111).
        rows: (0028,0010).
        columns: (0028,0011).
        imager_pixel_spacing: (0018,1164), row then column, in millimeters.
        isocenter_world: (3,) center of rotation in world millimeters; no tag.
        roll_deg: Turn of the image, clockwise on a screen; no tag.
        principal_point_px: (u, v) where the perpendicular from the source meets the detector, counted in the image as
            stored; None for its center; no tag.
        mirrored: Whether the pixels are stored as radiologists look at them.
    """

    positioner_primary_angle: float
    positioner_secondary_angle: float
    distance_source_to_detector: float
    distance_source_to_isocenter: float
    rows: int
    columns: int
    imager_pixel_spacing: tuple[float, float]
    isocenter_world: Float[np.ndarray, " 3"]
    roll_deg: float = 0.0
    principal_point_px: tuple[float, float] | None = None
    mirrored: bool = False


def camera_from_dicom(view: DicomView) -> Camera:
    """Place the camera that the tags describe.

    Raises:
        InputError: Distances, sizes or spacings that no machine has.
    """
    center = view.principal_point_px
    if view.mirrored and center is not None:
        center = (view.columns - 1 - center[0], center[1])
    carm = CArm(
        view.distance_source_to_detector,
        view.distance_source_to_isocenter,
        view.rows,
        view.columns,
        view.imager_pixel_spacing,
        center,
    )
    camera = carm.camera(
        view.positioner_primary_angle, view.positioner_secondary_angle, view.roll_deg, view.isocenter_world
    )
    return camera.flipped_horizontally() if view.mirrored else camera


def dicom_from_camera(camera: Camera, isocenter_world: ArrayLike) -> DicomView:
    """Return the tags of a view.

    Args:
        camera: The view.
        isocenter_world: (3,) center of rotation in world millimeters. A calibrated beam misses it a little: the result
            holds the point of the central ray that is nearest to it, so that nothing is lost.

    Raises:
        InputError: A skewed camera, or an isocenter that is not between source and detector.
    """
    refuse_skew(camera, "DICOM")
    as_seen = camera.flipped_horizontally() if camera.is_mirrored else camera
    primary_deg, secondary_deg, roll_deg = angles_from_camera(as_seen)
    distance_mm = float(as_seen.depth_mm(np.asarray(isocenter_world, dtype=np.float64)))
    foot = rigid.apply(as_seen.world_from_camera, [0.0, 0.0, distance_mm])
    principal_u, principal_v = camera.pixel_from_camera[:2, 2].tolist()
    view = DicomView(
        primary_deg,
        secondary_deg,
        camera.source_to_detector_mm,
        distance_mm,
        camera.height,
        camera.width,
        camera.pixel_spacing_mm,
        foot,
        roll_deg,
        (principal_u, principal_v),
        camera.is_mirrored,
    )
    camera_from_dicom(view)  # its checks cover the distances
    return view
