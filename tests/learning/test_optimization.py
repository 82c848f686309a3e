"""The parts of a step are functions of its number; who decays and what the average forgets is as written."""

import threading

import numpy as np
import pytest
import torch
from torch import nn

from drrkit.learning.muon import Muon
from drrkit.learning.optimization import (
    average_of,
    learning_share,
    made_ahead,
    make_optimizers,
    seed_step,
    set_learning_rate,
    use_channels_last,
)


def network():
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 3), nn.Unflatten(1, (4, 1)), nn.Conv3d(4, 2, 1)
    )


def test_the_rates_rise_and_fall():
    shares = [learning_share(step, 100, 10) for step in range(100)]
    assert shares[0] == pytest.approx(0.1)
    assert max(shares) == shares[9] == shares[10] == 1
    assert shares[55] == pytest.approx(0.5)
    assert 0 < shares[99] < 0.002
    assert learning_share(0, 1, 0) == 1


def test_a_share_is_of_every_optimizer_s_own_rate():
    optimizers = make_optimizers(network(), 0.1, 0.04, 0.0)
    set_learning_rate(optimizers, 0.5)
    rates = [group["lr"] for optimizer in optimizers for group in optimizer.param_groups]
    assert rates == pytest.approx([0.05, 0.05, 0.02])
    set_learning_rate(optimizers, 1.0)
    assert optimizers[0].param_groups[0]["lr"] == 0.1


def test_biases_and_norms_do_not_decay():
    (adam,) = make_optimizers(network(), 0.1, None, 0.3)
    decayed, kept = adam.param_groups
    assert (decayed["weight_decay"], kept["weight_decay"]) == (0.3, 0.0)
    assert {parameter.ndim for parameter in decayed["params"]} == {4, 5}
    assert {parameter.ndim for parameter in kept["params"]} == {1}


def test_every_weight_that_learns_has_one_optimizer():
    layers = network()
    layers[0].requires_grad_(False)
    adam, muon = make_optimizers(layers, 0.1, 0.04, 0.3)
    assert isinstance(muon, Muon)
    assert [weight is layers[2].weight for weight in muon.param_groups[0]["params"]] == [True]
    given = [id(weight) for one in (adam, muon) for group in one.param_groups for weight in group["params"]]
    assert sorted(given) == sorted(id(weight) for weight in layers.parameters() if weight.requires_grad)


def test_the_average_forgets_early_weights_soon():
    layer = nn.Linear(1, 1, bias=False)
    average = average_of(layer, 0.9)
    expected = None
    for number in range(30):
        with torch.no_grad():
            layer.weight.fill_(float(number))
        average.update_parameters(layer)
        decay = min(0.9, (1 + number) / (10 + number))
        expected = float(number) if expected is None else decay * expected + (1 - decay) * number
    assert average.module.weight.item() == pytest.approx(expected, rel=1e-5)


def test_what_a_step_draws_depends_on_seed_step_and_process():
    def drawn(*numbers):
        seed_step(*numbers)
        return (float(torch.rand(())), float(np.random.rand()))

    assert drawn(5, 2, 0) == drawn(5, 2, 0)
    assert len({drawn(5, 2, 0), drawn(6, 2, 0), drawn(5, 3, 0), drawn(5, 2, 1)}) == 4


def test_kernels_keep_channels_last():
    layers = network()
    use_channels_last(layers)
    assert layers[2].weight.is_contiguous(memory_format=torch.channels_last)
    assert layers[4].weight.is_contiguous(memory_format=torch.channels_last_3d)


@pytest.mark.parametrize("ahead", [0, 1, 2, 50])
def test_batches_made_ahead_come_in_order(ahead):
    threads = set()

    def make(step):
        threads.add(threading.current_thread())
        return step

    assert list(made_ahead(make, range(3, 9), ahead)) == list(range(3, 9))
    assert (threading.current_thread() in threads) == (ahead == 0)


def test_a_fault_in_a_thread_arrives_at_its_step():
    def make(step):
        if step == 5:
            raise KeyError(step)
        return step

    made = made_ahead(make, range(3, 9), 2)
    assert [next(made), next(made)] == [3, 4]
    with pytest.raises(KeyError):
        next(made)
