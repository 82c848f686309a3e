import numpy as np
import pytest

from drrkit.errors import InputError
from drrkit.volume import Volume
from protocols.beads.profile import BLURS, DISTANCES, blurred_ball, shadow_table
from protocols.simulation.ct import STEEL_HU, insert_balls


def soft_tissue(spacing=(0.8, 0.8, 1.0), shape=(40, 44, 48), dtype=np.int16) -> Volume:
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = (-20.0, 30.0, -100.0)
    return Volume(np.full(shape, 40, dtype), affine)


def test_the_volume_of_steel_is_that_of_the_ball():
    volume = soft_tissue(dtype=np.float32)
    balls = insert_balls(volume, [volume.center_world + 0.3], 3.0, highest_hu=1e6, streak_hu=0)
    steel_mm3 = (balls.hu - 40).sum() / (STEEL_HU - 40) * np.prod(volume.spacing_mm)
    assert steel_mm3 == pytest.approx(4 / 3 * np.pi * 1.5**3, rel=0.01)
    weights = balls.hu.astype(float) - 40
    z, y, x = (float((weights * axis).sum() / weights.sum()) for axis in np.indices(volume.shape))
    np.testing.assert_allclose(volume.world_from_voxel[:3] @ [x, y, z, 1.0], volume.center_world + 0.3, atol=0.01)


def test_metal_ends_at_the_scale_and_only_the_neighborhood_changes():
    volume = soft_tissue()
    center = volume.center_world
    balls = insert_balls(volume, [center], 3.0, highest_hu=3071, streak_hu=0)
    assert balls.hu.dtype == np.int16
    assert balls.hu.max() == 3071
    assert (balls.hu == 3071).sum() > 10
    z, y, x = np.nonzero(balls.hu != volume.hu)
    changed = np.stack([x, y, z, np.ones(len(x))]).T @ volume.world_from_voxel.T
    assert np.linalg.norm(changed[:, :3] - center, axis=1).max() < 6.0
    assert (volume.hu == 40).all()


def test_simulated_streaks_lie_in_the_slices_of_the_ball_and_come_from_the_seed():
    volume = soft_tissue(dtype=np.float32)
    first, again, other = (
        insert_balls(volume, [volume.center_world], 3.0, streak_hu=200, noise_hu=5, seed=seed).hu for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    quiet = insert_balls(volume, [volume.center_world], 3.0, streak_hu=0).hu
    streaked = insert_balls(volume, [volume.center_world], 3.0, streak_hu=200).hu
    difference = np.abs(streaked - quiet)
    assert difference[20].max() > 100
    assert difference[30].max() < 1


def test_blurred_balls_blur_as_convolution_does():
    # Mass is kept, the sharp ball is the limit, and the shadow of the sharp ball is its chord.
    distance = np.linspace(0, 8, 4001)
    for blur in (0.1, 0.5, 1.0):
        mass = np.trapezoid(4 * np.pi * distance**2 * blurred_ball(distance, 1.5, blur), distance)
        assert mass == pytest.approx(4 / 3 * np.pi * 1.5**3, rel=1e-3)
    np.testing.assert_allclose(blurred_ball(np.array([0.0, 1.0, 2.0]), 1.5, 0.01), [1, 1, 0], atol=1e-6)
    shadow, by_distance, by_blur = shadow_table().reshape(len(BLURS), len(DISTANCES), 3).transpose(2, 0, 1)
    np.testing.assert_allclose(shadow[0, :80], np.sqrt(1 - (np.arange(80) / 100) ** 2), atol=0.01)
    assert (by_distance[:, 1:300] < 1e-6).all()
    assert by_blur[10, 0] < 0 < by_blur[10, 110]


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"centers_world": [[0.0, 0.0, 500.0]]}, "500"),
        ({"centers_world": [0.0, 0.0, 0.0]}, "shape"),
        ({"diameter_mm": 0.0}, "0"),
        ({"blur_mm": -1.0}, "-1"),
        ({"noise_hu": -1.0}, "-1"),
    ],
)
def test_impossible_balls_are_refused(change, found):
    volume = soft_tissue()
    arguments = {"centers_world": [volume.center_world], "diameter_mm": 3.0, **change}
    with pytest.raises(InputError) as error:
        insert_balls(volume, **arguments)
    assert found in error.value.found
