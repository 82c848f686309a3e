import pytest
import torch

from drrkit.learning.fabric import make_fabric
from styletransfer.methods.cyclegan import CycleGan, CycleGanSettings
from styletransfer.methods.cyclegan_paired import CycleGanPaired, CycleGanPairedSettings
from styletransfer.scale import Scale
from styletransfer.translator import Batch

SCALE = Scale(real_center=2.0, real_spread=0.5, synthetic_spread=0.8)
TOLD = {
    "generator": {"widths": (4, 8), "normalization": "none"},
    "channels_last": False,
    "optimizer": {
        "learning_rate": 1e-3,
        "kernel_learning_rate": 0.01,
        "discriminator_learning_rate": 1e-3,
        "weight_decay": 0.0,
        "gradient_clip": 10.0,
        "ema_decay": 0.9,
    },
    "discriminator": {"widths": (8,), "normalization": "spectral"},
}
CYCLE = {"adversarial": 1.0, "cycle_real": 1.0, "cycle_synthetic": 2.0, "identity": 0.5}
PAIRS = {"pixels": 1.0, "gradients": 1.0, "bone_edges": 1.0, "scales": 2}


def make(pool: int = 3, **cycle):
    torch.manual_seed(0)
    translator = CycleGan(CycleGanSettings(**TOLD, cycle={**CYCLE, **cycle}, pool=pool), SCALE)
    translator.set_up(make_fabric("cpu", "32", 1))
    return translator


def make_paired(back: float = 1.0):
    torch.manual_seed(0)
    settings = CycleGanPairedSettings(**TOLD, cycle=CYCLE, pool=3, pairs=PAIRS, back=back)
    translator = CycleGanPaired(settings, SCALE)
    translator.set_up(make_fabric("cpu", "32", 1))
    return translator


def batch(seed: int = 0) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    synthetic = torch.rand(2, 1, 32, 32, generator=generator)
    field = torch.ones(2, 1, 32, 32, dtype=torch.bool)
    field[..., :9] = False
    return Batch(torch.where(field, 1.5 + torch.rand(2, 1, 32, 32, generator=generator), 0.0), synthetic, field)


def weights_of(network):
    return torch.cat([weight.detach().flatten() for weight in network.parameters()])


def test_a_step_moves_every_network_and_tells_every_loss():
    translator = make()
    networks = {**translator.generators, **translator.discriminators}
    before = {name: weights_of(network) for name, network in networks.items()}
    losses = translator.optimize(batch(), 1.0)
    assert set(losses) == {
        "loss", "adversarial", "cycle_real", "cycle_synthetic", "identity", "is_synthetic", "is_real",
    }  # fmt: skip
    for name, network in networks.items():
        assert not torch.equal(weights_of(network), before[name]), name
    generators = sum(losses[name] for name in ("adversarial", "cycle_real", "cycle_synthetic", "identity"))
    assert losses["loss"].item() == pytest.approx(generators.item(), rel=1e-5)


def test_a_share_of_nothing_moves_nothing():
    translator = make()
    before = weights_of(translator.generators["synthetic_from_real"])
    translator.optimize(batch(), 0.0)
    assert torch.equal(weights_of(translator.generators["synthetic_from_real"]), before)


def test_losses_of_no_weight_are_left_out():
    losses = make(cycle_real=0.0, cycle_synthetic=0.0, identity=0.0).optimize(batch(), 1.0)
    assert set(losses) == {"loss", "adversarial", "is_synthetic", "is_real"}


@pytest.mark.parametrize("paired", [False, True])
def test_what_is_outside_the_field_teaches_nothing(paired):
    shown = batch()
    marked = Batch(
        torch.where(shown.field, shown.real, 7.0), torch.where(shown.field, shown.synthetic, 7.0), shown.field
    )
    one, other = ((make_paired if paired else make)() for _ in range(2))
    one.optimize(shown, 1.0)
    other.optimize(marked, 1.0)
    for name, network in one.generators.items():
        assert torch.equal(weights_of(network), weights_of(other.generators[name])), name
    for name, network in one.discriminators.items():
        assert torch.equal(weights_of(network), weights_of(other.discriminators[name])), name


def test_a_journey_is_blank_outside_of_the_field():
    translator = make()
    journey = translator.travel(batch())
    outside = ~journey.field
    empty = torch.tensor(-SCALE.real_center / SCALE.real_spread)
    for image, blank in (
        (journey.synthetic, torch.tensor(0.0)),
        (journey.made_synthetic, torch.tensor(0.0)),
        (journey.real, empty),
        (journey.made_real, empty),
    ):
        assert torch.allclose(image[outside], blank)
        assert image[journey.field].std() > 0


def test_generators_that_change_nothing_pay_for_nothing_but_the_game(monkeypatch):
    translator = make()
    images = batch()
    unchanged = {
        # A network's output is in the scale of the other domain: the same line integrals are other numbers.
        "synthetic_from_real": lambda x: translator.unscaled_real(x) / SCALE.synthetic_spread,
        "real_from_synthetic": lambda x: translator.scaled(translator.unscaled(x)),
    }
    judged = translator.run
    monkeypatch.setattr(translator, "run", lambda name, x: unchanged[name](x) if name in unchanged else judged(name, x))
    terms = translator.generator_terms(translator.travel(images))
    for name in ("cycle_real", "cycle_synthetic", "identity"):
        assert terms[name].item() == pytest.approx(0, abs=1e-5)
    assert terms["adversarial"] > 0


def test_discriminators_are_shown_made_images_again():
    translator = make(pool=2)
    for number in range(3):
        torch.manual_seed(number)
        translator.optimize(batch(number), 1.0)
    assert [len(pool.images) for pool in translator.pools.values()] == [2, 2]
    # An image and its field.
    assert translator.pools["is_real"].images[0].shape == (2, 32, 32)
    state = translator.state()
    other = make(pool=2)
    other.load_state(state)
    for name, pool in other.pools.items():
        assert torch.equal(torch.stack(pool.images), torch.stack(translator.pools[name].images))


def test_pairs_add_their_losses():
    losses = make_paired().optimize(batch(), 1.0)
    assert {"pixels", "gradients", "bone_edges", "back", "cycle_real", "adversarial"} <= set(losses)
    assert "back" not in make_paired(back=0.0).optimize(batch(), 1.0)
    assert (CycleGan.learning, CycleGanPaired.learning) == ("unpaired", "pairs")
