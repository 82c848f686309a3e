import nibabel as nib
import numpy as np
import pytest

from drrkit.io.ct import read_volume, write_ct, write_labels
from drrkit.io.labels import LABEL_SCHEMES, read_labels
from drrkit.volume import LEVEL_CODES, LUMBAR_LEVELS, Volume

AFFINE = np.array([[0.0, 0.7, 0, -100], [0, 0, 0.7, -50], [2.0, 0, 0, 300], [0, 0, 0, 1]])
SHAPE = (4, 5, 60)
CT = Volume(np.zeros(SHAPE, np.int16), AFFINE)


def write_map(path, voxels, affine=AFFINE):
    path.parent.mkdir(exist_ok=True)
    nib.Nifti1Image(voxels.transpose(2, 1, 0), np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine).to_filename(path)
    return path


def every_number(dtype=np.uint8, top=60):
    """Write number n into the voxels with x = n."""
    return np.broadcast_to(np.where(np.arange(60) < top, np.arange(60), 0), SHAPE).astype(dtype)


# What the data sets say, written out by hand: README of VerSe 2020, class maps of TotalSegmentator.
L1_TO_L5 = {
    "verse": (20, 21, 22, 23, 24),
    "ctspine1k": (20, 21, 22, 23, 24),
    "totalsegmentator": (31, 30, 29, 28, 27),
    "totalsegmentator_v1": (22, 21, 20, 19, 18),
}
OTHERS = {
    "verse": {1: "C1", 7: "C7", 8: "T1", 19: "T12", 25: "L6", 26: "sacrum", 27: "coccyx", 28: "T13"},
    "ctspine1k": {1: "C1", 7: "C7", 8: "T1", 19: "T12", 25: "L6", 26: "sacrum", 28: "T13"},
    "totalsegmentator": {25: "sacrum", 26: "sacrum", 32: "T12", 43: "T1", 44: "C7", 50: "C1"},
    "totalsegmentator_v1": {23: "T12", 34: "T1", 35: "C7", 41: "C1"},
}


@pytest.mark.parametrize("scheme", LABEL_SCHEMES)
def test_numbers_become_levels_by_name(tmp_path, scheme):
    voxels = every_number(top=29 if scheme in ("verse", "ctspine1k") else 60)
    labels = read_labels(write_map(tmp_path / "labels.nii.gz", voxels), scheme, CT)
    assert labels.dtype == np.uint8
    assert labels.shape == SHAPE
    expected = dict(zip(L1_TO_L5[scheme], LUMBAR_LEVELS, strict=True)) | OTHERS[scheme]
    for number, level in expected.items():
        assert (labels[..., number] == LEVEL_CODES[level]).all(), (number, level)
    assert not labels[..., 0].any()
    assert set(np.unique(labels)) == {
        0,
        *(LEVEL_CODES[level] for level in LABEL_SCHEMES[scheme].levels.values()),
    } & set(np.unique(labels))


def test_other_anatomy_of_totalsegmentator_is_left_out(tmp_path):
    voxels = every_number(np.int16)
    voxels[..., 59] = 117
    labels = read_labels(write_map(tmp_path / "labels.nii", voxels), "totalsegmentator", CT)
    assert not labels[..., :25].any()
    assert not labels[..., 51:].any()
    assert labels[..., 25:51].all()


def test_float_label_files_are_read_when_whole(tmp_path, refuses):
    voxels = every_number(np.float64, top=29)
    path = write_map(tmp_path / "labels.nii", voxels)
    assert np.array_equal(read_labels(path, "verse", CT), every_number(top=29))
    for bad in (20.5, np.nan):
        voxels[0, 0, 0] = bad
        write_map(path, voxels)
        refuses(lambda: read_labels(path, "verse", CT), "labels.nii", "not whole", "whole numbers")


@pytest.mark.parametrize("scheme", ["totalsegmentator", "totalsegmentator_v1"])
def test_a_folder_of_totalsegmentator_is_one_label_map(tmp_path, scheme):
    numbers = every_number()
    names = {"vertebrae_L1": 1, "vertebrae_L5": 2, "vertebrae_T12": 3, "vertebrae_S1": 4, "sacrum": 5, "rib_left_1": 6}
    for name, number in names.items():
        # S1 is part of the sacrum, so these two may share voxels.
        mask = (numbers == number) | ((numbers == 4) & (number == 5))
        write_map(tmp_path / "case" / f"{name}.nii.gz", mask.astype(np.uint8))
    labels = read_labels(tmp_path / "case", scheme, CT)
    expected = {1: "L1", 2: "L5", 3: "T12", 4: "sacrum", 5: "sacrum"}
    for number in range(60):
        assert (labels[..., number] == (LEVEL_CODES[expected[number]] if number in expected else 0)).all()


