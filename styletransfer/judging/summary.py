"""From rows to numbers: means and medians over donors, with intervals that draw donors."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy import stats

from styletransfer.judging.settings import BootstrapParameters

_DIGITS = 5


def bootstrap_ci(values: Float[np.ndarray, " donors"], bootstrap: BootstrapParameters) -> tuple[float, float]:
    """Return the percentile interval of a mean over donors; NaN for fewer than two, of whom nothing can be said.

    Pairs of one donor are not independent, so donors are what is drawn.

    Args:
        values: One a donor.
        bootstrap: How.
    """
    if len(values) < 2:
        return float("nan"), float("nan")
    interval = stats.bootstrap(
        (values,),
        np.mean,
        n_resamples=bootstrap.resamples,
        confidence_level=bootstrap.confidence,
        method="percentile",
        rng=np.random.default_rng(bootstrap.seed),
    ).confidence_interval
    return float(interval.low), float(interval.high)


def over_donors(
    rows: pd.DataFrame, metrics: Sequence[str], bootstrap: BootstrapParameters
) -> dict[str, dict[str, float | None]]:
    """Summarize each metric: first within donors, then over them.

    Args:
        rows: A row a pair, with the column ``donor`` and one for each metric.
        metrics: Which columns.
        bootstrap: Of the intervals.

    Returns:
        For each metric ``mean`` (of the donors' means) with its interval ``low``, ``high``, and ``median`` (of the
        donors' medians). Pairs that a metric does not exist for (NaN) do not count; null where it exists for none.
    """
    by_donor = rows.groupby("donor", sort=True)[list(metrics)]
    means, medians = by_donor.mean(), by_donor.median()
    return {metric: _summary(means[metric], medians[metric], bootstrap) for metric in metrics}


def rounded(value: Any) -> float | None:
    """Round; JSON has no NaN, so what does not exist is null."""
    return None if value is None or not np.isfinite(value) else round(float(value), _DIGITS)


def _summary(means: pd.Series, medians: pd.Series, bootstrap: BootstrapParameters) -> dict[str, float | None]:
    known = means.dropna().to_numpy(np.float64)
    low, high = bootstrap_ci(known, bootstrap)
    mean = known.mean() if known.size else None
    numbers = {"mean": mean, "low": low, "high": high, "median": medians.median()}
    return {name: rounded(value) for name, value in numbers.items()}
