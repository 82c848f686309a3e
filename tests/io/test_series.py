import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.dataset import Dataset
from scipy.spatial.transform import Rotation

from drrkit.io.ct import read_ct, read_ct_geometry

COUNT, ROWS, COLUMNS = 6, 36, 40
ROW_MM, COLUMN_MM, STEP_MM = 0.9, 0.7, 2.5
ORIGIN = np.array([-11.0, 22.0, -333.0])
UPRIGHT = np.eye(3)
OBLIQUE = Rotation.from_euler("xyz", [12, -25, 40], degrees=True).as_matrix()


def values() -> np.ndarray:
    return np.random.default_rng(3).integers(-900, 1500, (COUNT, ROWS, COLUMNS)).astype(np.int16)


@pytest.fixture
def write_series(tmp_path, make_image, save_dicom):
    """Write a series whose columns run along axes[:, 0], rows along axes[:, 1] and slices along axes[:, 2]."""

    def write(axes=UPRIGHT, edit=lambda index, dataset: None, order=range(COUNT), hu=None, slope=1):
        for name, index in enumerate(order):
            hounsfield = (values() if hu is None else hu)[index].astype(int)
            dataset = make_image(((hounsfield + 1024) // slope).astype(np.uint16), "CT")
            dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
            dataset.SeriesDescription = "bone"
            dataset.PixelSpacing = [ROW_MM, COLUMN_MM]
            dataset.ImageOrientationPatient = [*axes[:, 0], *axes[:, 1]]
            dataset.ImagePositionPatient = [f"{mm:.6f}" for mm in ORIGIN + index * STEP_MM * axes[:, 2]]
            dataset.RescaleSlope, dataset.RescaleIntercept = slope, -1024
            edit(index, dataset)
            save_dicom(dataset, tmp_path / "ct" / f"{name}.dcm")
        return tmp_path / "ct"

    return write


@pytest.mark.parametrize("axes", [UPRIGHT, OBLIQUE], ids=["upright", "oblique"])
def test_a_shuffled_series_becomes_a_placed_volume(write_series, axes):
    volume = read_ct(write_series(axes, order=(3, 0, 5, 1, 4, 2)))
    assert volume.hu.dtype == np.int16
    assert np.array_equal(volume.hu, values())
    expected = np.column_stack([axes[:, 0] * COLUMN_MM, axes[:, 1] * ROW_MM, axes[:, 2] * STEP_MM, ORIGIN])
    assert np.allclose(volume.world_from_voxel[:3], expected, atol=1e-5)
    assert volume.labels is None


def test_a_series_agrees_with_itk(write_series):
    folder = write_series(OBLIQUE)
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    image = reader.Execute()
    volume = read_ct(folder)
    assert np.array_equal(sitk.GetArrayFromImage(image), volume.hu)
    for voxel in [(0, 0, 0), (3, 4, 5), (1, 2, 3)]:
        ours = volume.world_from_voxel @ [*voxel, 1]
        assert np.allclose(image.TransformIndexToPhysicalPoint(voxel), ours[:3], atol=1e-4)


def test_slices_stacked_against_the_normal_are_turned_around(write_series):
    downward = UPRIGHT * [1, 1, -1]
    volume = read_ct(write_series(downward))
    assert np.array_equal(volume.hu, values()[::-1])
    assert np.linalg.det(volume.world_from_voxel[:3, :3]) > 0
    assert np.allclose(volume.world_from_voxel[:3, 3], ORIGIN - [0, 0, (COUNT - 1) * STEP_MM])


def test_the_geometry_comes_from_headers_only(write_series):
    def drop_pixels(index, dataset):
        del dataset.PixelData

    grid = read_ct_geometry(write_series(OBLIQUE, drop_pixels))
    assert grid.shape == (COUNT, ROWS, COLUMNS)
    assert np.allclose(grid.spacing_mm, (COLUMN_MM, ROW_MM, STEP_MM), atol=1e-5)


def test_padding_is_air_and_each_slice_has_its_own_rescaling(write_series):
    def edit(index, dataset):
        pixels = np.frombuffer(dataset.PixelData, np.uint16).astype(np.int16)
        if index == 2:
            pixels, dataset.RescaleIntercept = pixels - 500, -524
        pixels[0] = -2048 - int(dataset.RescaleIntercept)
        dataset.PixelData, dataset.PixelRepresentation = pixels.tobytes(), 1

    expected = values()
    expected[:, 0, 0] = -1024
    assert np.array_equal(read_ct(write_series(edit=edit)).hu, expected)


def test_a_fractional_slope_gives_float_voxels(write_series):
    def edit(index, dataset):
        dataset.RescaleSlope = 0.5

    volume = read_ct(write_series(edit=edit))
    assert volume.hu.dtype == np.float32
    assert np.allclose(volume.hu, np.maximum((values() + 1024.0) / 2 - 1024, -1024))


@pytest.mark.parametrize("compressor", ["JPEG", "JPEG2000"])
def test_compressed_slices_are_unpacked_before_rescaling(tmp_path, write_series, compressor):
    folder = write_series()
    for file in folder.iterdir():
        dataset = pydicom.dcmread(file)
        packed = tmp_path / "packed.dcm"
        writer = sitk.ImageFileWriter()
        writer.SetFileName(packed)
        writer.SetUseCompression(True)
        writer.SetCompressor(compressor)
        writer.Execute(sitk.GetImageFromArray(dataset.pixel_array[None]))
        source = pydicom.dcmread(packed)
        dataset.PixelData, dataset["PixelData"].is_undefined_length = source.PixelData, True
        dataset.file_meta.TransferSyntaxUID = source.file_meta.TransferSyntaxUID
        assert dataset.file_meta.TransferSyntaxUID.is_compressed
        dataset.save_as(file)
    assert np.array_equal(read_ct(folder).hu, values())


def test_an_enhanced_file_is_one_series(tmp_path, make_image, save_dicom):
    def item(keyword, **attributes):
        group, inner = Dataset(), Dataset()
        for name, content in attributes.items():
            setattr(inner, name, content)
        setattr(group, keyword, [inner])
        return group

    order = [4, 2, 0, 1, 3, 5]
    dataset = make_image((values()[order].astype(int) + 1024).astype(np.uint16), "CT")
    shared = item("PixelMeasuresSequence", PixelSpacing=[ROW_MM, COLUMN_MM])
    shared.update(item("PlaneOrientationSequence", ImageOrientationPatient=[*OBLIQUE[:, 0], *OBLIQUE[:, 1]]))
    shared.update(item("PixelValueTransformationSequence", RescaleSlope=1, RescaleIntercept=-1024, RescaleType="HU"))
    dataset.SharedFunctionalGroupsSequence = [shared]
    dataset.PerFrameFunctionalGroupsSequence = [
        item(
            "PlanePositionSequence",
            ImagePositionPatient=[f"{mm:.6f}" for mm in ORIGIN + index * STEP_MM * OBLIQUE[:, 2]],
        )
        for index in order
    ]
    path = save_dicom(dataset, tmp_path / "enhanced.dcm")
    for source in (path, path.parent):
        volume = read_ct(source)
        assert np.array_equal(volume.hu, values())
        assert np.allclose(volume.world_from_voxel[:3, 2], OBLIQUE[:, 2] * STEP_MM, atol=1e-5)


def test_scouts_reports_and_other_files_are_left_out(tmp_path, write_series, make_image, save_dicom):
    folder = write_series()
    scout = make_image(np.zeros((9, 9), np.uint16), "CT")
    scout.ImageType, scout.SeriesInstanceUID = ["ORIGINAL", "PRIMARY", "LOCALIZER"], "9.9"
    save_dicom(scout, folder / "scout.dcm")
    report = make_image(np.zeros((9, 9), np.uint16), "CT")
    del report.Rows, report.PixelData
    report.Modality = "SR"
    save_dicom(report, folder / "deeper" / "report.dcm")
    (folder / "notes.txt").write_text("from the scanner")
    (folder / ".DS_Store").write_bytes(b"\0" * 200)
    assert np.array_equal(read_ct(folder).hu, values())


def only(index, **attributes):
    """Edit one slice."""

    def edit(current, dataset):
        if current == index:
            for name, content in attributes.items():
                if content is None:
                    delattr(dataset, name)
                else:
                    setattr(dataset, name, content)

    return edit


def every(**attributes):
    def edit(current, dataset):
        only(current, **attributes)(current, dataset)

    return edit


def at(mm):
    return [*ORIGIN[:2], ORIGIN[2] + mm]


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (only(2, SeriesInstanceUID="1.2.9", SeriesDescription="soft"), ["2 series", "'bone'", "'soft'", "1 images"]),
        (only(2, ImagePositionPatient=at(STEP_MM)), ["two slices", "1.dcm and 2.dcm", "each slice once"]),
        (only(5, ImagePositionPatient=at(7 * STEP_MM)), ["2 missing slices between 4.dcm and 5.dcm", "2.50 mm apart"]),
        (only(2, ImagePositionPatient=at(2 * STEP_MM + 0.4)), ["uneven slices, 2.10 to 2.90 mm", "even spacing"]),
        (only(3, ImagePositionPatient=[ORIGIN[0] + 2, ORIGIN[1], at(3 * STEP_MM)[2]]), ["3.dcm 2.00 mm out of"]),
        (
            only(1, ImageOrientationPatient=[0, 1, 0, -1, 0, 0]),
            ["another ImageOrientationPatient", "1.dcm", "parallel"],
        ),
        (only(1, ImageOrientationPatient=[1, 0, 0, 1, 0, 0]), ["1.dcm", "ImageOrientationPatient", "right angle"]),
        (only(1, PixelSpacing=[0.9, 0.8]), ["PixelSpacing (0.9, 0.7) and (0.9, 0.8) mm", "0.dcm and 1.dcm"]),
        (only(1, PixelSpacing=[0, 0.7]), ["1.dcm", "PixelSpacing [0.0, 0.7]", "positive"]),
        (only(1, Rows=35, PixelData=bytes(2800)), ["slices of (36, 40) and (35, 40) pixels", "one size"]),
        (only(1, RescaleIntercept=None), ["1.dcm", "no RescaleIntercept (0028,1052)"]),
        (only(1, RescaleSlope=0), ["1.dcm", "RescaleSlope 0", "Hounsfield"]),
        (only(1, Columns=None), ["1.dcm", "no Columns (0028,0011)"]),
        (only(1, ImagePositionPatient=None), ["1.dcm", "no ImagePositionPatient (0020,0032)"]),
        (only(1, RescaleType="US"), None),
        (only(1, RescaleType="ED"), ["1.dcm", "RescaleType ED", "HU"]),
        (every(Modality="MR"), [".dcm", "modality MR", "CT"]),
        (only(1, PixelData=bytes(10)), ["1.dcm", "unreadable pixels", "whole file"]),
        (only(1, PixelData=None), ["1.dcm", "no PixelData"]),
        (every(ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]), ["ct", "no DICOM images", "one CT series"]),
    ],
)
def test_bad_series_say_what_is_wrong(write_series, refuses, edit, words):
    folder = write_series(edit=edit)
    if words is None:
        assert np.array_equal(read_ct(folder).hu, values())
    else:
        refuses(lambda: read_ct(folder), str(folder), *words)


