import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from drrkit.commands.geometry import CameraFormat, app
from drrkit.errors import InputError
from drrkit.geometry.carm import CArm
from drrkit.geometry.convert import DeepDrrView, DiffDrrView, NanoDrrView
from drrkit.geometry.lint import RULES
from drrkit.io.cameras import FORMATS, read_camera_file
from drrkit.io.ct import write_ct
from drrkit.io.store import read_cameras, write_cameras
from drrkit.volume import Volume

CARM = CArm(1000.0, 600.0, 100, 120, (2.0, 2.0))
ISOCENTER = (20.0, -160.0, 250.0)
ANGLES = {"ap": (0.0, 0.0), "oblique": (40.0, 10.0), "lat": (90.0, 0.0)}


@pytest.fixture
def cameras():
    return {name: CARM.camera(*angles, isocenter_world=ISOCENTER) for name, angles in ANGLES.items()}


@pytest.fixture
def camera_file(tmp_path, cameras):
    write_cameras(tmp_path / "cameras.json", cameras)
    return tmp_path / "cameras.json"


@pytest.fixture
def ct_file(tmp_path):
    hu = np.full((20, 20, 20), -1000, np.int16)
    hu[4:16, 4:16, 4:16] = 40
    affine = np.diag([10.0, 10.0, 10.0, 1.0])
    affine[:3, 3] = np.array(ISOCENTER) - 95
    write_ct(Volume(hu, affine), tmp_path / "ct.nii.gz")
    return tmp_path / "ct.nii.gz"


