"""The protocols' pages agree with the program: rules, view set, fields, links, and the code that people paste."""

import re
from pathlib import Path

import numpy as np

from drrkit.geometry.carm import CArm
from drrkit.geometry.rigid import from_rotation_translation
from drrkit.geometry.viewsets import view_set
from protocols.acquisition import RULES, Sheet
from protocols.acquisition.schema import ExposureNote
from protocols.acquisition.template import section_of
from protocols.calibration.result import ExposureCalibration, SessionCalibration, write_calibration

PAGES = Path(__file__).parents[2] / "protocols"
VALUES = {"flat_panel", "image_intensifier"}
NAMES = ("README.md", "cadaver.md", "phantom.md")


def page(name):
    return (PAGES / name).read_text()


def rows(text):
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]


def test_the_rules_of_check_are_those_of_the_page():
    documented = {row[0].strip("`"): row[1] for row in rows(page("README.md")) if row[0].startswith("`")}
    assert {name: documented.get(name) for name in RULES} == RULES


def test_the_list_of_shots_is_the_view_set_of_the_protocol():
    printed = re.search(r"## Print: list of shots\n\n```\n(.*?)```", page("cadaver.md"), re.DOTALL).group(1)
    orbit, tilts = printed.split("tilt at primary 0:")
    views = view_set("orbit").views
    assert [
        float(shot) for shot in re.findall(r"([-+]?\d+) \[ \]", orbit.split("control 2")[0].split("[ ]", 1)[1])
    ] == [view.primary_deg for view in views if view.secondary_deg == 0]
    tilted = [view.secondary_deg for view in views if view.secondary_deg != 0]
    assert [float(tilt) for tilt in re.findall(r"([-+]\d+) \[ \]", tilts)] == sorted(tilted)
    assert f"69 + {len(tilted)} + 3 = {len(views) + 3}" in page("cadaver.md")


def test_fields_that_the_pages_name_exist():
    fields = {"acquisition_id", "exposure_id", "pair_id"}

    def collect(model, prefix=""):
        for name, info in model.model_fields.items():
            fields.update((name, f"{prefix}{name}"))
            if (section := section_of(info)) is not None:
                collect(section, f"{name}.")

    collect(Sheet)
    collect(ExposureNote)
    for name in NAMES:
        for code in re.findall(r"`([a-z_.]+_[a-z_.]+)(?:: [^`]*)?`", page(name)):
            assert code in fields | VALUES, f"{name}: {code}"


def test_no_two_balls_of_the_phantom_hide_each_other():
    places = re.search(r"```\nx (.*)\ny (.*)\nz (.*)\n```", page("phantom.md"))
    points = np.array([[float(number) for number in axis.split()] for axis in places.groups()]).T
    assert points.shape == (24, 3)
    for axes in ([0, 1], [0, 2], [1, 2]):
        apart = np.linalg.norm(points[:, None, axes] - points[None, :, axes], axis=-1) + 1e3 * np.eye(len(points))
        assert apart.min() >= 10
    spread = np.linalg.svd(points - points.mean(axis=0), compute_uv=False)
    assert spread[-1] > 0.5 * spread[0]


def test_the_pasted_code_compares_cameras(tmp_path, monkeypatch, capsys):
    carm = CArm(1000.0, 600.0, 500, 500, (0.5, 0.5))
    first = carm.camera(0.0, 0.0)
    moved = from_rotation_translation(np.eye(3), np.array([0.6, 0.0, 0.0]))
    second = type(first)(first.pixel_from_camera, moved @ first.camera_from_world, 500, 500, (0.5, 0.5))
    nothing = (None,) * 6
    exposures = tuple(
        ExposureCalibration(name, "pass", "", camera, 9, 9, *nothing, (0.0, 0.0), (0.0, 0.0))
        for name, camera in (("0001", first), ("0071", second), ("0002", carm.camera(0.25, 0.0)))
    )
    balls = {"a": (-5.0, 0.0, 0.0), "b": (5.0, 0.0, 0.0)}
    write_calibration(
        SessionCalibration("phantom-a-spin", False, balls, exposures), tmp_path / "data/calibrate/phantom-a-spin"
    )
    monkeypatch.chdir(tmp_path)
    code = re.search(r"```python\n(.*?)```", page("phantom.md"), re.DOTALL).group(1)
    exec(code + code.splitlines()[-1].replace("0071", "0002"), {})
    assert capsys.readouterr().out.splitlines() == ["0.60 mm, 0.00 degrees", "0.00 mm, 0.25 degrees"]
