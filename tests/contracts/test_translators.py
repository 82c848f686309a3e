"""The contract of every translator in ``TRANSLATORS``; a new one needs a registry line and small settings here.

Images of any size are translated by ``styletransfer.translate``, and tested with it.
"""

import json

import pytest
import torch
from pydantic import ValidationError

from drrkit.errors import InputError
from drrkit.learning.fabric import make_fabric
from drrkit.learning.optimization import seed_step
from styletransfer.registry import TRANSLATORS
from styletransfer.scale import Scale
from styletransfer.translator import Batch

SIZE_PX = 48
# A game takes longer to settle than a difference takes to shrink.
STEPS = {"paired": 100, "cyclegan-paired": 200, "cyclegan": 240, "cut": 280}

GENERATOR = {"widths": (8, 16, 16), "normalization": "none"}
DISCRIMINATOR = {"widths": (8, 16), "normalization": "spectral"}
LEARNED = {
    "generator": GENERATOR,
    "channels_last": False,
    "optimizer": {
        "learning_rate": 2e-3,
        "kernel_learning_rate": 0.003,
        "discriminator_learning_rate": 2e-3,
        "weight_decay": 0.0,
        "gradient_clip": 10.0,
        "ema_decay": 0.95,
    },
}
PAIRS = {"pixels": 1.0, "gradients": 0.5, "bone_edges": 0.1, "scales": 3}
CYCLE = {"adversarial": 1.0, "cycle_real": 1.0, "cycle_synthetic": 1.0, "identity": 0.5}
CONTRAST = {"weight": 1.0, "identity": 1.0, "patches": 64, "size": 16, "temperature": 0.07}
# name in the registry -> settings
CASES = {
    "none": {},
    "histogram": {"levels": 64},
    "clahe": {"tiles": 4, "clip_limit": 0.02},
    "fourier": {"beta": 0.05},
    "paired": {**LEARNED, "pairs": PAIRS, "adversarial": 0.1, "discriminator": DISCRIMINATOR},
    "cyclegan": {**LEARNED, "cycle": CYCLE, "discriminator": DISCRIMINATOR, "pool": 4},
    "cyclegan-paired": {
        **LEARNED,
        "cycle": CYCLE,
        "discriminator": DISCRIMINATOR,
        "pool": 4,
        "pairs": PAIRS,
        "back": 1.0,
    },
    "cut": {**LEARNED, "adversarial": 1.0, "contrast": CONTRAST, "discriminator": DISCRIMINATOR},
}
LEARNERS = [name for name in CASES if TRANSLATORS[name].learning != "nothing"]


def test_every_registered_translator_is_tested():
    assert set(CASES) == set(TRANSLATORS)


def pair(size_px: int = SIZE_PX) -> Batch:
    """A toy: three blurred blocks of bone; as a C-arm sees them, behind soft tissue that varies and in a field."""
    v, u = torch.meshgrid(torch.arange(size_px), torch.arange(size_px), indexing="ij")
    synthetic = torch.zeros(1, 1, size_px, size_px)
    for place, (left, width) in enumerate(((10, 20), (14, 18), (12, 22))):
        top = 5 + 14 * place
        synthetic[..., top : top + 10, left : left + width] = 1.0
        synthetic[..., top + 3 : top + 7, left + 3 : left + 6] = 1.6
    synthetic = torch.nn.functional.avg_pool2d(synthetic, 3, stride=1, padding=1)
    tissue = 1.5 + 0.5 * torch.cos(u / 17) * torch.cos(v / 23)
    noise = torch.randn(synthetic.shape, generator=torch.Generator().manual_seed(0))
    field = torch.ones_like(synthetic, dtype=torch.bool)
    field[..., :3] = False
    real = torch.where(field, 0.8 * synthetic + tissue + 0.02 * noise, 0.0)
    return Batch(real, synthetic, field)


PAIR = pair()
INSIDE = PAIR.real[PAIR.field]
SCALE = Scale(float(INSIDE.mean()), float(INSIDE.std()), float(PAIR.synthetic.square().mean().sqrt()))


def make(name: str, seed: int = 0, set_up: bool = True):
    """A fresh translator with its small settings."""
    torch.manual_seed(seed)
    kind = TRANSLATORS[name]
    translator = kind(kind.Settings(**CASES[name]), SCALE)
    if set_up:
        translator.set_up(make_fabric("cpu", "32", 1))
    return translator


def learn(translator, steps: range):
    """Take steps as a training does; losses of each."""
    found = []
    for step in steps:
        seed_step(0, step, 0)
        found.append(translator.optimize(PAIR, min(1.0, (step + 1) / 10)))
    return found


@pytest.fixture(params=CASES, scope="module")
def name(request):
    return request.param


@pytest.fixture(scope="module")
def translator(name):
    """One that has seen the pair, and over-fits it if it learns."""
    made = make(name)
    learn(made, range(STEPS[name] if name in LEARNERS else 2))
    return made


