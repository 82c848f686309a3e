"""Every rule fires on the mistake it is for, and is silent on cameras without it."""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drrkit.errors import InputError
from drrkit.geometry.camera import Camera
from drrkit.geometry.carm import CArm
from drrkit.geometry.lint import RULES, lint_cameras

CARM = CArm(1000.0, 600.0, 400, 500, (0.5, 0.6), (248.3, 202.9))
ANGLES = {"ap": (0.0, 0.0), "oblique": (40.0, 10.0), "lat": (90.0, 0.0)}
ISOCENTER = (30.0, -160.0, 250.0)


@dataclass
class Ct:
    hu: np.ndarray
    world_from_voxel: np.ndarray


def ct(center=ISOCENTER, spacing_mm: float = 10.0) -> Ct:
    """A body of 200 x 160 x 200 mm in air."""
    hu = np.full((30, 26, 30), -1000, np.int16)
    hu[5:25, 5:21, 5:25] = 40
    affine = np.diag([spacing_mm, spacing_mm, spacing_mm, 1.0])
    affine[:3, 3] = np.array(center) - (np.array(hu.shape[::-1]) - 1) / 2 * spacing_mm
    return Ct(hu, affine)


def records() -> list[dict]:
    return [CARM.camera(*angles, isocenter_world=ISOCENTER).to_record(name) for name, angles in ANGLES.items()]


def changed(**fields) -> list[dict]:
    """All records, the one of the lateral view changed."""
    *others, lateral = records()
    return [*others, lateral | fields]


def matrix_of(record: dict) -> np.ndarray:
    return np.array(record["K"]) @ np.array(record["camera_from_world"])[:3]


def moved(matrix) -> list:
    """camera_from_world of the lateral view, changed."""
    return (np.asarray(matrix) @ np.array(records()[2]["camera_from_world"])).tolist()


def posed(change) -> list[dict]:
    """All records with camera_from_world changed."""
    return [
        record | {"camera_from_world": change(np.array(record["camera_from_world"])).tolist()} for record in records()
    ]


def intrinsics(**entries) -> list:
    matrix = CARM.pixel_from_camera.copy()
    places = {"fx": (0, 0), "fy": (1, 1), "cx": (0, 2), "cy": (1, 2), "skew": (0, 1), "scale": (2, 2), "low": (1, 0)}
    for name, value in entries.items():
        matrix[places[name]] = value
    return matrix.tolist()


def scaled_translation(pose):
    pose[:3, 3] /= 1000
    return pose


def rules(findings) -> list[str]:
    return [finding.rule for finding in findings]


FX, FY = 1000 / 0.6, 1000 / 0.5

# rule, severity, records, CT
FIRES = [
    ("fields", "error", changed(K=None), None),
    ("fields", "error", changed(K="none"), None),
    ("fields", "error", changed(height=None), None),
    ("fields", "error", changed(pixel_spacing_mm=[0.5]), None),
    ("fields", "error", changed(camera_from_world=np.full((4, 4), np.nan).tolist()), None),
    ("camera", "error", changed(height=-400), None),
    ("camera", "error", changed(K=intrinsics(scale=2)), None),
    ("camera", "error", changed(K=intrinsics(low=3)), None),
    ("duplicate-id", "error", [*records(), records()[0]], None),
    ("rotation", "error", changed(camera_from_world=moved(np.diag([1.1, 1.1, 1.1, 1]))), None),
    ("mirrored", "error", changed(camera_from_world=moved(np.diag([-1, 1, 1, 1]))), None),
    ("mirrored", "warning", changed(K=intrinsics(fx=-FX)), None),
    ("z-toward-source", "error", changed(K=intrinsics(fx=-FX, fy=-FY)), None),
    ("z-toward-source", "error", changed(camera_from_world=moved(np.diag([1, -1, -1, 1]))), ct()),
    ("flipped-rows", "error", changed(K=intrinsics(fy=-FY)), None),
    ("skew", "warning", changed(K=intrinsics(skew=30)), None),
    ("spacing-order", "error", changed(pixel_spacing_mm=[0.6, 0.5]), None),
    ("focal-mismatch", "error", changed(K=intrinsics(fy=FY * 1.5)), None),
    ("focal-mismatch", "warning", changed(K=intrinsics(fy=FY * 1.02)), None),
    ("units", "error", changed(pixel_spacing_mm=[0.0005, 0.0006]), None),
    ("units", "warning", posed(scaled_translation), None),
    ("distance", "warning", changed(pixel_spacing_mm=[0.1, 0.12]), None),
    ("half-pixel", "warning", changed(K=intrinsics(cx=250, cy=200)), None),
    ("principal-point", "warning", changed(K=intrinsics(cx=202.9 + 2000, cy=248.3)), None),
    ("projection-matrix", "error", changed(P=(matrix_of(records()[2]) + np.eye(3, 4)).tolist()), None),
    ("projection-matrix", "error", changed(pixel_from_world=[[1, 2], [3, 4]]), None),
    ("source-inside-body", "error", records(), ct((30.0 - 600, -160, 250))),
    ("behind-detector", "error", changed(pixel_spacing_mm=[0.25, 0.3]), ct()),
    ("not-seen", "error", changed(camera_from_world=moved(np.eye(4) + 500 * np.eye(4, k=3))), ct()),
    ("isocenter", "error", records(), ct((300.0, -160, 250))),
    ("isocenter", "error", records()[:1], ct((300.0, -160, 250))),
    ("ras", "error", posed(lambda pose: pose @ np.diag([-1.0, -1, 1, 1])), ct()),
]  # fmt: skip


