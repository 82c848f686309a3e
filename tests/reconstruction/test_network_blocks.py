"""Blocks of networks: short cuts that save time give what the plain layers give, and the same slopes."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from reconstruction.networks.blocks import ConvBlock3d, Doubling3d


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


@pytest.mark.parametrize("batch", [1, 2])
def test_a_block_normalizes_every_example_for_itself(batch):
    block = ConvBlock3d(2, 3)
    nn.init.normal_(block.norm.weight)
    nn.init.normal_(block.norm.bias)
    given = torch.randn(batch, 2, 4, 5, 6) * 3 + 1
    plain = functional.relu(
        functional.instance_norm(block.conv(given), weight=block.norm.weight, bias=block.norm.bias, eps=block.norm.eps)
    )
    assert torch.allclose(block(given), plain, atol=1e-5)
    with torch.no_grad():
        assert torch.allclose(block(given), plain, atol=1e-5)


def test_doubling_is_the_transposed_convolution_of_its_weights():
    doubling = Doubling3d(4, 3)
    given = torch.randn(2, 4, 2, 3, 5, requires_grad=True)
    plain = functional.conv_transpose3d(given, doubling.weight, doubling.bias, stride=2)
    made = doubling(given)
    assert torch.allclose(made, plain, atol=1e-5)
    slope = torch.randn_like(made)
    learned = (given, doubling.weight, doubling.bias)
    for fast, slow in zip(
        torch.autograd.grad(made, learned, slope), torch.autograd.grad(plain, learned, slope), strict=True
    ):
        assert torch.allclose(fast, slow, atol=1e-4)