def test_a_gantry_tilt_is_told_in_degrees(write_series, refuses):
    tilted = np.column_stack([[1, 0, 0], [0, np.cos(np.radians(15)), np.sin(np.radians(15))], [0, 0, 1]])
    folder = write_series(tilted)
    refuses(lambda: read_ct(folder), str(folder), "gantry tilt of 15.00 degrees", "upright")


def test_a_damaged_or_lonely_slice_is_told(write_series, refuses):
    folder = write_series()
    whole = (folder / "3.dcm").read_bytes()
    (folder / "3.dcm").write_bytes(whole[:-7])
    refuses(lambda: read_ct(folder), "3.dcm", "whole file")
    (folder / "3.dcm").write_bytes(whole[:100])
    refuses(lambda: read_ct(folder), "3.dcm", "no DICOM file", "intact")
    (folder / "3.dcm").unlink()
    refuses(lambda: read_ct(folder), "1 missing slice between 2.dcm and 4.dcm")
    refuses(lambda: read_ct(folder / "2.dcm"), "2.dcm", "1 slice", "folder with all slices")


def test_an_empty_folder_is_told(tmp_path, refuses):
    (tmp_path / "empty").mkdir()
    refuses(lambda: read_ct(tmp_path / "empty"), "empty", "no DICOM images")
