"""C-arm angles, distances and detectors: as tables, or in the headers of DICOM X-rays."""

import csv
import io
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from drrkit.errors import InputError
from drrkit.geometry import rigid
from drrkit.geometry.camera import Camera
from drrkit.geometry.convert import DicomView, camera_from_dicom, dicom_from_camera
from drrkit.io import dicom
from drrkit.io.cameras.unsaid import Unsaid, naming, read_text
from drrkit.io.store import write_bytes
from drrkit.io.xray_header import MODALITIES, XrayHeader, read_xray_header

ANGLE_COLUMNS = (
    "id",
    "primary_deg",
    "secondary_deg",
    "roll_deg",
    "source_to_detector_mm",
    "source_to_isocenter_mm",
    "height",
    "width",
    "row_spacing_mm",
    "column_spacing_mm",
    "isocenter_x_mm",
    "isocenter_y_mm",
    "isocenter_z_mm",
    "principal_u_px",
    "principal_v_px",
    "mirrored",
)


def read_dicom_angles(path: Path, unsaid: Unsaid) -> dict[str, Camera]:
    """Read a table of C-arm angles, distances and detectors, or the headers of DICOM X-rays.

    Raises:
        InputError: A missing column or tag, an unreadable number, or values that no machine has.
    """
    if not _is_table(path):
        return _nominal_cameras(path, unsaid)
    cameras: dict[str, Camera] = {}
    for line, row in read_table(path):
        name = row.get("id", "")
        with naming(f"{path}, line {line}"):
            if not name or name in cameras:
                raise InputError("id", repr(name), "an id in every line, none twice")
            cameras[name] = camera_from_dicom(_dicom_view(row, unsaid))
    return cameras


def read_angles(path: Path) -> dict[str, tuple[float, float]]:
    """Read positioner angles (primary, secondary) in degrees by id.

    Args:
        path: A CSV file with the columns id, primary_deg, secondary_deg; or a DICOM X-ray or a folder of them, the
            file's name without suffix being the id, with _000, _001, ... behind it for several frames.

    Raises:
        InputError: Nothing readable there, no angles, or an id twice.
    """
    path = Path(path)
    angles: dict[str, tuple[float, float]] = {}
    if not _is_table(path):
        for name, header, frame in _frames(path):
            geometry = header.frames[frame]
            if geometry.primary_deg is not None and geometry.secondary_deg is not None:
                angles[name] = geometry.primary_deg, geometry.secondary_deg
        if not angles:
            raise InputError(path, "no positioner angles (0018,1510)", "X-rays that have them, or a CSV file")
        return angles
    for line, row in read_table(path):
        with naming(f"{path}, line {line}"):
            name = row.get("id", "")
            if not name or name in angles:
                raise InputError("id", repr(name), "an id in every line, none twice")
            angles[name] = _number(row, "primary_deg"), _number(row, "secondary_deg")
    if not angles:
        raise InputError(path, "no lines", "one line an exposure")
    return angles


def write_dicom_angles(path: Path, cameras: Mapping[str, Camera], unsaid: Unsaid) -> list[str]:
    """Write a table of C-arm angles.

    Returns:
        How far the central rays miss the isocenter, if by more than a millimeter: the isocenter of each line is the
        point of its central ray that is nearest to the one given.
    """
    if unsaid.isocenter_world is None:
        raise InputError("C-arm angles", "no isocenter", "--isocenter X Y Z, what the C-arm turned about")
    stream = io.StringIO()
    table = csv.writer(stream, lineterminator="\n")
    table.writerow(ANGLE_COLUMNS)
    farthest_mm = 0.0
    for name, camera in cameras.items():
        with naming(f"camera {name}"):
            view = dicom_from_camera(camera, unsaid.isocenter_world)
        farthest_mm = max(farthest_mm, float(np.linalg.norm(view.isocenter_world - unsaid.isocenter_world)))
        table.writerow(
            [
                name,
                view.positioner_primary_angle,
                view.positioner_secondary_angle,
                view.roll_deg,
                view.distance_source_to_detector,
                view.distance_source_to_isocenter,
                view.rows,
                view.columns,
                *view.imager_pixel_spacing,
                *view.isocenter_world.tolist(),
                *camera.pixel_from_camera[:2, 2].tolist(),
                int(view.mirrored),
            ]
        )
    write_bytes(path, stream.getvalue().encode())
    if farthest_mm > 1:
        return [f"the central rays miss the isocenter by up to {farthest_mm:.1f} mm; each line has the nearest point"]
    return []


