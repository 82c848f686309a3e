"""Plots of a calibrated session as inline SVG: no library, no script, colors from the page's style sheet."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from protocols.calibration.result import ExposureCalibration, SessionCalibration

_WIDTH, _HEIGHT = 540, 290
_LEFT, _RIGHT, _TOP, _BOTTOM = 68, 12, 32, 48


@dataclass(frozen=True)
class Axis:
    """One axis: what it is called, its range, and where it lies on the drawing."""

    label: str
    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        """Return where a value lies."""
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)

    def ticks(self, about: int = 5) -> list[float]:
        """Return round numbers within the range."""
        rough = (self.high - self.low) / about
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * 0.999)
        first = math.ceil(self.low / step - 1e-9)
        return [number * step for number in range(first, math.floor(self.high / step + 1e-9) + 1)]


def residual_by_angle(calibration: SessionCalibration) -> str:
    """Plot the residual of the used balls over the primary angle; exposures without a camera stand below the axis."""
    shown = [exposure for exposure in calibration.exposures if _trusted(exposure) and exposure.rms_px is not None]
    angles = [_angles(exposure)[0] for exposure in calibration.exposures]
    x = _padded("primary angle (degrees)", angles, _LEFT, _WIDTH - _RIGHT, least=10.0)
    y = _from_zero("RMS of the balls (px)", [exposure.rms_px or 0.0 for exposure in shown])
    parts = [_frame("Residual by angle", x, y)]
    for exposure in calibration.exposures:
        place = x.at(_angles(exposure)[0])
        if _trusted(exposure) and exposure.rms_px is not None:
            parts.append(_dot(exposure, place, y.at(exposure.rms_px), f"{exposure.rms_px:.2f} px"))
        else:
            parts.append(_cross(exposure, place, y.start - 7))
    parts.append(_median_line([exposure.rms_px or 0.0 for exposure in shown], y, "px"))
    return _svg(parts, "Residual of the used balls by primary angle", len(shown), len(calibration.exposures))


def target_error_by_exposure(calibration: SessionCalibration) -> str:
    """Plot the leave-one-ball-out target error of every exposure, in the order of the acquisition."""
    errors = {
        number: exposure.target_error_mm
        for number, exposure in enumerate(calibration.exposures, start=1)
        if _trusted(exposure) and exposure.target_error_mm is not None
    }
    x = Axis("exposure (number in the session)", 0.0, len(calibration.exposures) + 1.0, _LEFT, _WIDTH - _RIGHT)
    y = _from_zero("target error (mm)", list(errors.values()))
    parts = [_frame("Target error by exposure, leave-one-ball-out", x, y)]
    for number, exposure in enumerate(calibration.exposures, start=1):
        if number in errors:
            top, place = y.at(errors[number]), x.at(number)
            parts.append(f'<path class="stem" d="M{place:.1f} {y.start:.1f}V{top:.1f}"/>')
            parts.append(_dot(exposure, place, top, f"{errors[number]:.2f} mm"))
        else:
            parts.append(_cross(exposure, x.at(number), y.start - 7))
    parts.append(_median_line(list(errors.values()), y, "mm"))
    return _svg(parts, "Leave-one-ball-out target error by exposure", len(errors), len(calibration.exposures))


def angle_corrections(calibration: SessionCalibration) -> str:
    """Plot by how much calibration moved the header's angles; a smooth curve is a machine, a jump is a mistake."""
    shown = [exposure for exposure in calibration.exposures if _trusted(exposure) and exposure.angles_deg is not None]
    moves = [
        [_turn_deg(found - told) for found, told in zip(_angles(exposure), exposure.nominal_angles_deg, strict=True)]
        for exposure in shown
    ]
    x = _padded(
        "primary angle (degrees)", [_angles(exposure)[0] for exposure in shown], _LEFT, _WIDTH - _RIGHT, least=10.0
    )
    y = _padded(
        "calibrated minus header (degrees)",
        [0.0, *(value for move in moves for value in move)],
        _HEIGHT - _BOTTOM,
        _TOP,
        least=1.0,
    )
    parts = [_frame("Corrections of the angles", x, y)]
    parts.append(f'<path class="zero" d="M{_LEFT} {y.at(0):.1f}H{_WIDTH - _RIGHT}"/>')
    for exposure, (primary, secondary) in zip(shown, moves, strict=True):
        place = x.at(_angles(exposure)[0])
        parts.append(_dot(exposure, place, y.at(primary), f"primary {primary:+.2f} degrees"))
        parts.append(_square(exposure, place, y.at(secondary), f"secondary {secondary:+.2f} degrees"))
    parts.append(
        f'<text class="note" x="{_WIDTH - _RIGHT}" y="{_TOP - 10}" text-anchor="end">● primary  □ secondary</text>'
    )
    return _svg(parts, "Calibrated minus header angles", len(shown), len(calibration.exposures))


