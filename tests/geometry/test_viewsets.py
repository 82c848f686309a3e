from collections import Counter
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import yaml

from drrkit.errors import InputError
from drrkit.geometry.carm import CArm
from drrkit.geometry.viewsets import VIEW_SETS, View, ViewSet, markdown_table, view_set

PAGE = Path(__file__).parents[2] / "docs" / "view-sets.md"
CARM = CArm(1000.0, 600.0, 64, 64, (4.0, 4.0))


def angles(name: str) -> dict[str, tuple[float, float]]:
    return {view.id: (view.primary_deg, view.secondary_deg) for view in view_set(name).views}


def lines_of_sight(name: str) -> dict[str, np.ndarray]:
    return {view: camera.view_direction_world for view, camera in view_set(name).cameras(CARM).items()}


# ---- the sets --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", VIEW_SETS)
def test_the_page_lists_the_set(name):
    assert f"\n## {name}\n\n{markdown_table(view_set(name))}\n\n" in PAGE.read_text()


@pytest.mark.parametrize(
    ("name", "groups"),
    [
        ("x23d-20", {"ap": 3, "lateral": 4, "oblique": 4, "misc": 9}),
        ("adapt-28", {"ap": 5, "lateral": 6, "oblique": 8, "misc": 9}),
        ("ap-lateral", {"ap": 1, "lateral": 1}),
    ],
)
def test_counts_of_the_groups(name, groups):
    assert Counter(view.group for view in view_set(name).views) == groups
    assert view_set(name).source


def test_x23d_is_as_the_paper_describes_it():
    views = angles("x23d-20")
    ap = [angle for view, angle in views.items() if view.startswith("ap")]
    assert ap[0] == (0, 0)
    assert all(primary == 0 and secondary != 0 for primary, secondary in ap[1:])  # tilted in the sagittal plane
    lateral = [angle for view, angle in views.items() if view.startswith("lat")]
    assert lateral[:2] == [(90, 0), (-90, 0)]  # strict, one a side
    assert all(abs(primary) == 90 and secondary != 0 for primary, secondary in lateral[2:])  # in the coronal plane


@pytest.mark.parametrize("name", ["x23d-20", "adapt-28", "ap-lateral"])
def test_groups_are_planes_in_the_patient(name):
    for view, camera in zip(view_set(name).views, view_set(name).cameras(CARM).values(), strict=True):
        left, back, head = np.abs(camera.view_direction_world)
        in_plane = {
            "ap": left < 1e-9,
            "lateral": back < 1e-9,
            "oblique": head < 1e-9,
            "misc": min(left, back, head) > 0.1,
        }
        assert in_plane[view.group], view


@pytest.mark.parametrize("name", ["x23d-20", "adapt-28"])
def test_no_line_of_sight_comes_twice_but_the_strict_lateral(name):
    for (first, one), (second, other) in combinations(lines_of_sight(name).items(), 2):
        apart_deg = np.degrees(np.arccos(min(1.0, abs(one @ other))))
        assert apart_deg > 5 or {first, second} == {"lat-left", "lat-right"}, (first, second)


def test_adapt_views_are_feasible_at_a_table():
    for view in view_set("adapt-28").views:
        assert abs(view.primary_deg) <= 90
        assert abs(view.secondary_deg) <= (12 if view.group == "lateral" else 20)


def test_orbit_is_69_shots_three_degrees_apart_and_tilts():
    views = view_set("orbit").views
    orbit = [view.primary_deg for view in views if view.secondary_deg == 0]
    assert orbit == list(range(-102, 103, 3))
    assert len(orbit) == 69
    tilted = [view for view in views if view.secondary_deg != 0]
    assert len(tilted) == 12
    assert all(view.primary_deg == 0 for view in tilted)
    assert sum(view.secondary_deg for view in tilted) == 0


@pytest.mark.parametrize("name", VIEW_SETS)
def test_names_say_where_the_detector_is(name):
    for view, line in lines_of_sight(name).items():
        words = view.split("-")
        assert ("left" in words) == (line[0] > 1e-9)
        assert ("right" in words) == (line[0] < -1e-9)
        assert ("cranial" in words) == (line[2] > 1e-9)
        assert ("caudal" in words) == (line[2] < -1e-9)


def test_the_same_name_is_the_same_view_in_every_set():
    seen: dict[str, tuple[float, float]] = {}
    for name in VIEW_SETS:
        for view, angle in angles(name).items():
            assert seen.setdefault(view, angle) == angle


def test_an_unknown_set_lists_the_known_ones():
    with pytest.raises(InputError, match="x23d-20 or adapt-28 or orbit"):
        view_set("x23d")


def test_clinical_names():
    assert View("a", "ap", 0, 0).clinical_name == "AP"
    assert View("a", "misc", 30, -12.5).clinical_name == "LAO 30, CAU 12.5"
    assert View("a", "misc", -30, 10).clinical_name == "RAO 30, CRA 10"


# ---- cameras ---------------------------------------------------------------------------------------------------------


def test_cameras_are_the_carm_at_each_view():
    views = ViewSet("mine", (View("a", "ap", 10, 20, 30), View("b", "misc", -40, 5, 0, (1, 2, 3))))
    cameras = views.cameras(CARM, (100.0, 200.0, 300.0))
    assert list(cameras) == ["a", "b"]
    assert cameras["a"].allclose(CARM.camera(10, 20, 30, (100, 200, 300)))
    assert cameras["b"].allclose(CARM.camera(-40, 5, 0, (101, 202, 303)))


# ---- jitter ----------------------------------------------------------------------------------------------------------


