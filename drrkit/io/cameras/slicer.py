"""3D Slicer and ITK: a folder of transforms, or the sources as markups."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from drrkit.errors import InputError
from drrkit.geometry.camera import Camera
from drrkit.geometry.convert import camera_from_itk, itk_from_camera, markups_from_points, transform_from_itk
from drrkit.io.cameras.unsaid import Unsaid, naming, read_text
from drrkit.io.store import write_bytes, write_json


def read_transforms(path: Path, unsaid: Unsaid) -> dict[str, Camera]:
    """Read ``<id>.tfm`` files of a folder, or one file, as poses of the template's cameras.

    Raises:
        InputError: No template, an id that it lacks, or a transform that is not rigid.
    """
    if unsaid.template is None:
        raise InputError(path, "transforms, which have no detector", "--template CAMERAS, where K and size come from")
    files = sorted(path.glob("*.tfm")) if path.is_dir() else [path]
    cameras = {}
    for file in files:
        if file.stem not in unsaid.template:
            raise InputError(file, f"no camera {file.stem!r} in the template", f"one of {', '.join(unsaid.template)}")
        fields = dict(line.split(":", 1) for line in read_text(file).splitlines() if ":" in line and line[0] != "#")
        with naming(str(file)):
            pose = transform_from_itk(
                fields.get("Transform", "nothing").strip(),
                [float(word) for word in fields.get("Parameters", "").split()],
                [float(word) for word in fields.get("FixedParameters", "0 0 0").split()],
            )
            cameras[file.stem] = camera_from_itk(pose, unsaid.template[file.stem])
    return cameras


def write_slicer(path: Path, cameras: Mapping[str, Camera], unsaid: Unsaid) -> list[str]:
    """Write the sources as markups (OUT.mrk.json), or a folder with one transform a camera.

    Returns:
        What the files leave out.
    """
    if path.name.endswith(".mrk.json"):
        write_json(path, markups_from_points({name: camera.source_world for name, camera in cameras.items()}))
        return ["markups hold the sources only; a folder as OUT gives the poses"]
    if path.suffix:
        raise InputError(path, f"a file name ending in {path.suffix}", "a folder for transforms, or a name.mrk.json")
    for name, camera in cameras.items():
        parameters, center = itk_from_camera(camera)
        lines = (
            "#Insight Transform File V1.0",
            "#Transform 0",
            "Transform: AffineTransform_double_3_3",
            f"Parameters: {_row(parameters)}",
            f"FixedParameters: {_row(center)}",
        )
        write_bytes(path / f"{name}.tfm", ("\n".join(lines) + "\n").encode())
    return ["transforms hold the poses only; keep the camera file, --template needs it on the way back"]


def _row(numbers: np.ndarray) -> str:
    return " ".join(repr(float(number)) for number in numbers)
