"""CT files in and out; DICOM series have a test file of their own."""

import gzip

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from scipy.spatial.transform import Rotation

from drrkit.errors import InputError
from drrkit.io.ct import read_ct, read_ct_geometry, read_volume, write_ct, write_labels
from drrkit.volume import LEVEL_CODES, Volume

SHAPE = (7, 6, 5)
SUFFIXES = ("nii", "nii.gz", "nrrd", "mha")


def affine(mirrored: bool = False) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("xyz", [20, -35, 50], degrees=True).as_matrix() * (0.7, 0.9, 2.5)
    if mirrored:
        matrix[:3, 0] *= -1
    matrix[:3, 3] = (-101.25, 33.5, -412.75)
    return matrix


def volume(mirrored: bool = False, dtype=np.int16) -> Volume:
    rng = np.random.default_rng(1)
    hu = rng.integers(-1024, 3000, SHAPE).astype(dtype)
    if dtype == np.float32:
        hu += np.float32(0.25)
    labels = rng.choice([0, *LEVEL_CODES.values()], SHAPE).astype(np.uint8)
    return Volume(hu, affine(mirrored), labels)


def write_nifti(path, voxels, matrix=None, **fields):
    """Write NIfTI by nibabel, then overwrite header fields."""
    image = nib.Nifti1Image(voxels, np.diag([-1.0, -1.0, 1.0, 1.0]) @ (affine() if matrix is None else matrix))
    image.set_qform(image.affine, code=1)
    image.to_filename(path)
    content = bytearray(gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes())
    for name, value in fields.items():
        kind, offset = nib.Nifti1Header.template_dtype.fields[name][:2]
        content[offset : offset + kind.itemsize] = np.array(value, kind.base).tobytes()
    path.write_bytes(gzip.compress(bytes(content)) if path.suffix == ".gz" else bytes(content))
    return path


# ---- round trips ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.int16, np.float32])
@pytest.mark.parametrize("mirrored", [False, True], ids=["oblique", "left-handed"])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_round_trip(tmp_path, suffix, mirrored, dtype):
    original = volume(mirrored, dtype)
    ct, labels = tmp_path / f"ct.{suffix}", tmp_path / f"labels.{suffix}"
    write_ct(original, ct)
    write_labels(original, labels)
    read = read_volume(ct, labels, "verse")
    assert read.hu.dtype == dtype
    assert np.array_equal(read.hu, original.hu)
    assert np.array_equal(read.labels, original.labels)
    assert np.allclose(read.world_from_voxel, original.world_from_voxel, rtol=0, atol=1e-4)
    grid = read_ct_geometry(ct)
    assert grid.shape == SHAPE
    assert np.array_equal(grid.world_from_voxel, read.world_from_voxel)
    assert sorted(file.name for file in tmp_path.iterdir()) == [ct.name, labels.name]


@pytest.mark.parametrize("mirrored", [False, True], ids=["oblique", "left-handed"])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_itk_finds_each_voxel_where_we_do(tmp_path, suffix, mirrored):
    original = volume(mirrored)
    write_ct(original, tmp_path / f"ours.{suffix}")
    image = sitk.ReadImage(tmp_path / f"ours.{suffix}")
    sitk.WriteImage(image, tmp_path / f"theirs.{suffix}", useCompression=True)
    read = read_ct(str(tmp_path / f"theirs.{suffix}"))
    for voxel in [(0, 0, 0), (4, 5, 6), (1, 2, 3)]:
        assert image[voxel] == original.hu[voxel[::-1]] == read.hu[voxel[::-1]]
        for matrix in (original.world_from_voxel, read.world_from_voxel):
            world = matrix @ [*voxel, 1]
            assert np.allclose(image.TransformIndexToPhysicalPoint(voxel), world[:3], atol=1e-3)


def test_only_nii_gz_is_compressed(tmp_path):
    empty = Volume(np.full((40, 40, 40), -1000, np.int16), affine())
    for suffix in SUFFIXES:
        write_ct(empty, tmp_path / f"ct.{suffix}")
    sizes = {suffix: (tmp_path / f"ct.{suffix}").stat().st_size for suffix in SUFFIXES}
    assert sizes.pop("nii.gz") < empty.hu.nbytes / 50
    assert min(sizes.values()) > empty.hu.nbytes


