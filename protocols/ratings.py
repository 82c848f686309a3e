"""What people say about pairs: ``qc.tsv``, one line an exposure, exported by the review page.

The file is tab-separated text without quoting, so that it can be read, compared and mended by hand.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from pathlib import Path

from drrkit.errors import InputError
from drrkit.io.store import write_bytes

RATINGS_NAME = "qc.tsv"

RATING_WORDS = ("accept", "doubt", "reject")


@dataclass(frozen=True)
class Rating:
    """One person's word on one pair; valid when it exists.

    Args:
        exposure_id: Its name in the acquisition.
        rating: ``accept``, ``doubt`` or ``reject``; a rejected pair is kept out of training.
        comment: Free words, on one line.
        reviewer: Who says so; empty if not told.
        date: When, as ISO 8601 has it (2026-11-21 or 2026-11-21T14:05:00Z); empty if not told.

    Raises:
        InputError: No exposure, another word, a tab or line break in a field, or a date that is none.
    """

    exposure_id: str
    rating: str
    comment: str = ""
    reviewer: str = ""
    date: str = ""

    def __post_init__(self) -> None:
        for name in COLUMNS:
            value = getattr(self, name)
            if not isinstance(value, str) or any(character in value for character in "\t\n\r"):
                raise InputError(name, repr(value), "text without tabs and line breaks")
        if not self.exposure_id:
            raise InputError("exposure_id", "nothing", "the name of an exposure")
        if self.rating not in RATING_WORDS:
            raise InputError("rating", repr(self.rating), " or ".join(RATING_WORDS))
        if self.date:
            try:
                datetime.fromisoformat(self.date)
            except ValueError as error:
                raise InputError(
                    "date", repr(self.date), "a date such as 2026-11-21 or 2026-11-21T14:05:00Z"
                ) from error


COLUMNS: tuple[str, ...] = tuple(field.name for field in fields(Rating))


def read_ratings(path: Path) -> dict[str, Rating]:
    """Read the ratings of one acquisition by exposure; a header alone means that nothing was rated yet.

    Columns may stand in any order, since spreadsheets move them.

    Raises:
        InputError: No such file, other columns, an unknown rating, an exposure twice; with the number of the line.
    """
    path = Path(path)
    wanted = f"tab-separated text with the columns {', '.join(COLUMNS)}"
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except OSError as error:
        raise InputError(path, error.strerror or error, wanted) from error
    except UnicodeDecodeError as error:
        raise InputError(path, f"no UTF-8 text ({error})", wanted) from error
    if lines[-1] == "":
        lines.pop()
    rows = [line.removesuffix("\r").split("\t") for line in lines]
    header = rows[0] if rows else []
    if sorted(header) != sorted(COLUMNS):
        raise InputError(f"{path}, line 1", f"the columns {', '.join(header)}" if header else "an empty file", wanted)
    ratings: dict[str, Rating] = {}
    first_lines: dict[str, int] = {}
    for number, cells in enumerate(rows[1:], start=2):
        where = f"{path}, line {number}"
        if len(cells) != len(header):
            raise InputError(where, f"{len(cells)} fields", f"{len(header)} fields, separated by tabs")
        try:
            rating = Rating(**dict(zip(header, cells, strict=True)))
        except InputError as error:
            raise InputError(f"{where}, {error.where}", error.found, error.wanted) from error
        if rating.exposure_id in ratings:
            found = f"the exposure {rating.exposure_id} again, after line {first_lines[rating.exposure_id]}"
            raise InputError(where, found, "every exposure once")
        ratings[rating.exposure_id], first_lines[rating.exposure_id] = rating, number
    return ratings


def write_ratings(path: Path, ratings: Mapping[str, Rating]) -> None:
    """Write ratings in the order given.

    Raises:
        InputError: A rating under another exposure's name.
    """
    lines = ["\t".join(COLUMNS)]
    for exposure_id, rating in ratings.items():
        if rating.exposure_id != exposure_id:
            raise InputError("ratings", f"the rating of {rating.exposure_id} under {exposure_id}", "one name for both")
        lines.append("\t".join(getattr(rating, name) for name in COLUMNS))
    write_bytes(Path(path), ("\n".join(lines) + "\n").encode())
