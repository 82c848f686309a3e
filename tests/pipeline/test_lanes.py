"""Lanes hold every stage once, in the order of their needs, and need nothing of each other."""

import re
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path

import pytest
import yaml

from pipeline_entries import items_of, outputs

ROOT = Path(__file__).parent.parent.parent
PARAMS = yaml.safe_load((ROOT / "params.yaml").read_text())
# Target of the Makefile -> the pipeline that it runs.
PIPELINES = {"repro": "dvc.yaml", "comparisons": "comparisons/dvc.yaml"}
ALL = pytest.mark.parametrize("target", PIPELINES)
LANE = re.compile(r"(?:cd comparisons && )?\$\(LANE\) (?:--glob )?(.*)")


@cache
def items(target):
    """Every item of every stage by its name, with what it reads and what it writes."""
    entries = yaml.safe_load((ROOT / PIPELINES[target]).read_text())["stages"]
    found = {}
    for name, (stage, key, item) in items_of(entries, PARAMS).items():
        content = entries[stage].get("do", entries[stage])
        filled = {"${key}": str(key), "${item.folder}": item["folder"] if "folder" in (item or ()) else ""}
        found[name] = [[Path(_filled(path, filled)) for path in paths] for paths in (content["deps"], outputs(content))]
    return found


def _filled(path, names):
    for name, value in names.items():
        path = path.replace(name, value)
    return path


def waves(target):
    """What a target runs: in each wave its lanes, in each lane its items in order."""
    lines = (ROOT / "Makefile").read_text().splitlines()
    recipe = lines[lines.index(next(line for line in lines if re.match(rf"{target}: \w+  ##", line))) + 1 :]
    found = []
    for line in recipe:
        if not line.startswith("\t"):
            break
        if "--jobs" in line:
            named = line.split("$(LANES) ")[1].split()
            lanes = [LANE.fullmatch(lines[lines.index(f"{name}:") + 1].strip())[1] for name in named]
        elif "--single-item" in line:
            lanes = [line.split("--single-item ")[1]]
        else:
            continue
        patterns = [[word.strip("'") for word in lane.split()] for lane in lanes]
        found.append([[name for word in lane for name in items(target) if is_of(name, word)] for lane in patterns])
    return found


def is_of(name, word):
    return word in (name, name.split("@")[0]) or ("*" in word and fnmatchcase(name, word))


def needs(target, reader, writer):
    deps, outs = items(target)[reader][0], items(target)[writer][1]
    return any(dep == out or dep in out.parents or out in dep.parents for dep in deps for out in outs)


@ALL
def test_every_item_is_in_one_lane(target):
    assert sorted(name for wave in waves(target) for lane in wave for name in lane) == sorted(items(target))


@ALL
def test_what_an_item_needs_comes_before_it(target):
    earlier = []
    for wave in waves(target):
        for lane in wave:
            for place, name in enumerate(lane):
                made = earlier + lane[:place]
                missing = [other for other in items(target) if needs(target, name, other) and other not in made]
                assert missing == [], f"{name} needs {missing}"
        earlier += [name for lane in wave for name in lane]