@pytest.mark.parametrize(
    ("rule", "severity", "entries", "volume"), FIRES, ids=[f"{r[0]}-{n}" for n, r in enumerate(FIRES)]
)
def test_rule_fires(rule, severity, entries, volume):
    found = [finding for finding in lint_cameras(entries, volume) if finding.rule == rule]
    assert found
    assert {finding.severity for finding in found} == {severity}
    for finding in found:
        assert all((finding.where, finding.found, finding.wanted, finding.fix))


def test_nothing_is_said_of_sound_cameras():
    assert lint_cameras(records(), ct(), ANGLES) == []
    stored = [record | {"P": (-3 * matrix_of(record)).tolist()} for record in records()]
    assert lint_cameras(stored) == []


def test_every_rule_is_tried():
    elsewhere = {"angles", "angles-unmatched"}
    assert {row[0] for row in FIRES} | elsewhere == set(RULES)


@pytest.mark.parametrize(
    "camera",
    [
        CARM.camera(90, 0).cropped(20, 250, 224, 224),
        CARM.camera(90, 0).resized(100, 125),
        CARM.camera(30, 10).rotated90(),
        CArm(1300.0, 1000.0, 3000, 1000, (0.2, 0.2)).camera(0, 0),
    ],
    ids=["cropped", "resized", "turned", "biplanar"],
)
def test_changed_images_with_their_cameras_are_sound(camera):
    assert lint_cameras([camera.to_record("a")], ct((0.0, 0, 0))) == []


def test_a_ct_without_air_is_all_body():
    full = Ct(np.zeros((10, 10, 10), np.int16), ct().world_from_voxel)
    inside = CARM.camera(0, 0, isocenter_world=(-60.0, -840, 150)).to_record("a")  # source at y = -240
    assert "source-inside-body" in rules(lint_cameras([inside], full))


def test_a_source_beside_the_body_but_inside_the_ct_is_no_error():
    volume = ct()
    air = np.add(ISOCENTER, (130, 0, 0))  # inside the field of view, outside the body
    record = CARM.camera(-90, 0, isocenter_world=air - (600, 0, 0)).to_record("a")
    assert np.allclose(Camera.from_record(record).source_world, air)
    assert lint_cameras([record], volume) == []


# ---- the fixes mend ------------------------------------------------------------------------------------------------


def rows_negated(record: dict, rows: list[int], focal: list[int]) -> dict:
    pose, matrix = np.array(record["camera_from_world"]), np.array(record["K"])
    pose[rows] *= -1
    matrix[focal, focal] *= -1
    return record | {"K": matrix.tolist(), "camera_from_world": pose.tolist()}


@pytest.mark.parametrize(
    ("broken", "rows", "focal"),
    [
        (changed(camera_from_world=moved(np.diag([-1, 1, 1, 1])))[2], [0], [0]),  # mirrored, error
        (changed(K=intrinsics(fy=-FY))[2], [0, 1], [0, 1]),  # flipped-rows
        (changed(camera_from_world=moved(np.diag([1, -1, -1, 1])))[2], [1, 2], [0]),  # z-toward-source
    ],
    ids=["mirrored", "flipped-rows", "z-toward-source"],
)
def test_the_fix_keeps_the_pixels_and_ends_the_error(broken, rows, focal):
    mended = rows_negated(broken, rows, focal)
    points = np.concatenate([ISOCENTER + np.random.default_rng(0).normal(size=(9, 3)) * 20, np.ones((9, 1))], axis=1)
    before, after = (points @ matrix_of(record).T for record in (broken, mended))
    np.testing.assert_allclose(before[:, :2] / before[:, 2:], after[:, :2] / after[:, 2:])
    assert any(finding.severity == "error" for finding in lint_cameras([broken], ct()))
    assert [finding.rule for finding in lint_cameras([mended], ct())] == ["mirrored"]


