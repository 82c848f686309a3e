"""Training learns, goes on after a kill as if nothing had happened, and refuses what does not belong together."""

import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from drrkit.errors import InputError
from drrkit.learning.checkpoint import STATE_NAME
from reconstruction import networks
from reconstruction.learning.training import train
from reconstruction.weights import load_model
from toy_network import SphereBatches, SphereScores, register, toy_settings, toy_spec

TESTS = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def _toy(monkeypatch):
    monkeypatch.setattr(networks, "NETWORKS", networks.NETWORKS)
    register()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def run(out, batches=None, spec=None, validate=None, report=None, **changes):
    settings = toy_settings(**changes)
    return train(spec or toy_spec(dropout=0.2), batches or SphereBatches(2), settings, out, validate, report=report)


def same_weights(one, other):
    one, other = load_model(one)[0].state_dict(), load_model(other)[0].state_dict()
    return all(torch.equal(tensor, other[name]) for name, tensor in one.items())


class StoppedError(Exception):
    pass


def stopping(step):
    batches = SphereBatches(2)

    def until(at, rank):
        if at == step:
            raise StoppedError
        return batches(at, rank)

    return until


def rows(out, name):
    return (out / "metrics" / "plots" / "metrics" / f"{name}.tsv").read_text().split("\n")[1:-1]


def test_it_learns_balls(tmp_path):
    reports = []
    changes = {"steps": 120, "log_every": 40, "validate_every": 60}
    result = run(tmp_path, spec=toy_spec(), validate=SphereScores(), report=reports.append, **changes)
    assert result.scores["f1"] > 0.9
    assert [report.step for report in reports] == [40, 80, 120]
    assert reports[-1].loss < reports[0].loss / 2
    assert reports[0].seconds_left > 0 == reports[-1].seconds_left
    network, spec = load_model(result.model)
    assert SphereScores()(network)["f1"] == pytest.approx(result.scores["f1"])
    assert spec.training["steps"] == 120
    account = json.loads((tmp_path / "train.json").read_text())
    assert account["steps"] == 120
    assert account["threads"] == 1
    assert account["peak_memory_mb"] > 50
    assert [row.split("\t")[0] for row in rows(tmp_path, "f1")] == ["60", "120"]
    assert json.loads((tmp_path / "metrics" / "metrics.json").read_text())["step"] == 120


