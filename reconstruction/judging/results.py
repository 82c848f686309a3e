"""An evaluation in a folder: tables as CSV, the numbers that matter as JSON, and plots."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from drrkit.io.store import write_bytes, write_json
from reconstruction.judging import plots
from reconstruction.judging.evaluation import UNION
from reconstruction.judging.summary import BootstrapParameters, summarize, value_of
from reconstruction.metrics import WHOLE

TABLE_NAME, SUMMARY_TABLE_NAME, SUMMARY_NAME = "rows.csv", "means.csv", "summary.json"
# All levels together, and all populations together.
LEVELS, ALL = "levels", "all"
# Numbers of views that have a line of their own in summary.json.
HEADLINE_VIEWS: tuple[int, ...] = (2, 3, 4)
_DIGITS = 4


def write_results(
    folder: Path,
    table: pd.DataFrame,
    studies: Mapping[str, pd.DataFrame],
    bootstrap: BootstrapParameters,
    about: Mapping[str, Any],
) -> dict[str, Any]:
    """Write everything that an evaluation found.

    ``rows.csv`` (a row for each case, set of views, level and region), ``means.csv`` (over donors, with intervals),
    ``summary.json``, plots of levels and regions for the largest number of views up to four, and for each study its
    rows, means and plot in ``studies/``.

    Args:
        folder: Where.
        table: Of :func:`reconstruction.judging.evaluation.evaluate`.
        studies: Tables by name of the study.
        bootstrap: Of the intervals.
        about: What was evaluated: model, cases ... It stands first in ``summary.json``.

    Returns:
        The content of ``summary.json``.
    """
    means = evaluation_means(table, bootstrap)
    populations = [name for name in means["population"].unique() if name != ALL]
    summary = {
        **about,
        **headline(means, ALL),
        "populations": {name: headline(means, name) for name in populations},
        "levels": by_level(means),
        "regions": by_region(means),
    }
    write_table(folder / TABLE_NAME, table)
    write_table(folder / SUMMARY_TABLE_NAME, means)
    write_json(folder / SUMMARY_NAME, summary)
    counts = sorted(int(count) for count in table["n_views"].unique())
    shown = max([count for count in counts if count <= max(HEADLINE_VIEWS)] or counts)
    chosen = table[table["n_views"] == shown]
    words = "1 view" if shown == 1 else f"{shown} views"
    plots.write_levels(folder / "levels.png", chosen, bootstrap, f"By level, {words}")
    if (chosen["region"] != WHOLE).any():
        plots.write_regions(folder / "regions.png", chosen, bootstrap, f"By region of all levels, {words}")
    for name, rows in studies.items():
        write_study(folder / "studies", name, rows, bootstrap)
    return summary


def write_study(
    folder: Path, name: str, rows: pd.DataFrame, bootstrap: BootstrapParameters, images: str | None = None
) -> None:
    """Write the rows, the means and the plot of one study; the plot's title names the images, if they are given."""
    write_table(folder / f"{name}.csv", rows)
    by = ["study", "setting", "value", "unit", "shots", "level", "region"]
    write_table(folder / f"{name}_means.csv", summarize(rows, by, bootstrap))
    title = name.replace("_", " ").capitalize()
    plots.write_study(folder / f"{name}.png", rows, bootstrap, title if images is None else f"{title} ({images})")


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a table as CSV; four digits are more than any metric has."""
    stream = io.StringIO()
    table.round(_DIGITS).to_csv(stream, index=False, lineterminator="\n")
    write_bytes(path, stream.getvalue().encode())


def evaluation_means(table: pd.DataFrame, bootstrap: BootstrapParameters) -> pd.DataFrame:
    """Average over donors by number of views, level and region; ``level`` is also ``levels``, the mean of all levels.

    Every group is there for each population and, as population ``all``, for all donors.
    """
    levels = table[table["level"] != UNION].assign(level=LEVELS)
    rows = pd.concat([table, levels], ignore_index=True)
    parts = [rows.assign(population=ALL)]
    if rows["population"].nunique() > 1:
        parts.append(rows)
    by = ["population", "n_views", "level", "region"]
    return pd.concat([summarize(part, by, bootstrap) for part in parts], ignore_index=True)


def headline(means: pd.DataFrame, population: str) -> dict[str, float]:
    """Return the numbers of summary.json: F1 of the union by views; with four views the scores that have a target."""
    found = set(means.loc[means["population"] == population, "n_views"])
    numbers: dict[str, float] = {}
    for count in HEADLINE_VIEWS:
        if count in found:
            group = {"population": population, "region": WHOLE, "n_views": count}
            numbers[f"f1_views{count}"] = value_of(means, "f1", level=UNION, **group)
    for count in HEADLINE_VIEWS:
        if count in found:
            group = {"population": population, "region": WHOLE, "n_views": count}
            numbers[f"level_f1_views{count}"] = value_of(means, "f1", level=LEVELS, **group)
            for metric in ("surface_1mm", "surface_1_5mm", "surface_2mm", "assd_mm", "hd95_mm"):
                numbers[f"{metric}_views{count}"] = value_of(means, metric, level=UNION, **group)
                numbers[f"level_{metric}_views{count}"] = value_of(means, metric, level=LEVELS, **group)
            numbers[f"missed_views{count}"] = value_of(means, "n_missed", level=LEVELS, **group)
    return {name: round(value, _DIGITS) for name, value in numbers.items()}


def by_level(means: pd.DataFrame) -> dict[str, dict[str, dict[str, list[float | None]]]]:
    """Return views -> level -> metric -> [mean, low, high]."""
    return _nested(means[means["region"] == WHOLE], "level")


def by_region(means: pd.DataFrame) -> dict[str, dict[str, dict[str, list[float | None]]]]:
    """Return views -> region -> metric -> [mean, low, high], of all levels together."""
    return _nested(means[(means["level"] == LEVELS) & (means["region"] != WHOLE)], "region")


def _nested(means: pd.DataFrame, column: str) -> dict[str, dict[str, dict[str, list[float | None]]]]:
    nested: dict[str, dict[str, dict[str, list[float | None]]]] = {}
    for row in means[means["population"] == ALL].to_dict("records"):
        group = nested.setdefault(f"views{row['n_views']}", {}).setdefault(str(row[column]), {})
        group[str(row["metric"])] = _rounded([row["mean"], row["low"], row["high"]])
    return nested


def _rounded(values: Sequence[float]) -> list[float | None]:
    """Round; JSON has no NaN, so an interval that does not exist is null."""
    return [None if value != value else round(float(value), _DIGITS) for value in values]
