"""3D Slicer and ITK: markups (.mrk.json) with their coordinate system, and transforms (.tfm) from fixed to moving.

An ITK transform file maps points of the fixed space to the moving one, in LPS. A camera's file maps world to camera, so
that in Slicer a model in camera coordinates (a C-arm, a frustum), put under this transform, stands where it is in the
patient. Slicer shows the inverse matrix, in RAS.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from drrkit.errors import InputError
from drrkit.geometry import rigid
from drrkit.geometry.camera import Camera
from drrkit.geometry.convert.euler import rotation_from_zxy
from drrkit.geometry.convert.matrix import RAS_FROM_LPS
from drrkit.geometry.rigid import ArrayLike

MARKUPS_SCHEMA = (
    "https://raw.githubusercontent.com/slicer/slicer/master/Modules/Loadable/Markups/Resources/Schema/"
    "markups-schema-v1.0.3.json#"
)


def itk_from_camera(camera: Camera) -> tuple[Float[np.ndarray, " 12"], Float[np.ndarray, " 3"]]:
    """Return parameters and fixed parameters of an ``AffineTransform_double_3_3`` from world to camera (LPS)."""
    pose = camera.camera_from_world
    return np.concatenate([pose[:3, :3].ravel(), pose[:3, 3]]), np.zeros(3)


def camera_from_itk(camera_from_world: ArrayLike, template: Camera) -> Camera:
    """Put a camera at the pose of a transform file, with detector and K of ``template``.

    Args:
        camera_from_world: (4, 4) as :func:`transform_from_itk` returns it.
        template: Where K, size and spacing come from; a transform file has none.

    Raises:
        InputError: A transform that is not rigid.
    """
    pose = np.array(camera_from_world, dtype=np.float64)
    return Camera(template.pixel_from_camera, pose, template.height, template.width, template.pixel_spacing_mm)


def transform_from_itk(
    kind: str, parameters: ArrayLike, fixed_parameters: ArrayLike = (0.0, 0.0, 0.0)
) -> Float[np.ndarray, "4 4"]:
    """Return the 4x4 matrix of an ITK transform: fixed to moving, LPS.

    Args:
        kind: The file's ``Transform:`` line, for example ``AffineTransform_double_3_3``.
        parameters: Its ``Parameters:``.
        fixed_parameters: Its ``FixedParameters:``, the center first.

    Raises:
        InputError: A kind that is not linear or not known, or a wrong count of parameters.
    """
    numbers = np.asarray(parameters, dtype=np.float64)
    center = np.asarray(fixed_parameters, dtype=np.float64)
    name = kind.split("_")[0]
    wanted = {
        "AffineTransform": 12,
        "MatrixOffsetTransformBase": 12,
        "Euler3DTransform": 6,
        "VersorRigid3DTransform": 6,
    }
    if name not in wanted:
        raise InputError("ITK transform", kind, f"one of {', '.join(wanted)}")
    if numbers.shape != (wanted[name],) or center.size < 3:
        raise InputError(
            f"ITK {name}", f"{numbers.size} and {center.size} parameters", f"{wanted[name]}, and 3 fixed ones"
        )
    if name == "Euler3DTransform":
        if center.size > 3 and center[3]:
            raise InputError("ITK Euler3DTransform", "angles in the order ZYX", "ITK's default order ZXY")
        matrix = rotation_from_zxy(numbers[[2, 0, 1]])
    elif name == "VersorRigid3DTransform":
        scalar = np.sqrt(max(0.0, 1.0 - float(numbers[:3] @ numbers[:3])))
        matrix = Rotation.from_quat([*numbers[:3], scalar]).as_matrix()
    else:
        matrix = numbers[:9].reshape(3, 3)
    return rigid.from_rotation_translation(matrix, numbers[-3:] + center[:3] - matrix @ center[:3])


def points_from_markups(content: Mapping[str, Any], where: str = "markups") -> dict[str, Float[np.ndarray, " 3"]]:
    """Return labelled points of a .mrk.json file in world coordinates (LPS mm).

    Raises:
        InputError: No control points, another unit than mm, a coordinate system other than LPS and RAS, a label twice.
    """
    points: dict[str, Float[np.ndarray, " 3"]] = {}
    lists = content.get("markups")
    if not isinstance(lists, Sequence) or not lists:
        raise InputError(where, "no markups", "a Slicer .mrk.json file")
    for markup in lists:
        frame, unit = markup.get("coordinateSystem", "LPS"), markup.get("coordinateUnits", "mm")
        if frame not in ("LPS", "RAS") or unit not in ("mm", ["mm", "mm", "mm"]):
            raise InputError(where, f"coordinates in {frame}, {unit}", "LPS or RAS, in mm")
        for number, point in enumerate(markup.get("controlPoints", ())):
            if point.get("positionStatus", "defined") != "defined":
                continue
            label = str(point.get("label") or point.get("id") or number)
            if label in points:
                raise InputError(where, f"the label {label!r} twice", "every label once")
            position = np.array(point["position"], dtype=np.float64)
            points[label] = position if frame == "LPS" else rigid.apply(RAS_FROM_LPS, position)
    if not points:
        raise InputError(where, "no control points", "at least one placed point")
    return points


def markups_from_points(points_world: Mapping[str, ArrayLike]) -> dict[str, Any]:
    """Return the content of a .mrk.json file with labelled points in LPS millimeters."""
    control_points = [
        {"id": str(number), "label": label, "position": np.asarray(point, dtype=np.float64).tolist()}
        for number, (label, point) in enumerate(points_world.items(), start=1)
    ]
    markup = {"type": "Fiducial", "coordinateSystem": "LPS", "coordinateUnits": "mm", "controlPoints": control_points}
    return {"@schema": MARKUPS_SCHEMA, "markups": [markup]}
