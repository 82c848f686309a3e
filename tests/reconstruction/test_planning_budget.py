"""Dose and time: analytic cases, and tables that agree with those of the renderer."""

from itertools import pairwise, permutations

import numpy as np
import pytest

from drrkit.errors import InputError
from drrkit.projection.attenuation import linear_attenuation_per_mm
from reconstruction.planning.budget import (
    _ENERGIES_KEV,
    _WATER_CM2_G,
    AP,
    LATERAL,
    BudgetParameters,
    estimate_budget,
    kerma_transmission,
    shortest_tour,
    trunk_path_mm,
)
from reconstruction.planning.reach import Pose


def parameters(**changes):
    values = {
        "carm": "siemens-cios-spin",
        "kvp": 80.0,
        "aluminum_mm": 3.0,
        "copper_mm": 0.1,
        "detector_kerma_ugy": 1.0,
        "trunk_width_mm": 340.0,
        "trunk_depth_mm": 220.0,
        "spine_behind_middle_mm": 30.0,
        "arm_speed_deg_s": 10.0,
        "shot_s": 5.0,
    }
    return BudgetParameters(**values | changes)


ROUND = {"trunk_width_mm": 300.0, "trunk_depth_mm": 300.0, "spine_behind_middle_mm": 0.0}


def test_ap_with_lateral_costs_one():
    budget = estimate_budget([LATERAL, AP], parameters())
    assert budget.dose_rel == pytest.approx(1)
    assert budget.shots == (AP, LATERAL)
    assert budget.shot_dose_rel[0] == pytest.approx(1)


def test_paths_are_the_chords_of_the_ellipse():
    path_mm, to_skin_mm = trunk_path_mm([AP, LATERAL, Pose(180, 0), Pose(0, 60)], parameters())
    lateral_mm = 340 * np.sqrt(1 - (30 / 110) ** 2)
    np.testing.assert_allclose(path_mm, [220, lateral_mm, 220, 440])
    # With the detector in front the beam comes from behind, where the spine lies nearer.
    np.testing.assert_allclose(to_skin_mm, [80, lateral_mm / 2, 140, 160])


def test_around_a_round_trunk_every_view_costs_the_same():
    budget = estimate_budget([Pose(angle, 0) for angle in (-170, -30, 0, 45, 100)], parameters(**ROUND))
    np.testing.assert_allclose(budget.shot_dose_rel, 1)


def test_tilt_and_girth_cost_dose():
    tilted = estimate_budget([AP, Pose(0, 20)], parameters())
    assert 1.2 < tilted.shot_dose_rel[1] < 1.6
    thin, thick = (estimate_budget([AP], parameters(trunk_depth_mm=depth)).kap_gy_cm2 for depth in (200.0, 240.0))
    assert 1.8 < thick / thin < 2.6  # 4 cm are about a half-value layer


def test_water_takes_nothing_at_length_zero_and_ever_less_per_cm():
    passed = kerma_transmission(np.array([0.0, 10.0, 20.0, 210.0, 220.0]), parameters())
    assert passed[0] == pytest.approx(1)
    first, last = passed[1] / passed[0], passed[4] / passed[3]
    assert passed[1] / passed[0] < passed[2] / passed[1] < last  # the beam hardens
    assert first > np.exp(-0.4)
    assert last < np.exp(-0.17)


def test_harder_beams_pass_more_and_cost_laterals_less():
    soft, hard = (estimate_budget([AP, LATERAL], parameters(kvp=kvp)) for kvp in (65.0, 110.0))
    assert hard.kap_gy_cm2 < soft.kap_gy_cm2
    assert hard.shot_dose_rel[1] < soft.shot_dose_rel[1]


def test_dose_follows_the_detector_and_the_inverse_square():
    once, twice = (estimate_budget([AP], parameters(detector_kerma_ugy=value)) for value in (1.0, 2.0))
    assert twice.skin_mgy[0] == pytest.approx(2 * once.skin_mgy[0])
    assert twice.dose_rel == pytest.approx(once.dose_rel)
    # KAP over the detector's 29.8 cm squared is kerma at the detector; the skin is 1164 / (622 - 80) times nearer.
    at_detector_mgy = 1000 * once.kap_gy_cm2 / (97.6 * 0.305) ** 2
    assert once.skin_mgy[0] == pytest.approx(at_detector_mgy * (1164 / 542) ** 2, rel=1e-6)


def test_an_ap_of_an_adult_is_of_the_known_size():
    # Lumbar AP radiographs, UK diagnostic reference level 2010: 5.7 mGy at the skin with scatter, grid and 2.5 uGy.
    assert 0.3 < estimate_budget([AP], parameters()).skin_mgy[0] < 5.7


def test_water_is_that_of_the_renderer():
    for energy_kev, mass_cm2_g in zip(_ENERGIES_KEV, _WATER_CM2_G, strict=True):
        assert mass_cm2_g / 10 == pytest.approx(linear_attenuation_per_mm("water", energy_kev), rel=0.02)


def test_the_tour_is_the_shortest_of_all():
    poses = [Pose(90, 0), Pose(-40, 10), Pose(0, -20), Pose(45, 15), Pose(-10, 0)]

    def length(order):
        stops = [AP, *order]
        return sum(
            abs(b.primary_deg - a.primary_deg) + abs(b.secondary_deg - a.secondary_deg) for a, b in pairwise(stops)
        )

    length_deg, order = shortest_tour(poses)
    assert length_deg == pytest.approx(min(length(way) for way in permutations(poses)))
    assert length(order) == pytest.approx(length_deg)


def test_time_is_the_way_and_the_shots():
    budget = estimate_budget([AP, Pose(30, 0), Pose(30, 20)], parameters())
    assert budget.travel_deg == pytest.approx(50)
    assert budget.seconds == pytest.approx(5 + 15)


@pytest.mark.parametrize(
    ("poses", "changes", "words"),
    [
        ([], {}, "1 to 12"),
        ([AP] * 13, {}, "1 to 12"),
        ([AP], {"carm": "none"}, "preset"),
        ([AP], {"kvp": 300.0}, "kvp"),
        ([AP], {"spine_behind_middle_mm": 120.0}, "less than 110"),
        ([Pose(0, 90)], {}, "along the patient"),
        ([Pose(0, 85)], {}, "tube to skin"),
    ],
)
def test_bad_input_is_refused(poses, changes, words):
    with pytest.raises(InputError, match=words):
        estimate_budget(poses, parameters(**changes))
