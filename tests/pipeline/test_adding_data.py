"""New data runs nothing but what it must: tried with DVC itself, on the stages of dvc.yaml.

The commands are replaced by one that writes something new whenever it runs: whatever DVC runs again, all that depends
on it runs again. Two stages shield what depends on them, and keep that: ``sessions`` runs as it is, on small SIMULATED
sessions; ``cases`` writes what its cohorts hold.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from ball_pairs import write_ball_session, write_ball_set

ROOT = Path(__file__).parent.parent.parent
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
# What has to do with sessions, and with cases; `report` tells of everything.
FROM_SESSIONS = {"train_translator", "translate", "finetune", "evaluate", "study"}
FROM_CASES = {"pretrain", "origin", "finetune", "evaluate", "study"}
TELLS_ALL = {"report"}

COMMAND = """
import csv, hashlib, shutil, sys, uuid
from pathlib import Path

import yaml

stage, key, outs = sys.argv[1], sys.argv[2], [Path(out) for out in sys.argv[3:]]


def told(folders):
    files = [path for folder in folders for path in sorted(Path(folder).rglob("*")) if path.is_file()]
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()


def make(out):
    toys = Path("toys", *out.parts[1:])
    if stage in ("pair", "rehearse") and toys.is_dir():
        shutil.copytree(toys, out, dirs_exist_ok=True)
    elif stage == "cases" and out == Path("data/cases"):
        cohorts = yaml.safe_load(Path("params.yaml").read_text())["cases"]["cohorts"]
        out.mkdir(parents=True)
        (out / "cases.json").write_text(told([folder for one in cohorts.values() for folder in one.values()]))
    elif out.suffix:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(str(uuid.uuid4()))
    else:
        out.mkdir(parents=True, exist_ok=True)
        (out / "content").write_text(str(uuid.uuid4()))


for out in outs:
    make(out)
if stage == "pair" and Path("toys", "pair", key).is_dir():
    rating = Path("data", "qc", key + ".tsv").read_text()
    path = Path("data", "pair", key, "manifest.csv")
    with path.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\\n")
        writer.writeheader()
        writer.writerows([{**row, "rating": rating} for row in rows])
with open("ran.txt", "a") as stream:
    stream.write(stage + ("@" + key if key != "-" else "") + "\\n")
"""


def run(folder, *words):
    # The same sources for the one stage that runs as it is, wherever they are installed from.
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, f"{' '.join(words)}: {done.stdout} {done.stderr}"


def dvc(folder, *words):
    run(folder, sys.executable, "-m", "dvc", *words)


def reproduce(folder) -> set[str]:
    """Run ``dvc repro`` and tell which items ran."""
    path = folder / "ran.txt"
    path.unlink(missing_ok=True)
    dvc(folder, "repro", "--quiet")
    items = path.read_text().split() if path.exists() else []
    assert len(items) == len(set(items))
    return set(items)


def items_of(names: set[str]) -> set[str]:
    """All items of some stages, as far as dvc.yaml has them."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    items = set()
    for name in names & STAGES.keys():
        if "foreach" in STAGES[name]:
            section = params
            for part in STAGES[name]["foreach"].strip("${}").split("."):
                section = section[part]
            items |= {f"{name}@{key}" for key in section}
        else:
            items.add(name)
    return items


def replaced(name, entry):
    """Return a stage of dvc.yaml that only keeps its data, models and results, and writes down that it ran."""
    stage = dict(entry.get("do", entry))
    outs = [out if isinstance(out, str) else next(iter(out)) for out in stage["outs"]]
    stage["cmd"] = f"{sys.executable} command.py {name} {'${key}' if 'foreach' in entry else '-'} {' '.join(outs)}"
    if name == "sessions":
        outs.remove("data/sessions")
        stage["cmd"] = (
            f"{sys.executable} -m protocols.stages.sessions && {sys.executable} command.py sessions - {outs[-1]}"
        )
    stage["deps"] = [
        dep for dep in stage["deps"] if dep.split("/")[0] in ("data", "models", "results", "${item.folder}")
    ]
    return {"foreach": entry["foreach"], "do": stage} if "foreach" in entry else stage