def test_the_same_volume_gives_the_same_bytes(tmp_path):
    for folder in ("a", "b"):
        write_ct(volume(), tmp_path / folder / f"{folder}.nii.gz")
    assert (tmp_path / "a" / "a.nii.gz").read_bytes() == (tmp_path / "b" / "b.nii.gz").read_bytes()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch, suffix):
    path = tmp_path / f"ct.{suffix}"
    write_ct(volume(), path)
    before = path.read_bytes()

    def fail(self, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.replace", fail)
    with pytest.raises(InputError, match="no space left"):
        write_ct(volume(mirrored=True), path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_what_cannot_be_written_is_told(tmp_path, refuses):
    refuses(lambda: write_ct(volume(), tmp_path / "ct.stl"), "ct.stl", "without a known ending", ".nii.gz")
    bare = Volume(volume().hu, affine())
    refuses(lambda: write_labels(bare, tmp_path / "x.nii"), "x.nii", "a volume without labels")


# ---- voxel values --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dtype", "voxel", "read_as", "becomes"),
    [
        (np.int16, -2048, np.int16, -1024),
        (np.int32, -3024, np.int16, -1024),
        (np.float64, -2048.0, np.int16, -1024),
        (np.float32, 12.5, np.float32, 12.5),
        (np.float32, -5000.5, np.float32, -1024),
        (np.uint16, 4095, np.int16, 4095),
        (np.int8, -100, np.int16, -100),
        (np.uint16, 40000, np.float32, 40000),
        (np.dtype(">i2"), -2048, np.int16, -1024),
    ],
)
def test_values_are_clamped_and_typed(tmp_path, dtype, voxel, read_as, becomes):
    voxels = np.ones((3, 4, 5), dtype)
    voxels[2, 1, 0] = voxel
    hu = read_ct(write_nifti(tmp_path / "ct.nii", voxels)).hu
    assert hu.dtype == read_as
    assert hu[0, 1, 2] == becomes
    assert np.count_nonzero(hu == 1) == 59


def test_rescaled_nifti_values(tmp_path):
    voxels = np.arange(60, dtype=np.int16).reshape(3, 4, 5)
    whole = read_ct(write_nifti(tmp_path / "whole.nii", voxels, scl_slope=2, scl_inter=-100)).hu
    assert whole.dtype == np.int16
    assert np.array_equal(whole, voxels.T * 2 - 100)
    real = read_ct(write_nifti(tmp_path / "real.nii.gz", voxels, scl_slope=0.5)).hu
    assert real.dtype == np.float32
    assert np.array_equal(real, voxels.T * np.float32(0.5))
    unset = read_ct(write_nifti(tmp_path / "unset.nii", voxels, scl_slope=0, scl_inter=7)).hu
    assert np.array_equal(unset, voxels.T)


def test_nifti_units_and_a_fourth_axis_of_one(tmp_path):
    voxels = np.ones((3, 4, 5, 1), np.int16)
    micrometers = affine() @ np.diag([1000.0, 1000.0, 1000.0, 1.0])
    micrometers[:3, 3] *= 1000
    read = read_ct(write_nifti(tmp_path / "ct.nii", voxels, micrometers, xyzt_units=3))
    assert read.shape == (5, 4, 3)
    assert np.allclose(read.world_from_voxel, affine(), atol=1e-3)


def test_a_qform_places_a_file_without_sform(tmp_path):
    path = write_nifti(tmp_path / "ct.nii", np.ones((3, 4, 5), np.int16), sform_code=0)
    assert np.allclose(read_ct(path).world_from_voxel, affine(), atol=1e-3)


@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
def test_voxels_follow_the_header_where_no_offset_is_given(tmp_path, kind):
    voxels = np.arange(60, dtype=np.int16).reshape(3, 4, 5)
    image = kind(voxels, np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine())
    image.to_filename(tmp_path / "ct.nii")
    assert np.array_equal(read_ct(tmp_path / "ct.nii").hu, voxels.T)
    content = bytearray((tmp_path / "ct.nii").read_bytes())
    field, offset = image.header.template_dtype.fields["vox_offset"][:2]
    content[offset : offset + field.itemsize] = bytes(field.itemsize)
    (tmp_path / "ct.nii").write_bytes(content)
    assert np.array_equal(read_ct(tmp_path / "ct.nii").hu, voxels.T)


# ---- bad input -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("read", [read_ct, read_ct_geometry])
def test_a_missing_or_unknown_ct_is_told(tmp_path, refuses, read):
    refuses(lambda: read(tmp_path / "gone.nii.gz"), "gone.nii.gz", "no such file", "DICOM folder")
    (tmp_path / "ct.txt").write_text("Hounsfield")
    refuses(lambda: read(tmp_path / "ct.txt"), "ct.txt", "unknown format", ".nrrd")


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("kept", [0.0, 0.1, 0.6, 0.97])
def test_a_truncated_file_is_told(tmp_path, refuses, capfd, suffix, kept):
    path = tmp_path / f"ct.{suffix}"
    big = Volume(np.random.default_rng(2).integers(-1000, 2000, (20, 30, 40)).astype(np.int16), affine())
    write_ct(big, path)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])
    refuses(lambda: read_ct(path), path.name)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("suffix", ["nii.gz", "nrrd", "mha"])