def _trusted(exposure: ExposureCalibration) -> bool:
    return exposure.status != "fail" and exposure.camera is not None


def _angles(exposure: ExposureCalibration) -> tuple[float, float]:
    return exposure.nominal_angles_deg if exposure.angles_deg is None else exposure.angles_deg


def _turn_deg(difference: float) -> float:
    return (difference + 180.0) % 360.0 - 180.0


def _padded(label: str, values: Sequence[float], start: float, end: float, least: float) -> Axis:
    low, high = (min(values), max(values)) if values else (0.0, 0.0)
    margin = max(0.06 * (high - low), (least - (high - low)) / 2)
    return Axis(label, low - margin, high + margin, start, end)


def _from_zero(label: str, values: Sequence[float]) -> Axis:
    return Axis(label, 0.0, 1.15 * max([*values, 1e-3]), _HEIGHT - _BOTTOM, _TOP)


def _frame(title: str, x: Axis, y: Axis) -> str:
    parts = [f'<text class="title" x="{_LEFT}" y="{_TOP - 10}">{escape(title)}</text>']
    for tick in y.ticks():
        place = y.at(tick)
        parts.append(f'<path class="grid" d="M{_LEFT} {place:.1f}H{_WIDTH - _RIGHT}"/>')
        parts.append(f'<text class="tick" x="{_LEFT - 7}" y="{place + 4:.1f}" text-anchor="end">{_number(tick)}</text>')
    base = _HEIGHT - _BOTTOM
    for tick in x.ticks(9):
        place = x.at(tick)
        parts.append(f'<path class="axis" d="M{place:.1f} {base}v5"/>')
        parts.append(f'<text class="tick" x="{place:.1f}" y="{base + 18}" text-anchor="middle">{_number(tick)}</text>')
    parts.append(f'<path class="axis" d="M{_LEFT} {base}H{_WIDTH - _RIGHT}"/>')
    middle_x, middle_y = (_LEFT + _WIDTH - _RIGHT) / 2, (_TOP + base) / 2
    parts.append(f'<text class="label" x="{middle_x}" y="{_HEIGHT - 8}" text-anchor="middle">{escape(x.label)}</text>')
    parts.append(
        f'<text class="label" transform="translate(14 {middle_y}) rotate(-90)" text-anchor="middle">'
        f"{escape(y.label)}</text>"
    )
    return "".join(parts)


def _number(value: float) -> str:
    return f"{value:.4g}".replace("-", "−")


def _mark(exposure: ExposureCalibration, shape: str, text: str) -> str:
    return (
        f'<g class="mark {exposure.status}" data-exposure="{escape(exposure.exposure_id)}">{shape}'
        f"<title>{escape(f'{exposure.exposure_id} ({exposure.status}): {text}')}</title></g>"
    )


def _dot(exposure: ExposureCalibration, x: float, y: float, text: str) -> str:
    return _mark(exposure, f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4"/>', text)


def _square(exposure: ExposureCalibration, x: float, y: float, text: str) -> str:
    return _mark(exposure, f'<rect class="hollow" x="{x - 3.5:.1f}" y="{y - 3.5:.1f}" width="7" height="7"/>', text)


def _cross(exposure: ExposureCalibration, x: float, y: float) -> str:
    shape = f'<path class="cross" d="M{x - 4:.1f} {y - 4:.1f}l8 8m0 -8l-8 8"/>'
    return _mark(exposure, shape, f"no camera: {exposure.reason}")


def _median_line(values: Sequence[float], y: Axis, unit: str) -> str:
    if not values:
        return ""
    median, high = float(np.median(values)), float(np.percentile(values, 95))
    return "".join(
        f'<path class="median" d="M{_LEFT} {y.at(value):.1f}H{_WIDTH - _RIGHT}"/>'
        f'<text class="note" x="{_WIDTH - _RIGHT - 4}" y="{y.at(value) - 5:.1f}" text-anchor="end">'
        f"{name} {value:.3f} {unit}</text>"
        for name, value in (("median", median), ("95 %", high))
    )


def _svg(parts: Sequence[str], title: str, shown: int, total: int) -> str:
    missing = f"; {total - shown} without a camera" if total > shown else ""
    return (
        f'<svg class="plot" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'aria-label="{escape(f"{title}: {shown} of {total} exposures{missing}")}">{"".join(parts)}</svg>'
    )
