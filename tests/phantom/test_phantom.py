import numpy as np
import pytest
from scipy import ndimage

from drrkit import InputError
from drrkit.geometry import rigid
from drrkit.phantom import PhantomParameters, make_phantom, sample_parameters
from drrkit.phantom.anatomy import REGION_CODES
from drrkit.phantom.phantom import COMPLETE_LEVELS


def voxel_of(phantom, point):
    x, y, z = np.round(rigid.apply(phantom.volume.voxel_from_world, point)).astype(int)
    return z, y, x


def hu_at(phantom, level, offset, reach=1):
    """Mean HU around a point given in the frame of a vertebra."""
    z, y, x = voxel_of(phantom, rigid.apply(phantom.vertebrae[level].world_from_vertebra, offset))
    return phantom.volume.hu[z - reach : z + reach + 1, y - reach : y + reach + 1, x - reach : x + reach + 1].mean()


def test_volume_holds_what_it_promises(phantom):
    volume = phantom.volume
    assert volume.hu.dtype == np.int16
    assert volume.hu.min() == -1024
    assert volume.spacing_mm == pytest.approx((2.0, 2.0, 2.0))
    assert volume.levels == ("T11", "T12", "L1", "L2", "L3", "L4", "L5", "sacrum")
    assert tuple(phantom.vertebrae) == COMPLETE_LEVELS
    extent_mm = np.array(volume.shape) * 2.0
    assert (extent_mm > [250, 230, 280]).all()
    assert (extent_mm < [360, 380, 420]).all()


def test_labels_agree_with_the_meshes(phantom, enclosed_mm3):
    for level, vertebra in phantom.vertebrae.items():
        mask = phantom.volume.level_mask(level)
        labelled, enclosed = mask.sum() * 8.0, enclosed_mm3(vertebra.vertices_world, vertebra.faces)
        assert labelled == pytest.approx(enclosed, rel=0.06)
        z, y, x = (axis.mean() for axis in np.nonzero(mask))
        middle = rigid.apply(phantom.volume.world_from_voxel, [x, y, z])
        a, b, c = (vertebra.vertices_world[vertebra.faces[:, corner]] for corner in range(3))
        weights = (a * np.cross(b, c)).sum(axis=1)
        np.testing.assert_allclose(middle, (weights[:, None] * (a + b + c) / 4).sum(axis=0) / weights.sum(), atol=0.6)


def test_each_level_is_one_piece(phantom):
    for level in COMPLETE_LEVELS:
        _, pieces = ndimage.label(phantom.volume.level_mask(level), structure=np.ones((3, 3, 3)))
        assert pieces == 1, level


def test_regions_cover_the_vertebrae_and_nothing_else(phantom):
    labels = phantom.volume.labels
    vertebral = (labels > 0) & (labels != 26)
    np.testing.assert_array_equal(phantom.regions > 0, vertebral)
    for level in COMPLETE_LEVELS:
        found = np.unique(phantom.regions[phantom.volume.level_mask(level)])
        np.testing.assert_array_equal(found, sorted(REGION_CODES.values()))


@pytest.mark.parametrize(("landmark", "region"), [("left_pedicle", "pedicles"), ("right_pedicle", "pedicles")])
def test_landmarks_fall_into_their_regions(phantom, landmark, region):
    for vertebra in phantom.vertebrae.values():
        assert phantom.regions[voxel_of(phantom, vertebra.landmarks_world[landmark])] == REGION_CODES[region]


@pytest.mark.parametrize(
    ("landmark", "region"),
    [("spinous_tip", "spinous"), ("left_transverse_tip", "transverse"), ("upper_end_plate", "body")],
)
def test_surface_landmarks_touch_their_regions(phantom, landmark, region):
    for vertebra in phantom.vertebrae.values():
        z, y, x = voxel_of(phantom, vertebra.landmarks_world[landmark])
        around = phantom.regions[z - 1 : z + 2, y - 1 : y + 2, x - 1 : x + 2]
        assert (around == REGION_CODES[region]).any()


