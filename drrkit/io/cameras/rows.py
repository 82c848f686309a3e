"""ASTRA vectors and bare matrices: rows of numbers, with remarks for what they lack."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from drrkit.errors import InputError
from drrkit.geometry.camera import Camera
from drrkit.geometry.convert import astra_from_camera, camera_from_astra, camera_from_matrix, matrix_from_camera
from drrkit.io.cameras.unsaid import Unsaid, facts_in, naming, read_text, size_of
from drrkit.io.store import write_bytes


def read_astra(path: Path, unsaid: Unsaid) -> dict[str, Camera]:
    """Read rows of 12 numbers, by spaces or commas.

    Raises:
        InputError: Rows of another length, or no detector size.
    """
    cameras = {}
    for name, remark, row in _numbered(path, _rows(path), 12):
        with naming(f"{path}, camera {name}"):
            cameras[name] = camera_from_astra(row, *size_of(remark, unsaid), unsaid.center_world or (0.0, 0.0, 0.0))
    return cameras


def write_astra(path: Path, cameras: Mapping[str, Camera], unsaid: Unsaid) -> list[str]:
    """Write rows of 12 numbers that ``numpy.loadtxt`` reads."""
    sizes = {(camera.height, camera.width) for camera in cameras.values()}
    if len(sizes) > 1:
        raise InputError(path, f"detectors of the sizes {sorted(sizes)}", "one: ASTRA has one detector for all views")
    origin = unsaid.center_world or (0.0, 0.0, 0.0)
    lines = ["# source x y z, detector center x y z, column step x y z, row step x y z (mm)"]
    for name, camera in cameras.items():
        lines += [_remark(name, camera, spacing=False), _row(astra_from_camera(camera, origin))]
    write_bytes(path, ("\n".join(lines) + "\n").encode())
    height, width = next(iter(sizes))
    note = f"create_proj_geom('cone_vec', {height}, {width}, numpy.loadtxt({path.name!r}, ndmin=2))"
    return (
        [note]
        if unsaid.center_world
        else [f"{note}; ASTRA's origin is the world's: --ct or --center puts it elsewhere"]
    )


def read_matrices(path: Path, unsaid: Unsaid) -> dict[str, Camera]:
    """Read 3x4 matrices, three rows of four numbers each.

    Raises:
        InputError: Another layout, no detector size or spacing, or a matrix that is no camera.
    """
    cameras = {}
    for name, remark, rows in _numbered(path, _rows(path), 4, 3):
        with naming(f"{path}, camera {name}"):
            spacing = unsaid.spacing_mm or remark.get("pixel_spacing_mm")
            if spacing is None:
                raise InputError("spacing", "none in the file", "--spacing ROW COLUMN")
            row_mm, column_mm = spacing
            seen = unsaid.center_world or remark.get("seen_world")
            cameras[name] = camera_from_matrix(
                rows, *size_of(remark, unsaid), (float(row_mm), float(column_mm)), seen, unsaid.pixel_center
            )
    return cameras


def write_matrices(path: Path, cameras: Mapping[str, Camera], unsaid: Unsaid) -> list[str]:
    """Write 3x4 matrices, three rows each, that ``numpy.loadtxt`` reads as (3 N, 4)."""
    lines = []
    for name, camera in cameras.items():
        matrix = matrix_from_camera(camera, unsaid.pixel_center)
        lines += [_remark(name, camera, spacing=True), *(_row(row) for row in matrix)]
    write_bytes(path, ("\n".join(lines) + "\n").encode())
    return []


def _remark(name: str, camera: Camera, spacing: bool) -> str:
    facts: dict[str, Any] = {"id": name, "height": camera.height, "width": camera.width}
    if spacing:
        middle_mm = camera.source_to_detector_mm / 2
        seen = camera.source_world + camera.view_direction_world * middle_mm
        facts |= {"pixel_spacing_mm": list(camera.pixel_spacing_mm), "seen_world": seen.tolist()}
    return f"# drrkit {json.dumps(facts)}"


def _row(numbers: np.ndarray) -> str:
    return " ".join(repr(float(number)) for number in numbers)


def _rows(path: Path) -> Iterator[tuple[dict[str, Any], list[float]]]:
    """Yield each row of numbers with the remark above it."""
    remark: dict[str, Any] = {}
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        content, _, comment = line.partition("#")
        remark = facts_in(comment) or remark
        if not content.strip():
            continue
        try:
            yield remark, [float(word) for word in content.replace(",", " ").split()]
        except ValueError as error:
            raise InputError(f"{path}, line {number}", error, "numbers by spaces or commas") from error
        remark = {}


def _numbered(
    path: Path, rows: Iterator[tuple[dict[str, Any], list[float]]], columns: int, height: int = 1
) -> Iterator[tuple[str, dict[str, Any], np.ndarray]]:
    """Group rows into cameras and name those without a remark by their number."""
    listed = list(rows)
    lengths = {len(row) for _, row in listed}
    if lengths != {columns} or len(listed) % height:
        raise InputError(
            path, f"{len(listed)} rows of {sorted(lengths)} numbers", f"{height} x {columns} for each camera"
        )
    seen = set()
    for start in range(0, len(listed), height):
        remark = listed[start][0]
        name = str(remark.get("id", f"{start // height:03d}"))
        if name in seen:
            raise InputError(path, f"the camera id {name!r} twice", "every id once")
        seen.add(name)
        rows_of_camera = np.array([row for _, row in listed[start : start + height]])
        yield name, remark, rows_of_camera if height > 1 else rows_of_camera[0]
