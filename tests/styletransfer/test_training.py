"""Training learns, goes on after a kill as if nothing had happened, and refuses what does not belong together."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from drrkit.errors import InputError
from drrkit.io.store import read_image, write_image
from drrkit.learning.checkpoint import STATE_NAME, forget
from protocols.pairs import read_pairs, write_pairs
from styletransfer import registry
from styletransfer.images import isocenter_pixel_mm, open_pairs
from styletransfer.methods.paired import Paired
from styletransfer.training import train
from styletransfer.validation import pixel_sizes_mm
from styletransfer.weights import load_translator, read_domain
from training_toys import ToyLearner, register, toy_parameters, toy_sessions, write_session

TESTS = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def _toy(monkeypatch):
    monkeypatch.setattr(registry, "TRANSLATORS", registry.TRANSLATORS)
    register()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def sessions(tmp_path):
    return toy_sessions(tmp_path / "set")


def same_weights(one, other):
    one, other = load_translator(one)[0].weights(), load_translator(other)[0].weights()
    return all(torch.equal(tensor, other[name]) for name, tensor in one.items())


class StoppedError(Exception):
    pass


def stop_at(monkeypatch, step, method=ToyLearner):
    """Let a method stop as a kill would: before it learns from the batch of a step."""
    optimize, done = method.optimize, []

    def until(self, batch, share):
        done.append(share)
        if len(done) > step:
            raise StoppedError
        return optimize(self, batch, share)

    monkeypatch.setattr(method, "optimize", until)
    return done


def rows(out, name):
    return (out / "metrics" / "plots" / "metrics" / f"{name}.tsv").read_text().split("\n")[1:-1]


def test_it_learns_and_tells_all_about_it(sessions, tmp_path):
    reports = []
    out = tmp_path / "out"
    parameters = toy_parameters(steps=150, log_every=25, validate_every=75, settings={"dropout": 0.0})
    result = train(sessions, parameters, out, report=reports.append)
    assert [report.step for report in reports] == [25, 50, 75, 100, 125, 150]
    assert result.losses["loss"] < reports[0].losses["loss"] / 2
    assert result.losses["half"] == pytest.approx(result.losses["loss"] / 2)
    assert reports[0].seconds_left > 0 == reports[-1].seconds_left
    assert reports[-1].scores == result.scores
    translator, spec = load_translator(result.model)
    assert spec.training["steps"] == 150
    assert (spec.training["train_donors"], spec.training["validation_donors"]) == (["anna", "bert"], ["carl"])
    assert spec.training["pairs"] == 6
    assert spec.isocenter_pixel_mm == pytest.approx((3.0, 3.0))
    assert read_domain(result.model) is not None
    real = torch.from_numpy(read_image(sessions[2].pairs / "real" / "view-1.tif"))[None, None]
    bone = torch.from_numpy(read_image(sessions[2].pairs / "drr_bone" / "view-1.tif"))[None, None]
    error, spread = (translator.synthetic_from_real(real) - bone).abs().mean(), (bone - bone.mean()).abs().mean()
    assert error < spread / 3
    account = json.loads((out / "train.json").read_text())
    assert account["steps"] == 150
    assert account["threads"] == 1
    assert account["peak_memory_mb"] > 50
    assert account["losses"] == result.losses
    assert account["scores"] == result.scores
    assert [row.split("\t")[0] for row in rows(out, "validation/psnr_db")] == ["75", "150"]
    assert float(rows(out, "validation/psnr_db")[-1].split("\t")[1]) == pytest.approx(result.scores["psnr_db"])
    pictures = sorted((out / "metrics").rglob("*.png"), key=lambda path: int(path.stem))
    assert [picture.stem for picture in pictures] == ["75", "150"]
    assert cv2.imread(str(pictures[0]), cv2.IMREAD_UNCHANGED).shape == (2 * 32 + 4, 4 * 32 + 3 * 4)


def test_a_stopped_run_of_the_paired_method_goes_on_to_the_same_bits(sessions, tmp_path, monkeypatch):
    straight = train(sessions, toy_parameters("paired"), tmp_path / "straight")
    with monkeypatch.context() as patched:
        stop_at(patched, 7, Paired)
        with pytest.raises(StoppedError):
            train(sessions, toy_parameters("paired"), tmp_path / "stopped")
    resumed = train(sessions, toy_parameters("paired"), tmp_path / "stopped")
    assert same_weights(straight.model, resumed.model)
    assert set(resumed.losses) == {"loss", "pixels", "gradients", "bone_edges", "adversarial", "discriminator"}
    assert resumed.losses == straight.losses


@pytest.mark.parametrize("stop", [7, 8])
def test_a_stopped_run_goes_on_to_the_same_bits(sessions, tmp_path, monkeypatch, stop):
    straight = train(sessions, toy_parameters(), tmp_path / "straight")
    with monkeypatch.context() as patched:
        stop_at(patched, stop)
        with pytest.raises(StoppedError):
            train(sessions, toy_parameters(), tmp_path / "stopped")
    assert not (tmp_path / "stopped" / "model.safetensors").exists()
    done = stop_at(monkeypatch, 99)
    resumed = train(sessions, toy_parameters(), tmp_path / "stopped")
    assert len(done) == 12 - 4 * (stop // 4)
    assert same_weights(straight.model, resumed.model)
    assert (resumed.scores, resumed.losses) == (straight.scores, straight.losses)
    for name in ("loss", "validation/psnr_db"):
        assert rows(tmp_path / "stopped", name) == rows(tmp_path / "straight", name)


def test_a_killed_process_goes_on_to_the_same_bits(sessions, tmp_path):
    often = {"steps": 300, "log_every": 100, "checkpoint_every": 10, "validate_every": None, "prefetch": 2}
    straight = train(sessions, toy_parameters(**often), tmp_path / "straight")
    code = (
        "import sys; sys.path[:0] = sys.argv[3:]\n"
        "import torch; torch.set_num_threads(1)\n"
        "from pathlib import Path\n"
        "import training_toys as toys; toys.register()\n"
        "from styletransfer.training import train\n"
        f"sessions = toys.toy_sessions(Path(sys.argv[2]))\n"
        f"train(sessions, toys.toy_parameters(**{often!r}), Path(sys.argv[1]))\n"
    )
    out = tmp_path / "killed"
    paths = [str(out), str(tmp_path / "set"), str(TESTS), str(TESTS.parent)]
    process = subprocess.Popen([sys.executable, "-c", code, *paths])
    until = time.monotonic() + 600
    while not (out / STATE_NAME).exists():
        assert process.poll() is None
        assert time.monotonic() < until
        time.sleep(0.002)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not (out / "train.json").exists()
    resumed = train(sessions, toy_parameters(**often), out)
    assert same_weights(straight.model, resumed.model)
    assert rows(out, "loss") == rows(tmp_path / "straight", "loss")
    assert not list(out.rglob(".partial-*"))


def test_a_finished_run_is_not_done_again(sessions, tmp_path, monkeypatch):
    first = train(sessions, toy_parameters(), tmp_path / "out")
    done = stop_at(monkeypatch, 0)
    assert train(sessions, toy_parameters(), tmp_path / "out") == first
    assert not done
    forget(tmp_path / "out")
    with pytest.raises(StoppedError):
        train(sessions, toy_parameters(), tmp_path / "out")


def test_batches_made_ahead_are_the_same_and_another_seed_is_not(sessions, tmp_path):
    one = train(sessions, toy_parameters(), tmp_path / "one")
    ahead = train(sessions, toy_parameters(prefetch=3), tmp_path / "ahead")
    assert same_weights(one.model, ahead.model)
    assert not same_weights(one.model, train(sessions, toy_parameters(seed=6), tmp_path / "other").model)


def test_a_state_belongs_to_its_parameters_and_pairs(sessions, tmp_path):
    out = tmp_path / "out"
    train(sessions, toy_parameters(), out)
    with pytest.raises(InputError, match=r"parameters\.settings\.rate.*found 0\.5.*0\.02.*--force"):
        train(sessions, toy_parameters(settings={"rate": 0.5}), out)
    folder = sessions[0].pairs
    found = read_pairs(folder)
    digest = write_image(folder / "real" / "view-0.tif", np.ones((32, 32), np.float32))
    write_pairs(folder, [replace(found[0], images_sha256=found[0].images_sha256 | {"real": digest}), *found[1:]])
    with pytest.raises(InputError, match=r"pairs_sha256.*--force"):
        train(sessions, toy_parameters(), out)
    write_pairs(folder, found)
    # An image that nobody learns from changes nothing.
    write_pairs(folder, [replace(row, images_sha256=row.images_sha256 | {"drr_full": "0"}) for row in found])
    train(sessions, toy_parameters(), out)
    write_pairs(folder, [replace(found[0], rating="reject"), *found[1:]])
    with pytest.raises(InputError, match="pairs_sha256"):
        train(sessions, toy_parameters(), out)


def test_a_baseline_takes_one_pass_over_the_data(sessions, tmp_path):
    parameters = toy_parameters("toy-baseline", steps=500, processes=2)
    result = train(sessions, parameters, tmp_path / "out")
    assert (result.steps, result.losses) == (3, {})
    translator, _ = load_translator(result.model)
    shown = [read_image(path) for session in sessions[:2] for path in (session.pairs / "drr_bone").iterdir()]
    mean = float(translator.synthetic_from_real(torch.ones(1, 1, 8, 8)).mean())
    assert mean == pytest.approx(float(np.mean(shown)), rel=1e-3)
    assert not (tmp_path / "out" / STATE_NAME).exists()
    assert result.scores
    assert train(sessions, toy_parameters("toy-baseline", steps=2), tmp_path / "out").steps == 2


def test_a_subset_learns_from_fewer_donors(sessions, tmp_path):
    result = train(sessions, toy_parameters(subset={"donors": 1, "pairs": 2}), tmp_path / "out")
    told = load_translator(result.model)[1].training
    assert (told["pairs"], told["train_donors"]) == (2, ["anna"])


def test_one_pair_is_enough_and_tells_in_which_range_its_pixels_are(tmp_path):
    lonely = [write_session(tmp_path, "anna", views=1)]
    result = train(lonely, toy_parameters(steps=3), tmp_path / "out")
    assert result.scores == {}
    assert not list((tmp_path / "out").rglob("*.png"))
    # Pixels of 5 mm at the detector; nothing tells how far in front of it the patient is.
    assert load_translator(result.model)[1].isocenter_pixel_mm == (2.5, 5.0)


def test_what_cannot_be_learned_from_is_refused(sessions, tmp_path):
    with pytest.raises(InputError, match="no session in the split train"):
        train(sessions[2:], toy_parameters(), tmp_path / "out")
    with pytest.raises(InputError, match="one split a donor"):
        train([*sessions, replace(sessions[0], acquisition_id="x", split="test")], toy_parameters(), tmp_path / "out")
    with pytest.raises(InputError, match=r"sampling\.batch.*2 images for 3 processes"):
        train(sessions, toy_parameters(processes=3), tmp_path / "out")
    with pytest.raises(InputError, match=r"settings\.breadth of toy"):
        train(sessions, toy_parameters(settings={"breadth": 3}), tmp_path / "out")
    with pytest.raises(InputError, match="nobody"):
        train(sessions, toy_parameters().model_copy(update={"method": "nobody"}), tmp_path / "out")
    with pytest.raises(InputError, match="device"):
        train(sessions, toy_parameters(), tmp_path / "out", device="toaster")
    for session in sessions[:2]:
        write_pairs(session.pairs, [replace(row, rating="reject") for row in read_pairs(session.pairs)])
    with pytest.raises(InputError, match="no pair of the split train"):
        train(sessions, toy_parameters(), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_loss_that_is_no_number_ends_the_training(sessions, tmp_path, monkeypatch):
    monkeypatch.setattr(ToyLearner, "optimize", lambda self, batch, share: {"loss": torch.tensor(float("nan"))})
    with pytest.raises(InputError, match=r"training, step 4: found loss that is nan"):
        train(sessions, toy_parameters(), tmp_path / "out")
    assert not (tmp_path / "out" / STATE_NAME).exists()
    assert not (tmp_path / "out" / "model.safetensors").exists()


def test_bfloat16_learns_too(sessions, tmp_path):
    exact = train(sessions, toy_parameters(steps=60), tmp_path / "exact")
    rounded = train(sessions, toy_parameters(steps=60, precision="bf16"), tmp_path / "rounded")
    assert rounded.losses["loss"] == pytest.approx(exact.losses["loss"], rel=0.1)
    assert not same_weights(exact.model, rounded.model)


def test_pixels_are_as_large_as_at_the_middle_of_all_views(sessions):
    source = open_pairs(sessions, "train")
    center = np.zeros(3)
    for (low, high), place in zip(pixel_sizes_mm(source), source.places, strict=True):
        assert low == high == pytest.approx(isocenter_pixel_mm(place.camera, center))