def image(height: int, width: int, batch: int = 1, seed: int = 1):
    """Something like a real image, with pixels that no beam reached and one that the open beam reached."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(batch, 1, height // 8, width // 8, generator=generator)
    pixels = 1 + torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear")
    pixels += 0.05 * torch.randn(pixels.shape, generator=generator)
    pixels[..., :4] = 0
    pixels[..., height // 2, width // 2] = 0
    return pixels


def same_weights(one, other) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def test_settings_are_strict_and_survive_json(name):
    kind = TRANSLATORS[name]
    settings = kind.Settings(**CASES[name])
    assert kind.Settings.model_validate(json.loads(json.dumps(settings.model_dump(mode="json")))) == settings
    with pytest.raises(ValidationError):
        kind.Settings(**CASES[name], strange=1)


@pytest.mark.parametrize(("height", "width", "batch"), [(48, 48, 1), (32, 56, 2), (24, 16, 3)])
def test_a_line_integral_for_every_pixel(translator, height, width, batch):
    translated = translator.synthetic_from_real(image(height, width, batch))
    assert translated.shape == (batch, 1, height, width)
    assert translated.dtype == torch.float32
    assert translated.isfinite().all()
    assert not translated.requires_grad
    assert translated.min() >= 0
    assert translated.max() > 0


def test_no_beam_and_open_beam_stay_zero(translator):
    real = image(48, 48)
    translated = translator.synthetic_from_real(real)
    assert not translated[real == 0].any()
    assert not translator.synthetic_from_real(torch.zeros(1, 1, 16, 16)).any()


def test_noise_below_zero_stays_line_integrals_of_zero_or_more(translator):
    real = image(48, 48)
    real[..., 10:20, 10:20] = -0.05
    assert translator.synthetic_from_real(real).min() >= 0


def test_the_same_again_and_the_image_is_left_alone(translator):
    real = image(48, 48)
    before = real.clone()
    assert torch.equal(translator.synthetic_from_real(real), translator.synthetic_from_real(real))
    assert torch.equal(real, before)


def test_an_image_does_not_depend_on_its_batch(translator):
    real = image(32, 48, batch=2)
    together = translator.synthetic_from_real(real)
    alone = torch.cat([translator.synthetic_from_real(real[number : number + 1]) for number in range(2)])
    assert torch.allclose(together, alone, atol=1e-5)


def test_weights_are_all_that_translating_needs(name, translator):
    other = make(name, seed=9, set_up=False)
    other.load_weights({key: tensor.clone() for key, tensor in translator.weights().items()})
    assert same_weights(other.weights(), translator.weights())
    real = image(48, 48)
    assert torch.equal(other.synthetic_from_real(real), translator.synthetic_from_real(real))


def test_weights_of_another_kind_are_refused(name, translator):
    wrong = [{**translator.weights(), "strange": torch.zeros(1)}]
    if translator.weights():
        first = next(iter(translator.weights()))
        wrong.append({key: tensor for key, tensor in translator.weights().items() if key != first})
    for weights in wrong:
        with pytest.raises(InputError):
            make(name, set_up=False).load_weights(weights)


def test_state_translates_the_same(name, translator):
    other = make(name, seed=9)
    other.load_state(translator.state())
    real = image(48, 48)
    assert torch.equal(other.synthetic_from_real(real), translator.synthetic_from_real(real))


def test_a_resumed_training_goes_on_to_the_bit(name, tmp_path):
    whole, begun, resumed = make(name), make(name), make(name, seed=9)
    losses = learn(whole, range(12))
    learn(begun, range(6))
    torch.save(begun.state(), tmp_path / "state.pt")
    resumed.load_state(torch.load(tmp_path / "state.pt", weights_only=True))
    again = learn(resumed, range(6, 12))
    assert same_weights(resumed.weights(), whole.weights())
    for one, other in zip(losses[6:], again, strict=True):
        assert same_weights(one, other)


def test_losses_are_told(name):
    (losses,) = learn(make(name), range(1))
    if name not in LEARNERS:
        assert not losses
        return
    assert "loss" in losses
    for loss in losses.values():
        assert loss.shape == ()
        assert loss.isfinite()
        assert not loss.requires_grad


@pytest.mark.parametrize("name", LEARNERS, scope="module", indirect=True)
def test_it_over_fits_a_pair(translator):
    inside = PAIR.field

    def distance(image):
        return (image - PAIR.synthetic)[inside].abs().mean().item()

    translated = translator.synthetic_from_real(PAIR.real)
    assert distance(translated) < 0.3 * distance(PAIR.real)
    # Better than any image of one value.
    assert distance(translated) < 0.7 * distance(PAIR.synthetic[inside].median().expand_as(inside))


@pytest.mark.parametrize("name", LEARNERS, scope="module", indirect=True)
def test_a_training_on_the_same_seed_learns_the_same(name):
    one, other = make(name), make(name)
    learn(one, range(3))
    learn(other, range(3))
    assert same_weights(one.weights(), other.weights())


def test_what_is_moved_comes_out_moved(translator):
    if translator.reach_px is None:
        pytest.skip("the whole image decides")
    border = 8 * (translator.reach_px // 8 + 1)
    size = 2 * border + 48
    real = image(size, size + 8)[..., 8:]
    real[..., :4] = 1.0
    moved = real.roll((8, 8), dims=(2, 3))
    away = slice(border + 8, size - border)
    expected = translator.synthetic_from_real(real).roll((8, 8), dims=(2, 3))[..., away, away]
    found = translator.synthetic_from_real(moved)[..., away, away]
    assert expected.std() > 1e-2
    assert torch.allclose(found, expected, atol=1e-4)


def test_what_is_out_of_reach_does_not_matter(translator):
    if translator.reach_px is None:
        pytest.skip("the whole image decides")
    reach = translator.reach_px
    size = 8 * (2 * reach // 8 + 6)
    real = image(size, size)
    middle = size // 2 + 3
    changed = real.clone()
    changed[..., middle, middle] += 5.0
    difference = (translator.synthetic_from_real(changed) - translator.synthetic_from_real(real)).abs()[0, 0]
    assert difference[middle, middle] > 1e-3
    difference[middle - reach : middle + reach + 1, middle - reach : middle + reach + 1] = 0
    assert difference.max() < 1e-5
