"""Muon steps along orthogonal matrices, in the direction that makes the loss smaller."""

import pytest
import torch
from torch import nn

from drrkit.learning.muon import Muon, is_kernel, orthogonalized


@pytest.mark.parametrize("shape", [(8, 4, 3, 3), (48, 2, 2, 2), (16, 16, 3, 3, 3)])
def test_a_step_has_singular_values_near_one(shape):
    kernel = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    step = orthogonalized(kernel).flatten(1)
    tall = max(1.0, step.shape[0] / step.shape[1]) ** 0.5
    values = torch.linalg.svdvals(step.double()) / tall
    assert values.min() > 0.6
    assert values.max() < 1.3


def test_an_orthogonal_kernel_keeps_its_direction():
    rows = torch.linalg.qr(torch.randn(36, 8, generator=torch.Generator().manual_seed(2)))[0].T
    step = orthogonalized(0.01 * rows.reshape(8, 4, 3, 3)).flatten(1)
    assert torch.nn.functional.cosine_similarity(step.flatten(), rows.flatten(), dim=0) > 0.99


def test_it_finds_a_small_direction_as_fast_as_a_large_one():
    # Two directions whose gradients differ twentyfold: plain descent would leave the second one behind.
    target = torch.diag(torch.tensor([1.0, 1.0])).reshape(2, 2, 1, 1)
    scale = torch.tensor([1.0, 0.05]).reshape(2, 1, 1, 1)
    kernel = nn.Parameter(torch.zeros(2, 2, 1, 1))
    optimizer = Muon([kernel], lr=0.05, weight_decay=0.0)
    for _ in range(60):
        optimizer.zero_grad()
        (scale * (kernel - target)).square().sum().backward()
        optimizer.step()
    assert (kernel.detach() - target).abs().max() < 0.15


def test_weight_decay_shrinks_a_kernel_without_gradient_signal():
    kernel = nn.Parameter(torch.ones(4, 4, 3, 3))
    optimizer = Muon([kernel], lr=0.1, weight_decay=0.5)
    kernel.grad = torch.zeros_like(kernel)
    optimizer.step()
    torch.testing.assert_close(kernel.detach(), torch.full_like(kernel, 0.95))


def test_it_takes_kernels_and_leaves_vectors_heads_and_first_layers():
    assert is_kernel(nn.Conv3d(4, 8, 3).weight)
    assert is_kernel(nn.ConvTranspose3d(4, 8, 2).weight)
    assert not is_kernel(nn.Conv3d(4, 8, 1).weight)
    assert not is_kernel(nn.Conv2d(1, 8, 3).weight)
    assert not is_kernel(nn.Linear(4, 8).weight)
    assert not is_kernel(nn.InstanceNorm3d(4, affine=True).weight)
