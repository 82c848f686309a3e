"""Fine-tuning: what is frozen stays to the bit, the best weights are kept, and no donor plays two parts."""

from pathlib import Path

import pytest
import torch

from drrkit.errors import InputError
from reconstruction import networks
from reconstruction.cases import Case
from reconstruction.learning.freezing import PARTS, freeze, set_training
from reconstruction.learning.transfer import Fold, cases_of_fold, finetune, fold_without, leave_one_donor_out
from reconstruction.weights import build_network, load_model, save_model
from toy_network import SphereBatches, SphereScores, ToyNetwork, register, toy_settings, toy_spec


@pytest.fixture(autouse=True)
def _toy(monkeypatch):
    monkeypatch.setattr(networks, "NETWORKS", networks.NETWORKS)
    register()


@pytest.fixture
def model(tmp_path):
    torch.manual_seed(1)
    path = tmp_path / "start.safetensors"
    save_model(path, build_network(toy_spec()), toy_spec())
    return path


def changed(before, after):
    """Names of the tensors, batch statistics among them, that are not the same to the bit."""
    after = after.state_dict()
    return {name for name, tensor in before.state_dict().items() if not torch.equal(tensor, after[name])}


EVERYTHING = set(ToyNetwork(2).state_dict())
ENCODER = {name for name in EVERYTHING if name.startswith("encoder.")}
HEAD = {"unet.head.weight", "unet.head.bias"}


@pytest.mark.parametrize(
    ("part", "learning"),
    [
        ("nothing", EVERYTHING),
        ("encoder", EVERYTHING - ENCODER),
        ("3d", ENCODER),
        ("all-but-encoder", ENCODER),
        ("all-but-head", HEAD),
    ],
)
def test_only_what_is_not_frozen_changes(model, tmp_path, part, learning):
    rising = iter(range(100))
    result = finetune(
        model,
        SphereBatches(2),
        toy_settings(patience=50, steps=6, validate_every=3),
        tmp_path / "out",
        lambda network: {"f1": float(next(rising))},
        part,
        {},
    )
    # Biases before a batch norm do nothing, so their gradient is nothing but rounding: they may stay or not.
    idle = {"encoder.0.bias", "unet.body.0.bias", "fusion.bias"}
    difference = changed(load_model(model)[0], load_model(result.model)[0])
    assert difference - idle == learning - idle
    assert difference <= learning


def test_every_part_has_a_test():
    assert set(PARTS) == {"nothing", "encoder", "3d", "all-but-encoder", "all-but-head"}


def test_frozen_batch_norms_stay_in_eval_mode():
    network = ToyNetwork(2)
    freeze(network, "encoder")
    set_training(network)
    assert not network.encoder[1].training
    assert not network.encoder[3].training or not network.encoder.training
    assert network.unet.body[1].training
    freeze(network, "nothing")
    set_training(network)
    assert network.encoder[1].training


def test_wrong_parts_are_refused():
    with pytest.raises(InputError, match="legs"):
        freeze(ToyNetwork(2), "legs")
    with pytest.raises(InputError, match="without encoder"):
        freeze(torch.nn.Linear(2, 2), "encoder")
    only = torch.nn.Module()
    only.encoder = torch.nn.Linear(2, 2)
    with pytest.raises(InputError, match="all 2 weights frozen"):
        freeze(only, "encoder")


def test_nothing_better_keeps_the_start(model, tmp_path):
    settings = toy_settings(patience=2, steps=40, validate_every=2)
    falling = iter([0.9, 0.8, 0.7, 0.6])
    result = finetune(
        model, SphereBatches(2), settings, tmp_path / "out", lambda network: {"f1": next(falling)}, "nothing", {}
    )
    assert (result.steps, result.best_step, result.scores["f1"]) == (4, 0, 0.9)
    assert changed(load_model(model)[0], load_model(result.model)[0]) == set()


def test_it_starts_from_the_model_and_says_so(model, tmp_path):
    settings = toy_settings(patience=9, steps=8, learning_rate=1e-4)
    record = {"train_donors": ["a"]}
    result = finetune(model, SphereBatches(2), settings, tmp_path / "out", SphereScores(), "encoder", record)
    network, spec = load_model(result.model)
    assert spec.training["train_donors"] == ["a"]
    assert spec.training["start"]["frozen"] == "encoder"
    start = load_model(model)[0]
    torch.testing.assert_close(network.unet.head.weight, start.unet.head.weight, rtol=0, atol=0.01)


def test_without_patience_the_last_weights_are_kept_whatever_the_score(model, tmp_path):
    settings = toy_settings(steps=4, validate_every=2)
    falling = iter([0.9, 0.8])
    result = finetune(
        model, SphereBatches(2), settings, tmp_path / "out", lambda network: {"f1": next(falling)}, "nothing", {}
    )
    assert (result.steps, result.best_step, result.scores["f1"]) == (4, 4, 0.8)
    assert changed(load_model(model)[0], load_model(result.model)[0]) != set()


def test_no_model_is_refused(model, tmp_path):
    gone = tmp_path / "gone.safetensors"
    with pytest.raises(InputError, match="no such file"):
        finetune(gone, SphereBatches(2), toy_settings(patience=1), tmp_path / "o", SphereScores(), "nothing", {})


def test_each_donor_is_left_out_once_and_plays_one_part():
    donors = ["d", "a", "c", "b"]
    folds = leave_one_donor_out(donors)
    assert [fold.test for fold in folds] == ["a", "b", "c", "d"]
    assert [fold.validation for fold in folds] == ["b", "c", "d", "a"]
    for fold in folds:
        assert sorted([fold.test, fold.validation, *fold.training]) == sorted(donors)
    assert folds == leave_one_donor_out(sorted(donors))
    assert fold_without("c", donors) == folds[2]


@pytest.mark.parametrize("donors", [[], ["a", "b"], ["a", "b", "b", "c"]])
def test_too_few_donors_are_refused(donors):
    with pytest.raises(InputError, match="donors"):
        leave_one_donor_out(donors)


def case(case_id, donor_id):
    here = Path("nowhere")
    return Case(case_id, donor_id, "train", "real", ("ap",), here, here, here, "verse", ("L1",))


def test_cases_take_the_splits_of_the_fold():
    cases = [case("1", "a"), case("2", "b"), case("3", "c"), case("4", "a")]
    found = cases_of_fold(cases, Fold("a", "b", ("c",)))
    assert [one.split for one in found] == ["test", "validation", "train", "test"]
    with pytest.raises(InputError, match="donor c"):
        cases_of_fold(cases, Fold("a", "b", ()))
    with pytest.raises(InputError, match="leave out"):
        fold_without("z", ["a", "b", "c"])
