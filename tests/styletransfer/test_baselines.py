import numpy as np
import pytest
import torch

from drrkit.errors import InputError
from styletransfer.methods.baselines import Clahe, FourierAdaptation, HistogramMatching, Untranslated
from styletransfer.scale import Scale
from styletransfer.translator import Batch

SCALE = Scale(1.0, 1.0, 1.0)
SETTINGS = {
    HistogramMatching: {"levels": 256},
    Clahe: {"tiles": 4, "clip_limit": 0.02},
    FourierAdaptation: {"beta": 0.05},
}


def images(count=3, shape=(40, 48), gain=1.0, offset=0.0, seed=0):
    """Smooth structures, none below 0; (B, 1, H, W)."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: shape[0], : shape[1]]
    waves = [
        sum(np.sin(rng.uniform(0.05, 0.6) * x + rng.uniform(0.05, 0.6) * y + rng.uniform(0, 6)) for _ in range(5))
        for _ in range(count)
    ]
    pixels = np.stack([(one - one.min()) for one in waves])[:, None]
    return torch.from_numpy((gain * pixels + offset).astype(np.float32))


def batch(synthetic, field=None):
    real = images(len(synthetic), tuple(synthetic.shape[2:]), seed=9)
    return Batch(real, synthetic, torch.ones_like(real, dtype=torch.bool) if field is None else field)


def make(kind, noted=True, **settings):
    translator = kind(kind.Settings(**(SETTINGS.get(kind, {}) | settings)), SCALE)
    if noted:
        assert translator.optimize(batch(images()), 1.0) == {}
    return translator


@pytest.mark.parametrize("kind", [Untranslated, *SETTINGS])
def test_the_contract(kind):
    translator = make(kind)
    real = images(2, seed=5) + 0.5
    real[:, :, :8] = 0
    before = real.clone()
    translated = translator.synthetic_from_real(real)
    assert translated.shape == real.shape
    assert translated.dtype == real.dtype
    assert translated.min() >= 0
    assert not translated[:, :, :8].any()
    assert translated[:, :, 8:].std() > 0.1
    assert torch.equal(real, before)
    assert torch.equal(translated, translator.synthetic_from_real(real))
    assert translator.learning == "nothing"
    assert translator.reach_px == (0 if kind is Untranslated else None)
    # An image does not depend on its batch.
    assert torch.equal(translated[1:], translator.synthetic_from_real(real[1:]))


@pytest.mark.parametrize("kind", [Untranslated, *SETTINGS])
def test_notes_travel_as_weights_and_as_state(kind):
    translator = make(kind)
    real = images(1, seed=5)
    for take, give in (("load_weights", "weights"), ("load_state", "state")):
        other = make(kind, noted=False)
        getattr(other, take)(getattr(translator, give)())
        assert torch.equal(other.synthetic_from_real(real), translator.synthetic_from_real(real))
        # And noting goes on to the bit.
        twin = make(kind)
        for one in (other, twin):
            one.optimize(batch(images(seed=3)), 1.0)
        assert all(torch.equal(a, b) for a, b in zip(other.weights().values(), twin.weights().values(), strict=True))


@pytest.mark.parametrize("kind", SETTINGS)
def test_notes_are_the_mean_over_all_batches(kind):
    at_once, in_turn = make(kind, noted=False), make(kind, noted=False)
    pixels = images(4)
    at_once.optimize(batch(pixels), 1.0)
    for part in (pixels[:1], pixels[1:]):
        in_turn.optimize(batch(part), 1.0)
    for name, value in at_once.weights().items():
        assert torch.allclose(value.double(), in_turn.weights()[name].double(), rtol=1e-12)
    assert int(at_once.weights()["images"]) == 4


@pytest.mark.parametrize("kind", SETTINGS)
def test_nothing_outside_the_field_is_noted(kind):
    pixels = images(2)
    field = torch.ones_like(pixels, dtype=torch.bool)
    field[..., 30:] = False
    spoiled = torch.where(field, pixels, torch.tensor(99.0))
    clean, other = make(kind, noted=False), make(kind, noted=False)
    clean.optimize(batch(pixels, field), 1.0)
    other.optimize(batch(spoiled, field), 1.0)
    assert all(torch.equal(a, b) for a, b in zip(clean.weights().values(), other.weights().values(), strict=True))
    other.optimize(batch(pixels, torch.zeros_like(field)), 1.0)
    assert int(other.weights()["images"]) == 2


def test_untranslated_loses_what_noise_left_below_zero():
    real = images(1) - 1.0
    assert torch.equal(make(Untranslated).synthetic_from_real(real), real.clamp(min=0))


def test_histogram_matching_undoes_any_rising_curve():
    synthetic = images(1)
    translator = make(HistogramMatching, noted=False, levels=4096)
    translator.optimize(batch(synthetic), 1.0)
    matched = translator.synthetic_from_real(0.3 + (2 * synthetic) ** 0.5)
    assert (matched - synthetic).abs().max() < 0.05 * synthetic.max()
    assert (matched - synthetic).abs().mean() < 0.005 * synthetic.max()


def test_clahe_gives_mean_and_spread_of_synthetic_images_whatever_the_gain():
    synthetic = images(1, offset=5.0)
    translator = make(Clahe, noted=False)
    translator.optimize(batch(synthetic), 1.0)
    real = images(1, seed=5) + 0.5
    once, twice = translator.synthetic_from_real(real), translator.synthetic_from_real(2 * real)
    assert once.mean() == pytest.approx(float(synthetic.mean()), rel=1e-3)
    assert once.std() == pytest.approx(float(synthetic.std()), rel=1e-2)
    assert torch.allclose(once, twice, atol=1e-3)
    flat = torch.full((1, 1, 16, 16), 2.0)
    assert torch.allclose(translator.synthetic_from_real(flat), synthetic.mean().expand(1, 1, 16, 16))


def test_clahe_raises_faint_contrast_beside_strong():
    y, x = np.mgrid[:64, :64]
    pixels = np.where(x < 32, 1 + 0.05 * ((y // 4) % 2), 3 + 1.0 * ((y // 4) % 2)).astype(np.float32)
    real = torch.from_numpy(pixels)[None, None]
    translated = make(Clahe, clip_limit=0.1).synthetic_from_real(real)

    def faint_part(image):
        return float(image[..., 4:28].std() / image[..., 36:60].std())

    assert faint_part(translated) > 3 * faint_part(real)


def test_fourier_adaptation_leaves_an_image_of_the_noted_spectrum_alone():
    synthetic = images(1, offset=0.2)
    translator = make(FourierAdaptation, noted=False)
    translator.optimize(batch(synthetic), 1.0)
    assert torch.allclose(translator.synthetic_from_real(synthetic), synthetic, atol=1e-4)


def test_fourier_adaptation_exchanges_low_amplitudes_and_keeps_high_frequencies():
    synthetic, real = images(1, offset=8.0), images(1, gain=0.5, seed=5) + 6.0  # nowhere below 0 afterwards
    translator = make(FourierAdaptation, noted=False, beta=0.06)
    translator.optimize(batch(synthetic), 1.0)
    found, wanted, before = (
        np.fft.fft2(one[0, 0].double().numpy()) for one in (translator.synthetic_from_real(real), synthetic, real)
    )
    low = np.ix_(np.arange(-2, 3), np.arange(-2, 3))  # 0.06 cycles a pixel of 40 and 48
    assert np.allclose(np.abs(found[low]), np.abs(wanted[low]), rtol=1e-3, atol=1e-2)
    high = np.ones(found.shape, bool)
    high[low] = False
    assert np.allclose(found[high], before[high], atol=1e-2)


def test_fourier_adaptation_takes_the_spectrum_to_other_sizes():
    rng = np.random.default_rng(0)

    def texture(shape):
        """Noise of one spectrum, at any size: energy below 0.1 cycles a pixel."""
        frequencies = np.hypot(*np.meshgrid(*(np.fft.fftfreq(size) for size in shape), indexing="ij"))
        pixels = np.fft.ifft2(np.fft.fft2(rng.normal(size=shape)) * np.exp(-((frequencies / 0.05) ** 2))).real
        return torch.from_numpy((4 + 5 * pixels).astype(np.float32))[None, None]

    translator = make(FourierAdaptation, noted=False, beta=0.2)
    for _ in range(20):
        translator.optimize(batch(texture((64, 64))), 1.0)
    for shape in ((64, 64), (128, 96), (40, 48)):
        translated = translator.synthetic_from_real(0.2 * texture(shape) + 0.1)
        assert translated.mean() == pytest.approx(4.0, rel=0.02)
        # The mean amplitude of noise is 0.89 of its root mean square.
        assert translated.std() == pytest.approx(0.89 * float(texture((256, 256)).std()), rel=0.15)


@pytest.mark.parametrize("kind", SETTINGS)
def test_without_notes_nothing_is_translated(kind):
    translator = make(kind, noted=False)
    with pytest.raises(InputError, match="no notes"):
        translator.synthetic_from_real(images(1))
    again = make(kind)
    again.load_weights(translator.weights())
    with pytest.raises(InputError, match="no notes"):
        again.synthetic_from_real(images(1))


@pytest.mark.parametrize("kind", [Untranslated, *SETTINGS])
def test_weights_of_others_are_refused(kind):
    translator = make(kind)
    with pytest.raises(InputError, match="weights"):
        translator.load_weights({"images": torch.tensor(2), "generator.weight": torch.zeros(3)})


@pytest.mark.parametrize("kind", SETTINGS)
def test_damaged_weights_are_refused(kind):
    translator = make(kind)
    name = next(iter(translator.note_axes))
    weights = translator.weights()
    with pytest.raises(InputError, match="weights"):
        translator.load_weights({key: value for key, value in weights.items() if key != "images"})
    with pytest.raises(InputError, match="finite"):
        translator.load_weights(weights | {name: weights[name] * float("nan")})


@pytest.mark.parametrize(("kind", "other"), [(HistogramMatching, {"levels": 99}), (FourierAdaptation, {"beta": 0.2})])
def test_weights_of_other_settings_are_refused(kind, other):
    with pytest.raises(InputError, match="weights"):
        make(kind, **other).load_weights(make(kind).weights())


def test_an_image_without_any_beam_stays_empty():
    assert not make(Clahe).synthetic_from_real(torch.zeros(1, 1, 16, 16)).any()
