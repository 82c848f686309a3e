import pytest
import torch

from drrkit.errors import InputError
from styletransfer.networks.discriminator import PatchDiscriminator

NORMALIZATIONS = ("none", "instance", "spectral")


def noise(*shape: int, seed: int = 0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def discriminator(normalization="spectral", channels: int = 1):
    torch.manual_seed(0)
    return PatchDiscriminator((8, 16, 16), normalization, channels).eval()


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
@pytest.mark.parametrize("channels", [1, 2])
def test_one_verdict_a_patch(normalization, channels):
    with torch.no_grad():
        verdict = discriminator(normalization, channels)(noise(2, channels, 48, 64))
    assert verdict.shape == (2, 1, 6, 8)
    assert verdict.std() > 0


@pytest.mark.parametrize("normalization", ["none", "spectral"])
def test_a_verdict_sees_38_pixels(normalization):
    images = noise(1, 1, 96, 96).requires_grad_()
    discriminator(normalization)(images)[0, 0, 6, 6].backward()
    touched = images.grad[0, 0].any(dim=0).nonzero().flatten()
    assert (touched.min().item(), touched.max().item()) == (51 - 18, 51 + 19)


def test_every_weight_learns():
    network = discriminator().train()
    network(noise(2, 1, 48, 48)).square().mean().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_it_learns_to_tell_edges_from_noise(normalization):
    network = discriminator(normalization).train()
    edges = torch.zeros(4, 1, 48, 48)
    edges[..., 20:] = 1.0
    blurred = torch.nn.functional.avg_pool2d(edges, 9, stride=1, padding=4)
    optimizer = torch.optim.Adam(network.parameters(), lr=2e-3, betas=(0.5, 0.999))
    for _ in range(60):
        optimizer.zero_grad()
        ((network(edges) - 1).square().mean() + network(blurred).square().mean()).backward()
        optimizer.step()
    with torch.no_grad():
        # Away from the edge both are the same: only there they can be told apart.
        assert (network(edges) - network(blurred)).abs().max() > 0.5


def test_spectral_norm_bounds_every_layer():
    network = discriminator("spectral")
    with torch.no_grad():
        for layer in network.layers:
            layer.parametrizations.weight.original.mul_(30)
        network.train()
        for _ in range(20):
            network(noise(1, 1, 48, 48))
        for layer in network.layers:
            assert torch.linalg.matrix_norm(layer.weight.flatten(1), 2).item() == pytest.approx(1, rel=0.05)


def test_instance_normalization_removes_contrast():
    network = discriminator("instance")
    with torch.no_grad():
        # Without biases everything before the first normalization is proportional to the image.
        for layer in network.layers:
            layer.bias.zero_()
        images = noise(1, 1, 48, 48)
        assert torch.allclose(network(images), network(3 * images), atol=1e-3)


@pytest.mark.parametrize(("widths", "normalization"), [((), "none"), ((8,), "batch")])
def test_wrong_settings_are_refused(widths, normalization):
    with pytest.raises(InputError, match="discriminator"):
        PatchDiscriminator(widths, normalization)
