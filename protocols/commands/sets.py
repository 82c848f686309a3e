"""Many sessions as one set with splits by donor: what translators and networks learn from."""

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from drrkit.errors import InputError
from protocols.commands.console import DATA, Data, say
from protocols.layout import Layout

_HELP = "Acquisition ID, or a folder of pairs, {what}; repeatable."


def make_set(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="pairset.json to write, or a folder for it.")],
    train: Annotated[list[str] | None, typer.Option(metavar="ID", help=_HELP.format(what="to learn from"))] = None,
    validation: Annotated[
        list[str] | None, typer.Option(metavar="ID", help=_HELP.format(what="to choose by while learning"))
    ] = None,
    test: Annotated[list[str] | None, typer.Option(metavar="ID", help=_HELP.format(what="to judge by, once"))] = None,
    group: Annotated[
        list[str] | None,
        typer.Option(metavar="ID=NAME", help="What a session is judged with, if not its detector; repeatable."),
    ] = None,
    session: Annotated[
        list[str] | None,
        typer.Option(metavar="ID=FOLDER", help="Where acquisition.yaml lies, if not in the data folder; repeatable."),
    ] = None,
    data: Data = DATA,
) -> None:
    """List paired sessions with the split of each donor in a pairset.json; nothing is copied.

    A donor may be in one split only.
    """
    from protocols.listing import paired_session
    from protocols.pairs import read_pairs
    from protocols.pairset import PAIRSET_NAME, PairedSession, Split, write_pairset

    groups, folders = _named("--group", group), _named("--session", session)
    sessions: list[PairedSession] = []
    splits: list[tuple[Split, list[str] | None]] = [("train", train), ("validation", validation), ("test", test)]
    for split, entries in splits:
        for entry in entries or []:
            pairs = Path(entry) if Path(entry).is_dir() else Layout(data, entry).pairs
            rows = read_pairs(pairs)
            if not rows:
                raise InputError(pairs, "no pairs", "an ID, or a folder, that drrkit acquisition pair wrote")
            acquisition_id = rows[0].acquisition_id
            folder = folders.get(acquisition_id)
            acquisition = Layout(data, acquisition_id).session() if folder is None else Path(folder)
            sessions.append(paired_session(pairs, acquisition, split, groups.get(acquisition_id)))
    known = {one.acquisition_id for one in sessions}
    for option, names in (("--group", groups), ("--session", folders)):
        if names.keys() - known:
            raise InputError(option, sorted(names.keys() - known)[0], f"a session of this set: {', '.join(known)}")
    path = out if out.suffix == ".json" else out / PAIRSET_NAME
    write_pairset(path, sessions)
    for split, _ in splits:
        counted = Counter(one.donor_id for one in sessions if one.split == split)
        say(f"{split}: {len(counted)} donors, {counted.total()} sessions")
    simulated = sum(one.simulated for one in sessions)
    say(f"{path}: written" + (f"; {simulated} of {len(sessions)} sessions are SIMULATED" if simulated else ""))


def _named(option: str, entries: list[str] | None) -> dict[str, str]:
    named = {}
    for entry in entries or []:
        name, equals, value = entry.partition("=")
        if not equals or not name or not value:
            raise InputError(option, entry, "ID=... such as donor-03-spin-a=flat-panel")
        named[name] = value
    return named
