"""Fit and comparison, with a predictor that is the better the more its views differ."""

from dataclasses import replace

import numpy as np
import pytest

from drrkit.errors import InputError
from evaluation_cases import SPEC, oracle, toy_case
from reconstruction.judging.evaluation import Condition, run_conditions
from reconstruction.judging.viewplan import views_for
from reconstruction.metrics import voxel_f1
from reconstruction.planning.features import set_features
from reconstruction.planning.fitting import fit_view_expectation
from reconstruction.planning.judged import COLUMNS, PlanningParameters, compare_plans, planned_views
from reconstruction.planning.scoring import score_sets

PARAMETERS = PlanningParameters.model_validate(
    {
        "fit": {
            "donors": 2,
            "sets_per_donor": 24,
            "view_counts": [2, 3],
            "penalties": [0.01, 0.1],
            "trust_deg": 12,
            "seed": 1,
        },
        "budget": {
            "carm": "siemens-cios-spin",
            "kvp": 80,
            "aluminum_mm": 3,
            "copper_mm": 0.1,
            "detector_kerma_ugy": 1,
            "trunk_width_mm": 340,
            "trunk_depth_mm": 220,
            "spine_behind_middle_mm": 30,
            "arm_speed_deg_s": 10,
            "shot_s": 5,
        },
        "comparison": {
            "shots": [2, 3],
            "cases": 2,
            "random_sets": 3,
            "seed": 1,
            "least_apart_deg": 15,
            "dose_price": 0,
            "caution": 1,
            "match_limit_deg": 12,
            "bootstrap": {"resamples": 200, "confidence": 0.95, "seed": 1},
        },
    }
)
CASES = [toy_case(f"donor-{number}") for number in range(3)]
UNSEEN = [toy_case(f"unseen-{number}") for number in range(3)]


def off_mm(radiographs):
    """The answer is the further off the less the views say of depth."""
    lines = np.stack([radiograph.camera.view_direction_world for radiograph in radiographs])
    return 12 * float(set_features(lines[None], ("worst_spread",))[0, 0])


PREDICTOR = oracle(CASES[0], offset_mm=off_mm)


@pytest.fixture(scope="module")
def fitted():
    return fit_view_expectation(PREDICTOR, CASES, SPEC, PARAMETERS.fit)


def test_scores_are_those_of_the_evaluation():
    sets = [("ap-00", "lat-left"), ("ap-00", "obl-left-15", "obl-left")]
    table = score_sets(PREDICTOR, [(CASES[1], views) for views in sets], SPEC, workers=2)
    rows = run_conditions(PREDICTOR, CASES[1:2], SPEC, [Condition(views) for views in sets], 12, 0)
    wanted = rows[(rows["level"] == "union") & (rows["region"] == "whole")]["f1"]
    np.testing.assert_allclose(table["f1"], wanted)
    assert table["views"].tolist() == ["+".join(views) for views in sets]
    assert table["f1"][0] > table["f1"][1]


def test_no_bone_scores_zero_and_the_truth_one():
    truth = CASES[0].truths["union"]
    full = np.zeros(truth.shape, bool)
    assert voxel_f1(full, truth) == 0
    full[truth.box] = truth.mask
    assert voxel_f1(full, truth) == 1


def test_bad_sets_are_refused():
    with pytest.raises(InputError, match="none"):
        score_sets(PREDICTOR, [], SPEC)
    with pytest.raises(InputError, match="nowhere"):
        score_sets(PREDICTOR, [(CASES[0], ("nowhere",))], SPEC)
    with pytest.raises(InputError, match="shape"):
        voxel_f1(np.zeros((2, 2, 2), bool), CASES[0].truths["union"])


def test_the_fit_learns_what_views_are_worth(fitted):
    expectation, table = fitted
    assert len(table) == 2 * 24
    assert table["donor"].nunique() == 2
    assert expectation.counts == (2, 3)
    assert expectation.design != "count"
    assert expectation.about["explained"] > 0.7
    assert expectation.about["kind"] == "drr"


def test_donors_get_other_sets_and_the_same_seed_the_same(fitted):
    _, table = fitted
    first, second = (table[table["donor"] == donor]["views"].tolist() for donor in table["donor"].unique())
    assert first != second
    assert fit_view_expectation(PREDICTOR, CASES, SPEC, PARAMETERS.fit)[1].equals(table)


def test_the_planned_set_beats_random_ones(fitted):
    expectation, _ = fitted
    done = []
    table = compare_plans(PREDICTOR, UNSEEN, SPEC, expectation, PARAMETERS, 1, done.append)
    assert tuple(table.columns) == COLUMNS
    assert table["kind"].tolist() == ["planned", "ap_lateral", "random"] * 2
    for _, rows in table.groupby("shots"):
        f1 = rows.set_index("kind")["f1"]
        assert f1["planned"] > f1["random"]
        assert f1["planned"] >= f1["ap_lateral"] - 0.01
    standard = table[table["kind"] == "ap_lateral"].iloc[1]
    assert standard["views"] == "+".join(views_for(3))
    assert (standard["gain"], standard["gain_low"]) == (0, 0)
    assert standard["donors"] == 2
    assert standard["simulated"]
    pair = table[(table["kind"] == "ap_lateral") & (table["shots"] == 2)].iloc[0]
    assert pair["dose_rel"] == pytest.approx(1)
    assert pair["seconds"] == pytest.approx(9 + 2 * 5)
    # Every different set was reconstructed once for each of two cases.
    sets = {views for text in table["views"] for views in text.split(" | ")}
    assert len(done) == 2 * len(sets)


def test_plans_are_made_among_the_views_that_were_rendered(fitted):
    planned = planned_views(fitted[0], 2, PARAMETERS)
    assert len(set(planned)) == 2
    assert set(planned) <= set(CASES[0].case.views)


def test_too_few_donors_or_views_are_refused(fitted):
    with pytest.raises(InputError, match="at least two donors"):
        fit_view_expectation(PREDICTOR, CASES[:1], SPEC, PARAMETERS.fit)
    few = [replace(case, case=replace(case.case, views=("ap-00", "lat-left"))) for case in CASES]
    with pytest.raises(InputError, match="at least 3"):
        fit_view_expectation(PREDICTOR, few, SPEC, PARAMETERS.fit)
    with pytest.raises(InputError, match="no case"):
        compare_plans(PREDICTOR, [], SPEC, fitted[0], PARAMETERS)


def test_donors_of_the_fit_are_no_test(fitted):
    with pytest.raises(InputError, match="donor-0"):
        compare_plans(PREDICTOR, CASES, SPEC, fitted[0], PARAMETERS)
