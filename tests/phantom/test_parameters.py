from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest

from drrkit import InputError
from drrkit.phantom import ADULTS, POPULATIONS, SHIFTED, VARIED, PhantomParameters, Spread, sample_parameters
from drrkit.phantom.parameters import LIMITS


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("seed", -1),
        ("seed", 1.5),
        ("seed", True),
        ("size", 2.0),
        ("lordosis_deg", float("nan")),
        ("scoliosis_deg", 60),
        ("bone_quality", "soft"),
        ("bone_quality", True),
        ("slip_level", "L6"),
        ("scoliosis_apex", "T9"),
        ("position_mm", (0, 0)),
        ("position_mm", (0, 0, float("inf"))),
    ],
)
def test_bad_parameters_are_refused_by_name(name, value):
    with pytest.raises(InputError, match=name):
        PhantomParameters(**{"seed": 1, name: value})


def test_unknown_parameters_and_changes_are_refused():
    with pytest.raises(TypeError):
        PhantomParameters(seed=1, slipp_mm=3)
    with pytest.raises(FrozenInstanceError):
        PhantomParameters(seed=1).seed = 2


@pytest.mark.parametrize("seed", [-1, 2.0, "7", True, None])
def test_bad_seeds_are_refused(seed):
    with pytest.raises(InputError, match="seed"):
        sample_parameters(seed)


def test_a_seed_is_an_individual():
    assert sample_parameters(11) == sample_parameters(11)
    assert sample_parameters(11) != sample_parameters(12)


def test_changing_one_distribution_leaves_the_others_alone():
    changed = {**ADULTS, "lordosis_deg": Spread(30.0, 0.0, 20.0, 40.0)}
    for seed in range(5):
        usual = sample_parameters(seed)
        assert sample_parameters(seed, changed) == replace(usual, lordosis_deg=30.0)


@pytest.mark.parametrize("population", [{}, {**ADULTS, "iq": Spread(100, 15, 50, 150)}])
def test_population_must_name_every_parameter_and_no_other(population):
    with pytest.raises(InputError, match="population"):
        sample_parameters(0, population)


@pytest.mark.parametrize("values", [(0, -1, -1, 1), (2, 1, -1, 1), (0, 1, -1, 1, 1.5), (np.nan, 1, 0, 1)])
def test_impossible_spreads_are_refused(values):
    with pytest.raises(InputError, match="spread"):
        Spread(*values)


@pytest.mark.parametrize("population", POPULATIONS.values(), ids=list(POPULATIONS))
def test_populations_stay_within_the_limits(population):
    for name, spread in population.items():
        if name in LIMITS:
            low, high = LIMITS[name]
            assert low <= spread.low
            assert spread.high <= high


def test_draws_follow_their_distributions():
    drawn = [sample_parameters(seed) for seed in range(600)]
    slips = np.array([individual.slip_mm for individual in drawn])
    share, expected = (slips != 0).mean(), ADULTS["slip_mm"].share
    assert abs(share - expected) < 4 * np.sqrt(expected * (1 - expected) / len(drawn))
    lordosis = np.array([individual.lordosis_deg for individual in drawn])
    assert abs(lordosis.mean() - 46) < 4 * 14 / np.sqrt(len(drawn))
    assert 11 < lordosis.std() < 14.5


def test_the_shifted_cohort_is_harder():
    usual = [sample_parameters(seed) for seed in range(100)]
    harder = [sample_parameters(seed, SHIFTED) for seed in range(100)]
    for name in ("scoliosis_deg", "slip_mm", "height_loss", "osteophyte_mm", "disc_degeneration", "noise_hu"):
        assert np.mean([abs(getattr(p, name)) for p in harder]) > np.mean([abs(getattr(p, name)) for p in usual]), name
    assert np.mean([p.bone_quality for p in harder]) < np.mean([p.bone_quality for p in usual])


def test_individuals_stay_who_they_were():
    # Drawn before individuality, shell and marrow could be drawn, too.
    known = sample_parameters(11)
    assert known.slip_level == "L3"
    assert (known.individuality, known.shell, known.marrow) == (1.0, 1.0, 1.0)
    assert known.lordosis_deg == pytest.approx(34.49763830425535)


def test_the_varied_cohort_spans_more_than_the_adults():
    usual = [sample_parameters(seed) for seed in range(100)]
    varied = [sample_parameters(seed, VARIED) for seed in range(100)]
    for name in ("size", "individuality", "bone_quality", "shell", "marrow", "blur_mm", "noise_hu", "roll_deg"):
        assert np.std([getattr(p, name) for p in varied]) > 1.2 * np.std([getattr(p, name) for p in usual]), name
    # What it is evaluated on stays strange to it: the shifted cohort's diseases are not in it.
    assert [p.scoliosis_deg for p in varied] == [p.scoliosis_deg for p in usual]
    assert [p.slip_mm for p in varied] == [p.slip_mm for p in usual]
