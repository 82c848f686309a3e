"""What must hold for every individual, healthy or not."""

from itertools import pairwise

import numpy as np
import pytest
from scipy.spatial import cKDTree

from drrkit.geometry import rigid
from drrkit.phantom import PhantomParameters, make_spine, sample_parameters
from drrkit.phantom.anatomy import REGION_CODES
from drrkit.phantom.surface import fold_cosines
from drrkit.phantom.template import landmark_vertices, template_neighbors
from drrkit.phantom.voxelize import coverage, winding

COMPLETE = ("T12", "L1", "L2", "L3", "L4", "L5")


def test_vertebrae_correspond_and_keep_their_faces(varied_spines, edge_counts):
    first = varied_spines[0].vertebrae["L3"]
    assert (edge_counts(first.faces) == 1).all()
    for spine in varied_spines:
        for vertebra in spine.vertebrae.values():
            assert vertebra.faces is first.faces
            assert vertebra.vertex_regions is first.vertex_regions
            assert vertebra.vertices_world.shape == first.vertices_world.shape


def test_volumes_are_positive_and_plausible(varied_spines, enclosed_mm3):
    for spine in varied_spines:
        for level in ("L1", "L2", "L3", "L4", "L5"):
            vertebra = spine.vertebrae[level]
            assert 25_000 < enclosed_mm3(vertebra.vertices_world, vertebra.faces) < 100_000


def test_surfaces_do_not_fold_back(varied_spines):
    """Of 21276 edges, at most three lie in a crumple, and no more than 5 mm3 is counted twice or negatively."""
    for spine in varied_spines[::2]:
        for level in COMPLETE:
            vertebra = spine.vertebrae[level]
            cosines = fold_cosines(vertebra.vertices_world, vertebra.faces, template_neighbors())
            assert (cosines < -0.5).sum() <= 3
            voxel_from_world = np.eye(4)
            voxel_from_world[:3, 3] = -vertebra.vertices_world.min(axis=0) + 1
            _, turns = winding(vertebra.vertices_world, vertebra.faces, voxel_from_world, (140, 140, 140))
            assert np.abs(turns - np.clip(turns, 0, 1)).sum() < 5


def test_neighbors_keep_their_distance(varied_spines):
    for spine in varied_spines:
        for upper, lower in pairwise(spine.vertebrae.values()):
            gap_mm, _ = cKDTree(lower.vertices_world).query(upper.vertices_world)
            assert gap_mm.min() > 0.4, (upper.level, lower.level)
        gap_mm, _ = cKDTree(spine.sacrum.vertices).query(spine.vertebrae["L5"].vertices_world)
        assert gap_mm.min() > 0.4


def test_neighbors_do_not_share_space(varied_spines):
    for spine in varied_spines[::3]:
        low = np.min([vertebra.vertices_world.min(axis=0) for vertebra in spine.vertebrae.values()], axis=0) - 2
        voxel_from_world = np.eye(4)
        voxel_from_world[:3, 3] = -low
        total = np.zeros((340, 170, 190), dtype=np.float32)
        for vertebra in spine.vertebrae.values():
            covered = coverage(vertebra.vertices_world, vertebra.faces, voxel_from_world, total.shape)
            total[covered.box] += covered.share
        assert total.max() < 1.01


def test_facets_nearly_touch(typical_spine):
    articular = typical_spine.vertebrae["L1"].vertex_regions == REGION_CODES["articular"]
    for upper, lower in pairwise([typical_spine.vertebrae[level] for level in COMPLETE]):
        for side in (1, -1):
            down, up = (
                vertebra.vertices_world[articular & (side * vertebra.vertices_world[:, 0] > 0)]
                for vertebra in (upper, lower)
            )
            gap_mm, _ = cKDTree(up).query(down)
            assert 0.8 < gap_mm.min() < 3.0


