"""Sacrum, iliac wings, ribs and discs: closed, in place, and off the vertebrae."""

import numpy as np
from scipy.spatial import cKDTree

from drrkit.geometry import rigid
from drrkit.phantom.discs import discs
from drrkit.phantom.pelvis import iliac_templates, sacral_facets, sacrum_template
from drrkit.phantom.ribs import ribs


def poses(spine):
    return {level: vertebra.world_from_vertebra for level, vertebra in spine.vertebrae.items()}


def test_all_bones_are_closed_and_face_outwards(typical_spine, edge_counts, enclosed_mm3):
    bones = [sacrum_template(), *iliac_templates(), *ribs(poses(typical_spine), 1.0), *discs(typical_spine)]
    assert len(bones) == 3 + 6 + 7
    for bone in bones:
        assert (edge_counts(bone.faces) == 1).all()
        assert enclosed_mm3(bone.vertices, bone.faces) > 2000


def test_the_iliac_wings_mirror_and_keep_off_the_sacrum():
    left, right = iliac_templates()
    np.testing.assert_array_equal(left.vertices * [-1, 1, 1], right.vertices)
    gap_mm, _ = cKDTree(sacrum_template().vertices).query(left.vertices)
    assert 1.0 < gap_mm.min() < 4.0


def test_the_sacral_facet_lies_on_the_bone():
    gap_mm, _ = cKDTree(sacrum_template().vertices).query(sacral_facets(1.0).center)
    assert gap_mm < 2.5


def test_ribs_start_beside_their_vertebrae(typical_spine):
    for rib, level in zip(ribs(poses(typical_spine), 1.0)[:2], ("T12", "T12"), strict=True):
        gap_mm, _ = cKDTree(typical_spine.vertebrae[level].vertices_world).query(rib.vertices)
        assert gap_mm.min() < 4.0


def test_discs_fill_the_space_between_end_plates(typical_spine, enclosed_mm3):
    spine = typical_spine
    for disc, (upper, lower) in zip(
        discs(spine)[2:6], (("L1", "L2"), ("L2", "L3"), ("L3", "L4"), ("L4", "L5")), strict=True
    ):
        marks = [
            spine.vertebrae[upper].landmarks_world["lower_end_plate"],
            spine.vertebrae[lower].landmarks_world["upper_end_plate"],
        ]
        middle = rigid.apply(np.eye(4), disc.vertices).mean(axis=0)
        assert np.linalg.norm(middle - np.mean(marks, axis=0)) < 3
        assert 8_000 < enclosed_mm3(disc.vertices, disc.faces) < 25_000
