"""`drrkit cohort` as a user types it: import, lint, split; exit codes 0, 1 and 2; nothing half-written."""

import json
import sys

import numpy as np
import pandas as pd
import pytest

from drrkit import cli
from drrkit.cohort import read_cohort, read_splits
from drrkit.io.ct import write_ct, write_labels
from drrkit.volume import LEVEL_CODES, Volume
from spines import spine_volume

SPINE = spine_volume(voxel_mm=4.5)


def write_patient(folder, seed, drop="", speck="", suffix=".nii"):
    """Write a CT of its own for each seed, with labels; a level may be missing or have a speck far away."""
    hu, labels = SPINE.hu.copy(), SPINE.labels.copy()
    hu[0, 0, :8] = np.random.default_rng(seed).integers(-1000, 0, 8)
    labels[tuple(np.argwhere(labels)[seed])] = 0
    if drop:
        labels[labels == LEVEL_CODES[drop]] = 0
    if speck:
        labels[1, 1, 1] = LEVEL_CODES[speck]
    volume = Volume(hu, SPINE.world_from_voxel, labels)
    write_ct(volume, folder / f"ct{suffix}")
    write_labels(volume, folder / f"labels{suffix}")


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for seed in range(4):
        write_patient(tmp_path / f"root/p{seed}", seed)
    return tmp_path


@pytest.fixture
def drrkit(monkeypatch, capsys):
    """Run the command line in this process; return exit code, stdout and stderr."""

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["drrkit", "cohort", *map(str, words)])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        captured = capsys.readouterr()
        return stop.value.code or 0, captured.out, captured.err

    return run


def test_import_lint_split(home, drrkit):
    code, out, err = drrkit("import", "root", "cohort")
    assert (code, out) == (0, "")
    assert "4 CTs imported" in err
    assert "4 CTs of 4 donors, 4 labelled (L1 4, L2 4" in err
    assert list(read_cohort(home / "cohort").ct_path) == [f"../root/p{n}/ct.nii" for n in range(4)]

    code, out, _ = drrkit("lint", "cohort")
    assert (code, "0 errors, 0 warnings" in out) == (0, True)

    code, out, _ = drrkit("split", "cohort", "--fractions", "train=0.5,test=0.5", "--pin", "p2=test")
    assert code == 0
    splits = read_splits(home / "cohort")
    assert "p2" in splits.donors["test"]
    assert {split: len(donors) for split, donors in splits.donors.items()} == {"train": 2, "test": 2}


def test_lint_reports_errors_with_exit_code_1_and_warnings_with_0(home, drrkit):
    write_patient(home / "root/p1", 1, drop="L2")
    drrkit("import", "root", "cohort")
    code, out, _ = drrkit("lint", "cohort")
    assert code == 1
    assert "gap" in out
    assert "1 errors, 0 warnings" in out
    code, out, _ = drrkit("lint", "cohort", "--json")
    (finding,) = json.loads(out)
    assert code == 1
    assert (finding["ct_id"], finding["rule"], finding["severity"]) == ("p1", "gap", "error")
    assert set(finding) == {"severity", "ct_id", "rule", "found", "why", "fix"}

    write_patient(home / "root/p1", 1, speck="L4")
    drrkit("import", "root", "cohort", "--replace")
    code, out, _ = drrkit("lint", "cohort")
    assert (code, "0 errors, 1 warnings" in out) == (0, True)
    assert json.loads(drrkit("lint", "cohort", "--json")[1])[0]["severity"] == "warning"


def test_a_cohort_grows_and_its_splits_stay(home, drrkit):
    drrkit("import", "root", "cohort")
    drrkit("split", "cohort", "--fractions", "train=0.5,test=0.5", "--seed", 3)
    before = read_splits(home / "cohort")
    write_patient(home / "more/p8", 8, suffix=".nrrd")
    write_patient(home / "more/p9", 9)
    code, _, err = drrkit("import", "more", "cohort", "--add")
    assert (code, "2 CTs imported; now 6 CTs of 6 donors" in err) == (0, True)
    code, _, _ = drrkit("split", "cohort")
    after = read_splits(home / "cohort")
    assert code == 0
    assert (after.seed, after.fractions) == (3, {"train": 0.5, "test": 0.5})
    assert all(set(before.donors[split]) < set(after.donors[split]) for split in before.donors)
    code, _, err = drrkit("import", "more", "cohort", "--add")
    assert (code, "p8" in err) == (2, True)


