"""The tables of the studies and of view planning, as the stage study leaves them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from drrkit.errors import InputError
from reconstruction.report.files import field, read_object, read_table

WRITER = "study"
# Of all levels together and the whole of them; the names of the evaluation.
UNION, WHOLE, HEADLINE_METRIC = "union", "whole", "f1"
MEAN_COLUMNS = (
    "study",
    "setting",
    "value",
    "unit",
    "shots",
    "level",
    "region",
    "metric",
    "mean",
    "low",
    "high",
    "donors",
)
MAP_COLUMNS = ("primary_deg", "secondary_deg", "view", "f1", "f1_loss", "ci_low", "ci_high")
DONOR_COLUMNS = ("images", "donors", "f1", "ci_low", "ci_high")
REGION_COLUMNS = ("images", "level", "region", "mean_abs_mm", "p95_mm", "mean_signed_mm", "donors", "missed")
PLAN_COLUMNS = (
    "shots", "kind", "views", "f1", "ci_low", "ci_high", "expected_f1", "dose_rel", "seconds",
    "gain", "gain_low", "gain_high", "donors",
)  # fmt: skip
# Between the sets of a row that stands for several.
SETS = " | "


@dataclass(frozen=True, eq=False)
class Studies:
    """What the result depends on.

    Args:
        lines: Study -> its means of the union's F1: ``setting``, ``value``, ``unit``, ``shots``, ``mean``, ``low``,
            ``high``, ``donors``.
        maps: Name of the shots that were there -> F1 with one more shot from each angle.
        paired_donors: F1 by the number of paired donors that a translator learned from.
        regions: Surface errors by level and region.
        plans: The sets of shots that were planned, beside random and standard ones.
        model: The network that was studied.
        adapted: The network whose surfaces on translated images were measured.
    """

    lines: Mapping[str, pd.DataFrame]
    maps: Mapping[str, pd.DataFrame]
    paired_donors: pd.DataFrame
    regions: pd.DataFrame
    plans: pd.DataFrame
    model: str
    adapted: str


def read_studies(folder: Path, names: Sequence[str]) -> Studies:
    """Read the tables of the stage study.

    Args:
        folder: Where they are.
        names: Studies that are wanted.

    Raises:
        InputError: A table or a column that is missing, or a study without the union's F1.
    """
    path = folder / "summary.json"
    summary = read_object(path, WRITER)
    return Studies(
        lines={name: _line(folder / f"{name}_means.csv") for name in names},
        maps={name: _map(folder / f"{name}.csv") for name in field(summary, "angle_maps", path)},
        paired_donors=read_table(folder / "paired_donors.csv", DONOR_COLUMNS, WRITER),
        regions=read_table(folder / "hard_regions.csv", REGION_COLUMNS, WRITER),
        plans=read_table(folder / "view_plans.csv", PLAN_COLUMNS, WRITER),
        model=str(field(summary, "model", path)),
        adapted=str(field(summary, "adapted", path)),
    )


def _line(path: Path) -> pd.DataFrame:
    table = read_table(path, MEAN_COLUMNS, WRITER)
    chosen = table[(table["level"] == UNION) & (table["region"] == WHOLE) & (table["metric"] == HEADLINE_METRIC)]
    if chosen.empty:
        raise InputError(path, f"no {HEADLINE_METRIC} of the {UNION}", "means of all levels together")
    return chosen.reset_index(drop=True)


def _map(path: Path) -> pd.DataFrame:
    return read_table(path, MAP_COLUMNS, WRITER)
