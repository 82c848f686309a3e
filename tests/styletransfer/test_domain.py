import re

import numpy as np
import pytest
import torch
from scipy import ndimage

from drrkit.errors import InputError
from styletransfer.domain import NAMES, STATISTICS, DomainStatistics, measure

PIXEL_MM = 0.8
DONORS = tuple(range(5))


def exposure(donor, view, side=64, noise=0.02):
    """A toy: an elliptic trunk in open beam with a column of rings of bone, noisier where it is denser."""
    rng = np.random.default_rng([donor, view])
    y, x = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
    width = rng.uniform(0.85, 1.0)
    depth = np.sqrt(np.clip(1 - (x / width) ** 2 - (0.5 * y) ** 2, 0, None))
    bone = np.zeros((side, side))
    for center in np.arange(-0.9, 1, 0.45) + rng.uniform(-0.1, 0.1):
        radius = np.hypot((x - 0.05 * rng.normal()) / 0.25, (y - center) / 0.2)
        bone += 0.5 * np.exp(-(((radius - 0.8) / 0.15) ** 2)) + 0.2 * (radius < 0.8)
    pixels = rng.uniform(1.3, 1.6) * depth + ndimage.gaussian_filter(bone, 0.7)
    pixels += ndimage.gaussian_filter(rng.normal(0, noise, pixels.shape) * np.exp(pixels / 2), 0.5)
    return np.where(depth > 0, np.maximum(pixels, 1e-3), 0).astype(np.float32)


def training(donors=DONORS, views=4):
    return ((exposure(donor, view), f"donor-{donor}", PIXEL_MM) for donor in donors for view in range(views))


@pytest.fixture(scope="module")
def statistics():
    return DomainStatistics.fit(training())


def held_out():
    return [exposure(donor, view) for donor in (100, 101, 102) for view in range(3)]


def test_other_donors_of_the_same_device_are_inside(statistics):
    scores = [statistics.score(pixels, PIXEL_MM) for pixels in held_out()]
    assert sum(score.is_inside for score in scores) >= len(scores) - 1
    assert all(score.reasons == () for score in scores if score.is_inside)


CORRUPTIONS = {
    "counts": (lambda p: 4095 * np.exp(-p), "raw counts"),
    "zero to 4095": (lambda p: 4095 * p / p.max(), "raw counts"),
    "zero to one": (lambda p: p / p.max(), "base 10|scaled for display"),
    "logarithm to base 10": (lambda p: p / np.log(10), "base 10"),
    "inverted": (lambda p: np.where(p != 0, p.max() + 0.01 - p, 0), "polarity looks inverted"),
    "stretched": (lambda p: 2.5 * np.maximum(p - 0.5, 0), "times that of training images|another contrast|exactly 0"),
    "noise": (
        lambda p: np.where(p != 0, np.maximum(p + np.random.default_rng(0).normal(0, 0.15, p.shape), 1e-3), 0),
        "noise is .* times that of training images",
    ),
    "blurred": (lambda p: np.where(p != 0, ndimage.gaussian_filter(p, 1.5), 0), "noise is .* times"),
}


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_what_is_no_such_image_is_outside_and_the_reason_is_told(statistics, name):
    corrupt, reason = CORRUPTIONS[name]
    for pixels in held_out()[::3]:
        score = statistics.score(corrupt(pixels).astype(np.float32), PIXEL_MM)
        assert not score.is_inside, name
        assert score.distance > score.limit == statistics.limit
        assert any(re.search(reason, one) for one in score.reasons), score.reasons


def test_pixels_of_another_size(statistics):
    score = statistics.score(held_out()[0], 0.3)
    assert not score.is_inside
    assert "pixels are 0.3 mm where training images had 0.8 mm" in score.reasons


def test_an_unknown_size_of_pixels_is_left_out(statistics):
    score = statistics.score(held_out()[0])
    assert score.is_inside == statistics.score(held_out()[0], PIXEL_MM).is_inside


