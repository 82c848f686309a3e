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
import protocols.stages
import reconstruction.stages
import styletransfer.stages
from drrkit.parameters import Parameters
from pipeline_entries import outputs

ROOT = Path(__file__).parent.parent.parent
MAIN = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
COMPARISONS = yaml.safe_load((ROOT / "comparisons" / "dvc.yaml").read_text())["stages"]
ENTRIES = MAIN | COMPARISONS
# A stage with one item an acquisition is written once, under `do`; ${key} and ${item} stand for name and folder.
PIPELINE = {name: entry.get("do", entry) for name, entry in ENTRIES.items()}
PARAMS = yaml.safe_load((ROOT / "params.yaml").read_text())
STAGES = sorted(PIPELINE)
MODULES = {
    module.name: f"{package.__name__}.{module.name}"
    for package in (drrkit.stages, protocols.stages, styletransfer.stages, reconstruction.stages)
    for module in pkgutil.iter_modules(package.__path__)
}
PACKAGES = ("drrkit", "protocols", "styletransfer", "reconstruction")
# What a run took lies beside what it made; the report tells it.
ACCOUNTS = "data/accounts/"


# Files that people look for by these very names.
NAMED_FOR_PEOPLE = ("results/ladder.csv", "results/summary.json", "results/report.html")


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
    assert sorted(MODULES) == STAGES == sorted(PARAMS)
    assert not set(MAIN) & set(COMPARISONS)
    for name, stage in PIPELINE.items():
        per_item = "foreach" in ENTRIES[name]
        assert stage["cmd"].split(" ${")[0] == f"python -m {MODULES[name]}"
        account = f"{ACCOUNTS}{name}.${{key}}.json" if per_item else f"{ACCOUNTS}{name}.json"
        outs = outputs(stage)
        # The report tells all accounts of the main job and has none.
        assert outs.count(account) == (name in MAIN and name != "report")
        outs = [out for out in outs if out != account]
        own = f"{name}/${{key}}" if per_item else name
        for out in outs:
            if per_item:
                assert Path(out).stem == "${key}"
            elif out not in NAMED_FOR_PEOPLE:
                assert Path(out).name == name
        if name != "report":
            assert {f"{kind}/{own}" for kind in ("data", "models", "results")} & set(outs)


def test_one_line_adds_an_item_and_touches_no_other():
    assert {name: entry["foreach"] for name, entry in ENTRIES.items() if "foreach" in entry} == {
        "simulate": "${simulate.sessions}",
        "calibrate": "${sessions.acquisitions}",
        "pair": "${sessions.acquisitions}",
        "pretrain": "${pretrain.models}",
        "train_translator": "${train_translator.models}",
        "finetune": "${finetune.rungs}",
        "counterpart": "${counterpart.models}",
        "rival": "${rival.models}",
    }
    for name in ("calibrate", "pair"):
        assert "${item.folder}" in PIPELINE[name]["deps"]
        assert all("${item" in dep or "${key}" in dep for dep in PIPELINE[name]["deps"] if dep.startswith("data/"))
    # Each simulated session, each network and each translator depends on its own entry alone.
    for name, part in {"simulate": "sessions", "finetune": "rungs"}.items():
        assert PIPELINE[name]["params"] == [f"{name}.{part}.${{key}}"]
    for name in ("pretrain", "train_translator", "counterpart", "rival"):
        assert PIPELINE[name]["params"] == [f"{name}.models.${{key}}"]
    for acquisition_id, item in PARAMS["sessions"]["acquisitions"].items():
        assert Path(item["folder"]).name == acquisition_id
        assert Path(item["folder"]).parent in (Path("data/simulate"), Path("data/raw"))
        assert (ROOT / "data" / "qc" / f"{acquisition_id}.tsv").is_file()


