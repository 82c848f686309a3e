"""Listing sessions as a set of pairs: what manifest and acquisition.yaml say of each."""

from pathlib import Path

from drrkit.errors import InputError
from protocols.acquisition.sheet import read_sheet
from protocols.pairs import read_pairs
from protocols.pairset import PairedSession, Split


def paired_session(pairs: Path, acquisition: Path, split: Split, group: str | None = None) -> PairedSession:
    """Describe one session for :func:`protocols.pairset.write_pairset`; no image is opened.

    Args:
        pairs: Folder that ``drrkit acquisition pair`` wrote.
        acquisition: The same session's folder with acquisition.yaml and the labels.
        split: Of its donor.
        group: What it is judged with; None for its kind of detector, ``flat-panel`` or ``image-intensifier``.

    Raises:
        InputError: No pairs, a fault in acquisition.yaml, or pairs of another session or donor than acquisition.yaml's.
    """
    rows = read_pairs(pairs)
    if not rows:
        raise InputError(pairs, "no pairs", "a folder that drrkit acquisition pair wrote")
    sheet = read_sheet(acquisition)
    wanted = (sheet.acquisition_id, sheet.donor_id, sheet.simulated)
    for row in rows:
        if (row.acquisition_id, row.donor_id, row.simulated) != wanted:
            found = f"the pair {row.pair_id} of {row.donor_id}{' (SIMULATED)' if row.simulated else ''}"
            owner = f"pairs of {sheet.acquisition_id}, {sheet.donor_id}{' (SIMULATED)' if sheet.simulated else ''}"
            raise InputError(pairs, found, f"{owner}, as {acquisition} says")
    return PairedSession(
        acquisition_id=sheet.acquisition_id,
        donor_id=sheet.donor_id,
        split=split,
        group=group or sheet.device.detector.replace("_", "-"),
        simulated=sheet.simulated,
        pairs=pairs,
        acquisition=acquisition,
    )
