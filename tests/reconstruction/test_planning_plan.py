"""The search: the best set of a law that is known, the same every time."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from drrkit.errors import InputError
from reconstruction.planning import plan as planning
from reconstruction.planning.expectation import Expectation
from reconstruction.planning.plan import plan_views
from reconstruction.planning.reach import Pose, directions_world, line_angles_deg, reachable_poses, standard_poses


def expectation(coefficients=(0.0, -0.1, -0.1), trust_deg=90.0):
    """F1 by the count, the worst spread and the widest gap."""
    return Expectation(
        design="spread",
        penalty=0.1,
        center=(0.0, 0.0, 0.0),
        scale=(1.0, 1.0, 1.0),
        coefficients=coefficients,
        intercept=0.95,
        covariance=((0.0,) * 3,) * 3,
        error=0.01,
        donor_sd=0.0,
        counts=(1, 6),
        learned_deg=tuple((pose.primary_deg, pose.secondary_deg) for pose in standard_poses("adapt-28").values()),
        trust_deg=trust_deg,
        about={},
    )


ORBIT = reachable_poses((-90, 85), (0, 0), 5)


def least_apart_deg(poses):
    lines = directions_world(poses)
    return min(line_angles_deg(lines, lines)[i, j] for i, j in combinations(range(len(poses)), 2))


def test_even_views_are_found_on_a_full_orbit():
    best = plan_views(expectation(), ORBIT, 3)[0]
    gaps = np.diff(sorted(pose.primary_deg % 180 for pose in best.poses))
    np.testing.assert_allclose(gaps, 60)
    assert best.sd == pytest.approx(0.01)


def test_two_views_are_at_right_angles():
    best = plan_views(expectation(), reachable_poses((-40, 100), (-25, 25), 5), 2)[0]
    assert least_apart_deg(best.poses) == pytest.approx(90, abs=1e-4)


def test_a_narrow_reach_uses_its_ends():
    best = plan_views(expectation(), reachable_poses((-30, 30), (0, 0), 5), 3)[0]
    assert {-30, 30} <= {pose.primary_deg for pose in best.poses}


def test_exchange_finds_what_trying_all_finds(monkeypatch):
    poses = reachable_poses((-40, 100), (-20, 20), 20)
    tried = plan_views(expectation(), poses, 3)[0]
    monkeypatch.setattr(planning, "MOST_TRIED", 300)
    exchanged = plan_views(expectation(), poses, 3)[0]
    assert exchanged.expected_f1 == pytest.approx(tried.expected_f1)
    assert plan_views(expectation(), poses, 3)[0] == exchanged


def test_shots_keep_their_distance(monkeypatch):
    # A model that likes the same view twice.
    fond = expectation((0.0, 0.1, 0.1))
    poses = reachable_poses((-40, 40), (-10, 10), 5)
    for most_tried in (30_000, 2000):
        monkeypatch.setattr(planning, "MOST_TRIED", most_tried)
        best = plan_views(fond, poses, 3, least_apart_deg=15)[0]
        assert 15 - 1e-6 <= least_apart_deg(best.poses) < 20
    with pytest.raises(InputError, match="50 degrees apart"):
        plan_views(fond, reachable_poses((-40, 40), (0, 0), 5), 3, least_apart_deg=50)


def test_prices_decide_among_equals_and_can_outweigh():
    pair = [Pose(0, 0), Pose(90, 0), Pose(-90, 0)]
    assert plan_views(expectation(), pair, 2, prices=[0, 0.01, 0])[0].poses == (Pose(-90, 0), Pose(0, 0))
    assert plan_views(expectation(), pair, 2, prices=[0, 0, 0.01])[0].poses == (Pose(0, 0), Pose(90, 0))
    assert plan_views(expectation(), [*pair, Pose(80, 0)], 2, prices=[0, 0.5, 0.5, 0])[0].poses == (
        Pose(0, 0),
        Pose(80, 0),
    )


def test_caution_leaves_what_the_model_is_unsure_of():
    # All the doubt is about gaps: small ones, which the mean likes best, are the furthest from what was scored.
    doubtful = replace(
        expectation(), center=(0.5, 1.0, 1.0), covariance=((0.0,) * 3, (0.0,) * 3, (0.0, 0.0, 0.25)), trust_deg=12
    )
    bold, careful = (plan_views(doubtful, ORBIT, 3, caution=caution)[0] for caution in (0.0, 1.0))
    assert careful.expected_f1 < bold.expected_f1
    assert careful.sd < bold.sd


def test_alternatives_are_ranked_and_look_different():
    plans = plan_views(expectation(), ORBIT, 2, alternatives=3, distinct_deg=20)
    assert len(plans) == 4
    values = [plan.expected_f1 for plan in plans]
    assert values == sorted(values, reverse=True)
    for first, second in combinations(plans, 2):
        between = line_angles_deg(directions_world(first.poses), directions_world(second.poses))
        assert max(between.min(axis=0).max(), between.min(axis=1).max()) > 20


def test_poses_unlike_scored_views_are_not_chosen():
    poses = [Pose(0, 0), Pose(90, 0), Pose(0, 60), Pose(45, 50)]
    fond_of_tilt = expectation((0.0, 0.0, 0.5), trust_deg=12)
    assert plan_views(fond_of_tilt, poses, 2)[0].poses == (Pose(0, 0), Pose(90, 0))
    with pytest.raises(InputError, match="at least 3"):
        plan_views(fond_of_tilt, poses, 3)


def test_one_shot_is_a_plan_too():
    assert len(plan_views(expectation(), ORBIT, 1)[0].poses) == 1


def test_bad_input_is_refused():
    with pytest.raises(InputError, match="prices"):
        plan_views(expectation(), ORBIT, 2, prices=[1.0])
    with pytest.raises(InputError, match="1 to 6"):
        plan_views(expectation(), ORBIT, 7)
