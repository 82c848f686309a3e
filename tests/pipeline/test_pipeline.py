"""dvc.yaml, params.yaml and the stage modules say the same thing."""

import importlib
import pkgutil
import re
from pathlib import Path

import grimp
import pytest
import yaml
from pydantic import ValidationError

import drrkit.stages
from drrkit.parameters import Parameters

ROOT = Path(__file__).parent.parent.parent
PIPELINE = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
PARAMS = yaml.safe_load((ROOT / "params.yaml").read_text())
STAGES = sorted(PIPELINE)


def file_of(module: str) -> str:
    path = Path(*module.split("."))
    return str(path / "__init__.py") if (ROOT / path).is_dir() else str(path.with_suffix(".py"))


def import_closure(module: str) -> set[str]:
    """All own modules that importing ``module`` may need, lazy imports included, and the packages above them."""
    graph = grimp.build_graph("drrkit", "protocols", "styletransfer", "reconstruction")
    # The lazy door of `drrkit.render` in drrkit/__init__.py is for users; no stage goes through it.
    graph.remove_import(importer="drrkit", imported="drrkit.projection.renderer")
    found, todo = set(), [module]
    while todo:
        current = todo.pop()
        if current in found:
            continue
        found.add(current)
        todo += graph.find_modules_directly_imported_by(current)
        if "." in current:
            todo.append(current.rpartition(".")[0])
    return found


def test_a_stage_is_a_module_a_section_and_a_folder():
    modules = sorted(module.name for module in pkgutil.iter_modules(drrkit.stages.__path__))
    assert modules == STAGES == sorted(PARAMS)
    for name, stage in PIPELINE.items():
        assert stage["cmd"] == f"python -m drrkit.stages.{name}"
        outs = [out if isinstance(out, str) else next(iter(out)) for out in stage["outs"]]
        assert f"data/{name}" in outs
        assert all(Path(out).name == name for out in outs)


@pytest.mark.parametrize("name", STAGES)
def test_params_are_read_by_exactly_one_stage(name):
    readers = [stage for stage, content in PIPELINE.items() if name in content["params"]]
    assert readers == [name]
    assert PIPELINE[name]["params"] == [name]
    source = (ROOT / "drrkit" / "stages" / f"{name}.py").read_text()
    assert source.count("read_parameters(") == 1
    assert f'read_parameters("{name}", ' in source


@pytest.mark.parametrize("name", STAGES)
def test_deps_cover_the_import_closure(name):
    deps = [Path(dep) for dep in PIPELINE[name]["deps"]]
    files = {Path(file_of(module)) for module in import_closure(f"drrkit.stages.{name}")}
    # The package docstring of drrkit/stages is no code that a stage depends on.
    files.discard(Path("drrkit/stages/__init__.py"))
    uncovered = [file for file in files if not any(file == dep or dep in file.parents for dep in deps)]
    assert uncovered == []


@pytest.mark.parametrize("name", STAGES)
def test_deps_exist_and_are_needed(name):
    closure = {Path(file_of(module)) for module in import_closure(f"drrkit.stages.{name}")}
    outs = {f"data/{stage}" for stage in STAGES}
    for dep in map(Path, PIPELINE[name]["deps"]):
        if str(dep) in outs:
            continue
        assert (ROOT / dep).exists()
        assert any(file == dep or dep in file.parents for file in closure), f"{dep} is not imported by {name}"


@pytest.mark.parametrize("name", STAGES)
def test_shipped_parameters_fit_their_strict_model(name):
    module = importlib.import_module(f"drrkit.stages.{name}")
    model_name = re.search(rf'read_parameters\("{name}", (\w+)', Path(module.__file__).read_text()).group(1)
    model = getattr(module, model_name)
    assert issubclass(model, Parameters)
    assert set(model.model_validate(PARAMS[name]).model_dump()) == set(PARAMS[name])
    with pytest.raises(ValidationError):
        model.model_validate(PARAMS[name] | {"no_such_parameter": 1})


def test_compiled_code_is_no_dependency():
    # numba and Python write __pycache__ beside the sources; without this, every first run would change the pipeline.
    assert "__pycache__/" in (ROOT / ".dvcignore").read_text().splitlines()