def test_damaged_compressed_data_is_told(tmp_path, refuses, suffix):
    path = tmp_path / f"ct.{suffix}"
    voxels = np.random.default_rng(2).integers(-1000, 2000, (20, 30, 40)).astype(np.int16)
    sitk.WriteImage(sitk.GetImageFromArray(voxels), path, useCompression=True)
    assert np.array_equal(read_ct(path).hu, np.maximum(voxels, -1024))
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 40] = bytes(40)
    path.write_bytes(content)
    refuses(lambda: read_ct(path), path.name, "damaged compressed data", "intact")
    path.write_bytes(content[:400])
    refuses(lambda: read_ct(path), path.name, "whole file")


@pytest.mark.parametrize("suffix", ["nii.gz", "nrrd", "mha"])
def test_compressed_data_without_their_checksum_are_told(tmp_path, refuses, suffix):
    path = tmp_path / f"ct.{suffix}"
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((20, 30, 40), np.int16)), path, useCompression=True)
    path.write_bytes(path.read_bytes()[:-2])
    refuses(lambda: read_ct(path), path.name, "whole file")


def test_a_truncated_nifti_is_told_from_its_header_alone(tmp_path, refuses):
    path = write_nifti(tmp_path / "ct.nii", np.ones((30, 30, 30), np.int16))
    path.write_bytes(path.read_bytes()[:-1])
    refuses(lambda: read_ct_geometry(path), "ct.nii", "53999 of 54000 voxel bytes", "whole file")


def test_nan_voxels_are_counted(tmp_path, refuses):
    voxels = np.zeros((3, 4, 5), np.float32)
    voxels[0, 0, :3] = np.nan, np.inf, -np.inf
    path = write_nifti(tmp_path / "ct.nii", voxels)
    refuses(lambda: read_ct(path), "ct.nii", "3 NaN or infinite voxels", "finite Hounsfield units")


SHEARED = affine() @ np.array([[1, 0.01, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"pixdim": [1, 0.7, 0, 2, 0, 0, 0, 0]}, ["voxel spacing [0.7", "0.0", "three positive spacings"]),
        ({"pixdim": [1, np.nan, 1, 2, 0, 0, 0, 0]}, ["voxel spacing [nan", "three positive spacings"]),
        ({"srow_x": [0, 0, 0, 5], "srow_y": [0, 1, 0, 0], "srow_z": [0, 0, 1, 0]}, ["0.0, 1.0, 1.0] mm", "positive"]),
        ({"srow_x": [np.nan, 0, 0, 5]}, ["no finite 4x4 matrix"]),
        ({"sform_code": 0, "qform_code": 0}, ["neither qform nor sform", "left and right"]),
        ({"sform_code": 0, "quatern_b": 3}, ["unusable qform"]),
        ({"datatype": 128, "bitpix": 24}, ["complex or color"]),
        ({"datatype": 999}, ["data type 999"]),
        ({"magic": b"ni1"}, [".hdr/.img pair"]),
        ({"xyzt_units": 5}, ["length unit 5"]),
        ({"dim": [4, 3, 4, 5, 2, 1, 1, 1]}, ["3 x 4 x 5 x 2", "one three-dimensional volume"]),
        ({"dim": [2, 12, 5, 1, 1, 1, 1, 1]}, ["12 x 5", "one three-dimensional volume"]),
        ({"sizeof_hdr": 17}, ["no NIfTI header"]),
        ({"scl_inter": np.inf, "scl_slope": 2}, ["scl_inter inf"]),
    ],
)
def test_bad_nifti_headers_are_told(tmp_path, refuses, fields, words):
    path = write_nifti(tmp_path / "ct.nii.gz", np.ones((3, 4, 5), np.int16), **fields)
    refuses(lambda: read_ct(path), "ct.nii.gz", *words)


