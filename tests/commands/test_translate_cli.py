"""`drrkit translate` as a user types it."""

import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from drrkit.errors import InputError
from drrkit.io.store import read_image, write_image
from styletransfer import translate as folder_translation
from styletransfer.commands.translate import translate
from styletransfer.domain import DomainScore
from toy_pairs import toy_pair
from toy_translator import ToyTranslator


class Domain:
    """Stands for the statistics of a training set."""

    def score(self, pixels, pixel_mm=None):
        inside = bool(pixels.mean() < 3)
        return DomainScore(1.0 if inside else 5.0, 2.0, inside, () if inside else ("too bright", "too flat"))


@pytest.fixture
def place(tmp_path, monkeypatch):
    for number in range(2):
        write_image(tmp_path / "images" / f"view-{number}.tif", toy_pair("anna", number).real)
    for name in ("model.safetensors", "model.json"):
        (tmp_path / name).write_text(name)
    load = lambda path, device: (ToyTranslator(), SimpleNamespace(method="toy"))  # noqa: E731
    monkeypatch.setattr(folder_translation, "load_translator", load)
    monkeypatch.setattr(folder_translation, "read_domain", lambda path: Domain())
    return tmp_path


def run(place, *options):
    app = typer.Typer()
    app.command("translate")(translate)
    words = [place / "images", place / "out", "--model", place / "model.safetensors", *options]
    return CliRunner().invoke(app, [str(word) for word in words])


def test_a_folder_is_translated_and_told(place):
    result = run(place, "--precision", "32", "--tile", 32)
    assert result.exit_code == 0, result.exception
    assert "2 translated" in result.output
    assert "0 unlike" in result.output
    assert read_image(place / "out" / "view-1.tif").shape == (32, 32)
    again = run(place, "--precision", "32")
    assert "0 translated, 2 up to date" in again.output


def test_images_unlike_the_training_are_findings_if_strict(place):
    write_image(place / "images" / "view-1.tif", np.full((32, 32), 9, np.float32))
    result = run(place)
    assert result.exit_code == 0, result.exception
    assert "view-1: too bright; too flat" in result.output
    assert "1 unlike the training images" in result.output
    strict = run(place, "--strict")
    assert strict.exit_code == 1
    assert read_image(place / "out" / "view-1.tif").shape == (32, 32)


def test_a_model_that_does_not_know_its_domain(place, monkeypatch):
    monkeypatch.setattr(folder_translation, "read_domain", lambda path: None)
    result = run(place, "--strict")
    assert result.exit_code == 0, result.exception
    assert "does not tell what its training images looked like" in result.output


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--precision", "half"], "auto, 32 or bf16"),
        (["--tile", 40], "multiples of 32"),
        (["--open-field", -5], "open_field"),
    ],
)
def test_bad_input_is_one_error(place, options, words):
    result = run(place, *options)
    assert isinstance(result.exception, InputError), result.output
    assert words in str(result.exception)
    assert not list((place / "out").glob("*.tif"))


def test_help_stays_light():
    code = "import sys, styletransfer.commands; sys.exit(any(m in sys.modules for m in ('torch', 'albumentations')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
