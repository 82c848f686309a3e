"""Find what is wrong with camera geometry before an hour of rendering or a week of training shows it.

Works on raw records of a ``drrkit-camera/1`` file, so that a camera that cannot even be made becomes a finding.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from drrkit.errors import InputError
from drrkit.geometry.camera import Camera
from drrkit.geometry.lint.finding import Finding
from drrkit.geometry.lint.records import lint_record
from drrkit.geometry.lint.scene import CtLike, lint_angles, lint_scene

__all__ = ["RULES", "CtLike", "Finding", "lint_cameras"]

RULES = {
    "angles": "the view direction is more than 10 degrees off the DICOM positioner angles",
    "angles-unmatched": "angles without a camera, or cameras without angles",
    "behind-detector": "the patient lies behind the detector",
    "camera": "a record that makes no camera for another reason",
    "distance": "a source-to-detector distance that X-ray machines do not have",
    "duplicate-id": "an id twice",
    "fields": "a field that is missing or not numeric",
    "flipped-rows": "a negative fy: rows counted upward",
    "focal-mismatch": "fx * column spacing and fy * row spacing are different distances",
    "half-pixel": "a principal point at W/2, H/2: pixel edges at integers, not centers",
    "isocenter": "the central rays meet, or pass, outside the CT",
    "mirrored": "a mirrored image: negative fx, or a reflection in the rotation",
    "not-seen": "no part of the patient falls on the detector",
    "principal-point": "a principal point far outside the image",
    "projection-matrix": "a stored P that is not K [R | t]",
    "ras": "a pose that fits in RAS, not in LPS",
    "rotation": "a rotation that is not orthonormal",
    "skew": "a skewed pixel grid",
    "source-inside-body": "the X-ray source inside the patient",
    "spacing-order": "pixel_spacing_mm in the order column, row",
    "units": "meters instead of millimeters",
    "z-toward-source": "a camera that looks away from the detector",
}


def lint_cameras(
    records: Sequence[Mapping[str, Any]],
    volume: CtLike | None = None,
    angles: Mapping[str, tuple[float, float]] | None = None,
) -> list[Finding]:
    """Check camera records, each alone, together, against a CT and against DICOM angles.

    Args:
        records: Entries of a ``drrkit-camera/1`` file, valid or not.
        volume: The CT that the cameras look at; None leaves out the rules that need one.
        angles: DICOM positioner angles (primary, secondary) in degrees by camera id; None leaves out their rules.

    Returns:
        Findings, errors first, otherwise in the order of the records.
    """
    # Absurd numbers may overflow on the way to being reported.
    with np.errstate(all="ignore"):
        return _sorted_findings(records, volume, angles)


def _sorted_findings(
    records: Sequence[Mapping[str, Any]],
    volume: CtLike | None,
    angles: Mapping[str, tuple[float, float]] | None,
) -> list[Finding]:
    counts = Counter(str(record.get("id", "")) for record in records)
    findings = [
        Finding(
            "error", f"camera {name}", "duplicate-id", f"the id {count} times", "every id once", "rename the others"
        )
        for name, count in counts.items()
        if count > 1
    ]
    cameras: dict[str, Camera] = {}
    for record in records:
        name = str(record.get("id", ""))
        found = lint_record(record, f"camera {name}")
        try:
            cameras.setdefault(name, Camera.from_record(record, f"camera {name}"))
        except InputError as error:
            if not any(finding.severity == "error" for finding in found):
                found.append(Finding("error", error.where, "camera", error.found, error.wanted, "mend the record"))
        findings += found
    if volume is not None:
        findings += lint_scene(cameras, volume)
    if angles is not None:
        findings += lint_angles(cameras, angles)
    return sorted(findings, key=lambda finding: finding.severity != "error")
