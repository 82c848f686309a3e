import numpy as np
import pytest

from drrkit.errors import InputError
from drrkit.geometry.carm import CArm
from drrkit.geometry.viewsets import view_set
from reconstruction.learning.viewchoice import choose_views, standard_views

VIEWS = view_set("adapt-28")
IDS = [view.id for view in VIEWS.views]
CAMERAS = list(VIEWS.cameras(CArm(1000.0, 600.0, 8, 8, (1.0, 1.0))).values())


def nearest_pairs_deg(chosen) -> float:
    lines = np.array([CAMERAS[index].view_direction_world for index in chosen])
    cosines = np.abs(lines @ lines.T) - np.eye(len(lines))
    return float(np.degrees(np.arccos(np.clip(cosines.max(), 0, 1))))


@pytest.mark.parametrize("choice", ["uniform", "spread", "ap-lateral"])
def test_views_are_different_and_drawn_by_the_rng(choice):
    for count in (1, 2, 6, 28):
        chosen = choose_views(CAMERAS, count, choice, 20.0, np.random.default_rng(1))
        assert len(set(chosen)) == count
        assert chosen == choose_views(CAMERAS, count, choice, 20.0, np.random.default_rng(1))
    drawn = {tuple(choose_views(CAMERAS, 2, choice, 20.0, np.random.default_rng(seed))) for seed in range(40)}
    assert len(drawn) > 10


def test_spread_views_are_farther_apart():
    draws = {
        choice: np.mean(
            [nearest_pairs_deg(choose_views(CAMERAS, 3, choice, 20.0, np.random.default_rng(n))) for n in range(100)]
        )
        for choice in ("uniform", "spread")
    }
    assert draws["spread"] > draws["uniform"] + 8


def test_ap_and_lateral_come_first():
    for seed in range(50):
        ap, lateral, _ = choose_views(CAMERAS, 3, "ap-lateral", 16.0, np.random.default_rng(seed))
        assert VIEWS.views[ap].group == "ap" or abs(VIEWS.views[ap].primary_deg) <= 16
        assert VIEWS.views[lateral].primary_deg == 90
    assert [IDS[index] for index in standard_views(CAMERAS)] == ["ap-00", "lat-left"]
    assert choose_views(CAMERAS, 2, "ap-lateral", 0.0, np.random.default_rng(0))[1] in {
        index for index, name in enumerate(IDS) if name.startswith("lat-left")
    }


def test_no_such_views():
    with pytest.raises(InputError, match="at least 29"):
        choose_views(CAMERAS, 29, "uniform", 20.0, np.random.default_rng(0))
    only_right = [CAMERAS[IDS.index(name)] for name in ("ap-00", "lat-right")]
    with pytest.raises(InputError, match="lateral from the left"):
        standard_views(only_right)
