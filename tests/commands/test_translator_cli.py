"""`drrkit translator train` as a user types it: a model in place, and every bad input one clear error."""

import io
import json
from types import SimpleNamespace

import pytest
import typer
import yaml
from rich.console import Console
from typer.testing import CliRunner

from drrkit import console
from drrkit.errors import InputError
from protocols.pairset import write_pairset
from styletransfer import registry
from styletransfer.commands import progress
from styletransfer.commands.train import train
from styletransfer.training_job import StepReport
from styletransfer.weights import load_translator
from training_toys import register, toy_parameters, toy_sessions


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setattr(registry, "TRANSLATORS", registry.TRANSLATORS)
    register()
    write_pairset(tmp_path / "set" / "pairset.json", toy_sessions(tmp_path / "set"))
    write_parameters(tmp_path)
    return tmp_path


def write_parameters(place, **changes) -> None:
    models = {"paired": toy_parameters(**changes).model_dump(mode="json")}
    (place / "toys.yaml").write_text(yaml.safe_dump({"train_translator": {"models": models}}))


def run(place, *options):
    app = typer.Typer()
    app.command("train")(train)
    words = [place / "set", place / "out", "--config", place / "toys.yaml", *options]
    return CliRunner().invoke(app, [str(word) for word in words])


def test_it_trains_goes_on_and_starts_anew(place):
    result = run(place)
    assert result.exit_code == 0, result.output
    assert "12 steps in" in result.stderr
    assert "psnr_db" in result.stderr
    assert "step 12 of 12: loss" in result.stderr
    assert load_translator(place / "out" / "model.safetensors")[1].method == "toy"
    first = json.loads((place / "out" / "train.json").read_text())
    assert run(place).exit_code == 0
    assert json.loads((place / "out" / "train.json").read_text())["seconds"] == first["seconds"]
    assert run(place, "--force").exit_code == 0
    assert json.loads((place / "out" / "train.json").read_text())["seconds"] != first["seconds"]


def test_other_parameters_need_force(place):
    assert run(place).exit_code == 0
    write_parameters(place, seed=9)
    refused = run(place)
    assert isinstance(refused.exception, InputError)
    assert "parameters.training.seed" in str(refused.exception)
    assert "--force" in str(refused.exception)
    assert run(place, "--force").exit_code == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--section", "train_translator.models.nobody"], "no section train_translator.models.nobody"),
        (["--device", "toaster"], "device: found 'toaster'"),
        (["--config", "nowhere.yaml"], "nowhere.yaml"),
    ],
)
def test_bad_options_are_one_clear_error(place, options, message):
    result = run(place, *options)
    assert isinstance(result.exception, InputError)
    assert message in str(result.exception)
    assert not (place / "out").exists()


def test_a_set_that_is_none_is_refused(place):
    (place / "set" / "pairset.json").write_text("{}")
    result = run(place)
    assert isinstance(result.exception, InputError)
    assert "drrkit-pairset/1" in str(result.exception)


def told(monkeypatch, capsys, times_s) -> list[str]:
    """Report a step at each of these times, where no terminal is; return the lines."""
    clock = iter(times_s)
    monkeypatch.setattr(console, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    with progress.step_bar() as bar:
        for number in range(1, len(times_s) + 1):
            bar(StepReport(number, len(times_s) + 1, {"loss": 0.5}, 90.0, {}))
    return capsys.readouterr().err.splitlines()


def test_a_log_gets_one_line_a_minute(monkeypatch, capsys):
    lines = told(monkeypatch, capsys, [0.0, 30.0, 59.0, 61.0, 100.0, 122.0])
    assert [line.split(":")[0] for line in lines] == ["step 1 of 7", "step 4 of 7", "step 6 of 7"]
    assert lines[0] == "step 1 of 7: loss 0.500, 0:01:30 left"


def test_a_terminal_gets_a_bar(monkeypatch):
    screen = io.StringIO()
    monkeypatch.setattr(console, "sys", SimpleNamespace(stderr=SimpleNamespace(isatty=lambda: True)))
    monkeypatch.setattr(console, "line_console", lambda: Console(file=screen, force_terminal=True, width=120))
    with progress.step_bar() as bar:
        bar(StepReport(3, 7, {}, 61.0, {"psnr_db": 21.04}))
        assert bar.bar is not None
        bar.bar.refresh()
    assert "3/7" in screen.getvalue()
    assert "psnr 21.0 dB, 0:01:01 left" in screen.getvalue()
    assert bar.bar.finished or not bar.bar.live.is_started