def test_sheared_axes_are_told(tmp_path, refuses):
    path = write_nifti(tmp_path / "ct.nii", np.ones((3, 4, 5), np.int16), SHEARED)
    refuses(lambda: read_ct(path), "ct.nii", "axes off a right angle by 0.0078", "orthogonal axes")


@pytest.mark.parametrize(
    ("suffix", "old", "new", "words"),
    [
        ("mha", "ElementSpacing = 0.5", "ElementSpacing = 0", ["voxel spacing [0.0, 0.75, 2.0] mm", "positive"]),
        ("mha", "ElementSpacing", "Spacing", ["no ElementSpacing"]),
        ("mha", "ElementDataFile = LOCAL", "ElementDataFile = voxels.raw", ["voxels in another file", "one .mha"]),
        ("mha", "TransformMatrix = 1 0 0", "TransformMatrix = 0 0 0", ["voxel spacing [0.0", "positive spacings"]),
        ("mha", "TransformMatrix = 1 0 0", "TransformMatrix = 1 1 0", ["axes off a right angle"]),
        ("mha", "DimSize = 5 4 3", "DimSize = 5 4 9", ["120 of 360 voxel bytes", "whole file"]),
        (
            "mha",
            "ElementType = MET_SHORT",
            "ElementType = MET_SHORT\nElementNumberOfChannels = 3",
            ["3 values a voxel"],
        ),
        ("mha", "ObjectType = Image", "Hounsfield", ["no MetaImage header"]),
        ("nrrd", "(0.5,0,0)", "(0,0,0)", ["voxel spacing [0.0, 0.75, 2.0] mm", "three positive"]),
        ("nrrd", "space directions: (0.5,0,0)", "spacings: (0.5,0,0)", ["space directions None", "patient frame"]),
        ("nrrd", "left-posterior-superior", "scanner-xyz", ["space 'scanner-xyz'", "patient frame"]),
        ("nrrd", "encoding: raw", "encoding: hex", ["encoding 'hex'", "raw or gzip"]),
        ("nrrd", "encoding: raw", "encoding: raw\ndata file: voxels.raw", ["voxels in another file", "one .nrrd"]),
        ("nrrd", "sizes: 5 4 3", "sizes: 5 4 9", ["120 of 360 voxel bytes", "whole file"]),
        ("nrrd", "NRRD0004", "NRDR0004", ["no NRRD header"]),
    ],
)
def test_bad_nrrd_and_mha_headers_are_told(tmp_path, refuses, suffix, old, new, words):
    path = tmp_path / f"ct.{suffix}"
    write_ct(Volume(np.ones((3, 4, 5), np.int16), np.diag([0.5, 0.75, 2, 1])), path)
    content = path.read_bytes()
    assert old.encode() in content
    path.write_bytes(content.replace(old.encode(), new.encode()))
    refuses(lambda: read_ct(path), path.name, *words)


def test_nrrd_in_ras_is_turned_to_lps(tmp_path):
    path = tmp_path / "ct.nrrd"
    write_ct(volume(), path)
    path.write_bytes(path.read_bytes().replace(b"left-posterior-superior", b"right-anterior-superior"))
    assert np.allclose(read_ct(path).world_from_voxel, np.diag([-1, -1, 1, 1]) @ affine())


def test_labels_and_their_scheme_come_together(tmp_path, refuses):
    write_ct(volume(), tmp_path / "ct.nii")
    write_labels(volume(), tmp_path / "labels.nii")
    refuses(lambda: read_volume(tmp_path / "ct.nii", tmp_path / "labels.nii"), "labels.nii", "label scheme None")
    refuses(lambda: read_volume(tmp_path / "ct.nii", None, "verse"), "ct.nii", "without labels", "both, or neither")