def read_table(path: Path) -> list[tuple[int, dict[str, str]]]:
    """Read a CSV file as (line number, row by column name); empty cells are left out.

    Raises:
        InputError: Unreadable, or lines of another length than the header's.
    """
    reader = csv.DictReader(read_text(path).splitlines())
    rows = []
    for row in reader:
        if None in row or None in row.values():
            raise InputError(f"{path}, line {reader.line_num}", "another count of cells", "as many as the header has")
        rows.append((reader.line_num, {name.strip(): cell.strip() for name, cell in row.items() if cell.strip()}))
    return rows


def _dicom_view(row: Mapping[str, str], unsaid: Unsaid) -> DicomView:
    isocenter = unsaid.isocenter_world or tuple(_number(row, f"isocenter_{axis}_mm") for axis in "xyz")
    principal = None
    if "principal_u_px" in row or "principal_v_px" in row:
        principal = _number(row, "principal_u_px"), _number(row, "principal_v_px")
    height, width = unsaid.size or (int(_number(row, "height")), int(_number(row, "width")))
    spacing = unsaid.spacing_mm or (_number(row, "row_spacing_mm"), _number(row, "column_spacing_mm"))
    return DicomView(
        positioner_primary_angle=_number(row, "primary_deg"),
        positioner_secondary_angle=_number(row, "secondary_deg"),
        distance_source_to_detector=_number(row, "source_to_detector_mm"),
        distance_source_to_isocenter=_number(row, "source_to_isocenter_mm"),
        rows=height,
        columns=width,
        imager_pixel_spacing=spacing,
        isocenter_world=np.array(isocenter),
        roll_deg=_number(row, "roll_deg", 0.0),
        principal_point_px=principal,
        mirrored=bool(_number(row, "mirrored", 0.0)),
    )


def _number(row: Mapping[str, str], name: str, default: float | None = None) -> float:
    if name in row:
        return float(row[name])
    if default is None:
        raise InputError(name, "no value", f"the column {name}")
    return default


def _is_table(path: Path) -> bool:
    return path.suffix.lower() == ".csv"


def _nominal_cameras(path: Path, unsaid: Unsaid) -> dict[str, Camera]:
    if unsaid.isocenter_world is None:
        raise InputError(path, "X-rays, whose headers do not place the isocenter", "--isocenter X Y Z")
    centered_from_world = rigid.from_rotation_translation(np.eye(3), -np.array(unsaid.isocenter_world))
    cameras = {}
    for name, header, frame in _frames(path):
        nominal = header.camera(frame)
        if nominal is None:
            missing = ", ".join(header.frames[frame].missing)
            raise InputError(f"{path}, {name}", f"no {missing}", "all that a camera needs (or write a table instead)")
        pose = nominal.camera_from_world @ centered_from_world
        cameras[name] = Camera(nominal.pixel_from_camera, pose, nominal.height, nominal.width, nominal.pixel_spacing_mm)
    return cameras


def _frames(path: Path) -> Iterator[tuple[str, XrayHeader, int]]:
    """Yield id, header and number of each frame of an X-ray, or of all X-rays below a folder."""
    if not path.exists():
        raise InputError(path, "no such file or folder", "a CSV file, a DICOM X-ray or a folder of them")
    seen: set[str] = set()
    for file in sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]:
        if not dicom.is_dicom(file) or dicom.read_dataset(file, False, ["Modality"]).get("Modality") not in MODALITIES:
            continue
        if file.stem in seen:
            raise InputError(file, f"a second X-ray of the name {file.stem!r}", "every name once")
        seen.add(file.stem)
        header = read_xray_header(file)
        for frame in range(len(header.frames)):
            yield file.stem if len(header.frames) == 1 else f"{file.stem}_{frame:03d}", header, frame
    if not seen:
        raise InputError(path, "no DICOM X-ray", f"files of the modalities {', '.join(MODALITIES)}")
