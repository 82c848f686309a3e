import numpy as np
import pydicom
import pytest
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, XRayAngiographicImageStorage, generate_uid

from drrkit.errors import InputError
from drrkit.geometry.carm import CArm
from drrkit.io.cameras import Unsaid, read_camera_file
from drrkit.io.cameras.angles import read_angles


def write_xa(path, **tags):
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = XRayAngiographicImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    for name, value in ({"Modality": "XA", "Rows": 100, "Columns": 120} | tags).items():
        setattr(dataset, name, value)
    path.parent.mkdir(parents=True, exist_ok=True)
    pydicom.dcmwrite(path, dataset)


def test_a_folder_of_exposures(tmp_path):
    write_xa(tmp_path / "ap.dcm", PositionerPrimaryAngle=1.5, PositionerSecondaryAngle=-2.5)
    write_xa(tmp_path / "deeper" / "lat.dcm", PositionerPrimaryAngle=90, PositionerSecondaryAngle=0)
    write_xa(tmp_path / "flat.dcm", PatientName="no angles")
    write_xa(tmp_path / "ct.dcm", Modality="CT")
    (tmp_path / "notes.txt").write_text("not DICOM")
    assert read_angles(tmp_path) == {"ap": (1.5, -2.5), "lat": (90.0, 0.0)}
    assert read_angles(tmp_path / "ap.dcm") == {"ap": (1.5, -2.5)}


@pytest.mark.parametrize(
    ("motion", "increments", "expected"),
    [
        ("DYNAMIC", [0, 1.5, 3], [10, 11.5, 13]),
        ("DYNAMIC", 2.0, [10, 12, 14]),
        ("STATIC", [0, 1.5, 3], [10, 10, 10]),
    ],
)
def test_frames_of_a_run(tmp_path, motion, increments, expected):
    steps = {"PositionerPrimaryAngleIncrement": increments, "PositionerSecondaryAngleIncrement": 0.0}
    start = {"PositionerPrimaryAngle": 10, "PositionerSecondaryAngle": 4, "PositionerMotion": motion}
    write_xa(tmp_path / "run.dcm", NumberOfFrames=3, **start, **steps)
    angles = read_angles(tmp_path)
    assert list(angles) == ["run_000", "run_001", "run_002"]
    np.testing.assert_allclose(list(angles.values()), [(primary, 4) for primary in expected])


def test_frames_without_increments_have_no_angles(tmp_path):
    tags = {"PositionerPrimaryAngle": 10, "PositionerSecondaryAngle": 4, "PositionerMotion": "DYNAMIC"}
    write_xa(tmp_path / "run.dcm", NumberOfFrames=3, PositionerSecondaryAngleIncrement=[0, 0, 0], **tags)
    assert read_angles(tmp_path) == {"run_000": (10.0, 4.0)}


GEOMETRY = {
    "PositionerPrimaryAngle": 30,
    "PositionerSecondaryAngle": 10,
    "DistanceSourceToDetector": 1000,
    "DistanceSourceToPatient": 600,
    "ImagerPixelSpacing": [2.0, 2.0],
}


def test_headers_become_cameras_about_the_isocenter(tmp_path):
    write_xa(tmp_path / "a.dcm", **GEOMETRY)
    isocenter = (12.0, -180.0, 310.0)
    found = read_camera_file(tmp_path, "dicom-angles", Unsaid(isocenter_world=isocenter))["a"]
    carm = CArm(1000.0, 600.0, 100, 120, (2.0, 2.0))
    # Stored as radiologists look at it: the mirror image of what the source sees.
    assert found.allclose(carm.camera(30, 10, 0, isocenter).flipped_horizontally(), 1e-9)
    with pytest.raises(InputError, match="--isocenter"):
        read_camera_file(tmp_path, "dicom-angles")
    write_xa(tmp_path / "a.dcm", **(GEOMETRY | {"DistanceSourceToDetector": None}))
    with pytest.raises(InputError, match="DistanceSourceToDetector"):
        read_camera_file(tmp_path, "dicom-angles", Unsaid(isocenter_world=isocenter))


def test_a_table(tmp_path):
    (tmp_path / "a.csv").write_text("id,primary_deg,secondary_deg,note\nap,0,1.5,\nlat, 90 ,0,good\n")
    assert read_angles(tmp_path / "a.csv") == {"ap": (0.0, 1.5), "lat": (90.0, 0.0)}


@pytest.mark.parametrize(
    "content",
    [
        "id,primary_deg\nap,0\n",
        "id,primary_deg,secondary_deg\n",
        "id,primary_deg,secondary_deg\nap,0,x\n",
        "id,primary_deg,secondary_deg\nap,0,0\nap,1,1\n",
        "id,primary_deg,secondary_deg\nap,0,0,0\n",
    ],
)
def test_tables_that_are_refused(tmp_path, content):
    (tmp_path / "a.csv").write_text(content)
    with pytest.raises(InputError, match=r"a\.csv"):
        read_angles(tmp_path / "a.csv")


def test_no_angles_anywhere(tmp_path):
    with pytest.raises(InputError, match="no such"):
        read_angles(tmp_path / "gone")
    with pytest.raises(InputError, match="no DICOM X-ray"):
        read_angles(tmp_path)
    write_xa(tmp_path / "flat.dcm")
    with pytest.raises(InputError, match="no positioner angles"):
        read_angles(tmp_path)
    for folder in ("a", "b"):
        write_xa(tmp_path / folder / "ap.dcm", PositionerPrimaryAngle=1, PositionerSecondaryAngle=2)
    with pytest.raises(InputError, match="'ap'"):
        read_angles(tmp_path)
