"""What a rung of the ladder learns from: train donors of a pair set as they are or translated, and DRRs beside them."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from pydantic import Field, NonNegativeInt, PositiveInt

from drrkit.errors import InputError
from protocols.pairset import PairedSession, sessions_of
from reconstruction.cases import Case, Split, of_split
from reconstruction.learning.lessons import FinetuneParameters
from reconstruction.sets.adapters import cases_from_pairs

# Not a translator's name: the images as the C-arm recorded them.
REAL = "real"


class RungParameters(FinetuneParameters):
    """What a rung starts from and learns from; the rest as for any transfer learning.

    Args:
        start: The network that it starts from, by its name.
        fold: Of the pair set: which donors it may learn from.
        images: ``real`` for the X-rays of paired donors as they are, the name of a translator for what it made of
            them, None to learn from no paired donor at all.
        drr_cases: So many train cases of DRRs beside them, spread evenly; they keep anatomy varied where paired donors
            are few.
        repeats: How often a paired donor is drawn for once that a case of DRRs is.
    """

    start: str
    fold: str
    images: str | None
    drr_cases: NonNegativeInt
    repeats: PositiveInt = Field(le=1000)


def cases_of_rung(
    sessions: Sequence[PairedSession], translated: Path, drrs: Sequence[Case], rung: RungParameters
) -> tuple[list[Case], dict[str, int]]:
    """List the train and validation cases of a rung.

    Args:
        sessions: Of the pair set of its fold.
        translated: Folder with ``<translator>/<acquisition_id>/<exposure_id>.tif``.
        drrs: Cases of DRRs, of any split.
        rung: What it learns from.

    Returns:
        Cases, and how often each paired one is drawn. Without paired images the validation donors are those of the
        DRRs; else they are paired donors, since it is their images that count.

    Raises:
        InputError: Neither paired donors nor DRRs to learn from, or none of the split train or validation among them,
            or as :func:`reconstruction.sets.adapters.cases_from_pairs`.
    """
    learners = of_split(drrs, "train")
    if rung.drr_cases > len(learners):
        raise InputError("drr_cases", rung.drr_cases, f"at most the {len(learners)} train cases of DRRs")
    chosen = _spread(learners, rung.drr_cases)
    if rung.images is None:
        if not chosen:
            raise InputError("rung", "neither paired images nor drr_cases", "something to learn from")
        return [*chosen, *of_split(drrs, "validation")], {}
    train, validation = (_paired(sessions, split, translated, rung.images) for split in ("train", "validation"))
    return [*train, *chosen, *validation], {case.case_id: rung.repeats for case in train}


def _paired(sessions: Sequence[PairedSession], split: Split, translated: Path, images: str) -> list[Case]:
    cases: list[Case] = []
    for session in sessions_of(sessions, split):
        recorded: Literal["simulated", "real"] = "simulated" if session.simulated else "real"
        if images == REAL:
            cases += cases_from_pairs(session.pairs, session.acquisition, split, recorded)
            continue
        folder = translated / images / session.acquisition_id
        found = cases_from_pairs(session.pairs, session.acquisition, split, "translated", folder)
        cases += [replace(case, case_id=f"{session.acquisition_id}-{images}") for case in found]
    return cases


def _spread(cases: Sequence[Case], count: int) -> list[Case]:
    """Take some of many, so that every group of the list has its share."""
    return [cases[number * len(cases) // count] for number in range(count)]
