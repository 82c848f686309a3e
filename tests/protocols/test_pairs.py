from dataclasses import replace

import pytest

from drrkit.errors import InputError
from protocols.pairs import PairRow, read_pairs, training_pairs, write_pairs

ROW = PairRow(
    pair_id="torso-1/shot-01",
    acquisition_id="torso-1",
    exposure_id="shot-01",
    donor_id="donor-1",
    simulated=True,
    status="pass",
    reason="",
    rating="",
    target_error_mm=0.21,
    rms_px=None,
    open_field=3650.5,
    open_field_from="image",
    boxes={"L1": (1, 2, 30, 40), "L5": None},
    visibility={"L1": 1.0, "L5": 0.0},
    images_sha256={"real": "a", "drr_bone": "b"},
    field_sha256="f",
    masks_sha256={"L1": "c"},
    identity_sha256="d",
)


def test_rows_come_back_as_they_were_written(tmp_path):
    rows = [ROW, replace(ROW, exposure_id="shot-02", reason='a "word", and more', simulated=False)]
    write_pairs(tmp_path, rows)
    assert read_pairs(tmp_path) == rows
    assert read_pairs(tmp_path / "nowhere") == []


def test_files_of_a_pair():
    assert ROW.files == ["real/shot-01.tif", "drr_bone/shot-01.tif", "fields/shot-01.png", "masks/shot-01_L1.png"]


@pytest.mark.parametrize(
    ("status", "rating", "may_train"),
    [
        ("pass", "", True),
        ("pass", "accept", True),
        ("pass", "doubt", True),
        ("pass", "reject", False),
        ("warn", "", False),
        ("warn", "doubt", False),
        ("warn", "accept", True),
        ("warn", "reject", False),
        ("fail", "accept", False),
    ],
)
def test_who_may_train(status, rating, may_train, tmp_path):
    row = ROW.judged(status, "looked at", rating)
    assert row.may_train == may_train
    write_pairs(tmp_path, [row])
    assert training_pairs(tmp_path) == ([row] if may_train else [])


def test_unreadable_manifests_are_refused(tmp_path):
    with pytest.raises(InputError, match="no pairs"):
        training_pairs(tmp_path)
    write_pairs(tmp_path, [ROW])
    path = tmp_path / "manifest.csv"
    path.write_text(path.read_text().replace("rms_px", "rms"))
    with pytest.raises(InputError, match="line 2"):
        read_pairs(tmp_path)
