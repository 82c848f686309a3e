"""The nominal camera of an exposure: its header, completed by what acquisition.yaml says."""

from dataclasses import replace
from typing import Any

from drrkit.geometry.camera import Camera
from drrkit.geometry.presets import preset
from drrkit.io.dicom import tag_name
from drrkit.io.xray_header import FrameGeometry, XrayHeader, fits_patient_orientation
from protocols.acquisition.schema import Device, ExposureNote

# A preset's detector may be read out with other pixels; another aspect ratio is another detector.
SAME_ASPECT = 0.01

_ANGLES = {"primary_deg": "PositionerPrimaryAngle", "secondary_deg": "PositionerSecondaryAngle"}
_LENGTHS = {
    "source_to_detector_mm": "DistanceSourceToDetector",
    "source_to_isocenter_mm": "DistanceSourceToIsocenter",
    "imager_spacing_mm": "ImagerPixelSpacing",
}


def nominal_camera(
    header: XrayHeader, frame: int, device: Device, note: ExposureNote
) -> tuple[Camera | None, tuple[str, ...]]:
    """Make the nominal camera of one frame.

    The note's angles go before the header's; the header's distances and spacing before those of acquisition.yaml
    (unless these overrule headers), and these before those of the preset. A mirrored K is the rule: see
    :mod:`drrkit.io.xray_header`.

    Returns:
        The camera, or None and what it lacks.
    """
    filled = completed(header, frame, device, note)
    if filled.missing:
        return None, filled.missing
    camera = replace(header, frames=(filled,)).camera(0)
    if camera is None:
        raise AssertionError("a frame that lacks nothing has a camera")
    if note.flipped_horizontally:
        return camera.flipped_horizontally(), ()
    if not fits_patient_orientation(filled, camera):
        rows, columns = filled.patient_orientation or ("", "")
        return None, (f"angles that agree with PatientOrientation (0020,0020) {rows}, {columns}",)
    return camera, ()


def completed(header: XrayHeader, frame: int, device: Device, note: ExposureNote) -> FrameGeometry:
    """Fill the gaps of one frame's geometry; what then stands between it and a camera is in ``missing``."""
    said = header.frames[frame]
    angles = {name: getattr(note, name) for name in _ANGLES if getattr(note, name) is not None}
    own: dict[str, Any] = {
        "source_to_detector_mm": device.source_to_detector_mm,
        "source_to_isocenter_mm": device.source_to_isocenter_mm,
        "imager_spacing_mm": device.pixel_spacing_mm,
    }
    overruling = {name for name, value in own.items() if device.overrule_headers and value is not None}
    fallback = dict(own)
    if device.preset is not None:
        machine = preset(device.preset)
        fallback["source_to_detector_mm"] = fallback["source_to_detector_mm"] or machine.source_to_detector_mm
        fallback["source_to_isocenter_mm"] = fallback["source_to_isocenter_mm"] or machine.source_to_isocenter_mm
        fallback["imager_spacing_mm"] = fallback["imager_spacing_mm"] or preset_spacing(header, device.preset)
    lengths = {
        name: value
        for name, value in fallback.items()
        if value is not None and (name in overruling or getattr(said, name) is None)
    }
    changes: dict[str, Any] = {**angles, **lengths}
    filled = replace(said, **changes)
    settled = tuple({**_ANGLES, **_LENGTHS}[name] for name in changes)
    reasons = [reason for reason in said.missing if not reason.startswith(settled)] if settled else list(said.missing)
    # Both are asked again of what is now known.
    again = ("PatientOrientation", "isocenter before the detector")
    reasons = [reason for reason in reasons if not any(words in reason for words in again)]
    to_detector_mm, to_isocenter_mm = filled.source_to_detector_mm, filled.source_to_isocenter_mm
    if to_detector_mm and to_isocenter_mm and to_isocenter_mm >= to_detector_mm:
        reasons.append(f"an isocenter before the detector (it lies at {to_isocenter_mm:g} of {to_detector_mm:g} mm)")
    return replace(filled, missing=tuple(reasons))


def preset_spacing(header: XrayHeader, name: str) -> tuple[float, float] | None:
    """Return the (row, column) spacing of a preset's detector at the image's size; None for another aspect ratio."""
    machine = preset(name)
    aspect = header.height / header.width / (machine.height / machine.width)
    if abs(aspect - 1) > SAME_ASPECT:
        return None
    return machine.resized(header.height, header.width).pixel_spacing_mm


def silent_header(height: int, width: int) -> XrayHeader:
    """Return the header of an image that says nothing but its size, such as a PNG."""
    missing = tuple(tag_name(keyword) for keyword in (*_ANGLES.values(), *_LENGTHS.values()))
    frame = FrameGeometry(None, None, None, None, None, None, None, 0, False, None, missing)
    return XrayHeader("", "", height, width, "", (frame,))
