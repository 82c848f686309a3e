"""From rows to the ladder: a table with a row for each rung and number of views, and the headlines of summary.json."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from drrkit.volume import LUMBAR_LEVELS
from reconstruction.adaptation.summary import gap_closed
from reconstruction.judging.evaluation import UNION
from reconstruction.judging.results import LEVELS
from reconstruction.judging.summary import BootstrapParameters, summarize
from reconstruction.ladder.rungs import CEILING, RUNGS, SOURCE_ONLY, LadderParameters
from reconstruction.metrics import WHOLE

# Of the union, in summary.json.
SHOWN: tuple[str, ...] = ("f1", "surface_1mm", "surface_1_5mm", "surface_2mm", "assd_mm", "hd95_mm")
# Column of ladder.csv -> metric of the union.
_COLUMNS = {
    "surface_1mm": "surface_1mm",
    "surface_1p5mm": "surface_1_5mm",
    "surface_2mm": "surface_2mm",
    "assd_mm": "assd_mm",
    "hd95_mm": "hd95_mm",
}
MISSED = "n_missed"
COLUMNS: tuple[str, ...] = (
    "rung", "views", "f1", *(f"f1_{level.lower()}" for level in LUMBAR_LEVELS), *_COLUMNS, MISSED, "donors", "ci_low",
    "ci_high",
)  # fmt: skip
_DIGITS = 4
_KEYS = ["group", "rung", "n_views", "level", "region"]

Interval = list[float | None]


def ladder_means(table: pd.DataFrame, bootstrap: BootstrapParameters) -> pd.DataFrame:
    """Average over donors by group, rung, number of views, level and region, with intervals.

    ``level`` is also ``levels``, the mean of all levels.

    Args:
        table: Of :func:`reconstruction.ladder.judged.judge_rungs`.
        bootstrap: Of the intervals.
    """
    levels = table[table["level"] != UNION].assign(level=LEVELS)
    return summarize(pd.concat([table, levels], ignore_index=True), _KEYS, bootstrap)


def ladder_table(means: pd.DataFrame, table: pd.DataFrame, group: str) -> pd.DataFrame:
    """Make the table of the ladder: ``COLUMNS``, a row for each rung and number of views.

    ``f1``, ``surface_*``, ``assd_mm`` and ``hd95_mm`` are of the union of L1 to L5, means over held-out donors;
    ``ci_low`` and ``ci_high`` are of ``f1``; ``n_missed`` is how many vertebrae a donor misses, on average.

    Args:
        means: Of :func:`ladder_means`.
        table: That they are of.
        group: Sessions that are shown.
    """
    rows = []
    missed = _missed(table, group)
    for rung in RUNGS:
        for views in _view_counts(means, group):
            of = _cell(means, group, rung, views)
            union = of[of["level"] == UNION].set_index("metric")
            levels = of[of["metric"] == "f1"].set_index("level")["mean"]
            row: dict[str, Any] = {"rung": rung, "views": views, "f1": union.loc["f1", "mean"]}
            row |= {f"f1_{level.lower()}": levels.get(level, np.nan) for level in LUMBAR_LEVELS}
            row |= {column: union.loc[metric, "mean"] for column, metric in _COLUMNS.items()}
            row |= {MISSED: missed[rung, views], "donors": int(union.loc["f1", "donors"])}
            row |= {"ci_low": union.loc["f1", "low"], "ci_high": union.loc["f1", "high"]}
            rows.append(row)
    return pd.DataFrame(rows, columns=list(COLUMNS))


def ladder_summary(table: pd.DataFrame, means: pd.DataFrame, parameters: LadderParameters) -> dict[str, Any]:
    """Gather the headlines.

    Args:
        table: Of :func:`reconstruction.ladder.judged.judge_rungs`.
        means: Of :func:`ladder_means`.
        parameters: How the ladder was judged.

    Returns:
        ``simulated`` (whether all X-rays were SIMULATED), ``donors``, ``simulated_donors``, ``headline_views``,
        ``rungs`` (rung, views, metric: mean and ends of its interval), ``gap_closed`` (rung, views: share and ends of
        its interval), ``best`` (the highest F1 with ``headline_views`` of the rungs that need no DRR when used),
        ``by_region`` and ``by_level`` (rung, name: F1 with ``headline_views``), and ``unseen``, the same of the device
        that nobody trained on, or null.
    """
    own = table[table["group"] == parameters.group]
    headline = parameters.headline_views
    known = _of_group(table, means, parameters.group, headline, parameters.bootstrap)
    needing = parameters.synthetic_rungs()
    scores = {rung: _by_donor(table, parameters.group, rung, headline).mean() for rung in RUNGS if rung not in needing}
    unseen = None
    if parameters.unseen_group is not None:
        views = headline if headline in parameters.unseen_views else max(parameters.unseen_views)
        unseen = _of_group(table, means, parameters.unseen_group, views, parameters.bootstrap)
    return {
        "simulated": bool(own["simulated"].all()),
        "donors": known["donors"],
        "simulated_donors": int(own.loc[own["simulated"].astype(bool), "donor"].nunique()),
        "headline_views": headline,
        "best": max(scores, key=lambda rung: scores[rung]),
        **{name: known[name] for name in ("rungs", "gap_closed", "by_region", "by_level")},
        "unseen": unseen,
    }


def source_of_images(simulated: int, donors: int) -> str:
    """Say what made the X-rays, for titles and captions: nobody shall take a simulated one for a real one."""
    if simulated == donors:
        return "SIMULATED X-rays"
    if simulated == 0:
        return "X-rays of specimens"
    return f"SIMULATED X-rays of {simulated} donor{'' if simulated == 1 else 's'}, real ones of {donors - simulated}"


def _of_group(
    table: pd.DataFrame, means: pd.DataFrame, group: str, headline: int, bootstrap: BootstrapParameters
) -> dict[str, Any]:
    counts = _view_counts(means, group)
    missed = _missed(table, group)
    rungs: dict[str, Any] = {}
    gaps: dict[str, Any] = {}
    for rung in RUNGS:
        for views in counts:
            of = _cell(means, group, rung, views)
            union = of[of["level"] == UNION].set_index("metric")
            numbers = {name: _rounded(union.loc[name, ["mean", "low", "high"]]) for name in SHOWN}
            numbers[MISSED] = [*_rounded([missed[rung, views]]), None, None]
            rungs.setdefault(rung, {})[f"views{views}"] = numbers
            adapted, source, ceiling = (_by_donor(table, group, name, views) for name in (rung, SOURCE_ONLY, CEILING))
            gaps.setdefault(rung, {})[f"views{views}"] = _rounded(gap_closed(adapted, source, ceiling, bootstrap))
    chosen = means[(means["group"] == group) & (means["n_views"] == headline) & (means["metric"] == "f1")]
    levels = chosen[(chosen["region"] == WHOLE) & ~chosen["level"].isin([UNION, LEVELS])]
    regions = chosen[(chosen["region"] != WHOLE) & (chosen["level"] == UNION)]
    return {
        "group": group,
        "donors": int(table.loc[table["group"] == group, "donor"].nunique()),
        "views": headline,
        "rungs": rungs,
        "gap_closed": gaps,
        "by_region": {rung: _named(regions[regions["rung"] == rung], "region") for rung in RUNGS},
        "by_level": {rung: _named(levels[levels["rung"] == rung], "level") for rung in RUNGS},
    }


def _view_counts(means: pd.DataFrame, group: str) -> list[int]:
    return sorted(int(views) for views in means.loc[means["group"] == group, "n_views"].unique())


def _cell(means: pd.DataFrame, group: str, rung: str, views: int) -> pd.DataFrame:
    fits = (means["group"] == group) & (means["rung"] == rung) & (means["n_views"] == views)
    return means[fits & (means["region"] == WHOLE)]


def _missed(table: pd.DataFrame, group: str) -> dict[tuple[str, int], float]:
    """How many vertebrae a donor misses on average, by rung and number of views."""
    levels = table[(table["group"] == group) & (table["level"] != UNION) & (table["region"] == WHOLE)]
    counted = levels.groupby(["rung", "n_views", "donor", "acquisition"])[MISSED].sum()
    # Sessions of one donor are averaged before donors are.
    averaged = counted.groupby(level=["rung", "n_views", "donor"]).mean().groupby(level=["rung", "n_views"]).mean()
    return {(str(rung), int(views)): float(value) for (rung, views), value in averaged.items()}


def _by_donor(table: pd.DataFrame, group: str, rung: str, views: int) -> Float[np.ndarray, " donors"]:
    """Union F1 of each donor, in the order of their names."""
    fits = (table["group"] == group) & (table["rung"] == rung) & (table["n_views"] == views)
    union = table[fits & (table["level"] == UNION) & (table["region"] == WHOLE)]
    return union.groupby("donor", sort=True)["f1"].mean().to_numpy(np.float64)


def _named(means: pd.DataFrame, column: str) -> dict[str, float | None]:
    return {str(row[column]): _rounded([row["mean"]])[0] for row in means.to_dict("records")}


def _rounded(values: Sequence[float] | pd.Series) -> Interval:
    """Round; JSON has no NaN, so what does not exist is null."""
    return [None if value != value else round(float(value), _DIGITS) for value in values]
