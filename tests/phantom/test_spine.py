"""Pathology and pose do what their parameters say, measured on the finished meshes."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from drrkit.geometry import rigid
from drrkit.phantom.anatomy import REGION_CODES
from drrkit.phantom.calibration import disc_height_mm
from drrkit.phantom.template import template


def plate_normal(vertebra, plate):
    """Unit normal of an end plate, headwards: the template's plate turned onto the vertebra's (Kabsch)."""
    shared = template()
    sign = 1 if plate == "upper" else -1
    chosen = (shared.regions == REGION_CODES["body"]) & (sign * shared.vertices[:, 2] > 11)
    chosen &= shared.vertices[:, 1] < 14
    source, target = shared.vertices[chosen], vertebra.vertices_world[chosen]
    turn, _ = Rotation.align_vectors(target - target.mean(axis=0), source - source.mean(axis=0))
    return turn.apply([0, 0, 1])


def sagittal_deg(upper, lower):
    """Angle between two normals in the sagittal plane, positive for lordosis."""
    return np.degrees(np.arctan2(upper[1], upper[2]) - np.arctan2(lower[1], lower[2]))


@pytest.mark.parametrize("lordosis_deg", [20.0, 46.0, 70.0])
def test_lordosis(spine_of, lordosis_deg):
    spine = spine_of(lordosis_deg=lordosis_deg)
    first, sacral = plate_normal(spine.vertebrae["L1"], "upper"), spine.world_from_sacrum[:3, 2]
    assert sagittal_deg(first, sacral) == pytest.approx(lordosis_deg, abs=1.5)


def test_lordosis_holds_with_a_fracture(spine_of):
    spine = spine_of(lordosis_deg=45.0, wedge_deg=10.0, fracture_level="L2")
    first, sacral = plate_normal(spine.vertebrae["L1"], "upper"), spine.world_from_sacrum[:3, 2]
    assert sagittal_deg(first, sacral) == pytest.approx(45.0, abs=1.5)


@pytest.mark.parametrize("cobb_deg", [-25.0, 12.0, 30.0])
def test_scoliosis(spine_of, cobb_deg):
    spine = spine_of(scoliosis_deg=cobb_deg, scoliosis_apex="L2")
    above, below = plate_normal(spine.vertebrae["T12"], "upper"), plate_normal(spine.vertebrae["L4"], "lower")
    measured = np.degrees(np.arctan2(below[0], below[2]) - np.arctan2(above[0], above[2]))
    assert measured == pytest.approx(cobb_deg, abs=1.5)
    # Convex to the left (+x) when positive: the apex lies beside the line between the end vertebrae.
    x = {level: spine.vertebrae[level].world_from_vertebra[0, 3] for level in ("T12", "L2", "L4")}
    assert np.sign(x["L2"] - (x["T12"] + x["L4"]) / 2) == np.sign(cobb_deg)


def test_axial_rotation_turns_the_apex_most(spine_of):
    spine = spine_of(axial_rotation_deg=10.0, scoliosis_apex="L2")

    def turn_deg(level):
        marks = spine.vertebrae[level].landmarks_world
        across = marks["left_pedicle"] - marks["right_pedicle"]
        return np.degrees(np.arctan2(across[1], across[0]))

    assert turn_deg("L2") == pytest.approx(10.0, abs=0.7)
    assert 0 < turn_deg("L4") < turn_deg("L3") < turn_deg("L2")


@pytest.mark.parametrize("slip_mm", [8.0, -3.0])
def test_slip_moves_the_level_and_all_above_forwards(spine_of, slip_mm):
    usual, slipped = spine_of(), spine_of(slip_mm=slip_mm, slip_level="L4")

    def in_l5(spine, level):
        lower_from_world = rigid.invert(spine.vertebrae["L5"].world_from_vertebra)
        return rigid.apply(lower_from_world, spine.vertebrae[level].world_from_vertebra[:3, 3])

    for level in ("L4", "L3", "L1"):
        shift = in_l5(slipped, level) - in_l5(usual, level)
        assert np.linalg.norm(shift) == pytest.approx(abs(slip_mm), abs=1e-6)
        assert np.sign(-shift[1]) == np.sign(slip_mm)  # -y is forwards
        assert abs(shift[1]) > 0.95 * abs(slip_mm)


def test_wedge_tilts_the_upper_end_plate_and_lowers_the_front(spine_of):
    usual, broken = (spine_of(wedge_deg=angle, fracture_level="L1").vertebrae["L1"] for angle in (0.0, 12.0))

    def height(vertebra, side):
        spots = [vertebra.vertices_world[template().nearest[f"{plate}_rim_{side}"]] for plate in ("upper", "lower")]
        return np.linalg.norm(spots[0] - spots[1])

    def wedge_deg(vertebra):
        return sagittal_deg(plate_normal(vertebra, "upper"), plate_normal(vertebra, "lower"))

    assert wedge_deg(usual) - wedge_deg(broken) == pytest.approx(12.0, abs=1.5)
    assert height(usual, "back") - height(broken, "back") < 1.0
    lost = usual.shape.body_depth_mm * np.tan(np.radians(12.0))
    assert height(usual, "front") - height(broken, "front") == pytest.approx(lost, abs=1.0)


def test_height_loss_is_of_the_middle(spine_of):
    def middle_mm(loss):
        marks = spine_of(height_loss=loss, fracture_level="L3").vertebrae["L3"].landmarks_world
        return np.linalg.norm(marks["upper_end_plate"] - marks["lower_end_plate"])

    height = spine_of().vertebrae["L3"].shape.body_height_mm
    assert middle_mm(0.0) - middle_mm(0.25) == pytest.approx(0.25 * height, abs=0.7)


def test_degeneration_thins_discs(spine_of):
    full, thin = spine_of(lordosis_deg=25.0), spine_of(lordosis_deg=25.0, disc_degeneration=0.5)
    for upper, lower in (("L1", "L2"), ("L3", "L4")):
        lost = disc_height_mm(full.vertebrae[upper], full.vertebrae[lower])
        lost -= disc_height_mm(thin.vertebrae[upper], thin.vertebrae[lower])
        assert 1.8 < lost < 3.5


def test_osteophytes_grow_at_the_rims_only(spine_of):
    plain, spurred = spine_of().vertebrae["L3"], spine_of(osteophyte_mm=5.0).vertebrae["L3"]
    growth = np.linalg.norm(spurred.vertices_world - plain.vertices_world, axis=1)
    rim = template().rim.max(axis=1)
    assert 2.0 < growth.max() < 5.5
    assert rim[growth.argmax()] > 0.5
    assert growth[rim < 1e-4].max() < 0.05


def test_size_scales_lengths(spine_of):
    small, large = spine_of(size=0.9).vertebrae["L3"], spine_of(size=1.1).vertebrae["L3"]
    widths = [np.ptp(rigid.apply(rigid.invert(v.world_from_vertebra), v.vertices_world)[:, 0]) for v in (small, large)]
    assert widths[1] / widths[0] == pytest.approx(1.1 / 0.9, rel=0.02)


def test_the_whole_turns_and_moves_about_l3(spine_of):
    usual = spine_of()
    moved = spine_of(pitch_deg=10.0, roll_deg=-5.0, yaw_deg=7.0, position_mm=(11.0, -12.0, 13.0))
    np.testing.assert_allclose(moved.vertebrae["L3"].world_from_vertebra[:3, 3], [11, -12, 13], atol=1e-9)
    world_from_usual = moved.vertebrae["L3"].world_from_vertebra @ rigid.invert(
        usual.vertebrae["L3"].world_from_vertebra
    )
    for level in ("T12", "L5"):
        mapped = rigid.apply(world_from_usual, usual.vertebrae[level].vertices_world)
        np.testing.assert_allclose(mapped, moved.vertebrae[level].vertices_world, atol=0.05)
    front = -moved.vertebrae["L3"].world_from_vertebra[:3, 1]
    head = moved.vertebrae["L3"].world_from_vertebra[:3, 2]
    assert front[0] > 0.1  # front to the left
    assert head[1] < -0.1  # head forward
    assert head[0] < -0.05  # head to the right
