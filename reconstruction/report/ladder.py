"""The ladder as the report tells it: checked, in order, with the best rung and the gap that each closes."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from drrkit.errors import InputError
from reconstruction.report.files import field, read_object, read_table
from reconstruction.report.settings import CEILING, LEVELS, RUNGS, SOURCE, Places

WRITER = "evaluate"
Interval = tuple[float, float, float]
COLUMNS = (
    "rung", "views", "f1", *(f"f1_{level.lower()}" for level in LEVELS), "surface_1mm", "surface_1p5mm", "surface_2mm",
    "assd_mm", "hd95_mm", "n_missed", "donors", "ci_low", "ci_high",
)  # fmt: skip


@dataclass(frozen=True)
class ShownDonor:
    """Whose meshes are shown: the session, its views, the rungs, and whether it is simulated."""

    acquisition_id: str
    views: tuple[str, ...]
    rungs: tuple[str, ...]
    simulated: bool


@dataclass(frozen=True)
class Unseen:
    """The ladder on a device that nobody trained on: rung -> F1 and part of the gap closed, each with its interval."""

    group: str
    donors: int
    views: int
    f1: Mapping[str, Interval]
    gap_closed: Mapping[str, Interval]


@dataclass(frozen=True, eq=False)
class Ladder:
    """What each step is worth, on held-out donors.

    Args:
        table: The columns ``COLUMNS``, by rung and then by number of views.
        gap_closed: Rung -> ``views<N>`` -> part of the gap that it closes, with the ends of its interval.
        best: The best rung that needs no DRR, with the headline's number of views.
        views: The headline's number of views.
        simulated: Whether all X-rays of these donors are simulated.
        xrays: What these X-rays are called: SIMULATED where they are.
        shown: Whose meshes are shown.
        unseen: The same on another device, or None.
    """

    table: pd.DataFrame
    gap_closed: Mapping[str, Mapping[str, Interval]]
    best: str
    views: int
    simulated: bool
    xrays: str
    shown: ShownDonor
    unseen: Unseen | None

    @property
    def rungs(self) -> tuple[str, ...]:
        """Rungs in order."""
        return tuple(self.table["rung"].unique())

    @property
    def view_counts(self) -> tuple[int, ...]:
        """Numbers of views, fewest first."""
        return tuple(sorted(int(count) for count in self.table["views"].unique()))

    def row(self, rung: str, views: int) -> dict[str, float]:
        """Return one row.

        Raises:
            InputError: There is none.
        """
        found = self.table[(self.table["rung"] == rung) & (self.table["views"] == views)]
        if len(found) != 1:
            raise InputError("ladder.csv", f"{len(found)} rows of {rung} with {views} views", "one row")
        return {str(name): value for name, value in found.iloc[0].items() if name != "rung"}

    def gap(self, rung: str, views: int) -> Interval | None:
        """Part of the gap that a rung closes with its interval; None for both ends of the ladder."""
        return None if rung in (SOURCE, CEILING) else self.gap_closed.get(rung, {}).get(f"views{views}")


def read_ladder(places: Places) -> Ladder:
    """Read results/ladder.csv and the summary of the evaluation.

    Raises:
        InputError: A file, column or field that is missing, a rung that is none, or no row of the headline's rungs.
    """
    table = read_table(places.ladder, COLUMNS, WRITER)
    strange = sorted(set(table["rung"]) - set(RUNGS))
    if strange:
        raise InputError(places.ladder, f"the rung {strange[0]}", ", ".join(RUNGS))
    order = {rung: number for number, rung in enumerate(RUNGS)}
    table = table.assign(_order=table["rung"].map(order)).sort_values(["_order", "views"], kind="stable")
    path = places.evaluation / "summary.json"
    summary = read_object(path, WRITER)
    try:
        ladder = Ladder(
            table=table.drop(columns="_order").reset_index(drop=True),
            gap_closed={rung: _intervals(of) for rung, of in field(summary, "gap_closed", path).items()},
            best=str(field(summary, "best", path)),
            views=int(field(summary, "headline_views", path)),
            simulated=bool(field(summary, "simulated", path)),
            xrays=name_of_xrays(field(summary, "simulated_donors", path), field(summary, "donors", path)),
            shown=_shown(field(summary, "meshes", path)),
            unseen=_unseen(field(summary, "unseen", path)),
        )
    except (AttributeError, KeyError, TypeError, ValueError, IndexError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(path, f"a field that is unusable ({error})", f"as the stage {WRITER} writes it") from error
    for rung in (SOURCE, ladder.best, CEILING):
        ladder.row(rung, ladder.views)
    return ladder


def name_of_xrays(simulated: int, donors: int) -> str:
    """Name the X-rays that the ladder is judged on, so that nobody takes a simulated one for a real one."""
    if simulated == donors:
        return "SIMULATED X-rays"
    return "X-rays" if simulated == 0 else f"X-rays (those of {simulated} of {donors} donors SIMULATED)"


def _interval(values: Sequence[float | None]) -> Interval:
    """Read a value and the ends of its interval; null is a number that does not exist."""
    value, low, high = (math.nan if one is None else float(one) for one in values)
    return value, low, high


def _intervals(by_name: Mapping[str, Sequence[float | None]]) -> dict[str, Interval]:
    return {name: _interval(values) for name, values in by_name.items()}


def _shown(record: Mapping[str, Any]) -> ShownDonor:
    views, rungs = tuple(record["views"]), tuple(record["rungs"])
    return ShownDonor(str(record["acquisition_id"]), views, rungs, bool(record["simulated"]))


def _unseen(record: Mapping[str, Any] | None) -> Unseen | None:
    if record is None:
        return None
    views = f"views{record['views']}"
    f1 = {rung: _interval(of[views]["f1"]) for rung, of in record["rungs"].items()}
    gaps = {rung: _interval(of[views]) for rung, of in record["gap_closed"].items()}
    return Unseen(str(record["group"]), int(record["donors"]), int(record["views"]), f1, gaps)