def test_half_a_pixel_between_two_matrices_is_recognized():
    shift = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    (finding,) = lint_cameras(changed(P=(shift @ matrix_of(records()[2])).tolist()))
    assert "half a pixel" in finding.fix
    assert "0.50 px" in finding.found


# ---- angles --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("off_deg", "expected"), [(9.5, []), (10.5, ["angles"])])
def test_angles_may_be_off_by_ten_degrees(off_deg, expected):
    stated = ANGLES | {"lat": (90.0 + off_deg, 0.0)}
    assert rules(lint_cameras(records(), angles=stated)) == expected


def test_angles_wrap_around():
    record = CARM.camera(179, 0).to_record("a")
    assert lint_cameras([record], angles={"a": (-179.0, 0.0)}) == []


@pytest.mark.parametrize(
    ("change", "fix"),
    [
        (lambda camera: CARM.camera(-camera[0], camera[1]), "sign of the primary"),
        (lambda camera: CARM.camera(camera[1], camera[0]), "exchange primary and secondary"),
        (lambda camera: CARM.camera(camera[0] + 180, -camera[1]), "exchange source and detector"),
    ],
    ids=["sign", "order", "reversed"],
)
def test_the_mistake_behind_the_angles_is_named(change, fix):
    angles = {"a": (20.0, 45.0), "b": (-70.0, 5.0)}
    entries = [change(pair).to_record(name) for name, pair in angles.items()]
    findings = lint_cameras(entries, angles=angles)
    assert rules(findings) == ["angles", "angles"]
    assert all(fix in finding.fix for finding in findings)


def test_ras_poses_are_told_by_the_angles():
    entries = posed(lambda pose: pose @ np.diag([-1.0, -1, 1, 1]))
    findings = lint_cameras(entries, angles=ANGLES)
    assert rules(findings) == ["angles", "angles", "angles", "ras"]
    assert "diag(-1, -1, 1, 1)" in findings[-1].fix


def test_a_single_wrong_angle_is_not_called_a_frame():
    assert rules(lint_cameras(records(), angles=ANGLES | {"oblique": (-20.0, 60.0)})) == ["angles"]


def test_ids_that_do_not_match_are_told():
    findings = lint_cameras(records(), angles={"ap": (0.0, 0.0), "shot7": (1.0, 2.0)})
    assert rules(findings) == ["angles-unmatched", "angles-unmatched"]
    assert "shot7" in findings[0].found
    assert "lat" in findings[1].found


numbers = st.one_of(st.floats(-3000, 3000), st.sampled_from([0.0, 1.0, float("nan"), float("inf"), 1e-300, 1e300]))


def rows_of(height: int, width: int):
    return st.lists(st.lists(numbers, min_size=width, max_size=width), min_size=height, max_size=height)


junk = st.one_of(st.none(), st.text(max_size=3), numbers, st.lists(numbers, max_size=4), st.just({}), st.booleans())


@settings(max_examples=300, deadline=None)
@given(
    st.fixed_dictionaries(
        {},
        optional={
            "K": junk | rows_of(3, 3),
            "camera_from_world": junk | rows_of(4, 4) | st.just(np.eye(4).tolist()),
            "height": junk | st.integers(-1, 600),
            "width": junk | st.integers(-1, 600),
            "pixel_spacing_mm": junk | st.lists(numbers, min_size=2, max_size=2),
            "P": junk | rows_of(3, 4),
        },
    )
)
def test_whatever_makes_no_camera_is_an_error_and_never_a_crash(fields):
    record = records()[0] | fields
    findings = lint_cameras([record], ct(), {"ap": (0.0, 0.0)})
    try:
        Camera.from_record(record)
    except InputError:
        assert any(finding.severity == "error" for finding in findings)


def test_errors_come_first():
    findings = lint_cameras([*changed(K=intrinsics(fx=-FX)), records()[0]])
    assert [finding.severity for finding in findings] == ["error", "warning"]