@pytest.mark.parametrize("stop", [7, 8])
def test_a_stopped_run_goes_on_to_the_same_bits(tmp_path, stop):
    straight = run(tmp_path / "straight", validate=SphereScores())
    with pytest.raises(StoppedError):
        run(tmp_path / "stopped", stopping(stop), validate=SphereScores())
    asked = []

    def counted(step, rank):
        asked.append(step)
        return SphereBatches(2)(step, rank)

    resumed = run(tmp_path / "stopped", counted, validate=SphereScores())
    assert asked[0] == 4 * (stop // 4)
    assert same_weights(straight.model, resumed.model)
    assert resumed.scores == straight.scores
    for name in ("loss", "f1"):
        assert rows(tmp_path / "stopped", name) == rows(tmp_path / "straight", name)


def test_a_killed_process_goes_on_to_the_same_bits(tmp_path):
    straight = run(tmp_path / "straight", steps=400, log_every=100, checkpoint_every=10, validate_every=400)
    code = (
        "import sys; sys.path[:0] = sys.argv[2:]\n"
        "import torch; torch.set_num_threads(1)\n"
        "from pathlib import Path\n"
        "import toy_network as toy; toy.register()\n"
        "from reconstruction.learning.training import train\n"
        "often = {'steps': 400, 'log_every': 100, 'checkpoint_every': 10, 'validate_every': 400}\n"
        "settings, spec = toy.toy_settings(**often), toy.toy_spec(dropout=0.2)\n"
        "train(spec, toy.SphereBatches(2), settings, Path(sys.argv[1]))\n"
    )
    out = tmp_path / "killed"
    process = subprocess.Popen([sys.executable, "-c", code, str(out), str(TESTS), str(TESTS.parent)])
    until = time.monotonic() + 600
    while not (out / STATE_NAME).exists():
        assert process.poll() is None
        assert time.monotonic() < until
        time.sleep(0.002)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not (out / "train.json").exists()
    resumed = run(out, steps=400, log_every=100, checkpoint_every=10, validate_every=400)
    assert same_weights(straight.model, resumed.model)
    assert rows(out, "loss") == rows(tmp_path / "straight", "loss")
    assert not list(out.rglob(".partial-*"))


def test_a_finished_run_is_not_done_again(tmp_path):
    first = run(tmp_path)
    assert run(tmp_path, stopping(0)).seconds == first.seconds


def test_batches_made_ahead_are_the_same(tmp_path):
    one = run(tmp_path / "one")
    batches = SphereBatches(2)
    ahead = train(toy_spec(dropout=0.2), batches, toy_settings(prefetch=0, seed=5), tmp_path / "again")
    assert same_weights(one.model, ahead.model)
    threaded = run(tmp_path / "threaded", prefetch=2)
    assert same_weights(one.model, threaded.model)


def test_another_seed_gives_other_weights(tmp_path):
    assert not same_weights(run(tmp_path / "one").model, run(tmp_path / "other", seed=6).model)


def test_a_state_of_other_settings_names_the_difference(tmp_path):
    run(tmp_path)
    with pytest.raises(InputError, match=r"training\.learning_rate.*found 0\.02.*0\.01.*--force"):
        run(tmp_path, learning_rate=0.02)
    with pytest.raises(InputError, match=r"model\.settings\.width"):
        run(tmp_path, spec=toy_spec(6, dropout=0.2))


def test_a_broken_state_is_named(tmp_path):
    run(tmp_path)
    (tmp_path / STATE_NAME).write_bytes(b"nonsense")
    with pytest.raises(InputError, match="no state of a training"):
        run(tmp_path)


def test_no_improvement_stops_and_keeps_the_best(tmp_path):
    class Falling:
        count = 0

        def __call__(self, network):
            self.count += 1
            return {"f1": [0.5, 0.7, 0.6, 0.65, 0.9][self.count - 1]}

    result = run(tmp_path, validate=Falling(), patience=2, validate_every=2, steps=40)
    assert (result.steps, result.best_step, result.scores) == (8, 4, {"f1": 0.7})
    assert load_model(result.model)[1].training["steps"] == 4
    again = run(tmp_path, stopping(8), validate=Falling(), patience=2, validate_every=2, steps=40)
    assert again == result


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": 0}, "steps"),
        ({"ema_decay": 1.0}, "ema_decay"),
        ({"precision": "16"}, "precision"),
        ({"speed": 3}, "speed"),
    ],
)
def test_wrong_settings_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        toy_settings(**change)


def test_what_does_not_fit_is_refused(tmp_path):
    with pytest.raises(InputError, match="validation"):
        run(tmp_path, patience=3)
    with pytest.raises(InputError, match="batch of step 0"):
        run(tmp_path / "b", SphereBatches(3))
    with pytest.raises(InputError, match="multiple of the processes"):
        run(tmp_path / "c", processes=3)

    def many_classes(step, rank):
        batch = SphereBatches(2)(step, rank)
        batch.classes[0, 0, 0, 0] = 2
        return batch

    with pytest.raises(InputError, match="class 2"):
        run(tmp_path / "d", many_classes)

    def not_finite(step, rank):
        batch = SphereBatches(2)(step, rank)
        batch.images[:] = math.nan
        return batch

    with pytest.raises(InputError, match="loss that is nan"):
        run(tmp_path / "e", not_finite)
    assert not (tmp_path / "e" / STATE_NAME).exists()


@pytest.mark.parametrize("device", ["cuda:77", "toaster", "meta"])
def test_no_such_device_is_refused(tmp_path, device):
    with pytest.raises(InputError, match="device"):
        train(toy_spec(), SphereBatches(2), toy_settings(), tmp_path / "out", device=device)


def test_bfloat16_and_channels_last_learn_too(tmp_path):
    changes = {"steps": 60, "validate_every": 60, "precision": "bf16", "channels_last": True}
    assert run(tmp_path, spec=toy_spec(), validate=SphereScores(), **changes).scores["f1"] > 0.7


def test_a_git_repository_gets_no_dvc(tmp_path, monkeypatch):
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    monkeypatch.chdir(tmp_path)
    run(tmp_path / "out", steps=2)
    assert not (tmp_path / ".dvc").exists()