def test_tissues_have_their_densities(phantom):
    quality = phantom.parameters.bone_quality
    marrow = hu_at(phantom, "L3", (0, 0, 0), reach=3)
    assert marrow == pytest.approx(70 + 180 * quality, rel=0.2)
    assert 100 < marrow < 260
    assert 30 < hu_at(phantom, "L3", (42, 3, -18)) < 85  # psoas
    assert 30 < hu_at(phantom, "L3", (40, 46, -18)) < 85  # erector spinae
    assert -60 < hu_at(phantom, "L3", (0, 24, 0)) < 60  # dural sac
    labels, hu = phantom.volume.labels, phantom.volume.hu
    shell = (labels == 22) & ~ndimage.binary_erosion(labels == 22)
    assert 350 < np.percentile(hu[shell], 90) < 1200
    assert hu[0, 0, 0] < -950  # air in the corner
    front = voxel_of(phantom, phantom.vertebrae["L3"].world_from_vertebra[:3, 3])
    line = hu[front[0], :, front[2]]
    skin = np.argmax(line > -400)
    assert -150 < np.median(line[skin + 3 : skin + 5]) < -50  # subcutaneous fat behind the skin


def test_disc_lies_between_bodies(phantom):
    marks = {level: phantom.vertebrae[level].landmarks_world for level in ("L3", "L4")}
    z, y, x = voxel_of(phantom, (marks["L3"]["lower_end_plate"] + marks["L4"]["upper_end_plate"]) / 2)
    assert phantom.volume.labels[z, y, x] == 0
    assert 60 < phantom.volume.hu[z, y - 3 : y + 4, x - 3 : x + 4].mean() < 140


def test_noise_is_as_strong_as_asked():
    quiet, noisy = (
        make_phantom(PhantomParameters(seed=4, individuality=0.0, noise_hu=level), 3.0) for level in (0.0, 40.0)
    )
    difference = noisy.volume.hu.astype(np.float64) - quiet.volume.hu
    inside = quiet.volume.hu > -200
    assert difference[inside].std() == pytest.approx(40.0, rel=0.05)
    assert abs(difference[inside].mean()) < 0.5


def test_soft_bone_is_less_dense():
    soft, hard = (
        make_phantom(PhantomParameters(seed=4, individuality=0.0, bone_quality=level), 3.0) for level in (0.05, 0.95)
    )
    mask = soft.volume.level_mask("L2") & (soft.regions == REGION_CODES["body"])
    np.testing.assert_array_equal(soft.volume.labels, hard.volume.labels)
    assert soft.volume.hu[mask].mean() + 120 < hard.volume.hu[mask].mean()


def test_the_same_parameters_make_the_same_bytes():
    once, again = (make_phantom(seed, 3.0) for seed in (8, sample_parameters(8)))
    assert once.parameters == again.parameters
    for name in ("hu", "labels", "world_from_voxel"):
        assert getattr(once.volume, name).tobytes() == getattr(again.volume, name).tobytes()
    assert once.regions.tobytes() == again.regions.tobytes()
    other = make_phantom(9, 3.0)
    assert other.volume.hu.shape != once.volume.hu.shape or (other.volume.hu != once.volume.hu).any()


def test_spacing_does_not_change_the_anatomy(phantom):
    coarse = make_phantom(3, 3.0)
    for level, vertebra in phantom.vertebrae.items():
        np.testing.assert_array_equal(vertebra.vertices_world, coarse.vertebrae[level].vertices_world)
        apart = phantom.volume.level_centroid_world(level) - coarse.volume.level_centroid_world(level)
        assert np.abs(apart).max() < 0.7


@pytest.mark.parametrize("spacing_mm", [0.0, -1.0, 9.0, float("nan"), "1"])
def test_bad_spacing_is_refused(spacing_mm):
    with pytest.raises(InputError, match="spacing_mm"):
        make_phantom(0, spacing_mm)


def test_bad_seed_is_refused():
    with pytest.raises(InputError, match="seed"):
        make_phantom(-3)


def test_shell_and_marrow_change_the_bone_inside_alone():
    usual, other = (
        make_phantom(PhantomParameters(seed=3, **bone), 3.0) for bone in ({}, {"shell": 2.0, "marrow": 0.3})
    )
    assert np.array_equal(usual.volume.labels, other.volume.labels)
    inside = usual.volume.level_mask("L3")
    core = ndimage.binary_erosion(inside, iterations=2)
    assert other.volume.hu[core].mean() < 0.6 * usual.volume.hu[core].mean()
    rim = inside & ~ndimage.binary_erosion(inside)
    assert other.volume.hu[rim].mean() > 1.1 * usual.volume.hu[rim].mean()
