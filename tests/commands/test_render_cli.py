"""`drrkit render` as a user types it: every bad input is one line, exit code 2, and nothing half-written."""

import json
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import SimpleITK as sitk

from drrkit import cli
from drrkit.cohort import import_cohort, write_cohort
from drrkit.io.manifest import JOURNAL_NAME, read_manifest
from drrkit.io.store import read_cameras, read_image, write_cameras
from toys import CARM, toy_volume, write_toy

FAST = ["--backend", "siddon", "--size", "24", "24"]


@pytest.fixture
def toy(tmp_path):
    write_toy(tmp_path / "in", "")
    write_cameras(tmp_path / "cameras.json", {"one": CARM.camera(0, 0, 0, toy_volume().center_world)})
    return tmp_path


def drrkit(monkeypatch, capsys, *words):
    """Run the command line in this process; return exit code, stdout and stderr."""
    monkeypatch.setattr(sys, "argv", ["drrkit", *map(str, words)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    captured = capsys.readouterr()
    return stop.value.code or 0, captured.out, captured.err


def test_render_a_view_set_with_labels(toy, monkeypatch, capsys):
    labels = ["--labels", toy / "in/labels.nii", "--label-scheme", "verse"]
    code, _, err = drrkit(
        monkeypatch, capsys, "render", toy / "in/ct.nii", toy / "out", "--views", "ap-lateral", *labels, *FAST
    )
    assert code == 0
    assert "2 rendered, 0 up to date" in err
    rows = read_manifest(toy / "out")
    assert list(rows) == list(read_cameras(toy / "out/cameras.json"))
    assert all(set(row.boxes) == {"L1", "L2"} for row in rows.values())
    assert all(read_image(toy / "out" / row.image).max() > 0.1 for row in rows.values())
    code, _, err = drrkit(
        monkeypatch, capsys, "render", toy / "in/ct.nii", toy / "out", "--views", "ap-lateral", *labels, *FAST
    )
    assert (code, "0 rendered, 2 up to date" in err) == (0, True)


def test_render_fixed_cameras_at_another_size(toy, monkeypatch, capsys):
    code, _, _ = drrkit(
        monkeypatch,
        capsys,
        *("render", toy / "in/ct.nii", toy / "out", "--cameras", toy / "cameras.json", "--size", 48, 40),
        *("--backend", "siddon", "--tissue", "full"),
    )
    assert code == 0
    camera = read_cameras(toy / "out/cameras.json")["one"]
    assert camera.allclose(read_cameras(toy / "cameras.json")["one"].resized(48, 40))
    assert read_image(toy / "out/images/one.tif").shape == (48, 40)


def test_render_a_cohort(toy, monkeypatch, capsys):
    for number in (1, 2):
        folder = toy / "plain" / f"p{number}"
        write_toy(folder, "", 500 + 100 * number)
    write_cohort(import_cohort(toy / "plain", "plain"), toy / "cohort")
    words = ["render", toy / "cohort", toy / "out", "--views", "ap-lateral", *FAST]
    code, _, _ = drrkit(monkeypatch, capsys, *words)
    rows = read_manifest(toy / "out")
    assert code == 0
    assert {row.ct_id for row in rows.values()} == {"p1", "p2"}
    assert len(rows) == 4
    assert all(image_id.startswith(f"{row.ct_id}_") for image_id, row in rows.items())


def test_dry_run_says_what_why_and_at_what_cost_and_writes_nothing(toy, monkeypatch, capsys):
    words = ["render", toy / "in/ct.nii", toy / "out", "--views", "ap-lateral", *FAST]
    code, out, _ = drrkit(monkeypatch, capsys, *words, "--dry-run")
    assert code == 0
    assert "2" in out
    assert "new" in out
    assert "MB" in out
    assert not (toy / "out").exists()
    drrkit(monkeypatch, capsys, *words)
    _, out, _ = drrkit(monkeypatch, capsys, *words, "--dry-run", "--tissue", "full")
    assert "another tissue" in out
    _, out, _ = drrkit(monkeypatch, capsys, *words, "--dry-run")
    assert "up to date" in out


def broken_ct(toy, kind):
    """Return the CT argument and further options of one kind of bad input."""
    ct, labels = toy / "in/ct.nii", toy / "in/labels.nii"
    options = ["--views", "ap-lateral"]
    if kind == "missing":
        return toy / "gone.nii", options, "gone.nii"
    if kind == "no image":
        ct.write_text("hello")
    elif kind == "truncated":
        ct.write_bytes(ct.read_bytes()[:2000])
    elif kind == "NaN":
        image = sitk.Cast(sitk.ReadImage(str(ct)), sitk.sitkFloat32)
        image[3, 3, 3] = float("nan")
        sitk.WriteImage(image, str(ct))
    elif kind == "other grid":
        sitk.WriteImage(sitk.ReadImage(str(labels))[1:], str(labels))
        return ct, [*options, "--labels", labels, "--label-scheme", "verse"], "labels.nii"
    elif kind == "unknown scheme":
        return ct, [*options, "--labels", labels, "--label-scheme", "mine"], "mine"
    elif kind == "labels without scheme":
        return ct, [*options, "--labels", labels], "--label-scheme"
    elif kind == "vertebrae without labels":
        return ct, [*options, "--tissue", "vertebrae"], "--labels"
    elif kind == "reflected camera":
        content = json.loads((toy / "cameras.json").read_text())
        content["cameras"][0]["camera_from_world"][0] = [-x for x in content["cameras"][0]["camera_from_world"][0]]
        (toy / "cameras.json").write_text(json.dumps(content))
        return ct, ["--cameras", toy / "cameras.json"], "reflected"
    elif kind == "zero camera spacing":
        content = json.loads((toy / "cameras.json").read_text())
        content["cameras"][0]["pixel_spacing_mm"] = [0, 0]
        (toy / "cameras.json").write_text(json.dumps(content))
        return ct, ["--cameras", toy / "cameras.json"], "pixel_spacing_mm"
    elif kind == "zero spacing option":
        return ct, [*options, "--spacing", 0], "--spacing"
    elif kind == "no views":
        return ct, [], "neither"
    elif kind == "views and cameras":
        return ct, [*options, "--cameras", toy / "cameras.json"], "both"
    elif kind == "unknown view set":
        return ct, ["--views", "nice-views"], "nice-views"
    elif kind == "unknown backend":
        return ct, [*options, "--backend", "magic"], "magic"
    elif kind == "unknown tissue":
        return ct, [*options, "--tissue", "skin"], "skin"
    elif kind == "unknown machine":
        return ct, [*options, "--carm", "mine"], "mine"
    elif kind == "empty folder":
        (toy / "empty").mkdir()
        return toy / "empty", options, "empty"
    return ct, options, "ct.nii"


@pytest.mark.parametrize(
    "kind",
    [
        "missing",
        "no image",
        "truncated",
        "NaN",
        "other grid",
        "unknown scheme",
        "labels without scheme",
        "vertebrae without labels",
        "reflected camera",
        "zero camera spacing",
        "zero spacing option",
        "no views",
        "views and cameras",
        "unknown view set",
        "unknown backend",
        "unknown tissue",
        "unknown machine",
        "empty folder",
    ],
)
def test_bad_input_is_one_line_exit_code_2_and_nothing_written(toy, monkeypatch, capsys, kind):
    ct, options, words = broken_ct(toy, kind)
    code, out, err = drrkit(monkeypatch, capsys, "render", ct, toy / "out", *options)
    last = err.strip().splitlines()[-1]
    assert code == 2
    assert out == ""
    assert last.startswith("drrkit: ")
    assert words in last
    assert "found" in last
    assert "wanted" in last
    assert [path for path in (toy / "out").rglob("*") if path.is_file()] == []


def test_an_empty_cohort_is_bad_input(toy, monkeypatch, capsys):
    write_toy(toy / "plain" / "p1", "")
    table = import_cohort(toy / "plain", "plain")
    write_cohort(table, toy / "cohort")
    import pandas as pd

    pd.read_parquet(toy / "cohort/cohort.parquet").iloc[:0].to_parquet(toy / "cohort/cohort.parquet")
    code, _, err = drrkit(monkeypatch, capsys, "render", toy / "cohort", toy / "out", "--views", "ap-lateral", *FAST)
    assert (code, err.startswith("drrkit: ")) == (2, True)
    assert not (toy / "out").exists()


def test_no_write_permission_is_bad_input(toy, monkeypatch, capsys):
    # Root may write anywhere, so the refusal of the system is simulated.
    mkdir = type(toy).mkdir

    def refuse(path, *args, **kwargs):
        if path.name == "out":
            raise PermissionError(13, "Permission denied", str(path))
        return mkdir(path, *args, **kwargs)

    monkeypatch.setattr(type(toy), "mkdir", refuse)
    code, _, err = drrkit(monkeypatch, capsys, "render", toy / "in/ct.nii", toy / "out", "--views", "ap-lateral", *FAST)
    assert code == 2
    assert "no permission to write" in err.strip().splitlines()[-1]


def test_usage_errors_exit_2(monkeypatch, capsys):
    code, _, err = drrkit(monkeypatch, capsys, "render")
    assert code == 2
    assert "CT" in err


def test_a_run_killed_by_the_system_resumes(toy):
    program = [sys.executable, "-c", "from drrkit.cli import main; main()", "render", str(toy / "in/ct.nii")]
    options = ["--views", "orbit", "--backend", "siddon", "--size", "400", "400", "--tissue", "full"]
    words = [*program, str(toy / "out"), *options]
    process = subprocess.Popen(words, stderr=subprocess.DEVNULL)
    journal = toy / "out" / JOURNAL_NAME
    deadline = time.monotonic() + 120
    while not (journal.exists() and journal.read_bytes().count(b"\n") >= 8):
        assert process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = journal.read_bytes().count(b"\n")
    assert not (toy / "out/manifest.csv").exists()
    finished = subprocess.run(words, stderr=subprocess.PIPE, text=True, check=True)
    total = len(read_manifest(toy / "out"))
    assert f"{total - done} rendered, {done} up to date" in finished.stderr
    assert not journal.exists()
    assert not list((toy / "out").rglob(".partial-*"))
    subprocess.run([*program, str(toy / "fresh"), *options], stderr=subprocess.DEVNULL, check=True)
    for row in read_manifest(toy / "fresh").values():
        assert np.array_equal(read_image(toy / "out" / row.image), read_image(toy / "fresh" / row.image))
