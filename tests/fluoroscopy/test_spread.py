import numpy as np
import pytest
from scipy import integrate

from drrkit.fluoroscopy.spread import blur, glare, smear


def point(size=301, place=(150, 150)):
    image = np.zeros((size, size), np.float32)
    image[place] = 1.0
    return image


def centroid(image):
    v, u = np.mgrid[: image.shape[0], : image.shape[1]]
    return np.array([(v * image).sum(), (u * image).sum()]) / image.sum()


@pytest.mark.parametrize("spread", [lambda image: smear(image, 60.0), lambda image: glare(image, 20.0)])
def test_wide_spreads_move_nothing(spread):
    for place in ((150, 150), (147, 156), (151, 149)):
        np.testing.assert_allclose(centroid(spread(point(place=place))), place, atol=0.5)


def test_a_smear_keeps_all_that_stays_in_the_image_and_has_its_width():
    smeared = smear(point(), 60.0)
    assert smeared.sum() == pytest.approx(1.0, abs=2e-3)
    half = np.flatnonzero(smeared[150] > smeared[150].max() / 2)
    assert half[-1] - half[0] == pytest.approx(60, abs=4)


def test_a_smear_loses_half_at_a_straight_border():
    image = np.ones((200, 400), np.float32)
    assert smear(image, 40.0)[0, 200] == pytest.approx(0.5, abs=0.03)
    assert smear(image, 40.0)[100, 200] == pytest.approx(1.0, abs=1e-3)


def test_glare_falls_as_its_formula_says():
    radius = 15.0
    spread = glare(point(), radius)
    distance = np.hypot(*(np.mgrid[:301, :301] - 150.0))
    formula = np.exp(-distance / radius) / (2 * np.pi * radius * np.maximum(distance, 1))
    for away in (5, 10, 20, 40, 80):
        ring = (distance > away - 1) & (distance < away + 1)
        assert spread[ring].mean() == pytest.approx(formula[ring].mean(), rel=0.03)
    inside, _ = integrate.quad(lambda r: np.exp(-r / radius) / radius, 0, 150)
    assert spread.sum() == pytest.approx(inside, abs=0.01)


def test_blur_has_the_width_it_is_told_and_its_limit():
    image = point(61, (30, 30))
    blur(image, 6.0)
    row = image[30] / image[30].max()
    assert np.interp(-0.5, -row[30:], np.arange(31)) == pytest.approx(3.0, abs=0.1)
    untouched = point(61, (30, 30))
    blur(untouched, 0.1)
    np.testing.assert_array_equal(untouched, point(61, (30, 30)))
