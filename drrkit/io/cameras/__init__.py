"""Cameras in files of other tools; what each file looks like stands in docs/how-to/geometry.md."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from drrkit.errors import InputError
from drrkit.geometry.camera import Camera
from drrkit.io.cameras import angles, rows, rtk, slicer, trees
from drrkit.io.cameras.unsaid import Unsaid
from drrkit.io.store import read_cameras, write_cameras

__all__ = ["FORMATS", "Unsaid", "read_camera_file", "write_camera_file"]


@dataclass(frozen=True)
class _Format:
    read: Callable[[Path, Unsaid], dict[str, Camera]]
    write: Callable[[Path, Mapping[str, Camera], Unsaid], list[str]]


def read_camera_file(path: Path, file_format: str, unsaid: Unsaid | None = None) -> dict[str, Camera]:
    """Read the cameras of a file, or of a folder of transforms, of any known tool.

    Args:
        path: The file or folder.
        file_format: One of ``FORMATS``.
        unsaid: What such a file does not say.

    Raises:
        InputError: An unknown format, an unreadable file, something missing in it, or an invalid camera.
    """
    cameras = _format(file_format).read(Path(path), unsaid or Unsaid())
    if not cameras:
        raise InputError(path, "no cameras", "at least one camera")
    for name in cameras:
        if not name or Path(name).name != name or name.startswith("."):
            raise InputError(path, f"the camera id {name!r}", "an id that can be a file name (no slash, no dot first)")
    return cameras


def write_camera_file(
    path: Path, file_format: str, cameras: Mapping[str, Camera], unsaid: Unsaid | None = None
) -> list[str]:
    """Write cameras for another tool.

    Returns:
        What the user must know or do besides, one sentence each; empty for most formats.

    Raises:
        InputError: An unknown format, or a camera that the tool cannot express.
    """
    return _format(file_format).write(Path(path), cameras, unsaid or Unsaid())


def _write_drrkit(path: Path, cameras: Mapping[str, Camera], unsaid: Unsaid) -> list[str]:
    write_cameras(path, cameras)
    return []


_FORMATS: dict[str, _Format] = {
    "drrkit": _Format(lambda path, unsaid: read_cameras(path), _write_drrkit),
    "astra": _Format(rows.read_astra, rows.write_astra),
    "deepdrr": _Format(trees.read_deepdrr, trees.write_deepdrr),
    "dicom-angles": _Format(angles.read_dicom_angles, angles.write_dicom_angles),
    "diffdrr": _Format(trees.read_diffdrr, trees.write_diffdrr),
    "matrix": _Format(rows.read_matrices, rows.write_matrices),
    "nanodrr": _Format(trees.read_nanodrr, trees.write_nanodrr),
    "opencv": _Format(trees.read_opencv, trees.write_opencv),
    "rtk": _Format(rtk.read_rtk, rtk.write_rtk),
    "slicer": _Format(slicer.read_transforms, slicer.write_slicer),
    "xreg": _Format(trees.read_xreg, trees.write_xreg),
}


FORMATS = tuple(_FORMATS)


def _format(name: str) -> _Format:
    if name not in _FORMATS:
        raise InputError("camera format", name, " or ".join(_FORMATS))
    return _FORMATS[name]
