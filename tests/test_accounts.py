import json
import subprocess
import sys
import time

import numpy as np
import pytest

from drrkit.accounts import peak_mb, process_seconds, run_stage

STAGE = """
import sys
import time
from pathlib import Path
from drrkit.accounts import run_stage
from drrkit.errors import InputError

def main(*items):
    {body}

if __name__ == "__main__":
    run_stage("render", main, *sys.argv[1:])
"""


def run(folder, body, *items):
    (folder / "stage.py").write_text(STAGE.format(body=body))
    return subprocess.run([sys.executable, "stage.py", *items], cwd=folder, capture_output=True, text=True, check=False)


def accounts(folder):
    return {path.name: json.loads(path.read_text()) for path in sorted((folder / "data" / "accounts").glob("*"))}


def test_an_account_tells_what_the_process_took(tmp_path):
    began = time.monotonic()
    done = run(tmp_path, "block = bytearray(300 * 2**20); time.sleep(0.3)")
    took = time.monotonic() - began
    assert (done.returncode, done.stderr) == (0, "")
    account = accounts(tmp_path)["render.json"]
    assert sorted(account) == ["cpu_seconds", "item", "peak_mb", "seconds", "stage"]
    assert (account["stage"], account["item"]) == ("render", None)
    # Imports take longer than 0.1 s and count as well; the clock of the system ticks in hundredths.
    assert 0.4 < account["seconds"] < took + 0.05
    assert 300 < account["peak_mb"] < 900
    assert 0.05 < account["cpu_seconds"] < 20 * took


def test_items_reach_main_and_the_first_names_the_account(tmp_path):
    done = run(tmp_path, "Path('got').write_text(' '.join(items))", "sim-01", "data/simulate/sim-01")
    assert done.returncode == 0
    assert (tmp_path / "got").read_text() == "sim-01 data/simulate/sim-01"
    assert accounts(tmp_path)["render.sim-01.json"]["item"] == "sim-01"


def test_bad_input_is_one_line_and_leaves_no_account_of_an_earlier_run(tmp_path):
    assert run(tmp_path, "pass").returncode == 0
    done = run(tmp_path, "raise InputError('params.yaml, render', 'size -1', 'a size above 0')")
    assert done.returncode == 2
    assert done.stderr == "render: params.yaml, render: found size -1; wanted a size above 0\n"
    assert accounts(tmp_path) == {}


def test_other_exceptions_go_on_as_they_are(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def broken():
        raise ZeroDivisionError("a fault of ours")

    with pytest.raises(ZeroDivisionError, match="a fault of ours"):
        run_stage("render", broken)
    assert accounts(tmp_path) == {}


def test_an_account_that_cannot_be_written_is_bad_input(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").write_text("a file in the way")
    with pytest.raises(SystemExit) as ended:
        run_stage("render", lambda: None)
    assert ended.value.code == 2
    assert "a file where a folder should be" in capsys.readouterr().err


def test_a_small_stage_is_not_charged_for_the_process_that_started_it():
    block = np.ones(400 * 2**17)
    child = subprocess.run(
        [sys.executable, "-c", "from drrkit.accounts import peak_mb; print(peak_mb())"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert block.nbytes == 400 * 2**20
    assert 10 < float(child.stdout) < 380 < peak_mb()


def test_a_large_child_counts():
    script = """
import subprocess, sys
from drrkit.accounts import peak_mb
subprocess.run([sys.executable, "-c", "block = bytearray(500 * 2**20)"], check=True)
print(peak_mb())
"""
    child = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert 500 < float(child.stdout) < 700


def test_seconds_go_on():
    before = process_seconds()
    time.sleep(0.05)
    assert 0.03 < process_seconds() - before < 5


def test_who_reads_accounts_writes_none(tmp_path):
    script = STAGE.replace("*sys.argv[1:])", "account=False)")
    (tmp_path / "stage.py").write_text(script.format(body="pass"))
    done = subprocess.run([sys.executable, "stage.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert accounts(tmp_path) == {}
