"""A killed `dvc repro` goes on where it was, and nothing runs when nothing changed: tried with DVC itself.

The stages are those of dvc.yaml with their items, parameters and real dependencies on data; their commands only write a
line, so that what is counted is DVC's doing.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from pipeline_entries import items_of

ROOT = Path(__file__).parent.parent.parent
KILLED = "pretrain@lumbar"

COMMAND = """
import sys
import time
from pathlib import Path
with open("ran.txt", "a") as stream:
    stream.write(sys.argv[1] + "\\n")
half = Path(sys.argv[2])
half.parent.mkdir(parents=True, exist_ok=True)
half.write_text("half-written") if half.suffix else half.mkdir(exist_ok=True)
while Path("hold.txt").exists() and Path("hold.txt").read_text() == sys.argv[1]:
    time.sleep(0.05)
for out in sys.argv[2:]:
    path = Path(out)
    if path.suffix:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(out)
    else:
        path.mkdir(parents=True, exist_ok=True)
        (path / "content").write_text(out)
"""


def dvc(*words):
    return [sys.executable, "-m", "dvc", *words]


def run(folder, command):
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stdout} {done.stderr}"


def ran(folder):
    path = folder / "ran.txt"
    return path.read_text().split() if path.exists() else []


def reproduce(folder):
    """Run ``dvc repro`` and tell which items ran."""
    (folder / "ran.txt").unlink(missing_ok=True)
    run(folder, dvc("repro", "--quiet"))
    return ran(folder)


@pytest.fixture
def pipeline(tmp_path):
    run(tmp_path, ["git", "init", "--quiet"])
    run(tmp_path, dvc("init", "--quiet"))
    entries = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    stages = {}
    for name, entry in entries.items():
        stage = dict(entry.get("do", entry))
        outs = [out if isinstance(out, str) else next(iter(out)) for out in stage["outs"]]
        item = f"{name}@${{key}}" if "do" in entry else name
        stage["cmd"] = f"{sys.executable} command.py {item} {' '.join(outs)}"
        stage["deps"] = [
            dep for dep in stage["deps"] if dep.split("/")[0] in ("data", "models", "results", "${item.folder}")
        ]
        stage = {key: stage[key] for key in ("cmd", "deps", "params", "outs") if stage.get(key)}
        stages[name] = {"foreach": entry["foreach"], "do": stage} if "do" in entry else stage
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}))
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    (tmp_path / "command.py").write_text(COMMAND)
    for folder in ("cts", "raw", "qc"):
        (tmp_path / "data" / folder).mkdir(parents=True)
    for acquisition_id in params["sessions"]["acquisitions"]:
        (tmp_path / "data" / "qc" / f"{acquisition_id}.tsv").touch()
    return tmp_path, sorted(items_of(entries, params))


def test_a_killed_repro_goes_on_and_then_nothing_runs(pipeline):
    folder, items = pipeline
    assert KILLED in items
    (folder / "hold.txt").write_text(KILLED)
    with subprocess.Popen(dvc("repro", "--quiet"), cwd=folder, start_new_session=True) as process:
        deadline = time.monotonic() + 120
        while KILLED not in ran(folder):
            assert process.poll() is None, "dvc ended by itself"
            assert time.monotonic() < deadline
            time.sleep(0.05)
        # DVC and the stage that it runs, with no chance to tidy up.
        os.killpg(process.pid, signal.SIGKILL)
    finished = set(ran(folder)) - {KILLED}
    assert len(finished) >= 2
    (folder / "hold.txt").unlink()
    assert not (folder / "models" / "pretrain" / "lumbar" / "content").exists()

    # What had finished stays; what was killed, and all that had not begun, runs.
    assert sorted(reproduce(folder)) == sorted(set(items) - finished)
    assert (folder / "models" / "pretrain" / "lumbar" / "content").exists()
    assert reproduce(folder) == []


def test_two_lanes_make_all_that_one_makes(pipeline):
    folder, items = pipeline
    shutil.copy(ROOT / "Makefile", folder)
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    # The environment is this one: nothing is to be installed.
    command = ["make", "--old-file=setup", "repro"]

    def make():
        (folder / "ran.txt").unlink(missing_ok=True)
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{done.stdout} {done.stderr}"
        return ran(folder)

    assert sorted(make()) == items
    assert make() == []
    assert reproduce(folder) == []
