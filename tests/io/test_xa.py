"""XA files and CT series that drrkit writes, read back by drrkit, by SimpleITK and by a validator."""

import dataclasses
import datetime
import shutil
import subprocess

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from drrkit.errors import InputError
from drrkit.geometry.carm import CArm
from drrkit.io.ct import read_volume
from drrkit.io.ct_dicom import write_ct_dicom
from drrkit.io.study import Study
from drrkit.io.xa import Technique, XaDescription, log_table, stored_from_intensity, write_xa
from drrkit.io.xray import read_xray, read_xray_header
from drrkit.volume import Volume

TAKEN = datetime.datetime(2024, 3, 4, 10, 11, 12)
STUDY = Study(
    patient_id="donor-07", seed="s-07", study_id="S7", taken=TAKEN, manufacturer="Acme", model="C9", simulated=True
)
REAL = dataclasses.replace(STUDY, simulated=False, taken=None)
TECHNIQUE = Technique(
    kvp=80.5, tube_current_ma=3.4, exposure_time_ms=12.5, filters=(("COPPER", 0.2), ("ALUMINUM", 1.0))
)
XA = XaDescription(
    study=STUDY,
    technique=TECHNIQUE,
    primary_deg=33.3 / 7,
    secondary_deg=-20 / 3,
    source_to_detector_mm=1000.123456789,
    source_to_isocenter_mm=1900 / 3,
    imager_spacing_mm=(0.194, 1.3 / 7),
)
PIXELS = np.random.default_rng(3).integers(0, 4096, (40, 48)).astype(np.uint16)
MOVIE = np.stack([PIXELS, PIXELS[::-1], PIXELS[:, ::-1]])
ORBIT = dataclasses.replace(
    XA, primary_deg=(-102.3, 10 / 7, 95.0), secondary_deg=(1 / 3, 0.0, -1 / 3), frame_time_ms=1000 / 15
)


def describe(**changes) -> XaDescription:
    return dataclasses.replace(XA, **changes)


@pytest.fixture
def written(tmp_path):
    def write(stored, description):
        write_xa(tmp_path / "x.dcm", stored, description)
        return tmp_path / "x.dcm"

    return write


def assert_same_camera(camera, expected):
    assert np.abs(camera.pixel_from_camera - expected.pixel_from_camera).max() < 1e-9
    assert np.abs(camera.camera_from_world - expected.camera_from_world).max() < 1e-9
    assert (camera.height, camera.width) == (expected.height, expected.width)


@pytest.mark.parametrize("angles", [(33.3 / 7, -20 / 3), (0, 0), (-102.4, 31.7), (180, 0), (-90, -45)])
def test_the_camera_comes_back(written, angles):
    path = written(PIXELS, describe(primary_deg=angles[0], secondary_deg=angles[1]))
    carm = CArm(XA.source_to_detector_mm, XA.source_to_isocenter_mm, 40, 48, XA.imager_spacing_mm)
    assert_same_camera(read_xray_header(path).camera(), carm.camera(*angles).flipped_horizontally())


def test_each_frame_of_an_orbit_has_its_camera(written):
    path = written(MOVIE, ORBIT)
    carm = CArm(XA.source_to_detector_mm, XA.source_to_isocenter_mm, 40, 48, XA.imager_spacing_mm)
    header = read_xray_header(path)
    for index, angles in enumerate(zip(ORBIT.primary_deg, ORBIT.secondary_deg, strict=True)):
        assert_same_camera(header.camera(index), carm.camera(*angles).flipped_horizontally())
    assert all(np.array_equal(read.pixels, frame) for read, frame in zip(read_xray(path), MOVIE, strict=True))
    assert pydicom.dcmread(path).PositionerMotion == "DYNAMIC"


def test_a_movie_of_one_view_is_static(written):
    path = written(MOVIE, describe(frame_time_ms=40))
    assert pydicom.dcmread(path).PositionerMotion == "STATIC"
    first, *others = (read_xray_header(path).camera(index) for index in range(3))
    assert all(np.array_equal(other.camera_from_world, first.camera_from_world) for other in others)


