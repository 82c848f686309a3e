"""The table: what it refuses, where its paths lead, and what a move of the folder does to them."""

from pathlib import Path

import pandas as pd
import pytest

from drrkit.cohort.table import (
    COLUMNS,
    check_table,
    is_cohort,
    join_cohorts,
    portable_path,
    read_absolute,
    read_cohort,
    resolve,
    write_cohort,
)
from drrkit.errors import InputError


def row(ct_id="ct1", **changes):
    return {
        "ct_id": ct_id,
        "donor_id": "d1",
        "ct_path": "/data/ct1.nii.gz",
        "labels_path": "/data/ct1_labels.nii.gz",
        "label_scheme": "verse",
        "levels": ["L1", "L2"],
        "shape": [100, 512, 512],
        "spacing_mm": [0.7, 0.7, 2.5],
        "ct_sha256": "a" * 64,
        "labels_sha256": "b" * 64,
        "voxels_sha256": "c" * 64,
        "layout": "plain",
    } | changes


def bare(ct_id="ct1", **changes):
    return row(ct_id, labels_path="", label_scheme="", labels_sha256="", levels=[]) | changes


def table(*rows):
    return pd.DataFrame(list(rows))


def test_a_written_table_is_read_back(tmp_path):
    written = table(row(), bare("ct2"), bare("ct3", donor_id="Müller, A."))
    write_cohort(written, tmp_path / "cohort")
    assert is_cohort(tmp_path / "cohort")
    assert not is_cohort(tmp_path)
    back = read_cohort(tmp_path / "cohort")
    assert list(back.columns) == list(COLUMNS)
    assert back.to_dict("records") == written[list(COLUMNS)].to_dict("records")


def test_the_csv_is_for_people(tmp_path):
    write_cohort(table(row()), tmp_path)
    lines = (tmp_path / "cohort.csv").read_text().splitlines()
    assert lines[0] == ",".join(COLUMNS)
    assert "L1 L2,100 512 512,0.7 0.7 2.5" in lines[1]


def test_data_beside_the_cohort_moves_with_it(tmp_path):
    (tmp_path / "study/scans").mkdir(parents=True)
    ct, inside = tmp_path / "study/scans/ct.nii", tmp_path / "study/cohort/own.nii"
    write_cohort(table(bare("a", ct_path=str(ct)), bare("b", ct_path=str(inside))), tmp_path / "study/cohort")
    assert list(read_cohort(tmp_path / "study/cohort").ct_path) == ["../scans/ct.nii", "own.nii"]
    (tmp_path / "study").rename(tmp_path / "moved")
    moved = tmp_path / "moved/cohort"
    assert [resolve(moved, path) for path in read_cohort(moved).ct_path] == [
        tmp_path / "moved/scans/ct.nii",
        tmp_path / "moved/cohort/own.nii",
    ]


def test_a_cohort_far_from_its_data_moves_alone(tmp_path):
    ct = tmp_path / "archive/ct.nii"
    write_cohort(table(bare(ct_path=str(ct))), tmp_path / "home/me/cohort")
    (tmp_path / "home/me/cohort").rename(tmp_path / "cohort")
    (path,) = read_cohort(tmp_path / "cohort").ct_path
    assert resolve(tmp_path / "cohort", path) == ct


def test_a_cohort_at_the_top_of_a_disk_is_beside_nothing():
    assert portable_path(Path("/cohort"), "/data/ct.nii") == "/data/ct.nii"
    assert portable_path(Path("/lab/cohort"), "/lab/data/ct.nii") == "../data/ct.nii"


def test_writing_what_was_read_changes_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = Path("cohort")
    write_cohort(table(row(ct_path=str(tmp_path / "x/ct.nii"))), folder)
    first = read_cohort(folder)
    write_cohort(first, folder)
    pd.testing.assert_frame_equal(read_cohort(folder), first)
    write_cohort(read_absolute(folder), folder)
    pd.testing.assert_frame_equal(read_cohort(folder), first)


def test_joined_tables_need_names_of_their_own():
    joined = join_cohorts(table(row("a")), table(bare("b")))
    assert list(joined.ct_id) == ["a", "b"]
    with pytest.raises(InputError, match="ct_id"):
        join_cohorts(table(row("a")), table(bare("a")))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"ct_id": "../up"}, "ct_id.*up"),
        ({"ct_id": "a/b"}, "ct_id"),
        ({"ct_id": ".hidden"}, "ct_id"),
        ({"donor_id": " "}, "donor_id"),
        ({"ct_path": ""}, "ct_path"),
        ({"label_scheme": "mine"}, "label_scheme.*mine"),
        ({"label_scheme": ""}, "together"),
        ({"labels_sha256": ""}, "together"),
        ({"levels": ["L9"]}, "levels"),
        ({"levels": 3}, "levels"),
        ({"shape": [1, 2]}, "shape"),
        ({"shape": [0, 5, 5]}, "shape"),
        ({"spacing_mm": [1, -1, 1]}, "spacing_mm"),
        ({"ct_sha256": "abc"}, "ct_sha256"),
        ({"voxels_sha256": None}, "voxels_sha256"),
        ({"donor_id": None}, "donor_id"),
    ],
)
def test_rows_that_the_schema_refuses(changes, words):
    with pytest.raises(InputError, match=words) as caught:
        check_table(table(row("fine"), row() | changes), "table")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (table(row()).iloc[:0], "an empty cohort"),
        (pd.DataFrame(), "an empty cohort"),
        (table(row()).drop(columns=["levels", "shape"]), "no column levels, shape"),
        (table(row("a"), row("a")), "ct_id"),
    ],
)
def test_tables_that_are_refused_before_anything_is_written(tmp_path, broken, words):
    with pytest.raises(InputError, match=words):
        write_cohort(broken, tmp_path / "cohort")
    assert not (tmp_path / "cohort").exists()


def test_folders_without_a_readable_table(tmp_path):
    with pytest.raises(InputError, match=r"no cohort\.parquet"):
        read_cohort(tmp_path)
    (tmp_path / "cohort.parquet").write_text("hello")
    with pytest.raises(InputError, match="no readable table"):
        read_cohort(tmp_path)
    table(row()).iloc[:0].to_parquet(tmp_path / "cohort.parquet")
    with pytest.raises(InputError, match="an empty cohort"):
        read_cohort(tmp_path)


def test_a_failed_write_leaves_the_old_table(tmp_path, monkeypatch):
    write_cohort(table(row()), tmp_path)

    def fail(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pd.DataFrame, "to_csv", fail)
    with pytest.raises(InputError, match="no space"):
        write_cohort(table(row("new")), tmp_path)
    assert list(read_cohort(tmp_path).ct_id) == ["ct1"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cohort.csv", "cohort.parquet"]
