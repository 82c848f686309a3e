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
        numbers: Of each session's pairs in ``source``, by acquisition.
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

    @property
    def groups(self) -> tuple[str, ...]:
        """Groups of sessions, in the order of the set."""
        return tuple(dict.fromkeys(place.group for place in self.source.places))


def hold(sessions: Sequence[PairedSession], split: JudgedSplit) -> HeldOut:
    """List the pairs of one split that may be judged on.

    Raises:
        InputError: As :func:`styletransfer.images.open_pairs`.
    """
    source = open_pairs(sessions, split, purpose="evaluation")
    numbers: dict[str, tuple[int, ...]] = {}
    for number, place in enumerate(source.places):
        numbers[place.acquisition_id] = (*numbers.get(place.acquisition_id, ()), number)
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
