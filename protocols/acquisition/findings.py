"""What a check of an acquisition says: one entry a contradiction, by rule."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

Severity = Literal["error", "warning"]

RULES = {
    "yaml": "acquisition.yaml is missing, no YAML, or has fields that are missing, unknown, doubled or of another kind",
    "placeholder": "a text of the template was not replaced",
    "missing-file": "CT, labels or X-rays are not where acquisition.yaml says",
    "unlisted-file": "a file that acquisition.yaml does not account for",
    "unreadable": "a file that is no DICOM, damaged, cut off, or no image",
    "modality": "an image of another kind among the X-rays",
    "id": "a name unfit for a file, an exposure name twice, or a folder named other than the acquisition",
    "unknown-exposure": "a note on an exposure that does not exist",
    "duplicate": "the same image twice, or one SOP Instance UID in two files",
    "patient": "another patient id among the X-rays, or in the CT than in the X-rays",
    "study": "the X-rays belong to several studies",
    "date": "CT and X-rays are days apart, or not of the shifted date",
    "position": "CT and X-rays say that the patient lay otherwise",
    "personal-data": "names of persons in tags, file names or texts: anonymize before the data leave the lab",
    "burned-in": "text may be burned into the pixels: it hides balls and may name people",
    "simulated": "DICOM files and acquisition.yaml disagree on whether the session is simulated",
    "derived": "images of a real session that the machine derived from others (processed, averaged, reformatted)",
    "device": "several machines, or another kind of detector than acquisition.yaml says",
    "geometry": "an exposure without a nominal camera: angles, distances or spacing are given nowhere",
    "distance": "distances of acquisition.yaml and headers, or of one header and another, differ",
    "spacing": "pixel spacings of acquisition.yaml and headers, of one header and another, or within one header differ",
    "preset": "the preset is another machine than headers or acquisition.yaml describe",
    "angles": "angles beyond what there is, the same for all exposures, or far from what acquisition.yaml notes",
    "orbit": "too few exposures, an orbit with gaps, or one that does not reach around the patient",
    "image-size": "the size of the images changes from exposure to exposure",
    "collimator": "the collimator was moved between exposures",
    "pixels": "what pixel values mean is said nowhere, or said twice and differently",
    "balls": "too few balls, or so small that calibration cannot see them in CT or X-ray",
    "ct": "the CT cannot be stacked, misses slices, is too coarse for the balls, or ends at 3071 HU",
    "labels": "labels on another grid than the CT's, with numbers that their scheme lacks, or without the levels",
}

_NAMED = 3


@dataclass(frozen=True)
class Finding:
    """One contradiction.

    Args:
        severity: ``error`` has to be mended before the session can be used; ``warning`` should be looked at.
        rule: One of :data:`RULES`.
        where: The file, field or exposures.
        found: What stands there.
        wanted: What would be right, or how to mend it.
        exposures: All exposures that it concerns, by name; empty for the session as a whole.
    """

    severity: Severity
    rule: str
    where: str
    found: str
    wanted: str
    exposures: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the finding as a record for JSON."""
        return {**asdict(self), "exposures": list(self.exposures)}


def merged(findings: Iterable[Finding]) -> list[Finding]:
    """Join equal findings on several exposures into one, and put errors first."""
    groups: dict[tuple[str, ...], Finding] = {}
    for finding in findings:
        place = "" if finding.exposures else finding.where
        key = (finding.severity, finding.rule, finding.found, finding.wanted, place)
        before = groups.get(key)
        if before is None:
            groups[key] = finding
        elif finding.exposures:
            groups[key] = replace(before, exposures=(*before.exposures, *finding.exposures))
    named = [replace(item, where=_listed(item)) if len(item.exposures) > 1 else item for item in groups.values()]
    order = list(RULES)
    return sorted(named, key=lambda item: (item.severity != "error", order.index(item.rule)))


def _listed(finding: Finding) -> str:
    names = list(dict.fromkeys(finding.exposures))
    more = len(names) - _NAMED
    return f"exposures {', '.join(names[:_NAMED])}" + (f" and {more} more" if more > 0 else "")