def change_params(folder, change):
    path = folder / "params.yaml"
    params = yaml.safe_load(path.read_text())
    change(params)
    path.write_text(yaml.safe_dump(params))


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pipeline")
    write_ball_set(folder / "toys" / "rehearse")
    session = write_ball_session(folder, "torso-01", "torso", "train")
    shutil.move(session.pairs, folder / "toys" / "pair" / "torso-01")
    run(folder, "git", "init", "--quiet")
    dvc(folder, "init", "--quiet")
    (folder / ".dvc" / "config").write_text("[core]\n    analytics = false\n")
    stages = {name: replaced(name, entry) for name, entry in STAGES.items()}
    (folder / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}))
    (folder / "command.py").write_text(COMMAND)
    shutil.copyfile(ROOT / "params.yaml", folder / "params.yaml")
    # What a fresh clone has: a folder for sessions, one for CT cohorts, and the ratings.
    for path in ("raw/README.md", "cts/README.md", "qc/sim-01.tsv", "qc/sim-02.tsv"):
        (folder / "data" / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / "data" / path).touch()
        assert (ROOT / "data" / path).is_file()
    assert reproduce(folder) == items_of(set(STAGES))
    return folder


def test_each_change_runs_what_it_must_and_nothing_else(pipeline):
    assert reproduce(pipeline) == set()
    tells = items_of(TELLS_ALL)

    # A session that a lab brought home: one folder, one file of ratings, one line. It has no split: calibrated, paired.
    raw, ratings = pipeline / "data" / "raw" / "torso-01", pipeline / "data" / "qc" / "torso-01.tsv"
    shutil.move(pipeline / "torso-01" / "session", raw)
    ratings.touch()
    dvc(pipeline, "add", "--quiet", "data/raw/torso-01")
    line = {"folder": "data/raw/torso-01", "split": None, "group": None}
    change_params(pipeline, lambda params: params["sessions"]["acquisitions"].update({"torso-01": line}))
    assert reproduce(pipeline) == {"calibrate@torso-01", "pair@torso-01", "sessions"} | tells

    # As a train donor it changes whatever learns from sessions; no camera is sought anew, no CT network trained.
    change_params(pipeline, lambda params: params["sessions"]["acquisitions"]["torso-01"].update(split="train"))
    learns = items_of(FROM_SESSIONS) | tells
    assert reproduce(pipeline) == {"sessions"} | learns

    # Rated, it is paired again, and there is something else to learn.
    ratings.write_text("reject")
    assert reproduce(pipeline) == {"pair@torso-01", "sessions"} | learns

    # Sessions without a split stop at the sets, whether somebody rated them or simulated them anew.
    (pipeline / "data" / "qc" / "sim-01.tsv").write_text("rated")
    change_params(pipeline, lambda params: params["simulate"]["sessions"]["sim-02"]["settings"].update(seed=9))
    anew = {"pair@sim-01", "simulate@sim-02", "calibrate@sim-02", "pair@sim-02", "sessions"}
    assert reproduce(pipeline) == anew | tells

    # A cohort of CTs and its renders: two folders, one line. It trains networks, and leaves the sessions alone.
    for name in ("mine", "mine-drr"):
        folder = pipeline / "data" / "cts" / name
        folder.mkdir()
        (folder / "manifest.csv").write_text(name)
    dvc(pipeline, "add", "--quiet", "data/cts/mine", "data/cts/mine-drr")
    line = {"cohort": "data/cts/mine", "renders": "data/cts/mine-drr"}
    change_params(pipeline, lambda params: params["cases"]["cohorts"].update(mine=line))
    assert reproduce(pipeline) == {"cases"} | items_of(FROM_CASES) | tells
