import pytest
import torch

from drrkit.learning.fabric import make_fabric
from styletransfer.methods.cut import Cut, CutSettings, draw_places
from styletransfer.networks.projection import PatchProjection
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
    "adversarial": 1.0,
}
CONTRAST = {"weight": 1.0, "identity": 0.5, "patches": 32, "size": 8, "temperature": 0.07}


def make(**contrast):
    torch.manual_seed(0)
    translator = Cut(CutSettings(**TOLD, contrast={**CONTRAST, **contrast}), SCALE)
    translator.set_up(make_fabric("cpu", "32", 1))
    return translator


def batch() -> Batch:
    generator = torch.Generator().manual_seed(0)
    synthetic = torch.rand(2, 1, 32, 32, generator=generator)
    field = torch.ones(2, 1, 32, 32, dtype=torch.bool)
    field[..., :9] = False
    return Batch(torch.where(field, 1.5 + torch.rand(2, 1, 32, 32, generator=generator), 0.0), synthetic, field)


def weights_of(network):
    return torch.cat([weight.detach().flatten() for weight in network.parameters()])


def test_a_step_moves_generator_heads_and_discriminator_and_tells_every_loss():
    translator = make()
    networks = {**translator.generators, **translator.discriminators}
    assert set(networks) == {"synthetic_from_real", "projection", "is_synthetic"}
    before = {name: weights_of(network) for name, network in networks.items()}
    losses = translator.optimize(batch(), 1.0)
    assert set(losses) == {"loss", "adversarial", "contrast", "identity", "is_synthetic"}
    for name, network in networks.items():
        assert not torch.equal(weights_of(network), before[name]), name
    total = losses["adversarial"] + losses["contrast"] + losses["identity"]
    assert losses["loss"].item() == pytest.approx(total.item(), rel=1e-5)


def test_identity_of_no_weight_is_left_out():
    assert "identity" not in make(identity=0.0).optimize(batch(), 1.0)


def test_what_is_outside_the_field_teaches_nothing():
    shown = batch()
    marked = Batch(
        torch.where(shown.field, shown.real, 7.0), torch.where(shown.field, shown.synthetic, 7.0), shown.field
    )
    one, other = make(), make()
    for translator, images in ((one, shown), (other, marked)):
        torch.manual_seed(1)
        translator.optimize(images, 1.0)
    for name in one.generators:
        assert torch.equal(weights_of(one.generators[name]), weights_of(other.generators[name])), name


def test_contrast_is_least_for_what_stayed_in_place():
    translator = make()
    images = batch()
    given = translator.as_real(images.real, images.field)
    unchanged = images.real / SCALE.synthetic_spread

    def contrast(made):
        torch.manual_seed(0)
        return translator.patch_contrast(given, made, images.field).item()

    assert contrast(unchanged) < contrast(unchanged.roll(1, dims=2)) < 1.2 * contrast(unchanged.roll(7, dims=2))


def test_places_are_inside_and_different():
    field = torch.zeros(2, 1, 32, 32, dtype=torch.bool)
    field[0, :, 8:24, 8:24] = True
    field[1, :, :4, :4] = True
    torch.manual_seed(0)
    places, inside = draw_places(field, (16, 16), 40)
    assert places.shape == inside.shape == (2, 40)
    assert inside[0].all()
    # Only 2 x 2 of the second image's features are inside; the rest is drawn outside, and said to be.
    assert inside[1].sum() == 4
    assert {divmod(place, 16) for place in places[1][inside[1]].tolist()} == {(0, 0), (0, 1), (1, 0), (1, 1)}
    for row in places:
        assert row.unique().numel() == 40
    assert all(4 <= place // 16 < 12 and 4 <= place % 16 < 12 for place in places[0].tolist())


def test_places_are_a_function_of_the_seed_and_no_more_than_there_are():
    field = torch.ones(1, 1, 16, 16, dtype=torch.bool)
    drawn = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        drawn.append(draw_places(field, (16, 16), 20)[0])
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
    assert draw_places(field, (4, 4), 20)[0].shape == (1, 16)


def test_projections_are_of_length_1_and_of_the_place_that_was_asked_for():
    torch.manual_seed(0)
    projection = PatchProjection((3, 5), 8)
    levels = [torch.randn(2, 3, 8, 6), torch.randn(2, 5, 4, 3)]
    places = [torch.tensor([[0, 47, 7], [1, 2, 3]]), torch.tensor([[4, 0, 1], [11, 10, 9]])]
    fine, coarse = projection(levels, places)
    assert fine.shape == coarse.shape == (2, 3, 8)
    assert torch.allclose(fine.norm(dim=2), torch.ones(2, 3))
    # Place 7 of 6 columns is row 1, column 1.
    changed = levels[0].clone()
    changed[0, :, 1, 1] += 1
    again = projection([changed, levels[1]], places)[0]
    assert not torch.allclose(again[0, 2], fine[0, 2])
    assert torch.equal(again[0, :2], fine[0, :2])
