"""Write the review page: everything that calibration and pairing know of a session, in one HTML file.

The file needs no network and allows none: its content security policy admits the one script and the one style sheet by
their hashes, and images from the file itself. Images stand in inert elements behind the script, so that the page lives
while they are still being read, and each is decoded when it is looked at.
"""

import base64
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from drrkit.errors import InputError
from drrkit.geometry.camera import Camera
from drrkit.io.store import read_cameras, read_image, read_mask, write_bytes
from drrkit.volume import LEVEL_CODES
from protocols.calibration.result import ExposureCalibration, SessionCalibration
from protocols.pairs import CAMERAS_NAME, field_path, image_path, mask_path
from protocols.ratings import COLUMNS, RATINGS_NAME, Rating
from protocols.review import plots
from protocols.review.images import (
    bone_edges,
    difference_webp,
    drr_gray,
    edges_png,
    outlines,
    page_size,
    reduced,
    thumbnail,
    webp,
    xray_grays,
)
from protocols.review.marks import ball_marks

_FOLDER = Path(__file__).parent


def write_review(
    acquisition_id: str,
    calibration: SessionCalibration,
    pair_folder: Path,
    out_html: Path,
    ratings: Mapping[str, Rating] = MappingProxyType({}),
) -> None:
    """Write the review page of one acquisition.

    Args:
        acquisition_id: The acquisition.
        calibration: Of this acquisition.
        pair_folder: What ``drrkit acquisition pair`` wrote from this calibration.
        out_html: The page; replaced if it exists.
        ratings: What was said before, by exposure.

    Raises:
        InputError: A calibration of another acquisition or without exposures, ratings or pairs of exposures that it
            does not have, pairs of another calibration, or files of a pair that are missing or unusable.
    """
    _check(acquisition_id, calibration, ratings)
    cameras = _cameras(pair_folder, calibration)
    levels = _levels(pair_folder, set(cameras))
    exposures: list[dict[str, Any]] = []
    images: dict[str, str] = {}
    thumbnails: list[str | None] = []
    for number, exposure in enumerate(calibration.exposures):
        record = _numbers(exposure)
        exposures.append(record)
        if exposure.exposure_id not in cameras:
            thumbnails.append(None)
            continue
        shown, pictures, small = _pair(pair_folder, exposure, cameras[exposure.exposure_id], levels)
        record |= shown
        thumbnails.append(small)
        images |= {f"image-{kind}-{number}": text for kind, text in pictures.items()}
    content = {
        "acquisition_id": acquisition_id,
        "storage_key": f"drrkit-review/{acquisition_id}/{calibration_hash(calibration)}",
        "file_name": RATINGS_NAME,
        "columns": COLUMNS,
        "exposures": exposures,
        "levels": _head_to_foot({level for names in levels.values() for level in names}),
        "ratings": {exposure_id: asdict(rating) for exposure_id, rating in ratings.items()},
        "orbit": _orbit(calibration),
    }
    write_bytes(Path(out_html), _render(calibration, content, images, thumbnails).encode())


def calibration_hash(calibration: SessionCalibration) -> str:
    """Return a short hash of all cameras and residuals: what was said of one calibration is not said of the next."""
    records = [
        [
            exposure.exposure_id,
            exposure.status,
            exposure.camera and exposure.camera.to_record(exposure.exposure_id),
            exposure.distortion and dict(exposure.distortion),
            [asdict(ball) for ball in exposure.balls],
        ]
        for exposure in calibration.exposures
    ]
    return hashlib.sha256(json.dumps(records, sort_keys=True).encode()).hexdigest()[:16]


def _check(acquisition_id: str, calibration: SessionCalibration, ratings: Mapping[str, Rating]) -> None:
    if calibration.acquisition_id != acquisition_id:
        raise InputError("calibration", f"acquisition {calibration.acquisition_id}", f"acquisition {acquisition_id}")
    known = [exposure.exposure_id for exposure in calibration.exposures]
    if not known:
        raise InputError(f"calibration of {acquisition_id}", "no exposures", "at least one")
    if len(set(known)) < len(known):
        twice = next(exposure_id for exposure_id in known if known.count(exposure_id) > 1)
        raise InputError(f"calibration of {acquisition_id}", f"the exposure {twice} twice", "every exposure once")
    strangers = [exposure_id for exposure_id in ratings if exposure_id not in known]
    if strangers:
        raise InputError("ratings", f"the exposure {strangers[0]}", f"exposures of {acquisition_id}")