@pytest.mark.parametrize("turns", range(4))
@pytest.mark.parametrize("flipped", [False, True])
def test_turned_and_flipped_pixels_fit_their_camera(written, turns, flipped):
    # A ball seen by the C-arm's own camera, taken through the steps that the module describes.
    carm = CArm(1000, 600, 40, 48, (1.0, 1.5))
    camera = carm.camera(20, 10)
    ball = np.array([6.0, -4.0, 9.0])
    seen = np.zeros((40, 48), np.uint16)
    u, v = np.rint(camera.project(ball)).astype(int)
    seen[v, u] = 4000
    stored = np.rot90(seen[:, ::-1], -turns)
    stored = np.ascontiguousarray(stored[:, ::-1] if flipped else stored)
    path = written(
        stored,
        describe(
            primary_deg=20,
            secondary_deg=10,
            source_to_detector_mm=1000,
            source_to_isocenter_mm=600,
            imager_spacing_mm=(1.5, 1.0) if turns % 2 else (1.0, 1.5),
            quarter_turns=turns,
            flipped=flipped,
        ),
    )
    (read,) = read_xray(path)
    v, u = np.unravel_index(read.pixels.argmax(), read.pixels.shape)
    assert np.abs(read.camera.project(ball) - (u, v)).max() <= 0.5 + 1e-6
    assert list(pydicom.dcmread(path).FieldOfViewDimensions) == [40, 72]


def test_linear_pixels_are_intensities(written):
    (read,) = read_xray(written(PIXELS, XA))
    assert read.domain == "intensity"
    assert np.array_equal(read.pixels, PIXELS)


def test_logarithmic_pixels_lead_back_to_intensities(written):
    intensity = np.random.default_rng(0).uniform(30, 60000, (40, 48))
    table = log_table(30, 60000)
    stored = stored_from_intensity(intensity, table)
    (read,) = read_xray(written(stored, describe(intensity_from_stored=table)))
    assert read.domain == "intensity"
    assert np.array_equal(read.pixels, table[stored])
    # Half a step of the scale, half a step of whole numbers.
    assert (np.abs(read.pixels - intensity) <= intensity * np.log(2000) / 4095 / 2 * 1.01 + 0.51).all()
    assert stored_from_intensity(np.array([-5.0, 30.0, 60000.0, 1e9]), table).tolist() == [0, 0, 4095, 4095]


def test_the_file_says_what_it_holds(written):
    path = written(PIXELS, describe(primary_deg=30.0, collimator_px=(3, 4, 40, 30), round_field_mm=230.4))
    file = pydicom.dcmread(path)
    assert file.file_meta.TransferSyntaxUID == pydicom.uid.ExplicitVRLittleEndian
    assert file.SOPClassUID == "1.2.840.10008.5.1.4.1.1.12.1"
    assert (file.BitsAllocated, file.BitsStored, file.HighBit) == (16, 12, 11)
    assert (file.KVP, file.XRayTubeCurrent, file.ExposureTime, file.ExposureInuAs) == (80.5, 3, 12, 42)
    assert (file.XRayTubeCurrentInuA, file.ExposureTimeInuS) == (3400, 12500)
    assert list(file.FilterMaterial) == ["COPPER", "ALUMINUM"]
    assert list(file.FilterThicknessMinimum) == [0.2, 1]
    assert (file.FieldOfViewShape, file.FieldOfViewDimensions) == ("ROUND", 230)
    edges = [
        file[f"Collimator{edge}Edge"].value
        for edge in ("LeftVertical", "UpperHorizontal", "RightVertical", "LowerHorizontal")
    ]
    assert edges == [4, 5, 41, 31]
    assert file.BurnedInAnnotation == "NO"
    assert (file.StudyDate, file.ContentTime) == ("20240304", "101112")
    assert list(file.PatientOrientation) == ["LP", "FP"]


