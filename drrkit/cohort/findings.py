"""What a linter says: one line a finding, with the reason and the remedy."""

from dataclasses import asdict, dataclass
from typing import Literal

Severity = Literal["error", "warning"]

RULES = {
    "unreadable": "a CT or label map that is gone, damaged, or numbered by another scheme",
    "changed": "a file is not the one that was imported",
    "grid": "the label map does not lie on the CT's grid: another size, spacing, or placement",
    "duplicate": "one CT twice, in whatever format: error under two donors, warning under one",
    "shared-labels": "one label map for two CTs",
    "no-levels": "a label map without any vertebra",
    "flipped": "the mask lies on bone only when it is mirrored",
    "off-bone": "the mean CT value is that of soft tissue or air: error for the whole mask, warning for a level",
    "border": "a level touches the CT's border, so it is incomplete",
    "split-level": "one name holds two large bodies",
    "two-labels": "one vertebra under two names",
    "stray-voxels": "specks of a name far from its vertebra",
    "volume": "a whole vertebra smaller or larger than any adult's",
    "volume-outlier": "a vertebra much smaller or larger than both neighbors",
    "reversed": "the names run from foot to head, as with TotalSegmentator's numbers under another scheme",
    "order": "the names are out of order along the spine",
    "gap": "a level is missing between two others: error if there is room for it, or if the names skip one",
    "spacing": "neighbors by name are too far apart or too close: a vertebra without a name, or with two",
    "off-by-one": "the sacrum's neighbor, or where the transverse processes grow long, speaks for other names",
}


@dataclass(frozen=True)
class Finding:
    """Something wrong or suspicious about one CT or its labels.

    Args:
        severity: ``error`` must not be rendered or trained on; ``warning`` should be looked at.
        ct_id: The CT.
        rule: One of :data:`RULES`.
        found: What stands there.
        why: Why that is wrong or suspicious.
        fix: What to do about it.
    """

    severity: Severity
    ct_id: str
    rule: str
    found: str
    why: str
    fix: str

    def to_record(self) -> dict[str, str]:
        """Return the finding as a flat record for JSON."""
        return asdict(self)