def _cameras(pair_folder: Path, calibration: SessionCalibration) -> dict[str, Camera]:
    path = Path(pair_folder) / CAMERAS_NAME
    trusted = {exposure.exposure_id for exposure in calibration.exposures if exposure.status != "fail"}
    if not trusted and not path.exists():
        # Nothing could be paired; the page tells why.
        return {}
    cameras = read_cameras(path)
    strangers = [exposure_id for exposure_id in cameras if exposure_id not in trusted]
    if strangers:
        raise InputError(
            path,
            f"a pair of {strangers[0]}, which this calibration does not have or refuses",
            "pairs made from this calibration (run drrkit acquisition pair again)",
        )
    return cameras


def _levels(pair_folder: Path, exposure_ids: set[str]) -> dict[str, list[str]]:
    """Find the levels with a mask for each exposure, head to foot."""
    found: dict[str, list[str]] = {exposure_id: [] for exposure_id in exposure_ids}
    for path in sorted((Path(pair_folder) / "masks").glob("*.png")):
        exposure_id, _, level = path.stem.rpartition("_")
        if exposure_id not in found or level not in LEVEL_CODES:
            raise InputError(path, "a mask of no known exposure and level", "<exposure>_<level>.png for each pair")
        found[exposure_id].append(level)
    return {exposure_id: _head_to_foot(names) for exposure_id, names in found.items()}


def _head_to_foot(levels: Iterable[str]) -> list[str]:
    # T13, where there is one, lies between T12 (19) and L1 (20).
    return sorted(levels, key=lambda level: 19.5 if level == "T13" else LEVEL_CODES[level])


def _numbers(exposure: ExposureCalibration) -> dict[str, Any]:
    names = (
        "status",
        "reason",
        "balls_found",
        "balls_used",
        "rms_px",
        "rms_mm",
        "target_error_mm",
        "sigma_in_plane_mm",
        "sigma_along_ray_mm",
        "sigma_rotation_deg",
        "nominal_angles_deg",
        "angles_deg",
    )
    return {"id": exposure.exposure_id, "pair": None} | {name: getattr(exposure, name) for name in names}


def _pair(
    folder: Path, exposure: ExposureCalibration, camera: Camera, levels: Mapping[str, list[str]]
) -> tuple[dict[str, Any], dict[str, str], str]:
    """Prepare one pair: its record, its images by kind, its thumbnail."""
    exposure_id = exposure.exposure_id
    size = page_size(camera.height, camera.width)
    shape = (camera.height, camera.width)
    pixels = {
        kind: _fitting(read_image, Path(folder) / image_path(kind, exposure_id), shape)
        for kind in ("real", "real_with_balls", "drr_bone")
    }
    field = _fitting(read_mask, Path(folder) / field_path(exposure_id), shape)
    grays = xray_grays(pixels["real"], pixels["real_with_balls"], field, size, f"real X-ray of {exposure_id}")
    grays["drr_bone"] = drr_gray(pixels["drr_bone"], size, f"DRR of {exposure_id}")
    outlined = {
        level: outlines(_fitting(read_mask, Path(folder) / mask_path(exposure_id, level), shape), size)
        for level in levels[exposure_id]
    }
    shown = camera.resized(*size)
    where = f"{Path(folder) / CAMERAS_NAME}, camera {exposure_id}"
    # ball_marks refuses a pair without a calibrated camera.
    balls = ball_marks(exposure, shown, where)
    focal_px = abs(exposure.camera.pixel_from_camera[0, 0]) if exposure.camera else np.nan
    record = {
        "height": size[0],
        "width": size[1],
        "levels": outlined,
        "balls": balls,
        # How long one pixel of the image as it was taken is on the page.
        "page_px_per_px": round(float(abs(shown.pixel_from_camera[0, 0]) / focal_px), 5),
    }
    edges = edges_png(bone_edges(reduced(pixels["drr_bone"], size), field, size))
    pictures = {kind: webp(grays[kind]) for kind in ("real", "real_local", "drr_bone")} | {
        "edges": edges,
        "balls": difference_webp(grays["real"], grays["with_balls"]),
        "balls_local": difference_webp(grays["real_local"], grays["with_balls_local"]),
    }
    return {"pair": record}, pictures, thumbnail(grays["real_local"])


