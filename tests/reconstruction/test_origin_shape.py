"""The shape of spines: how a patient lies, and levels that were not or wrongly found."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from drrkit.errors import InputError
from drrkit.volume import LUMBAR_LEVELS
from origin_toys import levels_of, spine_points, toy_shape
from reconstruction.origin.shape import complete, fit_shape, patient_rotation

SURE = dict.fromkeys(LUMBAR_LEVELS, 0.25 * np.eye(3))
PRIOR_DEG = 15.0


@pytest.fixture(scope="module")
def shape():
    return toy_shape()


def angle_deg(first, second):
    return np.degrees(Rotation.from_matrix(first.T @ second).magnitude())


def test_the_mean_spine_lies_straight(shape):
    assert angle_deg(patient_rotation(shape, levels_of(spine_points()), PRIOR_DEG), np.eye(3)) < 1


@pytest.mark.parametrize("axis", [(1, 0, 0), (0, 1, 0)])
def test_oblique_patient(shape, axis):
    true = Rotation.from_rotvec(np.radians(20) * np.array(axis)).as_matrix()
    found = patient_rotation(shape, levels_of(spine_points(true, (9, 8, 7))), PRIOR_DEG)
    assert angle_deg(found, true) < 1.5
    # The third column is where the head is.
    np.testing.assert_allclose(found[:, 2], true[:, 2], atol=0.03)


def test_turn_about_the_spine_is_believed_in_part(shape):
    # Only the bend of the spine tells it, so the expectation that patients lie straight keeps some weight.
    true = Rotation.from_rotvec(np.radians(20) * np.array([0, 0, 1])).as_matrix()
    found = patient_rotation(shape, levels_of(spine_points(true)), PRIOR_DEG)
    assert 3 < Rotation.from_matrix(found).as_rotvec(degrees=True)[2] < 20


def test_one_level_says_nothing_about_the_turn(shape):
    np.testing.assert_allclose(patient_rotation(shape, {"L2": np.array([1.0, 2, 3])}, PRIOR_DEG), np.eye(3), atol=1e-9)


def test_all_levels_give_the_middle(shape):
    true = Rotation.from_rotvec([0, np.radians(25), 0]).as_matrix()
    points = spine_points(true, (40, -30, 20))
    spine = complete(shape, levels_of(points), SURE, true, 5.0)
    np.testing.assert_allclose(spine.points_world, points, atol=1.5)
    assert spine.dropped == ()


def test_missing_levels_are_inferred_and_less_sure(shape):
    points = spine_points(position=(5, 5, 5))
    few = {level: point for level, point in levels_of(points).items() if level not in ("L1", "L2")}
    spine = complete(shape, few, SURE, np.eye(3), 5.0)
    np.testing.assert_allclose(spine.points_world, points, atol=3)
    sigma_mm = np.sqrt(np.trace(spine.covariance_mm2, axis1=1, axis2=2) / 3)
    assert sigma_mm[0] > 2 * sigma_mm[2]
    assert np.isfinite(sigma_mm).all()


def test_level_at_its_neighbor_is_dropped(shape):
    points = spine_points()
    levels = levels_of(points) | {"L2": points[2] + [2.0, 1.0, 3.0]}
    spine = complete(shape, levels, SURE, np.eye(3), 5.0)
    assert spine.dropped == ("L2",)
    np.testing.assert_allclose(spine.points_world, points, atol=3)


def test_shape_is_that_of_the_turned_spines():
    rng = np.random.default_rng(2)
    turns = Rotation.from_rotvec(np.radians(rng.normal(0, 6, (30, 3)))).as_matrix()
    shape = fit_shape([spine_points(turn, rng.normal(0, 50, 3)) for turn in turns], 0.1, 30.0)
    lengths = np.linalg.norm(np.diff(shape.mean_mm[:5], axis=0), axis=1)
    np.testing.assert_allclose(lengths, np.linalg.norm(np.diff(spine_points()[:5], axis=0), axis=1), rtol=0.01)
    assert shape.spread_mm < 1.5  # the turns make 4 mm


def test_one_spine_is_no_population():
    with pytest.raises(InputError, match="spine shape"):
        fit_shape([spine_points()], 1.0, PRIOR_DEG)
