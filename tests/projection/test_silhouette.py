"""Masks are where the exact renderer meets a level, boxes hug them, visibility counts what is in the image."""

import numpy as np
import pytest

from drrkit.errors import InputError
from drrkit.geometry import rigid
from drrkit.geometry.carm import CArm
from drrkit.projection import siddon
from drrkit.projection.silhouette import prepare_levels, project_levels
from drrkit.volume import LEVEL_CODES, Volume

SHAPE = (24, 28, 32)


@pytest.fixture(scope="module")
def labels():
    """Three ragged levels, one of them the sacrum, with single voxels strewn about."""
    rng = np.random.default_rng(7)
    labels = np.zeros(SHAPE, np.uint8)
    for level, top in (("L4", 14), ("L5", 9), ("sacrum", 4)):
        block = rng.random((5, 11, 12)) < 0.6
        labels[top : top + 5, 9:20, 8:20][block] = LEVEL_CODES[level]
    labels[1, 2, 3] = LEVEL_CODES["L4"]
    return labels


@pytest.fixture
def volume(labels, world_from_voxel):
    return Volume(np.zeros(SHAPE, np.int16), world_from_voxel, labels)


def test_masks_are_where_the_exact_renderer_meets_the_level(volume, camera):
    projections = project_levels(volume, camera)
    assert tuple(projections) == volume.levels == ("L4", "L5", "sacrum")
    for level, projection in projections.items():
        thickness = siddon.project(volume.level_mask(level).astype(np.float32), volume.voxel_from_world, [camera])[0]
        assert projection.mask.any()
        assert not projection.mask.all()
        np.testing.assert_array_equal(projection.mask, thickness > 0)


def test_boxes_hug_their_masks(volume, camera):
    for projection in project_levels(volume, camera).values():
        v, u = np.nonzero(projection.mask)
        assert projection.box == (u.min(), v.min(), u.max(), v.max())


@pytest.mark.parametrize(("top", "left", "height", "width"), [(0, 0, 26, 30), (26, 30, 30, 34), (20, 24, 9, 11)])
def test_visibility_is_the_share_of_voxels_in_the_image(volume, camera, top, left, height, width):
    cropped = camera.cropped(top, left, height, width)
    shares = []
    for level, projection in project_levels(volume, cropped).items():
        z, y, x = np.nonzero(volume.level_mask(level))
        u, v = cropped.project(rigid.apply(volume.world_from_voxel, np.stack([x, y, z], axis=-1))).T
        inside = (u >= -0.5) & (u < width - 0.5) & (v >= -0.5) & (v < height - 0.5)
        assert projection.visibility == inside.mean()
        shares.append(inside.mean())
    assert 0 < np.mean(shares) < 1


def test_a_level_within_the_image_is_all_visible(volume, camera):
    projections = project_levels(volume, camera.cropped(-100, -100, 256, 264))
    assert {projection.visibility for projection in projections.values()} == {1.0}


def test_levels_out_of_view_have_no_box(volume, camera):
    projection = project_levels(volume, camera.cropped(500, 500, 10, 10))["L5"]
    assert projection.box is None
    assert projection.visibility == 0
    assert not projection.mask.any()


def test_behind_the_source_nothing_is_seen(volume, camera):
    turned = rigid.exp([0.0, np.pi, 0.0, 0.0, 0.0, 0.0]) @ camera.camera_from_world
    away = type(camera)(camera.pixel_from_camera, turned, camera.height, camera.width, camera.pixel_spacing_mm)
    for projection in project_levels(volume, away).values():
        assert projection.box is None
        assert projection.visibility == 0


def test_prepared_labels_are_small_and_give_the_same(volume, camera):
    prepared = prepare_levels(volume)
    assert prepared.levels == volume.levels
    assert prepared.labels.size < volume.labels.size
    direct, by_prepared = project_levels(volume, camera), project_levels(prepared, camera)
    for level in volume.levels:
        np.testing.assert_array_equal(direct[level].mask, by_prepared[level].mask)
        assert (direct[level].box, direct[level].visibility) == (by_prepared[level].box, by_prepared[level].visibility)


def test_only_the_levels_asked_for(volume, camera):
    assert list(project_levels(volume, camera, ["sacrum", "L4"])) == ["sacrum", "L4"]
    with pytest.raises(InputError, match=r"level L1: found labels for L4, L5, sacrum"):
        project_levels(volume, camera, ["L1"])


@pytest.mark.parametrize("labels", [None, np.zeros(SHAPE, np.uint8)], ids=["no labels", "empty labels"])
def test_without_labels_there_are_no_levels(labels):
    bare = Volume(np.zeros(SHAPE, np.int16), np.eye(4), labels)
    camera = CArm(1000.0, 700.0, 4, 4, (1.0, 1.0)).camera(0.0, 0.0)
    assert project_levels(bare, camera) == {}
    with pytest.raises(InputError, match="nothing"):
        project_levels(bare, camera, ["L1"])


def test_every_level_has_its_own_bit():
    """All codes at once, each in a voxel of its own along the image."""
    labels = np.zeros((1, 1, 2 * max(LEVEL_CODES.values()) + 2), np.uint8)
    for code in LEVEL_CODES.values():
        labels[0, 0, 2 * code] = code
    volume = Volume(np.zeros(labels.shape, np.int16), np.eye(4), labels)
    camera = CArm(1000.0, 999.9, 1, labels.size, (1.0, 1.0)).camera(0.0, 0.0, 0.0, volume.center_world)
    projections = project_levels(volume, camera.flipped_horizontally())
    assert len(projections) == len(LEVEL_CODES)
    for level, projection in projections.items():
        assert projection.box == (2 * LEVEL_CODES[level], 0, 2 * LEVEL_CODES[level], 0)