def _fitting(read: Callable[[Path], np.ndarray], path: Path, shape: tuple[int, int]) -> np.ndarray:
    pixels = read(path)
    if pixels.shape != shape:
        raise InputError(path, f"shape {pixels.shape}", f"the camera's {shape}")
    return pixels


def _orbit(calibration: SessionCalibration) -> dict[str, Any]:
    views = []
    for exposure in calibration.exposures:
        if exposure.status == "fail" or exposure.camera is None:
            continue
        camera = exposure.camera
        corner, u_step, v_step = camera.detector_frame_world()
        center = corner + (camera.width - 1) / 2 * u_step + (camera.height - 1) / 2 * v_step
        views.append(
            {
                "id": exposure.exposure_id,
                "status": exposure.status,
                "source": camera.source_world.round(2).tolist(),
                "detector": center.round(2).tolist(),
            }
        )
    balls = [[round(value, 2) for value in center] for center in calibration.balls_world.values()]
    return {"views": views, "balls": balls}


def _headline(calibration: SessionCalibration) -> list[tuple[str, str]]:
    """Say a session in a few numbers; those of errors are over the exposures that did not fail."""
    count = dict.fromkeys(("pass", "warn", "fail"), 0)
    for exposure in calibration.exposures:
        count[exposure.status] += 1
    trusted = [exposure for exposure in calibration.exposures if exposure.status != "fail"]

    def of(name: str, percent: float, digits: int, unit: str) -> str:
        values = [getattr(exposure, name) for exposure in trusted if getattr(exposure, name) is not None]
        return f"{np.percentile(values, percent):.{digits}f} {unit}".strip() if values else "–"

    return [
        ("Exposures", str(len(calibration.exposures))),
        ("Pass", str(count["pass"])),
        ("Warn", str(count["warn"])),
        ("Fail", str(count["fail"])),
        ("Target error, median", of("target_error_mm", 50, 3, "mm")),
        ("Target error, 95 %", of("target_error_mm", 95, 3, "mm")),
        ("RMS of balls, median", of("rms_px", 50, 3, "px")),
        ("Along-ray sigma, median", of("sigma_along_ray_mm", 50, 2, "mm")),
        ("Balls in the CT", str(len(calibration.balls_world))),
        ("Balls used, median", of("balls_used", 50, 0, "")),
    ]


def _render(
    calibration: SessionCalibration, content: Mapping[str, Any], images: Mapping[str, str], thumbnails: list[str | None]
) -> str:
    environment = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    script, style = ((_FOLDER / name).read_text(encoding="utf-8") for name in ("page.js", "page.css"))
    return environment.get_template("page.html.j2").render(
        acquisition_id=calibration.acquisition_id,
        simulated=calibration.simulated,
        policy="; ".join(
            [
                "default-src 'none'",
                f"script-src '{_source_hash(script)}'",
                f"style-src '{_source_hash(style)}'",
                "img-src data: blob:",
                "base-uri 'none'",
                "form-action 'none'",
            ]
        ),
        script=Markup(script),
        style=Markup(style),
        data=Markup(_script_json(content)),
        exposures=list(zip(content["exposures"], thumbnails, strict=True)),
        first_images={name: text for name, text in images.items() if name.endswith("-0")},
        later_images={name: text for name, text in images.items() if not name.endswith("-0")},
        headline=_headline(calibration),
        notes=list(_flat(calibration.notes)),
        plots=[
            Markup(draw(calibration))
            for draw in (plots.target_error_by_exposure, plots.residual_by_angle, plots.angle_corrections)
        ],
    )


def _source_hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _script_json(value: Any) -> str:
    # Nothing in a name or a comment may end the script element that holds it.
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _flat(notes: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Turn nested notes into lines; what holds only numbers and words, such as a value for each ball, is one line."""
    for name, value in notes.items():
        label = f"{prefix}{name}".replace("_", " ")
        if not isinstance(value, Mapping):
            yield label, _text(value)
        elif any(isinstance(item, Mapping | list | tuple) for item in value.values()):
            yield from _flat(value, f"{label}, ")
        else:
            yield label, ", ".join(f"{key} {_text(item)}" for key, item in value.items()) or "none"


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        return ", ".join(_text(item) for item in value) or "none"
    return "none" if value is None else str(value)