def test_names_in_params_are_those_of_items():
    translators, networks = set(PARAMS["train_translator"]["models"]), set(PARAMS["pretrain"]["models"])
    folds, rungs = set(PARAMS["sessions"]["folds"]), PARAMS["finetune"]["rungs"]
    assert {model["fold"] for model in PARAMS["train_translator"]["models"].values() if "fold" in model} <= folds
    assert set(PARAMS["translate"]["folds"]) <= folds
    for fold in PARAMS["translate"]["folds"].values():
        assert set(fold["judged"]) | set(fold["learned_from"]) <= translators
    translated = {name for fold in PARAMS["translate"]["folds"].values() for name in fold["learned_from"]}
    for rung in rungs.values():
        assert rung["start"] in networks
        assert rung["fold"] in folds
        assert rung["images"] in (None, "real") or rung["images"] in translated
    known = {f"pretrain/{name}" for name in networks} | {f"finetune/{name}" for name in rungs}
    assert set(PARAMS["evaluate"]["folds"]) <= folds
    for fold in PARAMS["evaluate"]["folds"].values():
        assert {rung["network"] for rung in fold.values()} <= known
        assert {rung["images"] for rung in fold.values()} <= translators | {"real", "synthetic"}


def test_the_main_job_needs_no_comparison():
    made = {out.split("/${")[0] for stage in COMPARISONS for out in outputs(PIPELINE[stage])}
    for name in MAIN:
        for dep in PIPELINE[name]["deps"]:
            assert not [out for out in made if out == dep or Path(dep) in Path(out).parents]


def test_no_stage_reads_the_truth():
    for name, stage in PIPELINE.items():
        assert not [dep for dep in stage["deps"] if "truth" in dep]
        if name not in ("simulate", "rehearse"):
            assert not [module for module in import_closure(MODULES[name]) if "simulation" in module]
        if name != "simulate":
            assert "truth" not in (ROOT / file_of(MODULES[name])).read_text()
    # A rehearsal simulates as well, but writes no truth that anybody could read.
    for path in (ROOT / "protocols" / "rehearsal").glob("*.py"):
        assert "truth" not in path.read_text().replace("truth_path=None", "")


@pytest.mark.parametrize("name", STAGES)
def test_params_are_read_by_exactly_one_stage(name):
    readers = [
        stage for stage, content in PIPELINE.items() if any(part.split(".")[0] == name for part in content["params"])
    ]
    assert readers == [name]
    assert len(PIPELINE[name]["params"]) == 1
    source = (ROOT / file_of(MODULES[name])).read_text()
    assert source.count("read_parameters(") == 1
    assert f'read_parameters("{name}", ' in source


@pytest.mark.parametrize("name", STAGES)
def test_deps_cover_the_import_closure(name):
    deps = [Path(dep) for dep in PIPELINE[name]["deps"]]
    files = {Path(file_of(module)) for module in import_closure(MODULES[name])}
    # The docstrings of the stages' packages are no code that a stage depends on.
    files -= {Path(package, "stages/__init__.py") for package in PACKAGES}
    uncovered = [file for file in files if not any(file == dep or dep in file.parents for dep in deps)]
    assert uncovered == []


@pytest.mark.parametrize("name", STAGES)
def test_deps_exist_and_are_needed(name):
    closure = {Path(file_of(module)) for module in import_closure(MODULES[name])}
    for dep in map(Path, PIPELINE[name]["deps"]):
        if dep.parts[0] in ("data", "models", "results") or "${item" in str(dep):
            continue
        assert (ROOT / dep).exists()
        if name == "report" and str(dep) in (*PACKAGES, "params.yaml"):
            continue  # its provenance hashes all sources and tells all parameters
        assert any(file == dep or dep in file.parents for file in closure), f"{dep} is not imported by {name}"


@pytest.mark.parametrize("name", STAGES)
def test_shipped_parameters_fit_their_strict_model(name):
    module = importlib.import_module(MODULES[name])
    model_name = re.search(rf'read_parameters\("{name}", (\w+)', Path(module.__file__).read_text()).group(1)
    model = getattr(module, model_name)
    assert issubclass(model, Parameters)
    assert set(model.model_validate(PARAMS[name]).model_dump()) == set(PARAMS[name])
    with pytest.raises(ValidationError):
        model.model_validate(PARAMS[name] | {"no_such_parameter": 1})


def test_compiled_code_is_no_dependency():
    # numba and Python write __pycache__ beside the sources; without this, every first run would change the pipeline.
    assert "__pycache__/" in (ROOT / ".dvcignore").read_text().splitlines()
