"""What sets of lines of sight look like in numbers."""

import numpy as np
import pytest

from drrkit.errors import InputError
from reconstruction.planning.features import FEATURES, set_features
from reconstruction.planning.reach import Pose, directions_world

SET = [Pose(5, 10), Pose(80, -5), Pose(-40, 15), Pose(120, 0)]


def of(poses):
    return dict(zip(FEATURES, set_features(directions_world(poses)[None])[0], strict=True))


def test_order_does_not_matter():
    assert of(SET[::-1]) == pytest.approx(of(SET))


def test_seen_from_the_other_side_is_the_same():
    lines = directions_world(SET)
    lines[1:3] *= -1
    np.testing.assert_allclose(set_features(lines[None])[0], list(of(SET).values()), atol=1e-12)


@pytest.mark.parametrize("mirrored", [lambda p: Pose(-p.primary_deg, p.secondary_deg)])
def test_the_mirror_image_is_the_same(mirrored):
    assert of([mirrored(pose) for pose in SET]) == pytest.approx(of(SET))


def test_right_angles_locate_best_and_equal_lines_worst():
    spread = [of([Pose(0, 0), Pose(angle, 0)])["worst_spread"] for angle in (90, 60, 30, 10, 0)]
    assert spread == sorted(spread)
    assert spread[-1] > 1.5 * spread[0]


def test_even_views_leave_the_smallest_gap():
    even = of([Pose(-60, 0), Pose(0, 0), Pose(60, 0)])
    assert even["widest_gap"] == pytest.approx(1 / 3)
    assert even["unevenness"] == pytest.approx(1 / 3)
    assert of([Pose(0, 0), Pose(45, 0), Pose(90, 0)])["widest_gap"] == pytest.approx(0.5)


def test_covers_are_one_where_a_standard_view_is():
    covers = of([Pose(0, 0), Pose(-90, 0), Pose(45, 0)])
    for name in ("ap_cover", "lateral_cover", "oblique_cover"):
        assert covers[name] == pytest.approx(1)
    assert covers["other_oblique_cover"] < 0.1


def test_tilt_and_lean_are_told_apart():
    both, one = of([Pose(0, 20), Pose(0, -20)]), of([Pose(0, 20), Pose(0, 20)])
    assert both["tilt"] == pytest.approx(one["tilt"]) == pytest.approx(1)
    assert both["lean"] == pytest.approx(0, abs=1e-12)
    assert one["lean"] > 0.3


def test_a_single_view_has_finite_numbers():
    values = of([Pose(0, 0)])
    assert np.isfinite(list(values.values())).all()
    assert values["widest_gap"] == 1


def test_sets_are_described_one_by_one():
    lines = np.stack([directions_world(SET[:2]), directions_world(SET[2:])])
    both = set_features(lines, ("skew", "tilt"))
    np.testing.assert_allclose(both, [set_features(one[None], ("skew", "tilt"))[0] for one in lines])


def test_bad_input_is_refused():
    with pytest.raises(InputError, match="shape"):
        set_features(np.zeros((3, 3)))
    with pytest.raises(InputError, match="beauty"):
        set_features(directions_world(SET)[None], ("beauty",))
