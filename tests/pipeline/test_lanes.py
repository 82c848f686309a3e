"""The lanes of `make repro` hold every stage once, in the order of their needs, and need nothing of each other."""

import re
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path

import yaml

ROOT = Path(__file__).parent.parent.parent
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
PARAMS = yaml.safe_load((ROOT / "params.yaml").read_text())
LANE = re.compile(r"\$\(LANE\) (?:--glob )?(.*)")


@cache
def items():
    """Every item of every stage by its name, with what it reads and what it writes."""
    found = {}
    for name, entry in STAGES.items():
        value = PARAMS
        for part in entry.get("foreach", "").removeprefix("${").removesuffix("}").split("."):
            value = value[part] if part else {None: None}
        for key, item in value.items():
            stage = entry.get("do", entry)
            folder = item["folder"] if isinstance(item, dict) and "folder" in item else ""
            outs = [out for kind in ("outs", "metrics", "plots") for out in stage.get(kind, [])]
            outs = [out if isinstance(out, str) else next(iter(out)) for out in outs]
            filled = [
                [Path(path.replace("${key}", str(key)).replace("${item.folder}", folder)) for path in paths]
                for paths in (stage["deps"], outs)
            ]
            found[name if key is None else f"{name}@{key}"] = tuple(filled)
    return found


def waves():
    """The recipe of `repro`: in each wave its lanes, in each lane its items in order."""
    lines = (ROOT / "Makefile").read_text().splitlines()
    recipe = lines[lines.index(next(line for line in lines if line.startswith("repro: setup"))) + 1 :]
    named = list(items())
    found = []
    for line in recipe:
        if not line.startswith("\t"):
            break
        if "--jobs" in line:
            targets = line.split("$(LANES) ")[1].split()
            lanes = [LANE.fullmatch(lines[lines.index(f"{target}:") + 1].strip())[1] for target in targets]
        elif "--single-item" in line:
            lanes = [line.split("--single-item ")[1]]
        else:
            continue
        patterns = [[word.strip("'") for word in lane.split()] for lane in lanes]
        found.append([[name for word in lane for name in named if is_of(name, word)] for lane in patterns])
    return found


def is_of(name, word):
    return name == word or name.split("@")[0] == word or ("*" in word and fnmatchcase(name, word))


@cache
def needs(reader, writer):
    deps, outs = items()[reader][0], items()[writer][1]
    return any(dep == out or dep in out.parents or out in dep.parents for dep in deps for out in outs)


def test_every_item_is_in_one_lane():
    assert sorted(name for wave in waves() for lane in wave for name in lane) == sorted(items())


def test_what_an_item_needs_comes_before_it():
    earlier = []
    for wave in waves():
        for lane in wave:
            for place, name in enumerate(lane):
                made = earlier + lane[:place]
                missing = [other for other in items() if needs(name, other) and other not in made]
                assert missing == [], f"{name} needs {missing}"
        earlier += [name for lane in wave for name in lane]
