from dataclasses import replace

import pytest

from drrkit.errors import InputError
from drrkit.io import manifest

ROW = manifest.ManifestRow(
    id="ct_ap",
    ct_id="ct",
    donor_id="",
    image="images/ct_ap.tif",
    camera="ct_ap",
    tissue="bone",
    bone_threshold_hu=150.0,
    energy_kev=70.0,
    backend="siddon",
    boxes={"L1": (1, 2, 3, 4), "L2": None},
    visibility={"L1": 0.5, "L2": 0.0},
    image_sha256="aa",
    masks_sha256={"L1": "bb"},
    ct_sha256="cc",
    labels_sha256="",
    view_sha256="dd",
    renderer="drrkit-render/1",
)


def test_manifest_round_trip(tmp_path):
    other = replace(ROW, id="ct_lat", boxes={}, visibility={}, masks_sha256={})
    manifest.write_manifest(tmp_path, [ROW, other])
    assert manifest.read_manifest(tmp_path) == {"ct_ap": ROW, "ct_lat": other}


def test_manifest_opens_in_pandas(tmp_path):
    import pandas as pd

    manifest.write_manifest(tmp_path, [ROW])
    table = pd.read_csv(tmp_path / "manifest.csv")
    assert list(table["id"]) == ["ct_ap"]
    assert {"image", "camera", "boxes", "backend", "tissue", "image_sha256"} <= set(table.columns)


def test_files_of_a_row():
    assert ROW.files == ["images/ct_ap.tif", "masks/ct_ap_L1.png"]


def test_journal_drops_the_line_that_a_kill_cut_off(tmp_path):
    camera = {"id": "ct_ap", "height": 2}
    manifest.append_journal(tmp_path, [(ROW, camera)])
    manifest.append_journal(tmp_path, [(replace(ROW, id="b"), camera)])
    path = tmp_path / manifest.JOURNAL_NAME
    path.write_bytes(path.read_bytes()[:-30])
    assert manifest.read_journal(tmp_path) == [(ROW, camera)]
    manifest.trim_journal(tmp_path)
    manifest.append_journal(tmp_path, [(replace(ROW, id="c"), camera)])
    assert [row.id for row, _ in manifest.read_journal(tmp_path)] == ["ct_ap", "c"]
    manifest.remove_journal(tmp_path)
    assert manifest.read_journal(tmp_path) == []


def test_an_unreadable_manifest_is_told(tmp_path):
    (tmp_path / "manifest.csv").write_text("id,image\nx,y\n")
    with pytest.raises(InputError, match=r"manifest\.csv"):
        manifest.read_manifest(tmp_path)