def shakes(views: ViewSet, seed: int, **amplitudes: float) -> dict[str, np.ndarray]:
    def numbers(view: View) -> np.ndarray:
        return np.array([view.primary_deg, view.secondary_deg, view.roll_deg, *view.isocenter_offset_mm])

    after = views.jittered(seed, **amplitudes)
    return {old.id: numbers(new) - numbers(old) for old, new in zip(views.views, after.views, strict=True)}


def test_jitter_fills_its_range_and_no_more():
    shaken = np.array(list(shakes(view_set("orbit"), 3, angle_deg=4.0, roll_deg=2.0, isocenter_mm=30.0).values()))
    limits = np.array([4, 4, 2, 30, 30, 30])
    assert (np.abs(shaken) <= limits).all()
    # 81 uniform numbers: their extremes come within a tenth of the limits, their means stay near zero.
    assert (shaken.max(axis=0) > 0.9 * limits).all()
    assert (shaken.min(axis=0) < -0.9 * limits).all()
    assert (np.abs(shaken.mean(axis=0)) < 0.2 * limits).all()
    correlations = np.corrcoef(shaken.T) - np.eye(6)
    assert np.abs(correlations).max() < 0.35


def test_jitter_depends_on_seed_and_id_alone():
    views = view_set("adapt-28")
    shaken = shakes(views, 5)
    fewer = ViewSet("fewer", views.views[3:7][::-1])
    assert all(np.allclose(shake, shaken[view]) for view, shake in shakes(fewer, 5).items())
    assert all(not np.allclose(shake, shaken[view]) for view, shake in shakes(views, 6).items())
    assert len({tuple(shake) for shake in shaken.values()}) == len(shaken)


def test_jitter_is_the_same_everywhere():
    view = view_set("ap-lateral").jittered(7).views[0]
    numbers = [view.primary_deg, view.secondary_deg, view.roll_deg]
    assert numbers == pytest.approx([-0.8809067565840678, -1.925180233012035, -2.4236936085032514])


def test_no_amplitude_no_jitter():
    views = view_set("x23d-20")
    same = views.jittered(1, angle_deg=0.0, roll_deg=0.0, isocenter_mm=0.0)
    assert same.views == views.views
    assert "seed 1" in same.source


def test_jitter_stays_within_the_range_of_the_angles():
    edge = ViewSet("edge", tuple(View(f"v{n}", "misc", 180, 90) for n in range(20)))
    after = edge.jittered(0, angle_deg=8.0)
    assert all(abs(view.primary_deg) <= 180 and 82 <= view.secondary_deg <= 90 for view in after.views)
    assert any(view.primary_deg < 0 for view in after.views)  # past 180 comes -180


@pytest.mark.parametrize(
    "amplitudes", [{"angle_deg": -1.0}, {"roll_deg": float("nan")}, {"isocenter_mm": float("inf")}]
)
def test_bad_amplitudes_are_refused(amplitudes):
    with pytest.raises(InputError, match="jitter"):
        view_set("ap-lateral").jittered(1, **amplitudes)


# ---- views of users --------------------------------------------------------------------------------------------------


def test_records_of_the_page_make_views():
    text = PAGE.read_text().split("```yaml\n")[1].split("```")[0]
    views = ViewSet.from_records(yaml.safe_load(text), "mine").views
    assert views[0] == View("ap", "misc", 0, 0)
    assert views[1] == View("pedicle-l4-left", "oblique", 15, 8, 2, (0, 0, -20))


@pytest.mark.parametrize("name", VIEW_SETS)
def test_records_round_trip(name):
    views = view_set(name).jittered(2)
    text = yaml.safe_dump(views.to_records())
    assert ViewSet.from_records(yaml.safe_load(text), name, views.source) == views


GOOD = {"id": "a", "primary_deg": 0, "secondary_deg": 0}


@pytest.mark.parametrize(
    ("records", "words"),
    [
        ({"views": []}, "found dict; wanted a list"),
        ("ap-00", "found str; wanted a list"),
        (None, "found NoneType; wanted a list"),
        ([], "no view"),
        (["ap-00"], "view 1: found 'ap-00'"),
        ([GOOD, {"id": "b", "primary_deg": 0}], "view 2: found no secondary_deg"),
        ([GOOD | {"primary": 3}], "view 1: found the unknown field primary"),
        ([GOOD, GOOD], "the id a twice"),
        ([GOOD, GOOD | {"id": "A"}], "the id A twice"),
        ([GOOD | {"id": "a/b"}], "view 1, view id: found 'a/b'"),
        ([GOOD | {"id": ".."}], "view id"),
        ([GOOD | {"id": 7}], "view id: found 7"),
        ([GOOD | {"id": ""}], "view id"),
        ([GOOD | {"group": "frontal"}], "ap or lateral or oblique or misc"),
        ([GOOD | {"primary_deg": 181}], "primary_deg: found 181.0; wanted -180 to 180"),
        ([GOOD | {"secondary_deg": -91}], "secondary_deg: found -91.0; wanted -90 to 90"),
        ([GOOD | {"primary_deg": float("nan")}], "primary_deg: found nan"),
        ([GOOD | {"primary_deg": "thirty"}], "no number"),
        ([GOOD | {"secondary_deg": None}], "no number"),
        ([GOOD | {"roll_deg": float("inf")}], "roll or offset"),
        ([GOOD | {"isocenter_offset_mm": [1, 2]}], "three offsets"),
        ([GOOD | {"isocenter_offset_mm": 5}], "three offsets"),
    ],
)
def test_bad_records_say_which_view(records, words):
    with pytest.raises(InputError, match=words):
        ViewSet.from_records(records, "mine", where="views.yaml")
