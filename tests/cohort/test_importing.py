"""From files to the table: sizes, levels and hashes are those of the files."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from drrkit.cohort import import_cohort, read_cohort, write_cohort
from drrkit.cohort.files import voxels_sha256
from drrkit.errors import InputError
from drrkit.io.ct import read_ct, write_ct, write_labels
from drrkit.io.store import content_sha256
from drrkit.volume import LEVEL_CODES, Volume
from spines import SPINE


def test_the_table_says_what_the_files_hold(root, spine):
    table = import_cohort(root)
    assert list(table.ct_id) == ["d1-first", "d1-second", "d2", "d3"]
    assert list(table.donor_id) == ["d1", "d1", "d2", "d3"]
    assert list(table.levels) == [list(SPINE)] * 3 + [[]]
    assert set(table.layout) == {"plain"}
    for row in table.itertuples():
        assert tuple(row.shape) == spine.shape
        assert row.spacing_mm == [4.5] * 3
        assert row.ct_sha256 == content_sha256(Path(row.ct_path))
        assert row.labels_sha256 == (content_sha256(Path(row.labels_path)) if row.labels_path else "")
    assert table.voxels_sha256.is_unique


def test_one_ct_in_two_formats_has_one_voxel_hash(root, tmp_path):
    volume = read_ct(root / "d2/ct.nii")
    write_ct(volume, root / "e/ct.nrrd")
    write_ct(volume, root / "f/ct.nii.gz")
    as_float = sitk.Cast(sitk.ReadImage(str(root / "d2/ct.nii")), sitk.sitkFloat32)
    (root / "g").mkdir()
    sitk.WriteImage(as_float, str(root / "g/ct.mha"))
    table = import_cohort(root).set_index("ct_id")
    assert table.loc[["d2", "e", "f", "g"], "voxels_sha256"].nunique() == 1
    assert table.loc[["d2", "e", "f", "g"], "ct_sha256"].nunique() == 4


def test_rescaled_cts_hash_like_their_rounded_values(spine):
    rescaled = Volume(spine.hu + np.float32(0.3), spine.world_from_voxel)
    assert voxels_sha256(rescaled) == voxels_sha256(spine)
    other = spine.hu.copy()
    other[0, 0, 0] += 1
    assert voxels_sha256(Volume(other, spine.world_from_voxel)) != voxels_sha256(spine)


def test_totalsegmentator_folders_are_read_by_structure(tmp_path, spine):
    subject = tmp_path / "s0011"
    write_ct(spine, subject / "ct.nii.gz")
    for level in ("L1", "L2"):
        mask = (spine.labels == LEVEL_CODES[level]).astype(np.uint8)
        write_labels(spine.with_labels(mask), subject / f"segmentations/vertebrae_{level}.nii.gz")
    (row,) = import_cohort(tmp_path).itertuples()
    assert (row.layout, row.label_scheme, row.levels) == ("totalsegmentator", "totalsegmentator", ["L1", "L2"])
    write_cohort(import_cohort(tmp_path), tmp_path / "cohort")
    assert read_cohort(tmp_path / "cohort").labels_path[0] == "../s0011/segmentations"


def test_labels_on_another_grid_are_imported_for_the_linter(root, spine):
    write_labels(type(spine)(spine.hu[1:], spine.world_from_voxel, spine.labels[1:]), root / "d2/labels.nii")
    assert list(import_cohort(root).set_index("ct_id").levels["d2"]) == list(SPINE)


def test_all_faults_are_named_at_once(root):
    (root / "d2/ct.nii").write_text("hello")
    (root / "d1/first/labels.nii").write_bytes((root / "d1/first/labels.nii").read_bytes()[:900])
    with pytest.raises(InputError) as caught:
        import_cohort(root)
    message = str(caught.value)
    assert "2 of 4 CTs" in message
    assert "d2/ct.nii" in message
    assert "first/labels.nii" in message
    assert "--skip-unreadable" in message


def test_what_cannot_be_read_is_left_out_on_request(root):
    (root / "d2/ct.nii").write_text("hello")
    notes = []
    table = import_cohort(root, skip_unreadable=True, on_note=notes.append)
    assert list(table.ct_id) == ["d1-first", "d1-second", "d3"]
    assert any(note.startswith("left out") and "d2/ct.nii" in note for note in notes)
    for path in root.rglob("ct.nii"):
        path.write_text("hello")
    with pytest.raises(InputError, match="4 of 4"):
        import_cohort(root, skip_unreadable=True)


def test_numbers_that_the_scheme_lacks_are_a_fault(root):
    image = sitk.ReadImage(str(root / "d2/labels.nii"))
    sitk.WriteImage(image + 30, str(root / "d2/labels.nii"))
    with pytest.raises(InputError, match="is it another scheme"):
        import_cohort(root)


def test_progress_and_workers(root):
    steps = []
    two = import_cohort(root, workers=2, on_scan=lambda done, total: steps.append((done, total)))
    assert steps == [(done, 4) for done in range(5)]
    assert two.to_dict("records") == import_cohort(root).to_dict("records")
