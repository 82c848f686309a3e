"""The model of expected F1 finds a law that it is shown, and says how sure it is."""

import json

import numpy as np
import pandas as pd
import pytest

from drrkit.errors import InputError
from reconstruction.planning.expectation import read_expectation, write_expectation
from reconstruction.planning.features import set_features
from reconstruction.planning.fitting import FitParameters, fit_table
from reconstruction.planning.reach import Pose, directions_world, standard_poses

PARAMETERS = FitParameters(
    donors=3, sets_per_donor=40, view_counts=(2, 3, 4), penalties=(0.001, 0.1), trust_deg=12.0, seed=1
)
POSES = list(standard_poses("adapt-28").values())
LEVELS = {"a": 0.0, "b": 0.03, "c": -0.03}


def law(poses):
    """F1 that falls with the worst spread and with nothing else."""
    return 1.0 - 0.2 * float(set_features(directions_world(poses)[None], ("worst_spread",))[0, 0])


def table(noise=0.0, levels=LEVELS, of=law):
    rng = np.random.default_rng(5)
    rows = []
    for donor, level in levels.items():
        for number in range(40):
            poses = [POSES[place] for place in rng.choice(28, 2 + number % 3, replace=False)]
            text = ";".join(f"{pose.primary_deg} {pose.secondary_deg}" for pose in poses)
            rows.append({"donor": donor, "f1": of(poses) + level + noise * rng.normal(), "poses_deg": text})
    return pd.DataFrame(rows)


def predicted(expectation, poses):
    f1, sd = expectation.predict(directions_world(poses)[None])
    return float(f1[0]), float(sd[0])


def test_a_law_of_geometry_is_found():
    expectation = fit_table(table(noise=0.002), PARAMETERS)
    assert expectation.design == "spread"
    assert expectation.about["explained"] > 0.95
    assert 0.001 < expectation.error < 0.004
    unseen = [Pose(-20, 5), Pose(35, 0), Pose(85, -8)]
    assert predicted(expectation, unseen)[0] == pytest.approx(law(unseen), abs=0.006)


def test_without_a_law_nothing_is_explained():
    expectation = fit_table(table(noise=0.02, of=lambda poses: 0.8), PARAMETERS)
    assert expectation.about["explained"] < 0.1
    assert predicted(expectation, POSES[:3])[0] == pytest.approx(0.8, abs=0.015)


def test_levels_of_donors_are_a_spread_and_no_error():
    calm, wild = (fit_table(table(0.002, levels), PARAMETERS) for levels in (dict.fromkeys("abc", 0.0), LEVELS))
    assert wild.error == pytest.approx(calm.error)
    assert wild.coefficients == pytest.approx(calm.coefficients, abs=1e-6)
    assert wild.donor_sd == pytest.approx(0.03, abs=0.003)
    assert predicted(wild, POSES[:2])[1] > predicted(calm, POSES[:2])[1] + 0.02


def test_a_set_unlike_the_scored_ones_is_less_sure():
    expectation = fit_table(table(0.01), PARAMETERS)
    assert predicted(expectation, [Pose(0, 60), Pose(2, 60)])[1] > predicted(expectation, POSES[:2])[1]


def test_only_poses_like_scored_views_are_trusted():
    expectation = fit_table(table(), PARAMETERS)
    trusted = expectation.trusted([Pose(0, 0), Pose(180, 0), Pose(0, 31), Pose(0, 33), Pose(45, 45)])
    assert trusted.tolist() == [True, True, True, False, False]


def test_numbers_of_views_beyond_the_scored_ones_are_refused():
    expectation = fit_table(table(), PARAMETERS)
    with pytest.raises(InputError, match="2 to 4"):
        expectation.predict(directions_world(POSES[:5])[None])


def test_one_donor_cannot_be_left_out():
    with pytest.raises(InputError, match="at least two"):
        fit_table(table(levels={"a": 0.0}), PARAMETERS)


def test_the_file_gives_the_model_back(tmp_path):
    expectation = fit_table(table(0.01), PARAMETERS, {"kind": "drr", "donors": ["a", "b", "c"]})
    write_expectation(tmp_path / "model.json", expectation)
    again = read_expectation(tmp_path / "model.json")
    assert predicted(again, POSES[:3]) == predicted(expectation, POSES[:3])
    assert again.about["kind"] == "drr"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"convention": "other"}, "another kind"),
        ({"design": "guess"}, "guess"),
        ({"coefficients": [1.0]}, "coefficients"),
        ({"intercept": float("nan")}, "NaN"),
        ({"counts": [4, 2]}, "views"),
        ({"counts": 3}, "wrong"),
        ({"further": 1}, "unknown"),
    ],
)
def test_bad_files_are_refused(tmp_path, change, words):
    path = tmp_path / "model.json"
    write_expectation(path, fit_table(table(), PARAMETERS))
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(InputError, match=words):
        read_expectation(path)


def test_no_file_tells_what_makes_it(tmp_path):
    with pytest.raises(InputError, match=r"results/study/view_expectation\.json"):
        read_expectation(tmp_path / "gone.json")
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(InputError, match="no JSON"):
        read_expectation(tmp_path / "bad.json")
