"""From rows to numbers: means over donors, each with a bootstrap confidence interval."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float
from pydantic import Field

from drrkit.errors import InputError
from drrkit.parameters import Parameters
from reconstruction.metrics import METRICS


class BootstrapParameters(Parameters):
    """How confidence intervals are made: ``resamples`` draws of donors; ``confidence`` is the part they cover."""

    resamples: int = Field(ge=1)
    confidence: float = Field(gt=0, lt=1)
    seed: int = Field(ge=0)


def bootstrap_ci(values: Float[np.ndarray, " donors"], bootstrap: BootstrapParameters) -> tuple[float, float]:
    """Return the percentile bootstrap interval of a mean over donors.

    Vertebrae and views of one donor are not independent, so donors are what is drawn.

    Args:
        values: One a donor.
        bootstrap: How.

    Returns:
        Lower and upper end; NaN for fewer than two donors, of whom nothing can be said.

    Raises:
        InputError: NaN among the values.
    """
    values = np.asarray(values, np.float64)
    if np.isnan(values).any():
        raise InputError("values", "NaN", "a number for every donor")
    low, high = _intervals(values[:, None], bootstrap)[:, 0]
    return float(low), float(high)


def summarize(table: pd.DataFrame, by: Sequence[str], bootstrap: BootstrapParameters) -> pd.DataFrame:
    """Average rows, first within donors and then over them.

    Args:
        table: Of :mod:`reconstruction.judging.evaluation` or :mod:`reconstruction.judging.studies`.
        by: Columns that tell groups apart, for example ``n_views``, ``level``, ``region``.
        bootstrap: Of the confidence intervals.

    Returns:
        A row for each group and metric: the columns ``by``, ``metric``, ``mean``, ``low``, ``high``, ``donors``. The
        mean of ``n_missed`` is the part of the vertebrae that was missed. Metrics that a group does not have are left
        out.

    Raises:
        InputError: A column that is not there, or a metric that a group has for some donors only.
    """
    missing = [name for name in (*by, "donor") if name not in table]
    if missing:
        raise InputError("table", f"no column {', '.join(missing)}", f"the columns {', '.join(by)} and donor")
    rows: list[dict[str, Any]] = []
    for names, group in table.groupby(list(by), sort=False, dropna=False):
        donors = group.groupby("donor", sort=True)[list(METRICS)].mean().dropna(axis="columns", how="all")
        values = donors.to_numpy()
        if np.isnan(values).any():
            raise InputError("table", f"metrics that some donors lack at {names}", "all metrics for every donor")
        intervals = _intervals(values, bootstrap)
        for number, metric in enumerate(donors.columns):
            low, high = intervals[:, number]
            numbers = {"mean": values[:, number].mean(), "low": low, "high": high, "donors": len(values)}
            rows.append(dict(zip(by, names, strict=True)) | {"metric": metric} | numbers)
    return pd.DataFrame(rows)


def value_of(summary: pd.DataFrame, metric: str, **group: Any) -> float:
    """Look up one mean of a summary.

    Raises:
        InputError: None or several rows fit.
    """
    fits = summary["metric"] == metric
    for name, value in group.items():
        fits &= summary[name] == value
    if fits.sum() != 1:
        raise InputError("summary", f"{fits.sum()} rows of {metric} for {group}", "one row")
    return float(summary.loc[fits, "mean"].iloc[0])


def _intervals(
    values: Float[np.ndarray, "donors metrics"], bootstrap: BootstrapParameters
) -> Float[np.ndarray, "2 metrics"]:
    """Draw the same donors for all metrics."""
    count = len(values)
    if count < 2:
        return np.full((2, values.shape[1]), np.nan)
    rng = np.random.default_rng(bootstrap.seed)
    # How often each donor is drawn; then all means are one product.
    times = rng.multinomial(count, np.full(count, 1 / count), size=bootstrap.resamples)
    tail = (1 - bootstrap.confidence) / 2
    return np.quantile(times @ values / count, [tail, 1 - tail], axis=0)
