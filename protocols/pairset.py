"""A set of paired sessions with frozen splits by donor: what translators learn from and networks are judged on.

A set names folders and copies none. ``pairset.json`` lists sessions with paths relative to itself.
"""

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import MISSING, asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

from drrkit.errors import InputError
from drrkit.io.store import content_sha256, write_json
from protocols.pairs import CAMERAS_NAME, MANIFEST_NAME

PAIRSET_NAME = "pairset.json"
PAIRSET_CONVENTION = "drrkit-pairset/1"
SPLITS = ("train", "validation", "test")

Split = Literal["train", "validation", "test"]


@dataclass(frozen=True)
class PairedSession:
    """One session and its pairs.

    Args:
        acquisition_id: Of the session; the pairs have it too.
        donor_id: Splits are by donor.
        split: ``train``, ``validation`` or ``test``.
        group: Sessions that are judged together, for example ``flat-panel`` and ``intensifier``.
        simulated: Whether the X-rays are SIMULATED.
        pairs: Folder that ``drrkit acquisition pair`` wrote.
        acquisition: Folder with acquisition.yaml and the labels of the CT.
        pairs_sha256: Of the manifest of the pairs, which has the hash of every file; "" where it was not taken down.
        cameras_sha256: Of their cameras, or "".
        session_sha256: Of acquisition.yaml and labels, or "".
    """

    acquisition_id: str
    donor_id: str
    split: Split
    group: str
    simulated: bool
    pairs: Path
    acquisition: Path
    pairs_sha256: str = ""
    cameras_sha256: str = ""
    session_sha256: str = ""


_OPTIONAL = {field.name for field in fields(PairedSession) if field.default is not MISSING}
_REQUIRED = {field.name for field in fields(PairedSession)} - _OPTIONAL


def write_pairset(path: Path, sessions: Iterable[PairedSession]) -> None:
    """Write ``pairset.json`` with paths relative to its folder.

    Raises:
        InputError: No session, a donor in two splits, or a session twice.
    """
    sessions = list(sessions)
    check_pairset(sessions, path)
    write_json(path, {"convention": PAIRSET_CONVENTION, "sessions": [_record(one, path.parent) for one in sessions]})


def read_pairset(path: Path) -> list[PairedSession]:
    """Read ``pairset.json``, or the one in a folder; no image is opened.

    Raises:
        InputError: No such file, another convention, a field missing or wrong, a donor in two splits, a session twice.
    """
    path = path / PAIRSET_NAME if path.is_dir() else path
    try:
        content = json.loads(path.read_text())
    except OSError as error:
        raise InputError(path, error.strerror or error, f"a {PAIRSET_CONVENTION} file") from error
    except ValueError as error:
        raise InputError(path, f"no JSON ({error})", f"a {PAIRSET_CONVENTION} file") from error
    if not isinstance(content, dict) or content.get("convention") != PAIRSET_CONVENTION:
        raise InputError(path, "another kind of file", f'"convention": "{PAIRSET_CONVENTION}"')
    records = content.get("sessions", [])
    if not isinstance(records, list):
        raise InputError(path, f"sessions {records!r}", "a list of sessions")
    sessions = [_session(record, path) for record in records]
    check_pairset(sessions, path)
    return sessions


def sessions_of(sessions: Sequence[PairedSession], split: Split, where: object = "pairset") -> list[PairedSession]:
    """Return the sessions of one split.

    Where hashes were taken down when the set was listed, pairs and cameras of these sessions must still have them.

    Raises:
        InputError: There is none, or one has changed.
    """
    chosen = [session for session in sessions if session.split == split]
    if not chosen:
        raise InputError(where, f"no session in the split {split}", f"at least one donor in {split}")
    for session in chosen:
        check_unchanged(session)
    return chosen


def check_unchanged(session: PairedSession) -> None:
    """Assert that pairs and cameras are those that were listed, if their hashes were taken down; no image is opened.

    Raises:
        InputError: They are not.
    """
    known = {MANIFEST_NAME: session.pairs_sha256, CAMERAS_NAME: session.cameras_sha256}
    for name, sha256 in known.items():
        if sha256 and content_sha256(session.pairs / name) != sha256:
            raise InputError(session.pairs / name, "another file than was listed", "the set listed again (dvc repro)")


def check_pairset(sessions: Sequence[PairedSession], where: object) -> None:
    """Assert that no donor is in two splits and no session is listed twice.

    Raises:
        InputError: One is.
    """
    if not sessions:
        raise InputError(where, "no sessions", "at least one session")
    split_of: dict[str, str] = {}
    seen: set[str] = set()
    for session in sessions:
        if session.split not in SPLITS:
            raise InputError(f"{where}, {session.acquisition_id}", f"split {session.split!r}", " or ".join(SPLITS))
        if split_of.setdefault(session.donor_id, session.split) != session.split:
            found = f"in {split_of[session.donor_id]} and in {session.split}"
            raise InputError(f"{where}, donor {session.donor_id}", found, "one split a donor")
        if session.acquisition_id in seen:
            raise InputError(where, f"the session {session.acquisition_id} twice", "every session once")
        seen.add(session.acquisition_id)


def _record(session: PairedSession, folder: Path) -> dict[str, Any]:
    paths = {
        name: Path(os.path.relpath(getattr(session, name), folder)).as_posix() for name in ("pairs", "acquisition")
    }
    # Hashes that nobody took down are left out, so that a set without them is written as it always was.
    return {name: value for name, value in asdict(session).items() if name not in _OPTIONAL or value} | paths


def _session(record: Any, path: Path) -> PairedSession:
    wanted = f"the fields of {PAIRSET_CONVENTION}"
    if not isinstance(record, dict) or not _REQUIRED <= record.keys() <= _REQUIRED | _OPTIONAL:
        raise InputError(path, f"a session that is none ({record})", wanted)
    for name, value in record.items():
        kind = bool if name == "simulated" else str
        if not isinstance(value, kind):
            raise InputError(path, f"{name} {value!r}", f"{kind.__name__} as {name}, as {PAIRSET_CONVENTION} has it")
    session = PairedSession(**record)
    return replace(session, pairs=path.parent / session.pairs, acquisition=path.parent / session.acquisition)
