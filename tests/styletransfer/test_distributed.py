"""Two processes that share each batch end where one process ends, and their faults arrive as one error."""

import os

import pytest
import torch

from drrkit.errors import InputError
from drrkit.learning.checkpoint import STATE_NAME
from styletransfer import registry
from styletransfer.training import train
from styletransfer.weights import load_translator
from training_toys import PAIRED, Reports, register, toy_parameters, toy_sessions, write_session


@pytest.fixture(autouse=True)
def _toy(monkeypatch):
    monkeypatch.setattr(registry, "TRANSLATORS", registry.TRANSLATORS)
    register()


def farthest(one, other):
    one, other = (load_translator(result.model)[0].weights() for result in (one, other))
    return max(float((one[name] - tensor).abs().max()) for name, tensor in other.items())


def test_two_processes_with_half_a_batch_give_the_weights_of_one(tmp_path):
    sessions = toy_sessions(tmp_path / "set")
    # Muon rounds to bfloat16, which makes much of the order of a sum.
    exact = {"optimizer": PAIRED["optimizer"] | {"kernel_learning_rate": None}}
    one = train(sessions, toy_parameters("paired", settings=exact), tmp_path / "one")
    two = train(sessions, toy_parameters("paired", settings=exact, processes=2, prefetch=1), tmp_path / "two")
    assert farthest(two, one) < 5e-4
    assert two.losses == pytest.approx(one.losses, rel=1e-3)
    # Scores near 0 (a correlation of nothing learned yet) have no relative accuracy.
    assert two.scores == pytest.approx(one.scores, rel=1e-3, abs=1e-3)
    assert sorted(path.name for path in (tmp_path / "two").iterdir() if path.name != ".lock") == [
        "metrics",
        "model.json",
        "model.safetensors",
        "state",
        "train.json",
    ]
    # Without the other half the weights would be others: the comparison can fail.
    half = train(sessions, toy_parameters("paired", settings=exact, sampling={"batch": 1}), tmp_path / "half")
    assert farthest(half, one) > 1e-3


def test_a_fault_of_a_process_arrives_as_it_is(tmp_path):
    # Pairs of two sizes: no process can make a batch of whole images out of them.
    sessions = [write_session(tmp_path, "anna"), write_session(tmp_path, "bert", side_px=48)]
    with pytest.raises(InputError, match="whole images must have one size"):
        train(sessions, toy_parameters(processes=2, sampling={"batch": 4}), tmp_path / "out", report=Reports())
    assert not (tmp_path / "out" / STATE_NAME).exists()
    # The next training takes a new port.
    assert "MASTER_PORT" not in os.environ
    assert not torch.distributed.is_initialized()
