"""Angles, distances and spacings: header against header, against acquisition.yaml and against the preset."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

import numpy as np

from drrkit.geometry.presets import preset
from protocols.acquisition.findings import Finding, Severity
from protocols.acquisition.nominal import preset_spacing
from protocols.acquisition.schema import SHEET_NAME, Sheet
from protocols.acquisition.survey import Shot, usable

# acquisition.yaml may round; a preset is of the same make, not the same machine; intensifiers' fields are nominal.
_SHEET_TOLERANCE = 0.01
_PRESET_TOLERANCE = 0.05
_FIELD_TOLERANCE = 0.1
# Headers are off by degrees; an angle noted by hand that is farther from them has another sign or another axis.
_NOTED_ANGLE_LIMIT_DEG = 20.0
_SAME_ANGLE_DEG = 0.05
# Three exposures triangulate; forty are what an orbit with a step twice as wide as the protocol's has.
_FEWEST_EXPOSURES = 3
_USUAL_EXPOSURES = 40
# The protocol: 3 degree steps to +-102. Three steps without a shot are a gap; +-90 is both laterals.
_ORBIT_TILT_DEG = 6.0
_ORBIT_GAP_DEG = 9.5
_ORBIT_REACH_DEG = 90.0


def check_geometry(sheet: Sheet, shots: Sequence[Shot]) -> Iterator[Finding]:
    """Check what cameras will be made of."""
    used = usable(shots)
    yield from _missing(used)
    yield from _lengths(sheet, used)
    yield from _between_headers(sheet, used)
    yield from _against_preset(sheet, used)
    yield from _angles(sheet, used)
    yield from _orbit(used)
    yield from _sizes(sheet, used)
    yield from _devices(sheet, used)


def _missing(shots: Sequence[Shot]) -> Iterator[Finding]:
    for shot in shots:
        for reason in shot.exposure.missing:
            if reason.startswith("Positioner"):
                wanted = "the tag, or the angle under xrays.exposures in acquisition.yaml"
            elif reason.startswith(("Distance", "ImagerPixelSpacing")):
                wanted = "the tag, or the number (or a preset) under device in acquisition.yaml"
            elif "PatientOrientation" in reason:
                wanted = "right angles or flipped_horizontally under xrays.exposures in acquisition.yaml"
            else:
                wanted = "a header without this, or exclude under xrays.exposures in acquisition.yaml"
            found = f"no {reason}" if reason[:1].isupper() else f"no camera, which needs {reason}"
            yield Finding("error", "geometry", shot.name, found, wanted, (shot.name,))


def _lengths(sheet: Sheet, shots: Sequence[Shot]) -> Iterator[Finding]:
    device = sheet.device
    for shot in shots:
        for rule, field, header_mm, sheet_mm in (
            ("distance", "source_to_detector_mm", shot.said.source_to_detector_mm, device.source_to_detector_mm),
            ("distance", "source_to_isocenter_mm", shot.said.source_to_isocenter_mm, device.source_to_isocenter_mm),
            ("spacing", "pixel_spacing_mm", shot.said.imager_spacing_mm, device.pixel_spacing_mm),
        ):
            if header_mm is None or sheet_mm is None or _off(header_mm, sheet_mm) <= _SHEET_TOLERANCE:
                continue
            if device.overrule_headers:
                continue
            found = f"{_mm(header_mm)} in the header, {_mm(sheet_mm)} as device.{field} in acquisition.yaml"
            wanted = "null in acquisition.yaml, for the header's counts; or overrule_headers, if headers are wrong"
            yield Finding("error", rule, shot.name, found, wanted, (shot.name,))
        if shot.field_mm and shot.said.imager_spacing_mm:
            sides_mm = sorted(np.multiply(shot.said.imager_spacing_mm, (shot.header.height, shot.header.width)))
            if _off(tuple(sides_mm), shot.field_mm) > _FIELD_TOLERANCE:
                found = (
                    f"{_mm(sides_mm)} by pixels and spacing, {_mm(shot.field_mm)} by FieldOfViewDimensions (0018,1149)"
                )
                wanted = "one size: ImagerPixelSpacing (0018,1164) may be that of other pixels, or of the patient"
                yield Finding("warning", "spacing", shot.name, found, wanted, (shot.name,))


def _between_headers(sheet: Sheet, shots: Sequence[Shot]) -> Iterator[Finding]:
    severity: Severity = "error" if sheet.device.intrinsics == "shared" else "warning"
    measures: tuple[tuple[str, str, Callable[[Shot], float | tuple[float, float] | None]], ...] = (
        ("distance", "DistanceSourceToDetector (0018,1110)", lambda shot: shot.said.source_to_detector_mm),
        ("spacing", "ImagerPixelSpacing (0018,1164)", lambda shot: shot.said.imager_spacing_mm),
    )
    for rule, tag, measure in measures:
        said = [(shot, value) for shot in shots if (value := measure(shot)) is not None]
        if not said:
            continue
        usual = Counter(value for _, value in said).most_common(1)[0][0]
        for shot, value in said:
            if _off(value, usual) > _SHEET_TOLERANCE:
                found = f"{tag} {_mm(value)}, in most others {_mm(usual)}"
                wanted = "one for the session (intrinsics: drifting lets each exposure have its own)"
                yield Finding(severity, rule, shot.name, found, wanted, (shot.name,))


def _against_preset(sheet: Sheet, shots: Sequence[Shot]) -> Iterator[Finding]:
    device = sheet.device
    if device.preset is None:
        return
    machine = preset(device.preset)
    wanted = "the machine's own preset, or null"
    for field in ("source_to_detector_mm", "source_to_isocenter_mm"):
        own_mm = getattr(device, field)
        if own_mm is not None and _off(own_mm, getattr(machine, field)) > _PRESET_TOLERANCE:
            found = f"{_mm(own_mm)}, in {device.preset} {_mm(getattr(machine, field))}"
            yield Finding("warning", "preset", f"{SHEET_NAME}, device.{field}", found, wanted)
    for shot in shots:
        spacing_mm = preset_spacing(shot.header, device.preset)
        if spacing_mm is None:
            found = f"{shot.header.height} x {shot.header.width} pixels, in {device.preset} "
            found += f"{machine.height} x {machine.width}"
            yield Finding("warning", "preset", shot.name, found, wanted, (shot.name,))
        for name, said_mm, preset_mm in (
            ("source to detector", shot.said.source_to_detector_mm, machine.source_to_detector_mm),
            ("source to isocenter", shot.said.source_to_isocenter_mm, machine.source_to_isocenter_mm),
            ("pixel spacing", shot.said.imager_spacing_mm, spacing_mm),
        ):
            if said_mm is not None and preset_mm is not None and _off(said_mm, preset_mm) > _PRESET_TOLERANCE:
                found = f"{name} {_mm(said_mm)}, in {device.preset} {_mm(preset_mm)}"
                yield Finding("warning", "preset", shot.name, found, wanted, (shot.name,))


def _angles(sheet: Sheet, shots: Sequence[Shot]) -> Iterator[Finding]:
    for shot in shots:
        for name, angle_deg, limit_deg in (
            ("primary", shot.said.primary_deg, 180.0),
            ("secondary", shot.said.secondary_deg, 90.0),
        ):
            if angle_deg is not None and abs(angle_deg) > limit_deg:
                wanted = f"degrees from -{limit_deg:g} to {limit_deg:g} (DICOM PS3.3 C.8.7.5)"
                yield Finding("error", "angles", shot.name, f"{name} angle {angle_deg:g}", wanted, (shot.name,))
        note = sheet.xrays.exposures.get(shot.name)
        for name, said_deg, noted_deg in (
            ("primary", shot.said.primary_deg, None if note is None else note.primary_deg),
            ("secondary", shot.said.secondary_deg, None if note is None else note.secondary_deg),
        ):
            if said_deg is None or noted_deg is None:
                continue
            apart_deg = abs((said_deg - noted_deg + 180) % 360 - 180)
            if apart_deg > _NOTED_ANGLE_LIMIT_DEG:
                found = f"{name} angle {said_deg:g} in the header, {noted_deg:g} in acquisition.yaml"
                wanted = "angles as DICOM counts them: +90 = detector at the patient's left, + secondary = cranial"
                yield Finding("warning", "angles", shot.name, found, wanted, (shot.name,))
    posed = [(shot.filled.primary_deg, shot.filled.secondary_deg) for shot in shots]
    known = np.array([pair for pair in posed if None not in pair], dtype=float).reshape(-1, 2)
    if len(known) >= _FEWEST_EXPOSURES and np.ptp(known, axis=0).max() < _SAME_ANGLE_DEG:
        found = f"primary {known[0, 0]:g} and secondary {known[0, 1]:g} degrees in all {len(known)} exposures"
        yield Finding("error", "angles", "all exposures", found, "the angle of each shot: does the read-out work?")


def _orbit(shots: Sequence[Shot]) -> Iterator[Finding]:
    if not shots:
        return
    if len(shots) < _USUAL_EXPOSURES:
        severity: Severity = "error" if len(shots) < _FEWEST_EXPOSURES else "warning"
        wanted = f"{_USUAL_EXPOSURES} or more; the protocol has 69 on the orbit, and tilted ones"
        yield Finding(severity, "orbit", "X-rays", f"{len(shots)} exposures in use", wanted)
    angles = sorted(
        shot.filled.primary_deg
        for shot in shots
        if shot.filled.primary_deg is not None and abs(shot.filled.secondary_deg or 0.0) <= _ORBIT_TILT_DEG
    )
    if len(angles) < _FEWEST_EXPOSURES or angles[-1] - angles[0] < _SAME_ANGLE_DEG:
        return
    gaps = [f"{one:g} to {other:g}" for one, other in pairwise(angles) if other - one > _ORBIT_GAP_DEG]
    if gaps:
        found = f"no shot from {', '.join(gaps[:3])} degrees" + (f" and {len(gaps) - 3} more gaps" * (len(gaps) > 3))
        yield Finding("warning", "orbit", "X-rays", found, "steps of 3 degrees: are files missing?")
    if angles[0] > -_ORBIT_REACH_DEG or angles[-1] < _ORBIT_REACH_DEG:
        found = f"an orbit from {angles[0]:g} to {angles[-1]:g} degrees"
        wanted = f"both laterals, so at least +-{_ORBIT_REACH_DEG:g} (the protocol goes to +-102)"
        yield Finding("warning", "orbit", "X-rays", found, wanted)


def _sizes(sheet: Sheet, shots: Sequence[Shot]) -> Iterator[Finding]:
    if not shots:
        return
    severity: Severity = "error" if sheet.device.intrinsics == "shared" else "warning"
    usual = Counter((shot.header.height, shot.header.width) for shot in shots).most_common(1)[0][0]
    edges = Counter(shot.collimator for shot in shots).most_common(1)[0][0]
    for shot in shots:
        size = (shot.header.height, shot.header.width)
        if size != usual:
            found = f"{size[0]} x {size[1]} pixels, most others {usual[0]} x {usual[1]}"
            wanted = "one size: no change of zoom or field of view within a session"
            yield Finding(severity, "image-size", shot.name, found, wanted, (shot.name,))
        elif shot.collimator != edges:
            found = f"collimator edges at {_numbers(shot.collimator)}, in most others {_numbers(edges)}"
            wanted = "one setting, with all balls inside"
            yield Finding("warning", "collimator", shot.name, found, wanted, (shot.name,))


def _devices(sheet: Sheet, shots: Sequence[Shot]) -> Iterator[Finding]:
    machines = Counter(shot.device for shot in shots if shot.device)
    if len(machines) > 1:
        found = "; ".join(f"{machine} ({count})" for machine, count in machines.most_common())
        yield Finding("error", "device", "X-rays", found, "one C-arm an acquisition: make two of it")
    for shot in shots:
        if shot.detector and shot.detector != sheet.device.detector:
            found = f"{shot.detector} by its header, {sheet.device.detector} in acquisition.yaml"
            wanted = "one: an image intensifier distorts, and that is corrected only if device.detector says so"
            yield Finding("error", "device", shot.name, found, wanted, (shot.name,))


def _off(value: float | Sequence[float], other: float | Sequence[float]) -> float:
    """Relative difference, of the worst one among several."""
    return float(np.max(np.abs(np.asarray(value) / np.asarray(other) - 1)))


def _mm(value: float | Sequence[float]) -> str:
    return f"{' x '.join(f'{number:.4g}' for number in np.atleast_1d(value))} mm"


def _numbers(values: Sequence[float]) -> str:
    return ", ".join(f"{value:g}" for value in values) or "none"
