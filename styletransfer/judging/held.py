"""The pairs of held-out donors that translators are judged on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from drrkit.errors import InputError
from protocols.pairset import PairedSession, sessions_of
from styletransfer.images import PairImage, PairSource, open_pairs, spread_evenly
from styletransfer.judging.settings import JudgedSplit
from styletransfer.model import TranslatorSpec
from styletransfer.validation import pixel_sizes_mm


@dataclass(frozen=True, eq=False)
class HeldOut:
    """The pairs of one split.

    Args:
        split: Which.
        sessions: Of its donors.
        source: The pairs of all its sessions.
        mm_per_px: Size of each pair's pixels in the middle of the patient.
        numbers: Of each session's pairs in ``source`` that are judged, by acquisition.
    """

    split: JudgedSplit
    sessions: tuple[PairedSession, ...]
    source: PairSource
    mm_per_px: tuple[float, ...]
    numbers: Mapping[str, tuple[int, ...]]

    def some(self, most: int | None) -> list[int]:
        """Choose so many pairs of each session, spread evenly; None for all."""
        chosen: list[int] = []
        for numbers in self.numbers.values():
            wanted = len(numbers) if most is None else most
            chosen += [numbers[place] for place in spread_evenly(len(numbers), wanted)] if wanted else []
        return chosen

    def exposures(self, acquisition_id: str) -> list[str]:
        """Name the exposures of a session that are judged."""
        return [self.source.places[number].exposure_id for number in self.numbers[acquisition_id]]

    @property
    def groups(self) -> tuple[str, ...]:
        """Groups of sessions, in the order of the set."""
        return tuple(dict.fromkeys(place.group for place in self.source.places))


def hold(sessions: Sequence[PairedSession], split: JudgedSplit, exposures: Sequence[str] | None = None) -> HeldOut:
    """List the pairs of one split that may be judged on.

    Args:
        sessions: Of a pair set.
        split: Which.
        exposures: Ids of those that are judged; None for all.

    Raises:
        InputError: As :func:`styletransfer.images.open_pairs`, or a session without any of the exposures.
    """
    source = open_pairs(sessions, split, purpose="evaluation")
    numbers: dict[str, tuple[int, ...]] = {place.acquisition_id: () for place in source.places}
    for number, place in enumerate(source.places):
        if exposures is None or place.exposure_id in exposures:
            numbers[place.acquisition_id] = (*numbers[place.acquisition_id], number)
    empty = next((acquisition_id for acquisition_id, some in numbers.items() if not some), None)
    if empty is not None:
        raise InputError(f"session {empty}", f"none of the exposures {', '.join(exposures or ())}", "at least one")
    sizes_mm = tuple(float(np.mean(sizes)) for sizes in pixel_sizes_mm(source))
    return HeldOut(split, tuple(sessions_of(sessions, split)), source, sizes_mm, numbers)


def check_apart(name: str, spec: TranslatorSpec, held: HeldOut) -> None:
    """Assert that a translator has not learned from donors that it is judged on.

    Raises:
        InputError: It has.
    """
    learned_from = set(spec.training.get("train_donors", ()))
    known = sorted(learned_from & set(held.source.donor_ids))
    if known:
        raise InputError(f"translator {name}", f"trained on donor {known[0]}", f"{held.split} donors that it never saw")


def translated_path(images: Path, pair: PairImage) -> Path:
    """Return where the translation of a pair lies in the folder of one translator."""
    return images / pair.acquisition_id / f"{pair.exposure_id}.tif"
