"""What the pixels mean, whether text is burned into them, and whether balls are large enough to be seen in them."""

from collections.abc import Iterator, Sequence

import numpy as np

from protocols.acquisition.findings import Finding, Severity
from protocols.acquisition.schema import SHEET_NAME, Sheet
from protocols.acquisition.survey import Shot, usable

# Six points and a prior fix a camera; the protocol asks for twice as many, to leave some out and lose some.
_FEWEST_BALLS = 6
_USUAL_BALLS = 12
_SMALLEST_RADIUS_PX = 2.0
# The brightest pixels may exceed the mean of an open field by their noise.
_OPEN_FIELD_TOLERANCE = 1.1


def check_pixels(sheet: Sheet, shots: Sequence[Shot]) -> Iterator[Finding]:
    """Check images and balls."""
    used = usable(shots)
    for shot in used:
        yield from _relation(sheet, shot)
        yield from _burned_in(shot)
    yield from _balls(sheet, used)


def _relation(sheet: Sheet, shot: Shot) -> Iterator[Finding]:
    relation = sheet.pixels.relation
    names = (shot.name,)
    said = f"PixelIntensityRelationship (0028,1040) {shot.relationship or 'not given'}"
    if relation == "from_header" and shot.domain == "display":
        wanted = 'raw ("for processing") exports, or relation under pixels in acquisition.yaml: linear or log'
        yield Finding("error", "pixels", shot.name, f"{said}: nothing tells how pixels depend on dose", wanted, names)
    elif relation == "log" and shot.domain != "display":
        found = f"pixels that are {shot.domain} by the file itself, relation log in acquisition.yaml"
        yield Finding("error", "pixels", shot.name, found, "one: relation from_header", names)
    elif relation == "linear" and shot.domain == "line_integral":
        found = "line integrals by the file itself, relation linear in acquisition.yaml"
        yield Finding("error", "pixels", shot.name, found, "one: relation from_header", names)
    elif (relation == "linear" and shot.relationship in ("LOG", "DISP") and shot.domain == "display") or (
        relation == "log" and shot.relationship == "LIN"
    ):
        found = f"{said}, relation {relation} in acquisition.yaml"
        yield Finding("error", "pixels", shot.name, found, "what an absorber of known steps shows", names)
    if shot.intent == "FOR PRESENTATION":
        wanted = "FOR PROCESSING: edges and contrast of presentation images are enhanced"
        found = "PresentationIntentType (0008,0068) FOR PRESENTATION"
        yield Finding("warning", "pixels", shot.name, found, wanted, names)
    open_field = sheet.pixels.open_field
    if (
        open_field is not None
        and shot.domain != "line_integral"
        and shot.brightest > _OPEN_FIELD_TOLERANCE * open_field
    ):
        found = f"pixels brighter than open_field {open_field:g} in acquisition.yaml"
        wanted = "the open beam at these settings; with automatic exposure control null"
        yield Finding("warning", "pixels", shot.name, found, wanted, names)


def _burned_in(shot: Shot) -> Iterator[Finding]:
    if shot.identity is None or shot.header.burned_in_annotation == "NO":
        return
    said = shot.header.burned_in_annotation or "not given"
    severity: Severity = "warning" if said == "not given" else "error"
    wanted = "NO: switch overlays off before export; where the tag is only missing, look, then anonymize"
    yield Finding(
        severity,
        "burned-in",
        shot.name,
        f"BurnedInAnnotation (0028,0301) {said}",
        wanted,
        (shot.name,),
    )


def _balls(sheet: Sheet, shots: Sequence[Shot]) -> Iterator[Finding]:
    balls = sheet.balls
    if balls.count < _USUAL_BALLS:
        severity: Severity = "error" if balls.count < _FEWEST_BALLS else "warning"
        wanted = f"at least {_FEWEST_BALLS}, better 16 to 30: some are hidden in every view"
        yield Finding(severity, "balls", f"{SHEET_NAME}, balls.count", f"{balls.count}", wanted)
    for shot in shots:
        spacing_mm, to_detector_mm = shot.filled.imager_spacing_mm, shot.filled.source_to_detector_mm
        to_isocenter_mm = shot.filled.source_to_isocenter_mm
        if spacing_mm is None or to_detector_mm is None or to_isocenter_mm is None:
            continue
        radius_px = balls.diameter_mm / 2 * to_detector_mm / to_isocenter_mm / float(np.max(spacing_mm))
        if radius_px < _SMALLEST_RADIUS_PX:
            found = f"balls of {balls.diameter_mm:g} mm, {radius_px:.1f} px in radius"
            wanted = f"{_SMALLEST_RADIUS_PX:g} px or more: larger balls, or smaller pixels (is diameter_mm right?)"
            yield Finding("error", "balls", shot.name, found, wanted, (shot.name,))
