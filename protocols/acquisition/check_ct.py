"""The CT and its labels: one series without holes, fine enough for the balls, and labels on the same grid."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from drrkit.errors import InputError
from drrkit.io import dicom
from drrkit.io.ct import read_ct_geometry
from drrkit.io.grid import Grid
from drrkit.io.labels import read_labels
from drrkit.volume import Volume
from protocols.acquisition.damage import reading
from protocols.acquisition.findings import Finding
from protocols.acquisition.schema import SHEET_NAME, Sheet
from protocols.acquisition.survey import Identity, identity_of

# Three voxels across a ball give its center to a tenth of a voxel; below two there is no center to speak of.
_VOXELS_A_BALL = 3.0
_FEWEST_VOXELS_A_BALL = 2.0
# Steel is far beyond 3071 HU, where the ordinary scale of 12 bits ends, and so is dense cortex beside it.
_ORDINARY_SCALE_HU = 3072
_GRANTED_MM = 1e-3
_MOST_BITS = 32


def check_ct(folder: Path, sheet: Sheet) -> tuple[list[Finding], dict[str, Identity]]:
    """Check CT and labels; return also whose images the CT's files say they are."""
    path = folder / sheet.ct.path
    where = sheet.ct.path
    if not path.exists() or (path.is_dir() and not any(file.is_file() for file in path.rglob("*"))):
        found = "an empty folder" if path.exists() else "no such file or folder"
        findings = [Finding("error", "missing-file", where, found, "the CT, or another ct.path in acquisition.yaml")]
        return [*findings, *_missing_labels(folder, sheet)], {}
    identities, findings = _identities(folder, path)
    try:
        with reading(path):
            grid = read_ct_geometry(path)
    except InputError as error:
        place = error.where.replace(str(folder), "").strip("/")
        findings.append(Finding("error", "ct", place, error.found, error.wanted))
        return [*findings, *_missing_labels(folder, sheet)], identities
    findings += _resolution(sheet, where, grid)
    findings += _missing_labels(folder, sheet)
    findings += _labels(folder, sheet, grid)
    return findings, identities


def _identities(folder: Path, path: Path) -> tuple[dict[str, Identity], list[Finding]]:
    files = [path] if path.is_file() else [file for file in sorted(path.rglob("*")) if file.is_file()]
    identities: dict[str, Identity] = {}
    findings: list[Finding] = []
    ordinary = ""
    for file in files:
        if file.name.startswith("."):
            continue
        inner = str(file.relative_to(folder))
        try:
            if not dicom.is_dicom(file):
                continue
            with reading(file):
                header = dicom.read_dataset(file, with_pixels=False)
                slope, intercept = (dicom.number(header, f"Rescale{name}", file) for name in ("Slope", "Intercept"))
                bits = int(header.get("BitsStored", 16)) - int(header.get("PixelRepresentation", 0))
        except InputError:
            # read_ct_geometry says the same of the same file.
            continue
        try:
            identities[inner] = identity_of(header, file)
        except InputError as error:
            findings.append(Finding("error", "unreadable", inner, error.found, error.wanted))
        if slope is not None and bits <= _MOST_BITS and slope * (2**bits - 1) + (intercept or 0.0) < _ORDINARY_SCALE_HU:
            ordinary = ordinary or inner
    if ordinary:
        wanted = "an extended HU range (16 bits): steel saturates, and the balls' centers suffer"
        findings.append(Finding("warning", "ct", ordinary, "a scale that ends at 3071 HU or below", wanted))
    return identities, findings


def _resolution(sheet: Sheet, where: str, grid: Grid) -> Iterator[Finding]:
    coarsest_mm = float(max(grid.spacing_mm))
    across = sheet.balls.diameter_mm / coarsest_mm
    spacing = " x ".join(f"{side_mm:.3g}" for side_mm in grid.spacing_mm)
    found = f"voxels of {spacing} mm, {across:.1f} across a ball of {sheet.balls.diameter_mm:g} mm"
    wanted_mm = sheet.balls.diameter_mm / _VOXELS_A_BALL
    wanted = (
        f"{wanted_mm:.2g} mm or less: reconstruct again from the raw data (the protocol has slices of 0.8 mm or less)"
    )
    if across < _FEWEST_VOXELS_A_BALL - _GRANTED_MM:
        yield Finding("error", "ct", where, found, wanted)
    elif across < _VOXELS_A_BALL - _GRANTED_MM:
        yield Finding("warning", "ct", where, found, wanted)


def _missing_labels(folder: Path, sheet: Sheet) -> Iterator[Finding]:
    if sheet.ct.labels is not None and not (folder / sheet.ct.labels).exists():
        wanted = "the labels, or null as ct.labels in acquisition.yaml"
        yield Finding("error", "missing-file", sheet.ct.labels, "no such file or folder", wanted)


def _labels(folder: Path, sheet: Sheet, grid: Grid) -> Iterator[Finding]:
    if sheet.ct.labels is None or sheet.ct.label_scheme is None or not (folder / sheet.ct.labels).exists():
        return
    # Only the CT's grid matters here: no memory for its voxels.
    stand_in = Volume(np.broadcast_to(np.int16(0), grid.shape), grid.world_from_voxel)
    try:
        with reading(folder / sheet.ct.labels):
            labels = read_labels(folder / sheet.ct.labels, sheet.ct.label_scheme, stand_in)
    except InputError as error:
        place = error.where.replace(str(folder), "").strip("/")
        yield Finding("error", "labels", place, error.found, error.wanted)
        return
    levels = stand_in.with_labels(labels).levels
    lacking = [level for level in sheet.specimen.levels if level not in levels]
    if lacking:
        where = f"{SHEET_NAME}, specimen.levels"
        found = f"{', '.join(lacking)} without labels ({sheet.ct.labels} has {', '.join(levels) or 'none'})"
        yield Finding("warning", "labels", where, found, "labels of these levels, or other levels or label_scheme")
