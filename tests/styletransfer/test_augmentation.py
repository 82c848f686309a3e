"""What another exposure changes: values, by physical rules, and never places."""

from dataclasses import replace

import numpy as np
import pytest

from styletransfer import augmentation
from styletransfer.augmentation import PHOTOMETRIC, augmented

SIZE = 64


def image(veil: float = 1.0):
    """Two round bones under soft tissue; a circular field."""
    v, u = np.mgrid[:SIZE, :SIZE].astype(np.float32)
    bones = sum(np.sqrt(np.clip(10.0**2 - (u - x) ** 2 - (v - y) ** 2, 0, None)) for x, y in ((24, 26), (40, 38)))
    field = (u - 31.5) ** 2 + (v - 31.5) ** 2 < 30**2
    return np.where(field, bones / 8 + veil, 0).astype(np.float32), field


def only(monkeypatch, **ranges) -> None:
    """Make every change with certainty, and by nothing but what is named."""
    still = {"open_field": (0, 0), "gain": (1, 1), "hardening": (1, 1), "scatter": (0, 0)}
    exposure = replace(PHOTOMETRIC, chance=1.0, blur_px=(0.01, 0.011), photons=(1e12, 1e12), **still)
    monkeypatch.setattr(augmentation, "PHOTOMETRIC", replace(exposure, **ranges))


def changed(seed: int = 0, veil: float = 1.0):
    real, field = image(veil)
    return real, augmented(real, field, "photometric", np.random.default_rng(seed)), field


def test_none_changes_nothing_and_draws_nothing():
    real, field = image()
    rng = np.random.default_rng(0)
    state = rng.bit_generator.state
    np.testing.assert_array_equal(augmented(real, field, "none", rng), real)
    assert rng.bit_generator.state == state


def test_a_function_of_the_state_of_the_rng():
    real, field = image()
    kept = real.copy()
    made = [augmented(real, field, "photometric", np.random.default_rng(seed)) for seed in (3, 3, 4, 5)]
    np.testing.assert_array_equal(real, kept)
    np.testing.assert_array_equal(made[0], made[1])
    assert not np.array_equal(made[2], made[3])
    for one in made:
        assert one.dtype == np.float32
        assert one.shape == real.shape
        assert np.isfinite(one).all()


def test_pixels_without_a_beam_or_with_a_full_detector_stay_zero():
    real, field = image()
    real[30:34, 30:34] = 0
    for seed in range(20):
        made = augmented(real, field, "photometric", np.random.default_rng(seed))
        np.testing.assert_array_equal(made == 0, real == 0)
    dark = np.zeros_like(real)
    np.testing.assert_array_equal(augmented(dark, field, "photometric", np.random.default_rng(0)), dark)


def test_another_open_field_adds_the_same_everywhere(monkeypatch):
    only(monkeypatch, open_field=(np.log(2), np.log(2)))
    real, made, field = changed()
    np.testing.assert_allclose((made - real)[field], np.log(2), atol=1e-4)


def test_other_rays_bend_and_keep_the_order(monkeypatch):
    only(monkeypatch, hardening=(0.8, 0.8), gain=(1.1, 1.1))
    real, made, field = changed()
    middle = real[field].mean()
    np.testing.assert_allclose(made[field], 1.1 * middle * (real[field] / middle) ** 0.8, rtol=1e-4)
    # Overexposed pixels, below 0, are bent alike.
    real, made, field = changed(veil=-0.5)
    assert np.isfinite(made).all()
    assert (real < -0.1).any()
    assert (made[real < -0.1] < 0).all()
    assert (made[real > 0.1] > 0).all()


def test_scatter_adds_intensity_and_lowers_contrast(monkeypatch):
    only(monkeypatch, scatter=(0.3, 0.3))
    real, made, field = changed()
    added = np.exp(-made[field]) - np.exp(-real[field])
    assert added.min() > -1e-4
    assert added.max() == pytest.approx(0.3 * np.exp(-real[field]).mean(), rel=0.1)
    edges = [np.abs(np.diff(pixels[20:44, 20:44])).max() for pixels in (real, made)]
    assert edges[1] < 0.95 * edges[0]


def test_noise_is_that_of_photons(monkeypatch):
    only(monkeypatch, photons=(1e4, 1e4))
    real = np.full((200, 200), 2.0, np.float32)
    real[:, 100:] = 4.0
    made = augmented(real, np.ones(real.shape, bool), "photometric", np.random.default_rng(0))
    for half, line_integral in ((made[:, :100], 2.0), (made[:, 100:], 4.0)):
        counts = 1e4 * np.exp(-line_integral)
        assert half.std() == pytest.approx(1 / np.sqrt(counts), rel=0.03)


def test_blur_does_not_leak_in_from_outside_of_the_field(monkeypatch):
    only(monkeypatch, blur_px=(2.0, 2.001))
    flat = np.full((SIZE, SIZE), 3.0, np.float32)
    _, field = image()
    made = augmented(np.where(field, flat, 0), field, "photometric", np.random.default_rng(0))
    np.testing.assert_allclose(made[field], 3.0, atol=1e-3)
    real, made, _ = changed()
    assert np.abs(np.diff(made[20:44, 20:44])).max() < 0.8 * np.abs(np.diff(real[20:44, 20:44])).max()


def test_geometry_stays():
    """Bones stay where they are: on average over many draws to a tenth of a pixel."""

    def middle(pixels):
        weights = np.clip(pixels - np.quantile(pixels, 0.8), 0, None)
        v, u = np.indices(weights.shape)
        return np.array([(u * weights).sum(), (v * weights).sum()]) / weights.sum()

    real, field = image()
    shifts = [
        middle(augmented(real, field, "photometric", np.random.default_rng(seed))) - middle(real) for seed in range(60)
    ]
    assert np.abs(np.median(shifts, axis=0)).max() < 0.1
