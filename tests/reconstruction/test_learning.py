"""From cases to a model by the library and by ``drrkit reconstructor``; no file of a test donor is needed."""

import shutil
from dataclasses import replace

import pytest
import yaml
from typer.testing import CliRunner

from drrkit.errors import InputError
from reconstruction import networks
from reconstruction.cases import CASES_NAME, write_cases
from reconstruction.commands import reconstructor
from reconstruction.learning.lessons import LearningParameters, train_on_cases
from reconstruction.weights import load_model, read_spec
from toy_cases import VIEW_IDS, write_case
from toy_network import register, toy_settings

STILL = {
    "view_counts": {2: 1.0},
    "view_choice": "spread",
    "standard_view_tolerance_deg": 20.0,
    "origin_jitter_mm": 0.0,
    "rotation_jitter_deg": 0.0,
    "camera_rotation_noise_deg": 0.0,
    "camera_translation_noise_mm": 0.0,
    "augmentation": "none",
}
TRAINING = toy_settings(steps=4, batch=2, validate_every=2, log_every=2, checkpoint_every=2)
SECTION = {
    "network": "toy",
    "settings": {"width": 4},
    "mode": "lumbar",
    "grid": {"shape": [20, 12, 12], "spacing_mm": 10.0},
    "window": {"size_px": [72, 48], "pixel_mm": 3.0},
    "sampling": {**STILL, "view_counts": {1: 0.5, 3: 0.5}, "origin_jitter_mm": 5.0},
    "validation": {"draws": 1, "sampling": STILL},
    "training": TRAINING.model_dump(mode="json"),
}


@pytest.fixture(autouse=True)
def _toy(monkeypatch):
    monkeypatch.setattr(networks, "NETWORKS", networks.NETWORKS)
    register()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three donors, and of the test donor no file at all."""
    folder = tmp_path_factory.mktemp("learning")
    train = write_case(folder, "a", "train")
    validation = write_case(folder, "b", "validation", tilt_deg=10.0)
    copy = folder / "c"
    shutil.copytree(folder / "a", copy)
    third = {"cameras": copy / "cameras.json", "images": copy / "images", "labels": copy / "labels.nii"}
    test = replace(train, case_id="c", donor_id="donor-c", split="test", **third)
    gone = folder / "gone"
    missing = {"cameras": gone / "cameras.json", "images": gone / "images", "labels": gone / "labels.nii"}
    write_cases(folder / CASES_NAME, [train, validation, replace(test, **missing)])
    (folder / "folds").mkdir()
    write_cases(folder / "folds" / CASES_NAME, [train, validation, test])
    finetune = {name: SECTION[name] for name in ("sampling", "validation")}
    finetune |= {"freeze": "nothing", "training": {**SECTION["training"], "patience": 3}}
    (folder / "config.yaml").write_text(yaml.safe_dump({"train": SECTION, "finetune": finetune}))
    return folder


@pytest.fixture(scope="module")
def trained(folder):
    kept = networks.NETWORKS
    register()
    words = ["train", folder, folder / "out", "--config", folder / "config.yaml"]
    result = CliRunner().invoke(reconstructor, [str(word) for word in words])
    networks.NETWORKS = kept
    assert result.exit_code == 0, f"{result.output} {result.exception}"
    return folder / "out" / "model.safetensors"


def command(*words):
    return CliRunner().invoke(reconstructor, [str(word) for word in words])


def test_training_needs_no_file_of_the_test_donor(trained):
    network, spec = load_model(trained)
    assert len(VIEW_IDS) > 3
    assert spec.classes == ("L1", "L2", "L3", "L4", "L5")
    assert spec.training["train_donors"] == ["donor-a"]
    assert spec.training["validation_donors"] == ["donor-b"]
    assert set(spec.training["validation"]) == {"f1", "class_f1"}
    assert network.unet.head.weight.shape[0] == 6


def test_again_does_nothing_and_force_starts_anew(folder, trained):
    before = trained.stat().st_mtime_ns
    words = ("train", folder, trained.parent, "--config", folder / "config.yaml")
    assert command(*words).exit_code == 0
    assert trained.stat().st_mtime_ns == before
    weights = trained.read_bytes()
    assert command(*words, "--force").exit_code == 0
    assert trained.stat().st_mtime_ns > before
    assert trained.read_bytes() == weights


def test_fine_tuning_without_a_donor(folder, trained, tmp_path):
    out = tmp_path / "out"
    words = ("finetune", trained, folder / "folds", out, "--config", folder / "config.yaml")
    result = command(*words, "--leave-out", "donor-c", "--freeze", "encoder")
    assert result.exit_code == 0, f"{result.output} {result.exception}"
    training = read_spec(out / "model.safetensors").training
    assert training["validation_donors"] == ["donor-a"]
    assert training["train_donors"] == ["donor-b"]
    assert training["start"]["frozen"] == "encoder"
    assert training["started_from"]["train_donors"] == ["donor-a"]
    fault = command(*words, "--leave-out", "donor-z")
    assert isinstance(fault.exception, InputError)
    fault = command(*words, "--force", "--freeze", "legs")
    assert "legs" in str(fault.exception)


@pytest.mark.parametrize(
    ("change", "message"), [({"mode": "thorax"}, "mode"), ({"speed": 1}, "speed"), ({"network": "nobody"}, "nobody")]
)
def test_wrong_parameters_are_named(folder, tmp_path, change, message):
    (tmp_path / "c.yaml").write_text(yaml.safe_dump({"train": SECTION | change}))
    result = command("train", folder, tmp_path / "out", "--config", tmp_path / "c.yaml")
    assert isinstance(result.exception, InputError)
    assert message in str(result.exception)


def test_nobody_to_learn_from_is_refused(folder, tmp_path):
    from reconstruction.cases import read_cases

    cases = [case for case in read_cases(folder) if case.split != "validation"]
    with pytest.raises(InputError, match="validation"):
        train_on_cases(cases, LearningParameters.model_validate(SECTION), tmp_path)
