"""Fusions: what they say of simple cases, order, unseen voxels, slopes, and export."""

import pytest
import torch

from reconstruction.networks.fusion import (
    FUSIONS,
    Attention,
    ConvGru,
    MeanSpread,
    _mean_and_spread,
    _MeanAndSpread,
)

CHANNELS = 3
ALL = pytest.mark.parametrize("name", FUSIONS)


def case(views: int, batch: int = 2, seed: int = 0):
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(batch, views, CHANNELS, 4, 5, 6, generator=generator)
    inside = (torch.rand(batch, views, 1, 4, 5, 6, generator=generator) > 0.3).float()
    inside[:, :, :, 0, 0, 0] = 0  # seen by no view
    return features, inside


def made(name: str):
    torch.manual_seed(0)
    return FUSIONS[name](CHANNELS).eval()


@ALL
@pytest.mark.parametrize("views", [1, 2, 12])
def test_any_number_of_views_gives_one_finite_volume(name, views):
    fusion = made(name)
    fused = fusion(*case(views))
    assert fused.shape == (2, fusion.out_channels, 4, 5, 6)
    assert fused.isfinite().all()


def test_mean_spread_and_share_are_those_of_the_views_that_see_the_voxel():
    features, inside = case(5, batch=1)
    inside[0, :, 0, 1, 2, 3] = torch.tensor([1.0, 0, 1, 1, 0])
    features[0, 1, :, 1, 2, 3] = 1e3  # of a view that does not see it
    seen = features[0, [0, 2, 3], :, 1, 2, 3]
    mean, spread, share = MeanSpread(CHANNELS)(features, inside)[0, :, 1, 2, 3].split([CHANNELS, CHANNELS, 1])
    assert torch.allclose(mean, seen.mean(0), atol=1e-6)
    assert torch.allclose(spread, seen.std(0, correction=0), atol=2e-3)
    assert share.item() == pytest.approx(0.6)


def test_one_view_is_its_own_mean_without_spread():
    features, inside = case(1)
    fused = MeanSpread(CHANNELS)(features, torch.ones_like(inside))
    assert torch.equal(fused[:, :CHANNELS], features[:, 0])
    assert (fused[:, CHANNELS:-1] == 0).all()


@pytest.mark.parametrize("views", [1, 2, 5])
@pytest.mark.parametrize("weights_learn", [False, True])
def test_mean_spread_and_their_slopes_are_those_of_the_formula(views, weights_learn):
    features, inside = (part.double() for part in case(views))
    weights = inside / inside.sum(dim=1, keepdim=True).clamp(min=1)
    slopes = [torch.randn(2, CHANNELS, 4, 5, 6, generator=torch.Generator().manual_seed(k)).double() for k in (1, 2)]

    def told_by(function):
        given = features.clone().requires_grad_(), weights.clone().requires_grad_(weights_learn)
        fused = function(*given)
        torch.autograd.backward(fused, slopes)
        return *fused, given[0].grad, *([given[1].grad] if weights_learn else [])

    for fast, plain in zip(told_by(_MeanAndSpread.apply), told_by(_mean_and_spread), strict=True):
        assert torch.allclose(fast, plain, rtol=1e-9, atol=1e-9)


@ALL
def test_where_all_views_agree_or_none_sees_the_slope_is_a_number(name):
    features, inside = case(3)
    features = features[:, :1].expand(-1, 3, -1, -1, -1, -1).clone().requires_grad_()
    made(name)(features, inside).sum().backward()
    assert features.grad.isfinite().all()
    assert features.grad.abs().max() > 0


@ALL
def test_what_a_view_does_not_see_does_not_matter(name):
    features, inside = case(4)
    fusion = made(name)
    changed = torch.where(inside > 0, features, torch.full_like(features, 7.0))
    # A convolution looks at neighbors: there all of the view has to be unseen.
    if name == "conv-gru":
        inside[:, 2] = 0
        changed = features.clone()
        changed[:, 2] = 7.0
    assert torch.allclose(fusion(features, inside), fusion(changed, inside), atol=1e-6)


@ALL
def test_voxels_seen_by_no_view_get_the_same_everywhere(name):
    features, inside = case(4)
    fused = made(name)(features, torch.zeros_like(inside))
    assert (fused == 0).all()


@ALL
def test_order_matters_only_where_the_fusion_says_so(name):
    features, inside = case(5)
    fusion = made(name)
    order = [3, 0, 4, 1, 2]
    same = torch.allclose(fusion(features, inside), fusion(features[:, order], inside[:, order]), atol=1e-5)
    assert same == fusion.order_free


def test_attention_with_equal_scores_is_the_mean_and_spread():
    fusion = Attention(CHANNELS)
    torch.nn.init.zeros_(fusion.score[-1].weight)
    assert torch.allclose(fusion(*case(4)), MeanSpread(CHANNELS)(*case(4)), atol=1e-5)


def test_attention_can_choose_one_view():
    features, inside = case(3)
    features[:, 1, 0] = 50.0  # the score looks at the first channel only
    fusion = Attention(CHANNELS)
    with torch.no_grad():
        for parameter in fusion.parameters():
            parameter.zero_()
        fusion.score[0].weight[0, 0] = fusion.score[-1].weight[0, 0] = 1.0
    fused = fusion(features, torch.ones_like(inside))
    assert torch.allclose(fused[:, :CHANNELS], features[:, 1], atol=1e-4)


def test_the_gru_gives_the_state_after_every_view():
    features, inside = case(4)
    fusion = made("conv-gru")
    assert isinstance(fusion, ConvGru)
    states = fusion.states(features, inside)
    assert len(states) == 4
    assert torch.equal(states[-1], fusion(features, inside))
    assert torch.allclose(states[1], fusion(features[:, :2], inside[:, :2]), atol=1e-6)
    assert max(state.abs().max() for state in states) <= 1


@pytest.mark.parametrize("name", ["attention", "conv-gru"])
def test_every_parameter_learns(name):
    fusion = made(name)
    fusion(*case(3)).square().sum().backward()
    assert all(parameter.grad.abs().max() > 1e-4 for parameter in fusion.parameters())


@ALL
def test_onnx_gives_the_same_for_any_number_of_views(name, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    fusion = made(name)
    path = tmp_path / "fusion.onnx"
    # The loop of the recurrent one is unrolled: its file is for as many views as it was written with.
    views = {1: torch.export.Dim("views", min=1, max=12)} if fusion.order_free else {}
    shapes = {"features": views, "inside": views}
    names = list(shapes)
    torch.onnx.export(
        fusion,
        case(3),
        str(path),
        input_names=names,
        dynamic_shapes=shapes,
        opset_version=20,
        dynamo=True,
        verbose=False,
    )
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    for count in (1, 3, 7) if fusion.order_free else (3,):
        inputs = case(count)
        (fused,) = session.run(None, dict(zip(names, (tensor.numpy() for tensor in inputs), strict=True)))
        assert torch.allclose(torch.from_numpy(fused), fusion(*inputs), atol=1e-5)
