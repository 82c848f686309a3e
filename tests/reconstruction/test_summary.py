import numpy as np
import pandas as pd
import pytest

from drrkit.errors import InputError
from reconstruction.judging.summary import BootstrapParameters, bootstrap_ci, summarize, value_of
from reconstruction.metrics import METRICS

BOOTSTRAP = BootstrapParameters(resamples=2000, confidence=0.95, seed=0)


def table(scores):
    """Rows with ``f1`` by donor; all other metrics are 0."""
    return pd.DataFrame(
        [
            {"donor": donor, "n_views": views, "level": level, **dict.fromkeys(METRICS, 0.0), "f1": f1}
            for donor, views, level, f1 in scores
        ]
    )


def test_the_interval_of_normal_numbers_is_the_textbook_one():
    values = np.random.default_rng(3).normal(0.8, 0.05, 200)
    low, high = bootstrap_ci(values, BOOTSTRAP)
    half = 1.96 * values.std() / np.sqrt(len(values))
    assert [low, high] == pytest.approx([values.mean() - half, values.mean() + half], abs=0.1 * half)


def test_equal_donors_have_no_spread_and_one_donor_no_interval():
    assert bootstrap_ci(np.full(5, 0.7), BOOTSTRAP) == pytest.approx((0.7, 0.7))
    assert np.isnan(bootstrap_ci(np.array([0.7]), BOOTSTRAP)).all()
    with pytest.raises(InputError, match="NaN"):
        bootstrap_ci(np.array([0.7, np.nan]), BOOTSTRAP)


def test_the_seed_decides():
    values = np.random.default_rng(0).random(9)
    assert bootstrap_ci(values, BOOTSTRAP) == bootstrap_ci(values, BOOTSTRAP)
    other = BOOTSTRAP.model_copy(update={"seed": 1})
    assert bootstrap_ci(values, BOOTSTRAP) != bootstrap_ci(values, other)


def test_a_donor_with_many_rows_counts_once():
    rows = [("a", 2, "L1", 1.0)] * 9 + [("b", 2, "L1", 0.0)]
    summary = summarize(table(rows), ["n_views"], BOOTSTRAP)
    f1 = summary[summary["metric"] == "f1"].iloc[0]
    assert (f1["mean"], f1["donors"]) == (0.5, 2)
    assert (f1["low"], f1["high"]) == (0.0, 1.0)


def test_groups_and_metrics():
    rows = table([("a", 2, "L1", 0.4), ("b", 2, "L1", 0.6), ("a", 3, "L1", 0.9), ("b", 3, "L1", 0.9)])
    rows["hd95_mm"] = np.nan
    summary = summarize(rows, ["n_views", "level"], BOOTSTRAP)
    assert value_of(summary, "f1", n_views=2, level="L1") == pytest.approx(0.5)
    assert value_of(summary, "f1", n_views=3) == pytest.approx(0.9)
    assert "hd95_mm" not in set(summary["metric"])
    with pytest.raises(InputError, match="2 rows"):
        value_of(summary, "f1")
    with pytest.raises(InputError, match="no column colour"):
        summarize(rows, ["colour"], BOOTSTRAP)
