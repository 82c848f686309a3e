"""One line in params.yaml adds an acquisition and runs nothing but its own items: tried with DVC itself.

The stages are those of dvc.yaml with their real dependencies on data; their commands only write a line, so that what is
counted is DVC's doing.
"""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent.parent
STAGES = ("simulate", "calibrate", "pair")

COMMAND = """
import sys
from pathlib import Path
for out in sys.argv[2:]:
    path = Path(out)
    if path.suffix:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(out)
    else:
        path.mkdir(parents=True, exist_ok=True)
        (path / "content").write_text(out)
with open("ran.txt", "a") as stream:
    stream.write(sys.argv[1] + "\\n")
"""


def run(folder, *words):
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(words)}: {done.stdout} {done.stderr}"


def dvc(folder, *words):
    run(folder, sys.executable, "-m", "dvc", *words)


def reproduce(folder):
    """Run ``dvc repro`` and tell which items ran."""
    (folder / "ran.txt").unlink(missing_ok=True)
    dvc(folder, "repro", "--quiet")
    path = folder / "ran.txt"
    return sorted(path.read_text().split()) if path.exists() else []


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pipeline")
    run(folder, "git", "init", "--quiet")
    dvc(folder, "init", "--quiet")
    dvc(folder, "config", "core.analytics", "false")
    stages = {}
    for name, entry in yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"].items():
        if name not in STAGES:
            continue
        do = dict(entry["do"])
        outs = [out if isinstance(out, str) else next(iter(out)) for out in do["outs"]]
        do["cmd"] = f"{sys.executable} command.py {name}@${{key}} {' '.join(outs)}"
        do["deps"] = [dep for dep in do["deps"] if dep.startswith("data/") or dep == "${item}"]
        stages[name] = {"foreach": entry["foreach"], "do": do}
    (folder / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}))
    (folder / "command.py").write_text(COMMAND)
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    (folder / "data" / "qc").mkdir(parents=True)
    for acquisition_id in params["acquisitions"]:
        (folder / "data" / "qc" / f"{acquisition_id}.tsv").touch()
    return folder


def test_each_change_runs_what_it_must_and_nothing_else(pipeline):
    sessions = ["sim-01", "sim-02"]
    assert reproduce(pipeline) == sorted(f"{stage}@{session}" for stage in STAGES for session in sessions)
    assert reproduce(pipeline) == []

    # A session that a lab brought home: one folder, one ratings file, one line.
    raw = pipeline / "data" / "raw" / "torso-01"
    raw.mkdir(parents=True)
    (raw / "acquisition.yaml").write_text("a real session")
    (pipeline / "data" / "qc" / "torso-01.tsv").touch()
    dvc(pipeline, "add", "--quiet", "data/raw/torso-01")
    params = yaml.safe_load((pipeline / "params.yaml").read_text())
    params["acquisitions"]["torso-01"] = "data/raw/torso-01"
    (pipeline / "params.yaml").write_text(yaml.safe_dump(params))
    assert reproduce(pipeline) == ["calibrate@torso-01", "pair@torso-01"]

    # A rating is judged by the pairs of its own session; no camera is sought anew.
    (pipeline / "data" / "qc" / "sim-01.tsv").write_text("rated")
    assert reproduce(pipeline) == ["pair@sim-01"]

    # Another simulated session, or another setting of one, leaves the others alone.
    params["simulate"]["sessions"]["sim-02"]["settings"]["seed"] += 1
    (pipeline / "params.yaml").write_text(yaml.safe_dump(params))
    assert reproduce(pipeline)[-1] == "simulate@sim-02"
    assert reproduce(pipeline) == []

    # How all are calibrated concerns all of them.
    params["calibrate"]["rms_limit_mm"] += 0.1
    (pipeline / "params.yaml").write_text(yaml.safe_dump(params))
    assert [item for item in reproduce(pipeline) if item.startswith("calibrate")] == [
        f"calibrate@{name}" for name in ("sim-01", "sim-02", "torso-01")
    ]