def test_donors_and_schemes_from_the_command_line(home, drrkit):
    (home / "donors.csv").write_text("ct_id,donor_id\np0,same\np1,same\n")
    code, _, _ = drrkit("import", "root", "cohort", "--donors", "donors.csv", "--label-scheme", "ctspine1k")
    table = read_cohort(home / "cohort")
    assert code == 0
    assert list(table.donor_id) == ["same", "same", "p2", "p3"]
    assert set(table.label_scheme) == {"ctspine1k"}


def test_notes_are_printed(home, drrkit):
    (home / "root/p0/ct.nii").write_text("hello")
    code, _, err = drrkit("import", "root", "cohort", "--skip-unreadable")
    assert code == 0
    assert "note: left out: " in err
    assert "p0/ct.nii" in err
    assert "3 CTs imported" in err


def spoil(home, kind):
    """Prepare one kind of bad input; return the words to type and a word of the message."""
    if kind == "no root":
        return ["import", "gone", "new"], "gone"
    if kind == "empty root":
        (home / "empty").mkdir()
        return ["import", "empty", "new"], "no CT"
    if kind == "other layout":
        return ["import", "root", "new", "--layout", "verse"], "rawdata"
    if kind == "damaged CT":
        (home / "root/p0/ct.nii").write_bytes((home / "root/p0/ct.nii").read_bytes()[:1000])
        return ["import", "root", "new"], "p0/ct.nii"
    if kind == "unknown scheme":
        return ["import", "root", "new", "--label-scheme", "mine"], "mine"
    if kind == "unknown donor":
        (home / "d.csv").write_text("ct_id,donor_id\np77,x\n")
        return ["import", "root", "new", "--donors", "d.csv"], "p77"
    if kind == "cohort there":
        return ["import", "root", "cohort"], "--replace"
    if kind == "add and replace":
        return ["import", "root", "cohort", "--add", "--replace"], "both"
    if kind == "lint no cohort":
        return ["lint", "root"], "no cohort.parquet"
    if kind == "lint empty cohort":
        pd.read_parquet(home / "cohort/cohort.parquet").iloc[:0].to_parquet(home / "cohort/cohort.parquet")
        return ["lint", "cohort"], "an empty cohort"
    if kind == "split empty cohort":
        pd.read_parquet(home / "cohort/cohort.parquet").iloc[:0].to_parquet(home / "cohort/cohort.parquet")
        return ["split", "cohort"], "an empty cohort"
    if kind == "fractions off":
        return ["split", "cohort", "--fractions", "train=0.5,test=0.4"], "add up to 1"
    if kind == "fractions no numbers":
        return ["split", "cohort", "--fractions", "train=half,test=half"], "half"
    if kind == "fractions no pairs":
        return ["split", "cohort", "--fractions", "0.5,0.5"], "NAME=VALUE"
    if kind == "pin unknown":
        return ["split", "cohort", "--pin", "p77=test"], "p77"
    assert kind == "too few donors"
    return ["split", "cohort", "--fractions", "a=0.2,b=0.2,c=0.2,d=0.2,e=0.2"], "4 donor(s) for 5 splits"


@pytest.mark.parametrize(
    "kind",
    [
        "no root",
        "empty root",
        "other layout",
        "damaged CT",
        "unknown scheme",
        "unknown donor",
        "cohort there",
        "add and replace",
        "lint no cohort",
        "lint empty cohort",
        "split empty cohort",
        "fractions off",
        "fractions no numbers",
        "fractions no pairs",
        "pin unknown",
        "too few donors",
    ],
)
def test_bad_input_is_one_line_exit_code_2_and_nothing_written(home, drrkit, kind):
    drrkit("import", "root", "cohort")
    words, message = spoil(home, kind)
    before = {path: path.read_bytes() for path in home.rglob("*") if path.is_file()}
    code, out, err = drrkit(*words)
    last = err.strip().splitlines()[-1]
    assert (code, out) == (2, "")
    assert last.startswith("drrkit: ")
    assert message in last
    assert "wanted" in last
    assert {path: path.read_bytes() for path in home.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("change", [["--seed", 5], ["--fractions", "train=0.75,test=0.25"]])
def test_frozen_splits_are_overwritten_by_force_only(home, drrkit, change):
    drrkit("import", "root", "cohort")
    drrkit("split", "cohort", "--fractions", "train=0.5,test=0.5")
    before = (home / "cohort/splits.json").read_text()
    code, _, err = drrkit("split", "cohort", *change)
    assert (code, "--force" in err) == (2, True)
    assert (home / "cohort/splits.json").read_text() == before
    code, _, _ = drrkit("split", "cohort", *change, "--force")
    assert code == 0
    assert (home / "cohort/splits.json").read_text() != before


def test_usage_errors_exit_2(drrkit):
    assert drrkit("import")[0] == 2
    assert drrkit("import", "a", "b", "--layout", "mine")[0] == 2
