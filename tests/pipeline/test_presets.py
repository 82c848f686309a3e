"""Presets set the sizes that they list, leave everything else as it is, and fit the stages."""

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent.parent
PARAMS = (ROOT / "params.yaml").read_text()
NAMES = ("laptop", "paper")

spec = importlib.util.spec_from_file_location("choose", ROOT / "presets" / "choose.py")
choose = importlib.util.module_from_spec(spec)
spec.loader.exec_module(choose)

from drrkit.errors import InputError  # noqa: E402

TOY = """\
# sizes
spines:
  groups:
    - &adults
      name: adults
      count: 4  # a few
      carm: {size_px: 256, panel_mm: 409.6}
    - {<<: *adults, name: varied}
    - {<<: *adults, name: test, count: 2}
boot: &boot {resamples: 20, seed: 1}
judge: *boot
models:
  first: &first
    steps: 5
    widths: &widths [1, 2]
  second:
    <<: *first
    steps: 7

# a lab's own
acquisitions:
  torso-01: {folder: data/raw/torso-01}  # ours
"""


def preset(name):
    return choose.preset_texts((ROOT / "presets" / f"{name}.yaml").read_text())


@pytest.fixture(scope="module")
def chosen():
    """params.yaml with each preset."""
    return {name: choose.with_values(PARAMS, preset(name)) for name in NAMES}


def test_both_presets_list_the_same_keys():
    assert list(preset("laptop")) == list(preset("paper"))


def test_the_shipped_parameters_are_a_preset():
    # `laptop`, unless you chose another one here. After a change of sizes: python presets/choose.py --refresh
    assert PARAMS in [choose.with_values(PARAMS, preset(name)) for name in NAMES]


def test_paper_and_back_is_the_same_file(chosen):
    assert chosen["paper"] != chosen["laptop"]
    assert choose.with_values(chosen["paper"], preset("laptop")) == chosen["laptop"]
    assert choose.with_values(chosen["laptop"], preset("paper")) == chosen["paper"]
    assert choose.with_values(chosen["paper"], preset("paper")) == chosen["paper"]


def test_nothing_but_the_listed_keys_changes(chosen):
    laptop, paper = ({".".join(path): value for path, value in leaves(chosen[name])} for name in NAMES)
    keys = tuple(f"{key}." for key in preset("paper"))
    changed = [path for path in {*laptop, *paper} if laptop.get(path) != paper.get(path)]
    assert len(changed) > 100
    assert [path for path in changed if not f"{path}.".startswith(keys)] == []


def leaves(text):
    """All values of a YAML text that are no mapping, by path; entries of lists by their names."""

    def walk(value, path):
        if isinstance(value, list) and value and all(isinstance(entry, dict) and "name" in entry for entry in value):
            value = {entry["name"]: entry for entry in value}
        if not isinstance(value, dict) or not value:
            yield path, value
            return
        for name, entry in value.items():
            yield from walk(entry, (*path, str(name)))

    return walk(yaml.safe_load(text), ())


STAGES = {
    re.search(r'read_parameters\("(\w+)", (\w+)', path.read_text()): path for path in sorted(ROOT.glob("*/stages/*.py"))
}
STAGES = {match.group(1): (path, match.group(2)) for match, path in STAGES.items() if match}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("stage", sorted(set(STAGES) & set(yaml.safe_load(PARAMS))))
def test_presets_fit_every_stage(chosen, name, stage):
    path, model_name = STAGES[stage]
    module = importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
    getattr(module, model_name).model_validate(yaml.safe_load(chosen[name])[stage])


def test_every_fold_of_the_paper_has_what_it_needs(chosen):
    params = yaml.safe_load(chosen["paper"])
    # The frozen splits stay: the studies look at their test donors.
    assert params["sessions"]["folds"]["frozen"] is None
    folds = {name: fold for name, fold in params["sessions"]["folds"].items() if name != "frozen"}
    assert sorted((fold["number"], fold["of"], fold["seed"]) for fold in folds.values()) == [
        (n, 5, 1) for n in range(1, 6)
    ]
    assert ["frozen", *folds] == list(params["translate"]["folds"])
    assert list(folds) == list(params["evaluate"]["folds"])
    translators, rungs = params["train_translator"]["models"], params["finetune"]["rungs"]
    for fold, wanted in params["translate"]["folds"].items():
        assert {translators[name].get("fold", "frozen") for name in wanted["judged"]} == {fold}
        for told in params["evaluate"]["folds"].get(fold, {}).values():
            kind, network = told["network"].split("/")
            if kind == "finetune" and rungs[network]["images"] is not None:
                assert rungs[network]["fold"] == fold
                assert told["images"] == rungs[network]["images"]
            if told["images"] not in ("real", "synthetic"):
                assert told["images"] in wanted["learned_from"]


def changed(text, **new):
    return choose.with_values(text, {key.replace("__", "."): value for key, value in new.items()})


def test_a_value_is_replaced_and_its_comment_stays():
    text = changed(TOY, models__first__steps="6")
    assert text == TOY.replace("steps: 5\n", "steps: 6\n")
    assert changed(text, models__first__steps="5") == TOY
    assert changed(TOY, spines__groups__test__count="9") == TOY.replace("count: 2", "count: 9")


def test_a_value_behind_an_anchor_keeps_it():
    text = changed(TOY, models__first__widths="[3]", models__second__widths="[3]")
    assert text == TOY.replace("&widths [1, 2]", "&widths [3]")


