import math

import pytest
import torch

from drrkit.errors import InputError
from styletransfer.losses import (
    bone_edge,
    fooling,
    l1_in_field,
    mean_in_field,
    multiscale_gradient,
    patch_contrast,
    telling_apart,
)

SIZE_PX = 32
PAIRED = {
    "l1": l1_in_field,
    "gradient": lambda *images: multiscale_gradient(*images, scales=3),
    "bone edge": lambda *images: bone_edge(*images, scales=3),
}


def ramp(shift_px: float = 0.0, height: float = 1.0):
    """An edge of bone: from 0 up to ``height``, about two pixels wide, in the middle plus ``shift_px``."""
    u = torch.arange(SIZE_PX, dtype=torch.float32) - SIZE_PX / 2 - shift_px
    return (height * torch.sigmoid(2 * u)).expand(1, 1, SIZE_PX, SIZE_PX)


def full_field(images):
    return torch.ones_like(images, dtype=torch.bool)


def noise(seed: int = 0):
    return torch.rand(2, 1, SIZE_PX, SIZE_PX, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(params=PAIRED)
def loss(request):
    return PAIRED[request.param]


def test_equal_images_have_no_loss(loss):
    images = noise()
    assert loss(images, images, full_field(images)).item() == 0


def test_a_further_displaced_edge_costs_more(loss):
    true = ramp()
    costs = [loss(ramp(shift_px), true, full_field(true)).item() for shift_px in (0.0, 0.5, 1.0, 2.0, 3.0)]
    assert costs == sorted(costs)
    assert costs[0] == 0
    assert costs[2] > 1.5 * costs[1] > 0


def test_what_is_outside_the_field_does_not_matter(loss):
    translated, synthetic = noise(1), noise(2)
    field = full_field(translated)
    field[..., :9] = False
    field[1, :, 20:] = False
    cost = loss(translated, synthetic, field)
    assert torch.equal(loss(torch.where(field, translated, 50.0), synthetic, field), cost)
    assert torch.equal(loss(translated, torch.where(field, synthetic, -50.0), field), cost)
    assert cost > 0


def test_an_empty_field_costs_nothing(loss):
    images = noise(1).requires_grad_()
    cost = loss(images, noise(2), torch.zeros(2, 1, SIZE_PX, SIZE_PX, dtype=torch.bool))
    cost.backward()
    assert cost.item() == 0
    assert not images.grad.any()


def test_gradient_flows_to_the_inside_and_is_finite(loss):
    translated, synthetic = noise(1).requires_grad_(), noise(2)
    field = full_field(synthetic)
    field[..., :9] = False
    loss(translated, synthetic, field).backward()
    assert translated.grad.isfinite().all()
    assert not translated.grad[~field].any()
    # Inside, the outermost pixels may be part of no whole 3 x 3 neighborhood.
    assert (translated.grad[..., 4:-4, 14:-4] != 0).float().mean() > 0.95


def test_gradient_is_finite_where_images_are_equal(loss):
    translated = noise().requires_grad_()
    loss(translated, noise(), full_field(translated)).backward()
    assert translated.grad.isfinite().all()


def test_half_precision_images_give_a_whole_loss(loss):
    images = noise(1).bfloat16()
    assert loss(images, noise(2), full_field(images)).dtype == torch.float32


def test_l1_of_known_images():
    translated, synthetic = torch.full((1, 1, 4, 4), 3.0), torch.full((1, 1, 4, 4), 1.0)
    assert l1_in_field(translated, synthetic, full_field(translated)).item() == pytest.approx(2.0)


def test_gradient_of_a_plane_is_its_slope():
    plane = 0.25 * torch.arange(SIZE_PX, dtype=torch.float32).expand(1, 1, SIZE_PX, SIZE_PX)
    flat = torch.zeros_like(plane)
    # Half of the two components; per pixel of the coarser image the slope is twice as steep.
    assert multiscale_gradient(plane, flat, full_field(plane), 1).item() == pytest.approx(0.125)
    assert multiscale_gradient(plane, flat, full_field(plane), 2).item() == pytest.approx((0.125 + 0.25) / 2)
    assert multiscale_gradient(plane.mT, flat, full_field(plane), 1).item() == pytest.approx(0.125)


def test_offsets_are_no_edges():
    true = ramp()
    for loss in (multiscale_gradient, bone_edge):
        assert loss(true + 3, true, full_field(true), scales=2).item() == pytest.approx(0, abs=1e-4)


def test_bone_edge_minds_lost_edges_and_lets_invented_ones_be():
    true, flat = ramp(), torch.zeros(1, 1, SIZE_PX, SIZE_PX)
    invented = true + ramp(shift_px=10.0)
    field = full_field(true)
    lost, extra = (bone_edge(image, true, field, scales=1).item() for image in (flat, invented))
    assert lost > 20 * extra
    assert bone_edge(ramp(2.0), true, field, 1).item() > 20 * extra
    assert bone_edge(ramp(), flat, field, 1).item() == 0
    # All the same to a loss that weights nothing.
    lost, extra = (multiscale_gradient(image, true, field, scales=1).item() for image in (flat, invented))
    assert lost == pytest.approx(extra, rel=0.1)


def test_bone_edge_minds_direction():
    true = ramp()
    field = full_field(true)
    missing, turned, reversed_ = (
        bone_edge(image, true, field, 1).item() for image in (torch.zeros_like(true), ramp().mT, -true)
    )
    assert missing < turned
    assert reversed_ == pytest.approx(2 * missing, rel=0.01)


@pytest.mark.parametrize("loss", [multiscale_gradient, bone_edge])
@pytest.mark.parametrize("scales", [0, 5])
def test_scales_that_the_images_do_not_have_are_refused(loss, scales):
    images = noise()
    with pytest.raises(InputError, match="scales"):
        loss(images, images, full_field(images), scales)


def test_mean_in_field_weights_by_shares():
    values, shares = torch.tensor([[[[1.0, 3.0]]]]), torch.tensor([[[[0.5, 1.5]]]])
    assert mean_in_field(values, shares).item() == pytest.approx(2.5)


def verdicts(value: float):
    return torch.full((2, 1, 4, 4), value)


def test_least_squares_at_the_ends():
    field = torch.ones(2, 1, SIZE_PX, SIZE_PX, dtype=torch.bool)
    assert fooling(verdicts(1.0), field).item() == 0
    assert fooling(verdicts(0.0), field).item() == pytest.approx(1)
    assert telling_apart(verdicts(1.0), verdicts(0.0), field, field).item() == 0
    assert telling_apart(verdicts(0.0), verdicts(1.0), field, field).item() == pytest.approx(1)
    assert telling_apart(verdicts(0.5), verdicts(0.5), field, field).item() == pytest.approx(0.25)


def test_patches_outside_the_field_are_not_judged():
    field = torch.ones(2, 1, SIZE_PX, SIZE_PX, dtype=torch.bool)
    field[..., :16] = False
    of_true, of_made = verdicts(0.3).requires_grad_(), verdicts(0.6).requires_grad_()
    (telling_apart(of_true, of_made, field, field) + fooling(of_made, field)).backward()
    for verdict in (of_true, of_made):
        assert not verdict.grad[..., :2].any()
        assert verdict.grad[..., 2:].all()
    wrong = of_made.detach().clone()
    wrong[..., :2] = 9.0
    assert torch.equal(fooling(wrong, field), fooling(of_made, field))


def features(seed: int = 0, count: int = 6):
    drawn = torch.randn(2, count, 8, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.normalize(drawn, dim=2)


def all_inside(count: int = 6):
    return torch.ones(2, count, dtype=torch.bool)


def test_contrast_is_least_for_equal_features_and_grows_as_places_are_mixed_up():
    given = features()
    same = patch_contrast(given, given, all_inside(), 0.07)
    half = patch_contrast(given[:, [1, 0, 2, 3, 4, 5]], given, all_inside(), 0.07)
    moved = patch_contrast(given.roll(1, dims=1), given, all_inside(), 0.07)
    assert same < 0.1 < half < moved


def test_contrast_of_features_that_say_nothing_is_that_of_a_guess():
    alike = torch.ones(2, 6, 8) / math.sqrt(8)
    assert patch_contrast(alike, alike, all_inside(), 0.07).item() == pytest.approx(math.log(6), rel=1e-4)


def test_contrast_ignores_places_outside():
    made, given, inside = features(1).requires_grad_(), features(2).requires_grad_(), all_inside()
    inside[0, 4:] = False
    cost = patch_contrast(made, given, inside, 0.07)
    cost.backward()
    assert not made.grad[0, 4:].any()
    assert made.grad[0, :4].any()
    assert given.grad is None  # what was given is a constant
    with torch.no_grad():
        given[0, 4:] = features(3)[0, 4:]
        assert torch.equal(patch_contrast(made, given, inside, 0.07), cost)
    assert patch_contrast(made, given, torch.zeros_like(inside), 0.07).item() == 0
