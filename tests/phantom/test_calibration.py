"""The cohort against published figures; docs/phantom.md shows the table of 200 individuals."""

import pytest

from drrkit.phantom import make_spine, sample_parameters
from drrkit.phantom.calibration import LEAST_OVERLAP, MEDIAN_TOLERANCE, PUBLISHED, compare, markdown

INDIVIDUALS = 100


@pytest.fixture(scope="module")
def rows():
    return {row.name: row for row in compare(make_spine(sample_parameters(seed)) for seed in range(INDIVIDUALS))}


@pytest.mark.parametrize("name", [name for name, known in PUBLISHED.items() if known.median is not None])
def test_medians_and_spreads_meet_the_published_ones(rows, name):
    row = rows[name]
    assert abs(row.median_shift) < MEDIAN_TOLERANCE
    assert row.overlap > LEAST_OVERLAP


@pytest.mark.parametrize("name", [name for name, known in PUBLISHED.items() if known.median is None])
def test_medians_lie_in_the_published_ranges(rows, name):
    row = rows[name]
    assert row.median_inside
    assert row.overlap > 0.3


def test_the_table_tells_every_figure(rows):
    table = markdown(rows.values())
    assert len(table.splitlines()) == 2 + len(PUBLISHED)
    assert all(f"| {name} |" in table for name in PUBLISHED)


def test_a_cohort_of_one_size_would_be_noticed(rows):
    """The comparison can fail: half of the published size lies outside."""
    row = rows["body spacing L1-L2"]
    shrunk = type(row)(row.name, row.published, row.low / 2, row.median / 2, row.high / 2)
    assert not shrunk.median_inside
    assert shrunk.overlap == 0
    assert abs(shrunk.median_shift) > MEDIAN_TOLERANCE
