"""Where a C-arm can go."""

import json

import numpy as np
import pytest

from drrkit.errors import InputError
from drrkit.geometry.carm import CArm
from reconstruction.judging.viewplan import nominal_directions_world
from reconstruction.planning.reach import (
    Pose,
    Sector,
    allowed,
    directions_world,
    far_enough,
    line_angles_deg,
    parse_sector,
    pose_of,
    pose_record,
    reachable_poses,
    read_poses,
    standard_poses,
)


def test_grid_holds_both_ends_and_the_standard_angles():
    poses = reachable_poses((-40, 100), (-25, 25), 5)
    assert len(poses) == len(set(poses)) == 29 * 11
    for pose in (Pose(-40, -25), Pose(100, 25), Pose(0, 0), Pose(90, 0)):
        assert pose in poses


def test_grid_counts_from_zero_wherever_the_range_begins():
    assert reachable_poses((-7, 8), (0, 0), 5) == (Pose(-5, 0), Pose(0, 0), Pose(5, 0))


def test_range_too_narrow_for_the_grid_is_its_middle():
    assert reachable_poses((3, 4), (2, 2), 5) == (Pose(3.5, 2),)


def test_forbidden_sectors_are_left_out_with_their_borders():
    poses = reachable_poses((0, 20), (-10, 10), 10, [Sector((10, 20), (0, 10))])
    assert poses == (Pose(0, -10), Pose(0, 0), Pose(0, 10), Pose(10, -10), Pose(20, -10))


@pytest.mark.parametrize(
    ("ranges", "step", "sectors"),
    [
        (((10, -10), (0, 0)), 5, ()),
        (((-190, 0), (0, 0)), 5, ()),
        (((0, 10), (-95, 0)), 5, ()),
        (((0, 10), (0, float("nan"))), 5, ()),
        (((0, 10), (0, 10)), 0, ()),
        (((-180, 180), (-90, 90)), 0.5, ()),
        (((0, 10), (0, 10)), 5, (Sector((-180, 180), (-90, 90)),)),
    ],
)
def test_bad_reach_is_refused(ranges, step, sectors):
    with pytest.raises(InputError):
        reachable_poses(*ranges, step, sectors)


def test_poses_come_from_csv_and_json(tmp_path):
    wanted = (Pose(10, -5), Pose(-30.5, 0))
    (tmp_path / "a.csv").write_text("id,primary_deg,secondary_deg\na,10,-5\nb,-30.5,0\n")
    records = [{"primary_deg": 10, "secondary_deg": -5, "more": 1}, [-30.5, 0]]
    (tmp_path / "a.json").write_text(json.dumps(records))
    (tmp_path / "b.json").write_text(json.dumps({"poses": records}))
    for name in ("a.csv", "a.json", "b.json"):
        assert read_poses(tmp_path / name) == wanted


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", "primary_deg,other\n10,3\n"),
        ("a.csv", "primary_deg,secondary_deg\n10,x\n"),
        ("a.csv", "primary_deg,secondary_deg\n10,95\n"),
        ("a.json", "{"),
        ("a.json", "3"),
        ("a.json", "[[1, 2, 3]]"),
        ("a.txt", "10 3"),
    ],
)
def test_bad_files_are_refused_by_name(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=name):
        read_poses(tmp_path / name)
    with pytest.raises(InputError, match=r"gone\.csv"):
        read_poses(tmp_path / "gone.csv")


def test_the_same_pose_twice_is_one():
    assert allowed([Pose(1, 2), Pose(1.0, 2.0), Pose(3, 4)]) == (Pose(1, 2), Pose(3, 4))


def test_sectors_are_read_as_typed():
    assert parse_sector("60:80,-25:0") == Sector((60, 80), (-25, 0))
    for text in ("60:80", "a:b,c:d", "80:60,0:1", "1:2:3,4:5"):
        with pytest.raises(InputError):
            parse_sector(text)


def test_directions_are_those_of_the_c_arm():
    carm = CArm(1000.0, 600.0, 32, 32, (1.0, 1.0))
    poses = [Pose(30, 20), Pose(-75, -10), Pose(170, 5)]
    for pose, direction in zip(poses, directions_world(poses), strict=True):
        camera = carm.camera(pose.primary_deg, pose.secondary_deg)
        np.testing.assert_allclose(direction, camera.view_direction_world, atol=1e-12)
        back = pose_of(direction)
        assert (back.primary_deg, back.secondary_deg) == pytest.approx((pose.primary_deg, pose.secondary_deg))


def test_standard_poses_are_those_that_are_judged():
    poses, wanted = standard_poses("adapt-28"), nominal_directions_world()
    for direction, name in zip(directions_world(list(poses.values())), poses, strict=True):
        np.testing.assert_allclose(direction, wanted[name], atol=1e-12)


def test_opposite_directions_are_one_line():
    lines = directions_world([Pose(90, 0), Pose(-90, 0), Pose(0, 0)])
    np.testing.assert_allclose(line_angles_deg(lines, lines), [[0, 0, 90], [0, 0, 90], [90, 90, 0]], atol=1e-4)


def test_far_enough_counts_lines_and_not_a_pose_with_itself():
    apart = far_enough([Pose(0, 0), Pose(20, 0), Pose(-170, 0)], 15)
    assert apart.tolist() == [[False, True, False], [True, False, False], [False, False, False]]


def test_names_are_those_of_the_c_arm_and_make_ids():
    assert Pose(-40, 5).clinical_name == "RAO 40, CRA 5"
    assert Pose(0, 0).clinical_name == "AP"
    assert pose_record(Pose(-40, 5))["id"] == "rao-40-cra-5"