@pytest.mark.parametrize(
    ("key", "value", "sharer"),
    [
        ("boot.resamples", "30", "judge.resamples"),
        ("judge.resamples", "30", "boot.resamples"),
        ("spines.groups.adults.count", "8", "spines.groups.varied.count"),
        ("spines.groups.varied.carm.size_px", "64", "spines.groups.adults.carm.size_px"),
        ("models.second.widths", "[3]", "models.first.widths"),
    ],
)
def test_what_shares_a_place_is_named_not_changed(key, value, sharer):
    with pytest.raises(InputError, match=re.escape(sharer)):
        choose.with_values(TOY, {key: value})


def test_one_place_cannot_have_two_values():
    with pytest.raises(InputError, match="same place"):
        choose.with_values(TOY, {"boot.resamples": "30", "judge.resamples": "40"})


def test_an_item_over_several_lines_makes_room_and_comes_back():
    without = choose.with_values(TOY, {"models.second": "!none", "models.third": '!item " {steps: 9}"'})
    assert list(yaml.safe_load(without)["models"]) == ["first", "third"]
    lines = "!item " + json.dumps("\n    <<: *first\n    steps: 7")
    assert choose.texts_in(TOY, {"models.second": "!none"}) == {"models.second": lines}
    assert choose.with_values(without, {"models.second": lines, "models.third": "!none"}) == TOY


def test_items_come_and_go():
    items = {
        "models.third": '!item " {<<: *first, steps: 9}"',
        "models.fourth": '!item " {<<: *first}"',
        "acquisitions.torso-02": '!item " {folder: x}"',
    }
    text = choose.with_values(TOY, items)
    parsed = yaml.safe_load(text)
    assert list(parsed["models"]) == ["first", "second", "third", "fourth"]
    assert parsed["models"]["third"] == {"steps": 9, "widths": [1, 2]}
    assert "# ours\n  torso-02: {folder: x}\n" in text
    assert choose.texts_in(text, items) == items
    assert choose.texts_in(TOY, items) == dict.fromkeys(items, "!none")
    assert choose.with_values(text, dict.fromkeys(items, "!none")) == TOY
    assert choose.with_values(TOY, dict.fromkeys(items, "!none")) == TOY


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("models.first.step", "6", "no such key"),
        ("models.first", "6", "no value on one line"),
        ("models.zeroth.steps", '!item " 1"', "no such key"),
        ("boot.more", '!item " 1"', "no mapping over several lines"),
    ],
)
def test_bad_keys_are_refused(key, value, message):
    with pytest.raises(InputError, match=message):
        choose.with_values(TOY, {key: value})


def test_refresh_takes_values_and_leaves_comments():
    stale = "# why\nmodels.first.steps: 1  # so\n\nmodels.new: !none  # not here\n"
    assert choose.refreshed(stale, TOY) == stale.replace("steps: 1", "steps: 5")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "presets").mkdir()
    for name in ("choose.py", "laptop.yaml", "paper.yaml"):
        (tmp_path / "presets" / name).write_bytes((ROOT / "presets" / name).read_bytes())
    (tmp_path / "params.yaml").write_text(PARAMS + "\n# a lab's note\n")
    monkeypatch.setattr(choose, "PRESETS", tmp_path / "presets")
    monkeypatch.setattr(choose, "PARAMS", tmp_path / "params.yaml")
    return tmp_path


@pytest.fixture
def told(folder, capsys):
    """What choosing tells."""

    def run(*words):
        choose.main(list(words))
        return capsys.readouterr().out

    return run


def test_the_command_switches_tells_and_switches_back(folder, told):
    told("laptop")
    before = (folder / "params.yaml").read_bytes()
    out = told("paper")
    assert "pretrain.models.lumbar.training.steps: " in out
    assert " -> 20000\n" in out
    assert b"# a lab's note" in (folder / "params.yaml").read_bytes()
    assert told("paper").startswith("params.yaml: 0 of ")
    told("laptop")
    assert (folder / "params.yaml").read_bytes() == before


def test_refresh_follows_params(folder, told):
    told("laptop")
    params = (folder / "params.yaml").read_text()
    steps = "      training: &training\n        steps: "
    assert steps in params
    (folder / "params.yaml").write_text(params.replace(steps, f"{steps}1"))
    out = told("--refresh")
    assert out.startswith("pretrain.models.lumbar.training.steps: ")
    assert "laptop.yaml: 1 of " in out
    assert told("laptop").startswith("params.yaml: 0 of ")


@pytest.mark.parametrize(
    ("paper", "message"),
    [
        ("pretrain.models.lumbar.training.step: 5\n", "no such key"),
        ("pretrain: {\n", "no YAML"),
        ("- 5\n", "no mapping"),
        ("phantom.count: 5\nphantom.count: 6\n", "the key twice"),
    ],
)
def test_bad_presets_change_nothing(folder, told, paper, message):
    before = (folder / "params.yaml").read_bytes()
    (folder / "presets" / "paper.yaml").write_text(paper)
    with pytest.raises(InputError, match=message):
        told("paper")
    assert (folder / "params.yaml").read_bytes() == before


def test_wrong_presets_exit_with_2_and_one_line(folder):
    command = [sys.executable, "presets/choose.py", "desktop"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (2, "preset: found 'desktop'; wanted laptop or paper\n")
