import json

import pytest
import typer
import yaml
from typer.testing import CliRunner

import toy_network
from drrkit.errors import InputError
from evaluation_cases import write_toy_case
from reconstruction import networks
from reconstruction.cases import write_cases
from reconstruction.commands.evaluate import evaluate
from reconstruction.judging.judge import spread_evenly
from reconstruction.weights import build_network, save_model

SECTION = {
    "view_counts": [1, 2],
    "match_limit_deg": 10,
    "bootstrap": {"resamples": 20, "confidence": 0.95, "seed": 0},
    "study_names": ["camera_noise"],
    "study_cases": 1,
    "studies": {
        "view_counts": [1],
        "disturbed_views": 2,
        "camera_rotation_deg": [0, 3],
        "camera_shift_mm": [],
        "camera_both": [],
        "photons": [],
        "gaussian": [],
        "origin_shift_mm": [0, 10],
        "match_limit_deg": 10,
        "seed": 0,
    },
    "pictures": 1,
    "workers": 1,
}


@pytest.fixture
def files(tmp_path, monkeypatch):
    """A case, an untrained network for single vertebrae, and parameters."""
    monkeypatch.setattr(networks, "NETWORKS", networks.NETWORKS)
    toy_network.register()
    spec = toy_network.toy_spec()
    save_model(tmp_path / "model.safetensors", build_network(spec).eval(), spec)
    write_cases(tmp_path / "cases.json", [write_toy_case(tmp_path / "donor-1", ("L2", "L3"))])
    (tmp_path / "params.yaml").write_text(yaml.safe_dump({"evaluate": SECTION}))
    return tmp_path


def run(files, *more):
    app = typer.Typer()
    app.command()(evaluate)
    names = ("model.safetensors", "cases.json", "out")
    paths = [str(files / name) for name in names]
    return CliRunner().invoke(app, [*paths, "--config", str(files / "params.yaml"), *more])


def test_a_model_is_judged_by_one_command(files):
    result = run(files)
    assert result.exit_code == 0, result.output
    summary = json.loads((files / "out" / "summary.json").read_text())
    assert (summary["network"], summary["split"], summary["donors"]) == ("toy", "test", 1)
    assert 0 <= summary["f1_views2"] <= 1
    assert (files / "out" / "studies" / "camera_noise.png").exists()
    assert (files / "out" / "pictures" / "case-1.png").exists()


def test_options_go_before_parameters(files):
    result = run(files, "--views", "2", "--study", "none")
    assert result.exit_code == 0, result.output
    summary = json.loads((files / "out" / "summary.json").read_text())
    assert set(summary["levels"]) == {"views2"}
    assert not (files / "out" / "studies").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--views", "9"), "number of views: found 9"),
        (("--study", "weather"), "--study: found weather"),
        (("--split", "train"), "--split: found train"),
        (("--split", "validation"), "no case in the split validation"),
        (("--section", "judge"), "no section judge"),
        (("--views", "3"), "found no further view"),
    ],
)
def test_bad_input(files, options, message):
    result = run(files, *options)
    assert isinstance(result.exception, InputError)
    assert message in str(result.exception)


def test_studies_take_cases_from_all_over():
    assert spread_evenly(list("abcdefg"), 3) == ["a", "d", "g"]
    assert spread_evenly(["a", "b"], 5) == ["a", "b"]
    assert spread_evenly(["a", "b"], 1) == ["a"]