def test_bad_folders_are_told(tmp_path, refuses):
    (tmp_path / "case").mkdir()
    refuses(lambda: read_labels(tmp_path / "case", "totalsegmentator", CT), "case", "no vertebrae_*.nii.gz")
    write_map(tmp_path / "case" / "vertebrae_L1.nii.gz", (every_number() == 1).astype(np.uint8))
    write_map(tmp_path / "case" / "vertebrae_L2.nii.gz", (every_number() <= 1).astype(np.uint8))
    refuses(lambda: read_labels(tmp_path / "case", "totalsegmentator", CT), "vertebrae_L2.nii.gz", "20 voxels")
    refuses(lambda: read_labels(tmp_path / "case", "verse", CT), "case", "a folder", "one label file")


def test_an_unknown_scheme_is_told(tmp_path, refuses):
    path = write_map(tmp_path / "labels.nii", every_number(top=29))
    refuses(
        lambda: read_labels(path, "vertebrae", CT),
        *("labels.nii", "'vertebrae'", "verse, ctspine1k, totalsegmentator, totalsegmentator_v1"),
    )


@pytest.mark.parametrize("scheme", ["verse", "ctspine1k"])
def test_numbers_outside_the_scheme_are_told(tmp_path, refuses, scheme):
    voxels = every_number(np.int16, top=29)
    voxels[0, 0, :2] = 31, 300
    path = write_map(tmp_path / "labels.nii", voxels)
    refuses(lambda: read_labels(path, scheme, CT), "labels.nii", f"labels 31, 300 that {scheme}", "another scheme?")
    voxels[0, 0, 0] = -1
    write_map(path, voxels)
    refuses(lambda: read_labels(path, scheme, CT), "labels.nii", "labels from -1 to 300")


MOVED = AFFINE + np.array([[0, 0, 0, 1.5], [0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]])
FLIPPED = AFFINE @ np.diag([-1, 1, 1, 1])


@pytest.mark.parametrize(
    ("shape", "affine", "found"),
    [
        ((4, 5, 30), AFFINE, "30 x 5 x 4 voxels of 2 x 0.7 x 0.7 mm"),
        (SHAPE, MOVED, "first voxel at (-98.50, -50.00, 300.00)"),
        (SHAPE, AFFINE @ np.diag([1.01, 1, 1, 1]), "voxels of 2.02 x 0.7 x 0.7 mm"),
        (SHAPE, FLIPPED, "axes ILP"),
    ],
)
def test_labels_on_another_grid_are_told_with_both_grids(tmp_path, refuses, shape, affine, found):
    path = write_map(tmp_path / "labels.nii", np.zeros(shape, np.uint8), affine)
    wanted = "60 x 5 x 4 voxels of 2 x 0.7 x 0.7 mm, axes SLP, first voxel at (-100.00, -50.00, 300.00) mm"
    refuses(lambda: read_labels(path, "verse", CT), "labels.nii", "another grid", found, wanted, "resample")


def test_a_grid_that_is_off_by_rounding_is_the_same(tmp_path):
    shifted = AFFINE + 1e-4 * np.eye(4, k=3)
    path = write_map(tmp_path / "labels.nii", every_number(top=29), shifted)
    assert np.array_equal(read_labels(path, "verse", CT), every_number(top=29))


@pytest.mark.parametrize("suffix", ["nii.gz", "nrrd", "mha"])
def test_all_levels_survive_a_round_trip(tmp_path, suffix):
    labelled = CT.with_labels(every_number(top=29))
    write_ct(labelled, tmp_path / f"ct.{suffix}")
    write_labels(labelled, tmp_path / f"labels.{suffix}")
    read = read_volume(tmp_path / f"ct.{suffix}", tmp_path / f"labels.{suffix}", "verse")
    assert read.levels == labelled.levels
    assert len(read.levels) == len(LEVEL_CODES)
    assert np.array_equal(read.labels, labelled.labels)
