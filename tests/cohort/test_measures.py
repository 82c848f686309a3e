"""Volumes, widths, gaps and contacts in millimeters, against shapes whose sizes are known."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from drrkit.cohort.measures import measure_spine
from drrkit.volume import LEVEL_CODES
from spines import spine_volume


def affine(spacing_mm, rotation=None, origin=(5.0, -20.0, 300.0)):
    matrix = np.eye(4)
    matrix[:3, :3] = (rotation if rotation is not None else np.eye(3)) * spacing_mm
    matrix[:3, 3] = origin
    return matrix


def boxes(*where):
    """Draw boxes (level, z, y, x slices) on a grid of 40 voxels."""
    labels = np.zeros((40, 40, 40), np.uint8)
    for level, *slices in where:
        labels[tuple(slice(*ends) for ends in slices)] = LEVEL_CODES[level]
    return labels


def test_volume_centroid_width_and_hu_of_a_box():
    labels = boxes(("L2", (10, 20), (5, 15), (8, 28)))
    hu = np.where(labels > 0, 250, -100).astype(np.int16)
    (level,) = measure_spine(labels, affine((0.5, 2.0, 3.0)), hu).levels
    assert level.level == "L2"
    assert level.volume_mm3 == pytest.approx(10 * 10 * 20 * 3)
    assert level.centroid_world == pytest.approx([5 + 17.5 * 0.5, -20 + 9.5 * 2, 300 + 14.5 * 3])
    assert level.width_mm == pytest.approx(10.0)
    assert level.mean_hu == 250
    assert level.cut_at == ()


def test_an_ellipsoid_has_its_volume_on_any_grid():
    volumes = [measure_spine((v := spine_volume(("L3",), voxel_mm=mm)).labels, v.world_from_voxel) for mm in (1.5, 3)]
    for spine in volumes:
        assert spine.levels[0].volume_mm3 == pytest.approx(57_000, rel=0.02)


def test_oblique_and_left_handed_grids_measure_the_same():
    turn = Rotation.from_euler("xyz", [30, -20, 40], degrees=True).as_matrix()
    labels = boxes(("L1", (25, 33), (5, 15), (8, 28)), ("L2", (10, 20), (5, 15), (8, 28)))
    straight = measure_spine(labels, affine((1, 1, 1)))
    for rotation in (turn, turn @ np.diag([-1, 1, 1])):
        turned = measure_spine(labels, affine((1, 1, 1), rotation))
        for one, other in zip(straight.levels, turned.levels, strict=True):
            assert one.volume_mm3 == pytest.approx(other.volume_mm3)
        gaps = [np.linalg.norm(s.levels[0].centroid_world - s.levels[1].centroid_world) for s in (straight, turned)]
        assert gaps[0] == pytest.approx(gaps[1])


@pytest.mark.parametrize(
    ("box", "flip", "ends"),
    [
        (((0, 5), (10, 20), (10, 20)), (1, 1, 1), ("foot",)),
        (((0, 5), (10, 20), (10, 20)), (1, 1, -1), ("head",)),
        (((35, 40), (0, 20), (10, 20)), (1, 1, 1), ("front", "head")),
        (((10, 20), (10, 20), (0, 40)), (1, 1, 1), ("right", "left")),
        (((10, 20), (10, 20), (0, 9)), (-1, 1, 1), ("left",)),
        (((10, 20), (30, 40), (10, 20)), (1, 1, 1), ("back",)),
    ],
)
def test_the_cut_end_follows_the_direction_of_the_voxel_axes(box, flip, ends):
    (level,) = measure_spine(boxes(("T9", *box)), affine(np.array(flip, float))).levels
    assert set(level.cut_at) == set(ends)


def test_contact_is_the_shared_area():
    labels = boxes(("L1", (20, 30), (5, 15), (8, 28)), ("L2", (10, 20), (5, 15), (18, 38)))
    spine = measure_spine(labels, affine((0.5, 2.0, 3.0)))
    assert spine.contact_mm2 == {("L1", "L2"): pytest.approx(10 * 10 * 0.5 * 2.0)}
    apart = boxes(("L1", (21, 30), (5, 15), (8, 28)), ("L2", (10, 20), (5, 15), (18, 38)))
    assert measure_spine(apart, affine((1, 1, 1))).contact_mm2 == {}


def test_parts_and_the_gap_to_the_farthest():
    labels = boxes(
        ("L4", (10, 20), (10, 20), (10, 20)), ("L4", (24, 26), (10, 12), (10, 12)), ("L4", (0, 1), (0, 1), (0, 1))
    )
    (level,) = measure_spine(labels, affine((1.0, 1.0, 2.0))).levels
    assert level.parts_mm3 == (2000.0, 16.0, 2.0)
    assert level.farthest_part_mm == pytest.approx(np.linalg.norm([9, 9, 18]))
    assert level.width_mm == 10.0


def test_the_gap_to_the_sacrum():
    labels = boxes(("L5", (20, 30), (5, 15), (8, 28)), ("sacrum", (5, 16), (5, 15), (8, 28)))
    spine = measure_spine(labels, affine((1.0, 1.0, 2.0)))
    # Centers of the nearest voxels: slices 20 and 15.
    assert spine.sacrum_gap_mm == {"L5": pytest.approx(10.0)}
    assert measure_spine(boxes(("L5", (20, 30), (5, 15), (8, 28))), affine((1, 1, 1))).sacrum_gap_mm == {}


def test_flips_are_named_by_body_axes_whatever_the_voxel_axes():
    labels = boxes(("L3", (3, 10), (5, 15), (8, 18)))
    hu = np.where(labels[::-1] > 0, 500, 0).astype(np.int16)
    # Voxel z runs left here, so a flip of z is one of left and right.
    turn = np.array([[0.0, 0, 1], [1, 0, 0], [0, 1, 0]])
    spine = measure_spine(labels, affine((1, 1, 1), turn), hu)
    assert spine.mean_hu == 0
    assert spine.flipped_mean_hu["left-right"] == 500
    assert len(spine.flipped_mean_hu) == 7
    assert sum(mean > 0 for mean in spine.flipped_mean_hu.values()) == 1