def test_what_is_simulated_says_so_and_what_is_real_does_not(written):
    file = pydicom.dcmread(written(PIXELS, XA))
    assert list(file.ImageType) == ["DERIVED", "SECONDARY", "SINGLE PLANE"]
    assert file.PatientName == "SIMULATED^donor-07"
    for keyword in ("ImageComments", "DerivationDescription", "SeriesDescription"):
        assert file[keyword].value.startswith("SIMULATED")
    path = written(PIXELS, describe(study=REAL))
    assert list(pydicom.dcmread(path).ImageType) == ["ORIGINAL", "PRIMARY", "SINGLE PLANE"]
    assert b"SIMULATED" not in path.read_bytes()


def test_the_same_arguments_give_the_same_bytes_and_others_other_uids(tmp_path):
    files = []
    for name, changes in (
        ("a", {}),
        ("b", {}),
        ("second", {"instance_number": 2}),
        ("other", {"study": dataclasses.replace(STUDY, seed="s-08")}),
    ):
        write_xa(tmp_path / f"{name}.dcm", PIXELS, describe(**changes))
        files.append(pydicom.dcmread(tmp_path / f"{name}.dcm"))
    assert (tmp_path / "a.dcm").read_bytes() == (tmp_path / "b.dcm").read_bytes()
    a, _, second, other = files
    assert (a.StudyInstanceUID, a.SeriesInstanceUID) == (second.StudyInstanceUID, second.SeriesInstanceUID)
    assert a.SOPInstanceUID != second.SOPInstanceUID
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
        assert a[keyword].value != other[keyword].value
        assert pydicom.uid.UID(a[keyword].value).is_valid


def test_simpleitk_reads_the_same_pixels(written):
    assert np.array_equal(sitk.GetArrayFromImage(sitk.ReadImage(written(MOVIE, ORBIT))), MOVIE)


LOG = {"intensity_from_stored": log_table(5, 50000)}


@pytest.mark.parametrize(
    ("stored", "description"),
    [
        (PIXELS, describe(collimator_px=(1, 2, 30, 20))),
        (PIXELS, describe(study=REAL, round_field_mm=230, **LOG)),
        (MOVIE, ORBIT),
        (MOVIE, describe(frame_time_ms=40, quarter_turns=1, flipped=True, **LOG)),
    ],
    ids=["single", "log", "orbit", "movie"],
)
def test_the_validator_finds_no_error_in_an_xa_file(written, stored, description):
    assert_conformant(written(stored, description))


def assert_conformant(path):
    if shutil.which("dciodvfy") is None:
        pytest.skip("dciodvfy is not installed (Debian's dicom3tools)")
    found = subprocess.run(["dciodvfy", path], capture_output=True, text=True, check=False)
    report = found.stdout + found.stderr
    assert "XAImage" in report or "CTImage" in report
    assert [line for line in report.splitlines() if "Error" in line] == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"source_to_isocenter_mm": 1001.0}, "isocenter"),
        ({"source_to_detector_mm": float("nan")}, "source_to_detector_mm"),
        ({"imager_spacing_mm": (0.2, 0.0)}, "spacing"),
        ({"primary_deg": 181.0}, "-180"),
        ({"secondary_deg": (0.0, float("nan"))}, "secondary"),
        ({"quarter_turns": 4}, "quarter_turns"),
        ({"intensity_from_stored": log_table(1, 100)[::-1]}, "growing"),
    ],
)
def test_impossible_descriptions_are_refused(changes, words):
    with pytest.raises(InputError, match=words):
        describe(**changes)


