import subprocess
import sys
import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from drrkit import cli
from drrkit.errors import InputError

PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"


def test_help_lists_verbs_and_nouns():
    result = CliRunner().invoke(cli.build_app(), ["--help"])
    assert result.exit_code == 0
    for command in ("render", "geometry", "cohort"):
        assert command in result.output


def test_help_imports_nothing_heavy():
    # A cluster engineer types --help a lot: numba, torch and SimpleITK would cost seconds. The siblings' commands are
    # those of pyproject.toml, whether or not the installed package knows them by now.
    siblings = tomllib.loads(PYPROJECT.read_text())["project"]["entry-points"][cli.COMMANDS_GROUP]
    modules = sorted({place.partition(":")[0] for place in siblings.values()})
    heavy = ("torch", "numba", "SimpleITK", "pandas", "cv2", "matplotlib", "skimage", "lightning_fabric", "dvclive")
    code = (
        f"import sys, {', '.join(modules)}; from drrkit.cli import build_app; build_app();"
        f"print([m for m in {heavy} if m in sys.modules])"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.strip() == "[]"


def test_bad_input_is_one_line_and_exit_code_2(monkeypatch, capsys):
    def fail() -> None:
        raise InputError("some.nii.gz", "a\nbroken header", "a NIfTI file")

    monkeypatch.setattr(cli, "build_app", lambda: fail)
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "drrkit: some.nii.gz: found a broken header; wanted a NIfTI file\n"


def test_sibling_packages_join_by_entry_point(monkeypatch):
    sibling = typer.Typer()

    @sibling.command("new")
    def new() -> None:
        typer.echo("made")

    @sibling.command("check")
    def check() -> None:
        typer.echo("checked")

    entry_point = EntryPoint("acquisition", "protocols.commands:app", cli.COMMANDS_GROUP)
    monkeypatch.setattr(EntryPoint, "load", lambda self: sibling)
    monkeypatch.setattr(cli, "entry_points", lambda group: [entry_point] if group == cli.COMMANDS_GROUP else [])
    result = CliRunner().invoke(cli.build_app(), ["acquisition", "new"])
    assert (result.exit_code, result.output) == (0, "made\n")


def test_a_function_joins_as_a_verb(monkeypatch):
    def reconstruct(model: str) -> None:
        typer.echo(f"with {model}")

    entry_point = EntryPoint("reconstruct", "reconstruction.commands:reconstruct", cli.COMMANDS_GROUP)
    monkeypatch.setattr(EntryPoint, "load", lambda self: reconstruct)
    monkeypatch.setattr(cli, "entry_points", lambda group: [entry_point] if group == cli.COMMANDS_GROUP else [])
    result = CliRunner().invoke(cli.build_app(), ["reconstruct", "m"])
    assert (result.exit_code, result.output) == (0, "with m\n")


def test_input_error_survives_a_process_border():
    import pickle

    error = pickle.loads(pickle.dumps(InputError("a", "b", "c")))
    assert (error.where, error.found, error.wanted, str(error)) == ("a", "b", "c", "a: found b; wanted c")