def run(*arguments):
    """Run the sub-app; bad input comes out as the InputError that the main program prints."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)


# ---- convert -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file_format", "name", "there", "back"),
    [
        ("astra", "c.txt", ["--center", 1, 2, 3], ["--center", 1, 2, 3]),
        ("deepdrr", "c.json", [], []),
        ("dicom-angles", "c.csv", ["--isocenter", *ISOCENTER], []),
        ("diffdrr", "c.json", ["--center", *ISOCENTER, "--orientation", "PA"], []),
        ("diffdrr", "c.json", ["--center", *ISOCENTER, "--orientation", "none"], []),
        ("drrkit", "c.json", [], []),
        ("matrix", "c.txt", ["--pixel-center", "half"], ["--pixel-center", "half"]),
        ("nanodrr", "c.json", [], []),
        ("opencv", "c.yml", [], []),
        ("rtk", "c.xml", ["--rtk-frame", "iec"], ["--rtk-frame", "iec"]),
        ("slicer", "poses", [], ["--template", "cameras.json"]),
    ],
)
def test_there_and_back(tmp_path, monkeypatch, camera_file, cameras, file_format, name, there, back):
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "out" / name
    assert run("convert", camera_file, out, "--to", file_format, *there).exit_code == 0
    assert run("convert", out, "back.json", "--from", file_format, *back).exit_code == 0
    found = read_cameras(tmp_path / "back.json")
    assert found.keys() == cameras.keys()
    assert all(found[name].allclose(camera, 1e-7) for name, camera in cameras.items())


def test_xreg_needs_mirrored_images(tmp_path, camera_file, cameras):
    with pytest.raises(InputError, match="flipped_horizontally"):
        run("convert", camera_file, tmp_path / "x.json", "--to", "xreg")
    assert not (tmp_path / "x.json").exists()
    flipped = {name: camera.flipped_horizontally() for name, camera in cameras.items()}
    result = run("convert", camera_file, tmp_path / "x.json", "--to", "xreg", "--flip")
    assert "mirror the images" in result.stderr
    assert "3 of 3 images are mirrored" in result.stderr
    assert read_camera_file(tmp_path / "x.json", "xreg")["lat"].allclose(flipped["lat"], 1e-9)


def test_the_ct_gives_its_center(tmp_path, camera_file, ct_file):
    for name, option in (("a.json", ["--ct", ct_file]), ("b.json", ["--center", *ISOCENTER])):
        assert run("convert", camera_file, tmp_path / name, "--to", "diffdrr", *option).exit_code == 0
    first, second = (json.loads((tmp_path / name).read_text())["cameras"][0] for name in ("a.json", "b.json"))
    np.testing.assert_allclose(first["center_ras"], [-20, 160, 250], atol=1e-3)
    np.testing.assert_allclose(first["translation"], second["translation"], atol=1e-3)
    with pytest.raises(InputError, match="one of them"):
        run("convert", camera_file, tmp_path / "c.json", "--to", "diffdrr", "--ct", ct_file, "--center", 1, 2, 3)


def test_detectors_can_be_given(tmp_path):
    (tmp_path / "a.txt").write_text("300 -519.6 0 -200 346.4 0 1.04 0.6 0 0 0 0.9\n")
    result = run("convert", tmp_path / "a.txt", tmp_path / "c.json", "--from", "astra", "--size", 90, 121)
    assert result.exit_code == 0
    camera = read_cameras(tmp_path / "c.json")["000"]
    assert (camera.height, camera.width) == (90, 121)


def test_what_must_be_done_besides_is_printed(tmp_path, camera_file):
    result = run("convert", camera_file, tmp_path / "g.xml", "--to", "rtk")
    assert "direction of x -1" in result.stderr
    assert result.stdout == ""


def test_a_matrix_needs_a_point_that_it_shows(tmp_path):
    # A view along +y that is not mirrored; or one along -y that is: then its source is the same, and z runs backward.
    (tmp_path / "p.txt").write_text("500 60 0 0\n0 50 -500 0\n0 1 0 0\n")
    arguments = ("convert", tmp_path / "p.txt", tmp_path / "c.json", "--from", "matrix", "--size", 100, 120)
    result = run(*arguments, "--spacing", 2, 2)
    assert "not mirrored" in result.stderr
    assert read_cameras(tmp_path / "c.json")["000"].view_direction_world[1] == pytest.approx(1)
    result = run(*arguments, "--spacing", 2, 2, "--center", 0, -600, 0)
    assert "1 of 1 images are mirrored" in result.stderr
    assert read_cameras(tmp_path / "c.json")["000"].view_direction_world[1] == pytest.approx(-1)


@pytest.mark.parametrize("arguments", [["--to", "vtk"], ["--size", "90"], ["--pixel-center", "corner"]])
def test_usage_errors(tmp_path, camera_file, arguments):
    assert run("convert", camera_file, tmp_path / "c.json", *arguments).exit_code == 2


def test_the_command_line_knows_all_formats():
    from typing import get_args

    assert set(get_args(CameraFormat)) == set(FORMATS)


# ---- lint ----------------------------------------------------------------------------------------------------------


def test_sound_cameras_are_clean(camera_file, ct_file, tmp_path):
    lines = [f"{name},{primary},{secondary}" for name, (primary, secondary) in ANGLES.items()]
    (tmp_path / "angles.csv").write_text("\n".join(["id,primary_deg,secondary_deg", *lines]) + "\n")
    result = run("lint", camera_file, "--ct", ct_file, "--dicom-angles", tmp_path / "angles.csv")
    assert result.exit_code == 0
    assert "3 cameras: 0 errors, 0 warnings" in result.output


def break_file(camera_file, change):
    content = json.loads(camera_file.read_text())
    for record in content["cameras"]:
        change(record)
    camera_file.write_text(json.dumps(content))


def negate_fx(record):
    record["K"][0][0] *= -1


def swap_spacing(record):
    record["pixel_spacing_mm"] = [2.0, 3.0]
    record["K"][0][0] /= 1.0
    record["K"][1][1] /= 1.5


def test_warnings_alone_end_well(camera_file):
    break_file(camera_file, negate_fx)
    result = run("lint", camera_file)
    assert result.exit_code == 0
    assert "3 cameras: 0 errors, 3 warnings" in result.output
    assert "camera ap and 2 more" in result.output  # one row for one mistake
    assert result.output.count("fx = -500") == 1


def test_errors_end_in_1_with_reason_and_fix(camera_file):
    break_file(camera_file, swap_spacing)
    result = run("lint", camera_file, "--json")
    assert result.exit_code == 1
    findings = json.loads(result.stdout)
    assert [finding["rule"] for finding in findings] == ["spacing-order"] * 3
    assert findings[0]["where"] == "camera ap"
    assert "[row, column]" in findings[0]["fix"]


def test_a_ct_brings_its_rules(camera_file, ct_file):
    break_file(camera_file, lambda record: record["camera_from_world"][0].__setitem__(3, 5000.0))
    assert run("lint", camera_file).exit_code == 0
    result = run("lint", camera_file, "--ct", ct_file, "--json")
    assert result.exit_code == 1
    assert "not-seen" in {finding["rule"] for finding in json.loads(result.stdout)}


def test_angles_bring_theirs(camera_file, tmp_path):
    (tmp_path / "angles.csv").write_text("id,primary_deg,secondary_deg\nlat,70,0\n")
    result = run("lint", camera_file, "--dicom-angles", tmp_path / "angles.csv", "--json")
    assert result.exit_code == 1
    assert [finding["rule"] for finding in json.loads(result.stdout)] == ["angles", "angles-unmatched"]


def test_rules_are_explained(camera_file):
    result = run("lint", camera_file, "--rules")
    assert "half-pixel: a principal point at W/2, H/2" in result.stderr


def test_unusable_input(tmp_path, camera_file):
    with pytest.raises(InputError, match=r"gone\.json"):
        run("lint", tmp_path / "gone.json")
    (tmp_path / "empty.json").write_text('{"convention": "drrkit-camera/1", "cameras": []}')
    with pytest.raises(InputError, match="no cameras"):
        run("lint", tmp_path / "empty.json")
    (tmp_path / "angles.csv").write_text("id,primary_deg,secondary_deg\nother,70,0\n")
    with pytest.raises(InputError, match="same ids"):
        run("lint", camera_file, "--dicom-angles", tmp_path / "angles.csv")


def test_the_command_module_is_light():
    code = (
        "import sys, drrkit.commands.geometry;"
        "print([m for m in ('torch', 'numba', 'SimpleITK', 'pandas', 'cv2', 'pydicom') if m in sys.modules])"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.strip() == "[]"


# ---- the page ------------------------------------------------------------------------------------------------------

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "geometry.md").read_text()


def test_the_page_lists_all_rules_and_formats():
    named = set(re.findall(r"^\| `([a-z-]+)` \|", PAGE, re.MULTILINE))
    assert named == set(RULES) | set(FORMATS) - {"drrkit"}


def test_the_pages_table_of_angles_is_read(tmp_path):
    table = re.search(r"^id,primary_deg,.*\n.*\n", PAGE, re.MULTILINE).group()
    (tmp_path / "a.csv").write_text(table)
    camera = read_camera_file(tmp_path / "a.csv", "dicom-angles")["lat"]
    assert camera.is_mirrored
    np.testing.assert_allclose(camera.project([12.0, -180, 310]), [511.5, 511.5])


@pytest.mark.parametrize("view", [DeepDrrView, DiffDrrView, NanoDrrView])
def test_the_page_lists_the_fields(view):
    row = next(line for line in PAGE.splitlines() if line.startswith(f"| `{view.__name__.lower()[:-4]}` | `"))
    assert set(view.__dataclass_fields__) <= set(re.findall(r"`(\w+)`", row))
