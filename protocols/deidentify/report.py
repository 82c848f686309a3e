"""What a de-identification did, in words and counts that hold nothing personal themselves."""

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

REPORT_CONVENTION = "drrkit-deidentification/1"
REPORT_NAME = "deidentification.json"


@dataclass
class Tally:
    """Counts of attributes, over all files.

    Args:
        kept: How often each attribute was kept, by keyword.
        removed: How many were dropped: standard ones, private ones, overlays and curves, and whitelisted ones.
        unfit: How often a whitelisted attribute was dropped because it held something else than it may, by keyword.
    """

    kept: Counter[str] = field(default_factory=Counter)
    removed: Counter[str] = field(default_factory=Counter)
    unfit: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class Report:
    """What was done to one acquisition.

    Args:
        patient: The pseudonym.
        study_dates: The moved study dates, sorted, as year-month-day.
        files: How many files were written, by modality.
        kept: How often each attribute was kept, by keyword.
        removed: How many attributes were dropped, by kind: standard, private, overlay or curve, unfit.
        unfit: Whitelisted attributes that held something else than they may, by keyword.
        decompressed: Files whose pixels were packed and are now plain.
        hidden_bits_cleared: Files with bits set beside the image's own, where old overlays lie.
        blanked: Files in which rectangles were blanked.
        declared_clean: Files without a BurnedInAnnotation of NO that were said to be clean.
        left_out: How many files were not copied because they are no DICOM files, by suffix.
        sheet_copied: Whether acquisition.yaml was copied.
    """

    patient: str
    study_dates: tuple[str, ...]
    files: dict[str, int]
    kept: dict[str, int]
    removed: dict[str, int]
    unfit: dict[str, int]
    decompressed: int
    hidden_bits_cleared: int
    blanked: int
    declared_clean: int
    left_out: dict[str, int]
    sheet_copied: bool

    def to_record(self) -> dict[str, Any]:
        """Return what is written into the report file."""
        return {"convention": REPORT_CONVENTION, **asdict(self)}
