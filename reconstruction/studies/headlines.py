"""What the studies say in few numbers: summary.json."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from reconstruction.judging.evaluation import UNION
from reconstruction.metrics import WHOLE
from reconstruction.studies.angle_map import MAP_COLUMNS

_DIGITS = 4


def study_headlines(
    tables: Mapping[str, pd.DataFrame], regions: pd.DataFrame, paired_donors: pd.DataFrame, plans: pd.DataFrame
) -> dict[str, Any]:
    """Gather the means that a reader wants first.

    Args:
        tables: Studies and angle maps by name.
        regions: Of :func:`reconstruction.studies.hard_regions.region_table`.
        paired_donors: Of :func:`reconstruction.studies.paired_donors.paired_donor_table`.
        plans: Of :func:`reconstruction.planning.judged.compare_plans`.
    """
    maps = {name: table for name, table in tables.items() if tuple(table.columns) == MAP_COLUMNS}
    studies = {name: table for name, table in tables.items() if name not in maps}
    return {
        "f1": {name: _f1_by_setting(table) for name, table in studies.items()},
        "angle_maps": {name: _map_headline(table) for name, table in maps.items()},
        "hard_regions": {str(images): _hardest(part) for images, part in regions.groupby("images", sort=False)},
        "paired_donors": [
            {"images": row["images"], "donors": None if pd.isna(row["donors"]) else int(row["donors"])}
            | {name: _number(row[name]) for name in ("f1", "gap_closed")}
            for row in paired_donors.to_dict("records")
        ],
        "view_plans": [
            {"shots": int(row["shots"]), "kind": str(row["kind"])}
            | {name: _number(row[name]) for name in ("f1", "expected_f1", "gain", "dose_rel", "seconds")}
            for row in plans.to_dict("records")
        ],
    }


def _f1_by_setting(table: pd.DataFrame) -> list[dict[str, Any]]:
    """List the mean F1 of the union, over donors, of each setting and amount."""
    union = table[(table["level"] == UNION) & (table["region"] == WHOLE)]
    by = ["setting", "value", "unit", "shots"]
    donors = union.groupby([*by, "donor"], sort=False)["f1"].mean()
    means = donors.groupby(by, sort=False).mean().reset_index()
    return [{**{name: row[name] for name in by}, "f1": _number(row["f1"])} for row in means.to_dict("records")]


def _map_headline(table: pd.DataFrame) -> dict[str, Any]:
    best, worst = table.loc[table["f1"].idxmax()], table.loc[table["f1"].idxmin()]
    return {
        "best": str(best["view"]),
        "best_f1": _number(best["f1"]),
        "worst": str(worst["view"]),
        "worst_f1": _number(worst["f1"]),
        "donors": int(best["donors"]),
    }


def _hardest(regions: pd.DataFrame) -> dict[str, Any]:
    """Average over levels; regions come with the hardest first."""
    by_region = regions.groupby("region")["mean_abs_mm"].mean()
    parts = by_region.drop(index=WHOLE).sort_values(ascending=False)
    return {
        "mean_abs_mm": _number(by_region[WHOLE]),
        "by_region_mm": {str(name): _number(value) for name, value in parts.items()},
        "missed": int(regions.loc[regions["region"] == WHOLE, "missed"].sum()),
    }


def _number(value: Any) -> float | None:
    """Round; JSON has no NaN, so what does not exist is null."""
    return None if pd.isna(value) else round(float(value), _DIGITS)
