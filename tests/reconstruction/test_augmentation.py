from dataclasses import replace

import numpy as np
import pytest

from reconstruction.learning.augmentation import RUNGS, _sharpness, augmented
from reconstruction.views import normalized

SIZE = 64


def window(offset: float = 0.0) -> np.ndarray:
    """Two round bones in line integrals, and perhaps soft tissue before them."""
    v, u = np.mgrid[:SIZE, :SIZE].astype(np.float32)
    bones = sum(np.sqrt(np.clip(12.0**2 - (u - x) ** 2 - (v - y) ** 2, 0, None)) for x, y in ((20, 24), (42, 40)))
    return (bones / 8 + offset).astype(np.float32)


FIELD = np.ones((SIZE, SIZE), bool)


def edge_centroid(pixels) -> np.ndarray:
    """Middle of the bones; a bright threshold, so that veils do not count."""
    return centroid(np.clip(pixels - 0.4, 0, 0.2))


def centroid(weights) -> np.ndarray:
    v, u = np.indices(weights.shape)
    return np.array([(u * weights).sum(), (v * weights).sum()]) / weights.sum()


def test_none_is_normalization_and_nothing_else():
    rng = np.random.default_rng(0)
    state = rng.bit_generator.state
    np.testing.assert_array_equal(augmented(window(), FIELD, "none", rng), normalized(window(), FIELD))
    assert rng.bit_generator.state == state


@pytest.mark.parametrize("rung", RUNGS)
@pytest.mark.parametrize("offset", [0.0, 5.0])
def test_a_rung_is_a_function_of_the_state_of_the_rng(rung, offset):
    pixels = window(offset)
    kept = pixels.copy()
    made = [augmented(pixels, FIELD, rung, np.random.default_rng(seed)) for seed in (3, 3, 4, 5, 6)]
    np.testing.assert_array_equal(pixels, kept)
    np.testing.assert_array_equal(made[0], made[1])
    assert not np.array_equal(made[0], made[2])
    for image in made:
        assert image.dtype == np.float32
        assert image.shape == pixels.shape
        assert np.isfinite(image).all()
        assert 0.5 < image.max() < 3


@pytest.mark.parametrize("rung", RUNGS)
def test_some_windows_are_noisy_and_some_are_not(rung):
    quiet = noisy = 0
    for seed in range(60):
        image = augmented(window(), FIELD, rung, np.random.default_rng(seed))
        flat = image[:8, -8:]
        noisy += bool(np.diff(flat, 2).std() > 1e-3)
        quiet += bool(np.diff(flat, 2).std() <= 1e-3)
    assert noisy > 8
    assert quiet > 8


def test_geometry_stays():
    """Bones stay where they are: on average over many draws to a tenth of a pixel."""
    truth = edge_centroid(normalized(window()))
    shifts = [
        edge_centroid(augmented(window(), FIELD, "photometric", np.random.default_rng(seed))) - truth
        for seed in range(80)
    ]
    assert np.abs(np.median(shifts, axis=0)).max() < 0.1


def test_smears_and_blurs_are_even():
    """The library's motion blur pulls to one side, unless told otherwise."""
    rung = replace(RUNGS["domain-randomization"], chance=1.0)
    for seed in range(30):
        blurred = _sharpness(window(), rung, np.random.default_rng(seed))
        assert np.abs(centroid(blurred) - centroid(window())).max() < 0.02
        assert not np.array_equal(blurred, window())


@pytest.mark.parametrize("rung", RUNGS)
def test_outside_of_the_field_stays_nothing(rung):
    field = FIELD.copy()
    field[:, :20] = False
    for seed in range(10):
        image = augmented(window(4.0) * field, field, rung, np.random.default_rng(seed))
        assert not image[~field].any()
        assert image[field].any()


def test_rungs_go_up():
    def change(rung):
        plain = normalized(window())
        images = [augmented(window(), FIELD, rung, np.random.default_rng(seed)) for seed in range(40)]
        return np.mean([np.abs(image - plain).mean() for image in images])

    assert 0 < 1.5 * change("photometric") < change("domain-randomization")


def test_an_empty_window_stays_empty():
    empty = np.zeros((SIZE, SIZE), np.float32)
    for name in ("none", *RUNGS):
        assert not augmented(empty, FIELD, name, np.random.default_rng(0)).any()
        assert not augmented(window(), ~FIELD, name, np.random.default_rng(0)).any()