def test_an_image_of_nothing(statistics):
    score = statistics.score(np.zeros((32, 32), np.float32), PIXEL_MM)
    assert score.distance == np.inf
    assert not score.is_inside
    assert score.reasons


def test_one_pair_is_enough_to_tell_counts_from_line_integrals():
    one = DomainStatistics.fit([(exposure(0, 0), "donor-0", PIXEL_MM)])
    assert one.score(exposure(0, 0), PIXEL_MM).distance < 1e-6
    assert one.score(held_out()[0], PIXEL_MM).is_inside
    assert not one.score(4095 * np.exp(-held_out()[0]), PIXEL_MM).is_inside


def test_few_donors_widen_the_limit(statistics):
    assert DomainStatistics.fit(training(donors=(0,))).limit > statistics.limit


def test_donors_weigh_as_much_whatever_their_number_of_images():
    once = DomainStatistics.fit([(exposure(d, 0), str(d), PIXEL_MM) for d in (0, 1)])
    often = DomainStatistics.fit([(exposure(d, 0), str(d), PIXEL_MM) for d in (0, 1, 1, 1)])
    assert np.allclose(once.mean, often.mean)
    assert np.allclose(once.covariance, often.covariance)


def test_a_size_of_its_own_for_each_number_of_statistics(statistics):
    assert statistics.mean.shape == (len(NAMES),) == (len(STATISTICS),)
    assert np.linalg.eigvalsh(statistics.covariance).min() > 0


def test_what_travels_with_a_model(statistics):
    tensors = {"generator.weight": torch.zeros(3), **statistics.tensors()}
    assert all(name.startswith("domain.") for name in statistics.tensors())
    again = DomainStatistics.from_tensors(tensors)
    pixels = held_out()[0]
    assert again.score(pixels, PIXEL_MM) == statistics.score(pixels, PIXEL_MM)


@pytest.mark.parametrize("name", ["domain.mean", "domain.covariance", "domain.limit"])
def test_tensors_that_are_missing_or_of_others(statistics, name):
    tensors = statistics.tensors()
    with pytest.raises(InputError, match=name):
        DomainStatistics.from_tensors({other: tensors[other] for other in tensors if other != name})
    with pytest.raises(InputError, match=name):
        DomainStatistics.from_tensors(tensors | {name: torch.zeros(2, 3, 4)})


def test_statistics_mean_what_they_say():
    white = 1 + np.random.default_rng(0).normal(0, 0.05, (128, 128))
    values = dict(zip(NAMES, measure(white, 0.5), strict=True))
    assert np.exp(values["log_noise"]) == pytest.approx(0.05, rel=0.03)
    assert values["noise_lag"] == pytest.approx(1 / 6, abs=0.03)
    assert np.exp(values["log_middle"]) == pytest.approx(1, rel=0.01)
    assert np.exp(values["log_pixel_mm"]) == pytest.approx(0.5)
    assert values["open_share"] == 0
    assert abs(values["ridges"]) < 0.05
    x = np.mgrid[:64, :64][1]
    thin = 1 + ((x % 16) < 2)
    assert dict(zip(NAMES, measure(thin), strict=True))["ridges"] > 0.2
    assert dict(zip(NAMES, measure(3 - thin), strict=True))["ridges"] < -0.2


def test_input_that_is_no_image(statistics):
    with pytest.raises(InputError, match="none"):
        DomainStatistics.fit([])
    with pytest.raises(InputError, match="donor-0"):
        DomainStatistics.fit([(np.zeros((32, 32)), "donor-0", 1.0)])
    with pytest.raises(InputError, match="NaN"):
        statistics.score(np.full((32, 32), np.nan))
    with pytest.raises(InputError, match="shape"):
        statistics.score(np.ones((2, 32, 32)))
    with pytest.raises(InputError, match="pixel_mm"):
        statistics.score(np.ones((32, 32)), -1.0)
