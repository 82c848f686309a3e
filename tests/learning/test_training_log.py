"""Curves and pictures go on where a killed run stopped, as if it had not been killed."""

import json

import numpy as np
import pytest
from PIL import Image

from drrkit.learning.training_log import training_log


def picture(step):
    return np.full((4, 6), step, np.uint8)


def write(folder, first, steps):
    with training_log(folder, first) as log:
        for step in steps:
            log.write_row(step, {"loss": 1 / step, "score/f1": float(step)})
            if step % 2 == 0:
                log.write_image(step, "validation", picture(step))


def files(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def rows(folder, name):
    lines = (folder / "plots" / "metrics" / f"{name}.tsv").read_text().splitlines()
    return [(int(step), float(value)) for step, value in (line.split("\t") for line in lines[1:])]


def test_rows_and_pictures_lie_where_they_should(tmp_path):
    write(tmp_path, 0, range(1, 5))
    assert rows(tmp_path, "loss") == [(step, pytest.approx(1 / step)) for step in range(1, 5)]
    assert json.loads((tmp_path / "metrics.json").read_text()) == {"loss": 0.25, "score": {"f1": 4.0}, "step": 4}
    assert files(tmp_path) == {
        "metrics.json",
        "plots/metrics/loss.tsv",
        "plots/metrics/score/f1.tsv",
        "plots/images/validation/2.png",
        "plots/images/validation/4.png",
    }
    assert np.array_equal(np.asarray(Image.open(tmp_path / "plots/images/validation/4.png")), picture(4))


def test_a_killed_run_goes_on_to_the_same_files(tmp_path):
    write(tmp_path / "straight", 0, range(1, 9))
    # Its state is of step 3, and it was killed after step 6.
    write(tmp_path / "killed", 0, range(1, 7))
    write(tmp_path / "killed", 3, [])
    assert rows(tmp_path / "killed", "loss")[-1][0] == 3
    assert "plots/images/validation/4.png" not in files(tmp_path / "killed")
    assert "plots/images/validation/2.png" in files(tmp_path / "killed")
    write(tmp_path / "killed", 3, range(4, 9))
    assert files(tmp_path / "killed") == files(tmp_path / "straight")
    for name in files(tmp_path / "straight"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "straight" / name).read_bytes()


def test_a_run_from_the_start_forgets_what_was_there(tmp_path):
    write(tmp_path, 0, range(1, 5))
    write(tmp_path, 0, [1])
    assert rows(tmp_path, "loss") == [(1, 1.0)]
    assert not [name for name in files(tmp_path) if name.endswith(".png")]


def test_a_file_of_a_picture_is_copied(tmp_path):
    Image.fromarray(np.zeros((4, 6, 3), np.uint8)).save(tmp_path / "grid.png")
    with training_log(tmp_path / "log", 0) as log:
        log.write_image(5, "grid", tmp_path / "grid.png")
    assert Image.open(tmp_path / "log/plots/images/grid/5.png").size == (6, 4)
