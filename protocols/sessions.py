"""All paired sessions of a pipeline as sets: the rehearsal's and a lab's own, in frozen splits or in folds by donor."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from pydantic import Field, field_validator, model_validator

from drrkit.errors import InputError
from drrkit.io.store import content_sha256
from drrkit.parameters import Parameters
from protocols.acquisition.schema import SHEET_NAME
from protocols.acquisition.sheet import read_sheet
from protocols.listing import paired_session
from protocols.pairs import CAMERAS_NAME, MANIFEST_NAME
from protocols.pairset import PAIRSET_NAME, PairedSession, Split, check_pairset, write_pairset

# Parts of the vertebrae, beside the labels of a session that has them.
REGIONS_NAME = "regions.nii.gz"


class OwnSession(Parameters):
    """One acquisition: its folder, and what it is for."""

    folder: str
    split: Split | None
    group: str | None

    @model_validator(mode="after")
    def _belongs(self) -> "OwnSession":
        if self.split is None and self.group is not None:
            raise ValueError("a split for a session with a group, or no group")
        return self


class Fold(Parameters):
    """Cross-validation by donor: the ``number``-th of ``of`` parts tests, the next one validates, the rest trains."""

    of: int = Field(ge=3)
    number: int = Field(ge=1)
    seed: int = Field(ge=0)

    @model_validator(mode="after")
    def _is_one(self) -> "Fold":
        if self.number > self.of:
            raise ValueError(f"a number from 1 to {self.of}")
        return self


class SessionSettings(Parameters):
    """The lab's own acquisitions by their ids, and the sets by name; a set without a fold keeps the frozen splits."""

    acquisitions: dict[str, OwnSession]
    folds: dict[str, Fold | None] = Field(min_length=1)

    @field_validator("folds")
    @classmethod
    def _names(cls, folds: dict[str, Fold | None]) -> dict[str, Fold | None]:
        for name in folds:
            if not name or Path(name).name != name or name.startswith("."):
                raise ValueError(f"a name that can be a folder, not {name!r}")
        return folds


def own_sessions(acquisitions: Mapping[str, OwnSession], pairs: Path) -> list[PairedSession]:
    """Describe the acquisitions that have a split; the others are calibrated and paired only.

    Args:
        acquisitions: By id.
        pairs: Folder with a folder of pairs for each id.

    Raises:
        InputError: As :func:`protocols.listing.paired_session`; another acquisition in a folder than its name says, or
            no labels, without which no network can be fine-tuned or judged.
    """
    sessions = []
    for acquisition_id, own in acquisitions.items():
        if own.split is None:
            continue
        session = paired_session(pairs / acquisition_id, Path(own.folder), own.split, own.group)
        if session.acquisition_id != acquisition_id:
            raise InputError(
                own.folder, f"the acquisition {session.acquisition_id}", f"{acquisition_id}, as it is named"
            )
        if read_sheet(session.acquisition).ct.labels is None:
            raise InputError(own.folder, f"the split {own.split} without labels", "ct.labels in acquisition.yaml")
        sessions.append(session)
    return sessions


def hashed(session: PairedSession) -> PairedSession:
    """Take down what a session holds: manifest of the pairs, cameras, acquisition.yaml with labels and regions.

    Raises:
        InputError: One of these files is missing.
    """
    sheet = read_sheet(session.acquisition)
    files = [session.acquisition / SHEET_NAME]
    if sheet.ct.labels is not None:
        files += [session.acquisition / sheet.ct.labels]
        files += [path for path in [session.acquisition / REGIONS_NAME] if path.is_file()]
    told = [f"{path.name}\0{content_sha256(path)}\n" for path in files]
    return replace(
        session,
        pairs_sha256=content_sha256(session.pairs / MANIFEST_NAME),
        cameras_sha256=content_sha256(session.pairs / CAMERAS_NAME),
        session_sha256=hashlib.sha256("".join(told).encode()).hexdigest(),
    )


def folded(sessions: Sequence[PairedSession], fold: Fold) -> list[PairedSession]:
    """Deal all donors out anew; all sessions of a donor go with it.

    Donors are ordered by a hash of seed and name, the same on every machine. Those that are judged in the same groups
    are dealt out one after the other, real and SIMULATED ones apart, so that every part has its share of each.

    Raises:
        InputError: Fewer donors than parts.
    """
    kinds: dict[str, set[tuple[bool, str]]] = {}
    for session in sessions:
        kinds.setdefault(session.donor_id, set()).add((session.simulated, session.group))
    if len(kinds) < fold.of:
        raise InputError(f"fold {fold.number} of {fold.of}", f"{len(kinds)} donors", f"at least {fold.of}")

    def order(donor_id: str) -> tuple[list[tuple[bool, str]], str]:
        return sorted(kinds[donor_id]), hashlib.sha256(f"{fold.seed}\0{donor_id}".encode()).hexdigest()

    part_of = {donor_id: place % fold.of for place, donor_id in enumerate(sorted(kinds, key=order))}
    roles: dict[int, Split] = {fold.number - 1: "test", fold.number % fold.of: "validation"}
    return [replace(session, split=roles.get(part_of[session.donor_id], "train")) for session in sessions]


def write_folds(sessions: Sequence[PairedSession], folds: Mapping[str, Fold | None], out: Path) -> None:
    """Write ``<fold>/pairset.json`` for each fold, with hashes of what each session holds.

    Args:
        sessions: Of all donors.
        folds: By name; None keeps the splits as they are.
        out: Folder.

    Raises:
        InputError: A donor in two splits, a session twice, too few donors, a missing file, or real and SIMULATED
            sessions that would be judged as one group.
    """
    check_pairset(sessions, out)
    sessions = [hashed(session) for session in sessions]
    # Before anything is written: all folds or none.
    sets = {name: list(sessions) if fold is None else folded(sessions, fold) for name, fold in folds.items()}
    for name, chosen in sets.items():
        _check_groups(chosen, name)
    for name, chosen in sets.items():
        write_pairset(out / name / PAIRSET_NAME, chosen)


def _check_groups(sessions: Sequence[PairedSession], fold: str) -> None:
    """A mean over real and simulated donors would say nothing of either."""
    first: dict[str, PairedSession] = {}
    for session in sessions:
        if session.split == "test" and first.setdefault(session.group, session).simulated != session.simulated:
            names = f"{first[session.group].acquisition_id} and {session.acquisition_id}"
            found = f"real and SIMULATED sessions that are judged as one: {names}"
            raise InputError(f"fold {fold}, group {session.group}", found, "a group of its own for real sessions")
