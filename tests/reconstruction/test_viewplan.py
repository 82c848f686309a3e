import numpy as np
import pytest

from drrkit.errors import InputError
from drrkit.geometry.carm import CArm
from drrkit.geometry.viewsets import view_set
from reconstruction.judging import viewplan

CARM = CArm(1000.0, 600.0, 64, 64, (4.0, 4.0))


def test_every_named_view_is_of_the_set():
    known = {view.id for view in view_set("adapt-28").views}
    named = [*viewplan.VIEW_ORDER, *(view for pair in viewplan.VIEW_PAIRS for view in pair)]
    named += [view for triples in viewplan.VIEW_TRIPLES.values() for triple in triples for view in triple]
    assert set(named) <= known
    sets = [frozenset(triple) for triples in viewplan.VIEW_TRIPLES.values() for triple in triples]
    assert all(len(triple) == 3 for triple in sets)
    assert len(set(sets)) == len(sets)


def test_more_views_hold_the_fewer():
    assert viewplan.views_for(1) == ("ap-00",)
    assert viewplan.views_for(2) == ("ap-00", "lat-left")
    assert all(viewplan.views_for(count)[:-1] == viewplan.views_for(count - 1) for count in range(2, 9))
    for count in (0, 9):
        with pytest.raises(InputError, match="number of views"):
            viewplan.views_for(count)


def test_nominal_directions_are_those_of_the_cameras():
    cameras = view_set("adapt-28").cameras(CARM)
    for view, direction in viewplan.nominal_directions_world().items():
        np.testing.assert_allclose(cameras[view].view_direction_world, direction, atol=1e-9)


def test_pairs_span_the_angles():
    nominal = viewplan.nominal_directions_world()
    angles = {
        round(viewplan.line_angle_deg(nominal[first], nominal[second], opposite_is_same=True))
        for first, second in viewplan.VIEW_PAIRS
    }
    assert angles == {0, 15, 30, 45, 60, 75, 90}


def test_views_of_other_names_are_found_by_direction():
    cameras = view_set("adapt-28").jittered(1, 3.0, 2.0, 5.0).cameras(CARM)
    renamed = {f"shot-{number:02d}": camera for number, camera in enumerate(cameras.values())}
    names = dict(zip(cameras, renamed, strict=True))
    found = viewplan.matched_views(renamed, ("ap-00", "lat-left", "obl-right-60"), 10.0, "case")
    assert found == [names["ap-00"], names["lat-left"], names["obl-right-60"]]
    assert viewplan.matched_views(cameras, ("lat-left", "ap-00"), 10.0, "case") == ["lat-left", "ap-00"]


def test_no_view_is_near_enough_or_none_is_left():
    cameras = view_set("ap-lateral").cameras(CARM)
    with pytest.raises(InputError, match=r"case 7, view obl-left: found .* 45 degrees off"):
        viewplan.matched_views(cameras, ("ap-00", "obl-left"), 10.0, "case 7")
    with pytest.raises(InputError, match="found no further view"):
        viewplan.matched_views(cameras, ("ap-00", "lat-left", "ap-cranial-10"), 30.0, "case")
    with pytest.raises(InputError, match="a view of adapt-28"):
        viewplan.matched_views(cameras, ("frontal",), 10.0, "case")