@pytest.mark.parametrize(
    ("stored", "changes", "words"),
    [
        (PIXELS + np.uint16(2), {}, "12 bits"),
        (PIXELS.astype(np.int16), {}, "uint16"),
        (PIXELS[None, None], {}, "shape"),
        (PIXELS[:0], {}, "shape"),
        (MOVIE, {}, "frame time"),
        (MOVIE, {"frame_time_ms": 40, "primary_deg": (0.0, 1.0)}, "one a frame"),
        (PIXELS, {"collimator_px": (0, 0, 48, 39)}, "collimator"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path, refuses, stored, changes, words):
    refuses(lambda: write_xa(tmp_path / "x.dcm", stored, describe(**changes)), words)


@pytest.mark.parametrize("changes", [{"patient_id": "a\\b"}, {"patient_id": " "}, {"seed": ""}, {"study_id": "x" * 17}])
def test_a_study_that_dicom_cannot_hold_is_refused(changes):
    with pytest.raises(InputError, match="study"):
        dataclasses.replace(STUDY, **changes)


# ---- CT ------------------------------------------------------------------------------------------------------


def ct(affine=None, top=3071) -> Volume:
    hu = np.random.default_rng(1).integers(-1024, top, (4, 6, 5), endpoint=True).astype(np.int16)
    if affine is None:
        affine = np.diag([0.7, 1 / 3, 1.25, 1.0])
        affine[:3, 3] = (-100 / 3, 20.5, -1234.5678)
    return Volume(hu, affine)


def turned() -> np.ndarray:
    rotation = CArm(1000, 600, 10, 10, (1.0, 1.0)).camera(20, 10, 5).camera_from_world[:3, :3]
    affine = np.eye(4)
    affine[:3, :3] = rotation * (0.7, 0.8, 1.25)
    affine[:3, 3] = (1, 2, 3)
    return affine


@pytest.mark.parametrize("affine", [None, turned()], ids=["upright", "oblique"])
@pytest.mark.parametrize("bits", [12, 16])
def test_a_ct_comes_back_with_its_place(tmp_path, affine, bits):
    volume = ct(affine, top=3071 if bits == 12 else 30000)
    files = write_ct_dicom(volume, tmp_path / "ct", STUDY, kvp=120, bits=bits)
    assert [file.name for file in files] == ["0001.dcm", "0002.dcm", "0003.dcm", "0004.dcm"]
    read = read_volume(tmp_path / "ct")
    assert np.array_equal(read.hu, volume.hu)
    assert np.abs(read.world_from_voxel - volume.world_from_voxel).max() < 1e-9


def test_a_ct_that_runs_downward_comes_back_sorted(tmp_path):
    affine = np.diag([1.0, 1.0, -2.0, 1.0])
    volume = ct(affine)
    write_ct_dicom(volume, tmp_path / "ct", STUDY, kvp=120)
    read = read_volume(tmp_path / "ct")
    assert np.array_equal(read.hu, volume.hu[::-1])
    assert np.allclose(read.world_from_voxel[:3, 2:], [[0, 0], [0, 0], [2, -6]])


def test_fractions_are_rounded(tmp_path):
    volume = Volume(ct().hu.astype(np.float32) + np.float32(0.4), ct().world_from_voxel)
    write_ct_dicom(volume, tmp_path / "ct", STUDY, kvp=120)
    assert np.array_equal(read_volume(tmp_path / "ct").hu, ct().hu)


def test_ct_and_x_rays_of_a_study_belong_together(tmp_path, written):
    slice_ = pydicom.dcmread(write_ct_dicom(ct(), tmp_path / "ct", STUDY, kvp=120)[0])
    shot = pydicom.dcmread(written(PIXELS, XA))
    assert slice_.StudyInstanceUID == shot.StudyInstanceUID
    assert slice_.SeriesInstanceUID != shot.SeriesInstanceUID
    assert list(slice_.ImageType) == ["DERIVED", "SECONDARY", "AXIAL"]
    assert_conformant(tmp_path / "ct" / "0002.dcm")


@pytest.mark.parametrize(
    ("volume", "options", "words"),
    [(ct(top=3500), {}, "3071 HU"), (ct(), {"bits": 8}, "12 or 16"), (ct(), {"kvp": 0}, "kvp")],
)
def test_a_ct_that_does_not_fit_is_refused(tmp_path, refuses, volume, options, words):
    refuses(lambda: write_ct_dicom(volume, tmp_path / "ct", STUDY, **({"kvp": 120} | options)), words)


def test_a_folder_with_something_in_it_is_left_alone(tmp_path, refuses):
    (tmp_path / "ct").mkdir()
    (tmp_path / "ct" / "mine.txt").write_text("mine")
    refuses(lambda: write_ct_dicom(ct(), tmp_path / "ct", STUDY, kvp=120), "new folder")
