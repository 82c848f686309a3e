"""Two processes that share each batch end where one process ends, and their faults arrive as one error."""

import os

import pytest
import torch

from drrkit.errors import InputError
from reconstruction import networks
from reconstruction.learning.training import train
from reconstruction.weights import load_model
from toy_network import SphereBatches, SphereScores, register, toy_settings, toy_spec


@pytest.fixture(autouse=True)
def _toy(monkeypatch):
    monkeypatch.setattr(networks, "NETWORKS", networks.NETWORKS)
    register()


class WrongOnRankOne(SphereBatches):
    def __call__(self, step, rank):
        batch = super().__call__(step, rank)
        batch.classes[0, 0, 0, 0] = 9 * rank
        return batch


def test_two_processes_with_half_a_batch_give_the_weights_of_one(tmp_path):
    spec = toy_spec(batch_norm=False)
    one = train(spec, SphereBatches(2), toy_settings(), tmp_path / "one", SphereScores())
    two = train(spec, SphereBatches(1), toy_settings(processes=2), tmp_path / "two", SphereScores())
    assert two.steps == one.steps
    assert two.scores["f1"] == pytest.approx(one.scores["f1"], abs=1e-4)
    apart, together = load_model(two.model)[0].state_dict(), load_model(one.model)[0].state_dict()
    for name, tensor in together.items():
        torch.testing.assert_close(apart[name], tensor, rtol=1e-4, atol=1e-5, msg=name)
    # Without the other half the weights would be others: the comparison can fail.
    torch.manual_seed(0)
    half = train(spec, SphereBatches(1), toy_settings(batch=1), tmp_path / "half", SphereScores())
    weights = load_model(half.model)[0].state_dict()
    assert max(float((weights[name] - tensor).abs().max()) for name, tensor in together.items()) > 1e-3


def test_a_fault_in_the_second_process_arrives_as_it_is(tmp_path):
    with pytest.raises(InputError, match="batch of step 0: found class 9"):
        train(toy_spec(), WrongOnRankOne(1), toy_settings(processes=2), tmp_path / "out")
    # The next training takes a new port.
    assert "MASTER_PORT" not in os.environ