def test_the_canal_is_open_from_end_to_end(varied_spines):
    """A sac 9 mm wide and deep behind the bodies meets no bone."""
    for spine in varied_spines:
        for level in COMPLETE:
            vertebra = spine.vertebrae[level]
            local = rigid.apply(rigid.invert(vertebra.world_from_vertebra), vertebra.vertices_world)
            wall, back = vertebra.shape.wall_mm, vertebra.shape.canal_depth_mm
            sac = (
                (np.abs(local[:, 0]) < 4.5)
                & (np.abs(local[:, 1] - wall - 0.36 * back) < 4.5)
                & (np.abs(local[:, 2]) < 12)
            )
            assert not sac.any(), level


def test_landmarks_lie_where_their_names_say(varied_spines):
    for spine in varied_spines:
        for level in COMPLETE:
            vertebra = spine.vertebrae[level]
            marks = vertebra.landmarks_world
            assert set(marks) == set(landmark_vertices())
            local = {
                name: rigid.apply(rigid.invert(vertebra.world_from_vertebra), mark) for name, mark in marks.items()
            }
            assert local["upper_end_plate"][2] > local["lower_end_plate"][2] + 10
            for kind in ("pedicle", "transverse_tip"):
                assert local[f"left_{kind}"][0] > 10 > -10 > local[f"right_{kind}"][0]
            assert local["left_transverse_tip"][0] > local["left_pedicle"][0]
            assert local["spinous_tip"][1] > local["left_pedicle"][1] > 10
            assert abs(local["spinous_tip"][0]) < 6
            # The tips are the ends: hardly any vertex of the process lies beyond them.
            whole = rigid.apply(rigid.invert(vertebra.world_from_vertebra), vertebra.vertices_world)
            assert whole[:, 1].max() - local["spinous_tip"][1] < 3
            assert whole[:, 0].max() - local["left_transverse_tip"][0] < 4


def test_levels_are_stacked_from_head_to_foot(varied_spines):
    for spine in varied_spines:
        heights = [spine.vertebrae[level].landmarks_world["upper_end_plate"][2] for level in spine.vertebrae]
        assert list(spine.vertebrae) == ["T11", *COMPLETE]
        assert (np.diff(heights) < -18).all()
        assert spine.world_from_sacrum[2, 3] < heights[-1] - 20


def test_typical_spine_is_symmetric_and_individuals_are_not(typical_spine, varied_spines):
    def skew_mm(spine):
        vertebra = spine.vertebrae["L3"]
        local = rigid.apply(rigid.invert(vertebra.world_from_vertebra), vertebra.vertices_world)
        gap_mm, _ = cKDTree(local).query(local * [-1, 1, 1])
        return gap_mm.mean()

    # Even the typical mesh has its vertices at different spots left and right.
    assert skew_mm(typical_spine) < 0.5
    assert np.mean([skew_mm(spine) for spine in varied_spines]) > 1.3 * skew_mm(typical_spine)


def test_the_same_seed_makes_the_same_spine():
    once, again = (make_spine(sample_parameters(5)) for _ in range(2))
    for level, vertebra in once.vertebrae.items():
        assert vertebra.vertices_world.tobytes() == again.vertebrae[level].vertices_world.tobytes()
    other = make_spine(PhantomParameters(**{**sample_parameters(5).__dict__, "seed": 6}))
    assert np.abs(other.vertebrae["L3"].vertices_world - once.vertebrae["L3"].vertices_world).max() > 0.5


@pytest.mark.parametrize("level", COMPLETE)
def test_regions_follow_the_anatomy(typical_spine, level):
    vertebra = typical_spine.vertebrae[level]
    local = rigid.apply(rigid.invert(vertebra.world_from_vertebra), vertebra.vertices_world)
    middle = {name: local[vertebra.vertex_regions == code].mean(axis=0) for name, code in REGION_CODES.items()}
    assert middle["body"][1] < middle["pedicles"][1] < middle["posterior_arch"][1] < middle["spinous"][1]
    outward = {name: np.abs(local[vertebra.vertex_regions == code][:, 0]).max() for name, code in REGION_CODES.items()}
    assert outward["transverse"] == max(outward.values())
