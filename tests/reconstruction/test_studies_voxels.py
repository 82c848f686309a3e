import numpy as np
import pytest

from drrkit.errors import InputError
from evaluation_cases import SPEC, oracle, toy_case
from reconstruction.judging.disturbance import Disturbance
from reconstruction.judging.evaluation import Condition, run_conditions
from reconstruction.metrics import METRICS
from reconstruction.studies.voxels import voxel_runner

CONDITIONS = [
    Condition(("ap-00", "lat-left"), labels={"setting": "plain"}),
    Condition(("ap-00", "lat-left"), Disturbance(origin_shift_mm=20), {"setting": "off"}),
    Condition(("ap-00",), labels={"setting": "one"}),
    Condition(("ap-00", "lat-left"), labels={"setting": "again"}),
]


@pytest.fixture(scope="module")
def case():
    # L5 is only seen in part: the union leaves it out.
    return toy_case(judged=("L1", "L2", "L3", "L4"))


def test_the_numbers_are_those_of_an_evaluation(case):
    predictor = oracle(case, offset_mm=4.0)
    slow = run_conditions(predictor, [case], SPEC, CONDITIONS, 10, 3)
    fast = voxel_runner()(predictor, [case], SPEC, CONDITIONS, 10, 3, workers=2)
    slow = slow[slow["region"] == "whole"].reset_index(drop=True)
    known = ["f1", "recall", "n_missed"]
    assert list(fast.columns) == list(slow.columns)
    same = [name for name in slow.columns if name not in METRICS or name in known]
    assert fast[same].equals(slow[same])
    assert fast[[name for name in METRICS if name not in known]].isna().all(axis=None)
    assert 0.2 < fast["f1"].min() < fast["f1"].max() < 1


def test_nothing_is_reconstructed_twice(case):
    right, asked = oracle(case), []

    def predictor(radiographs, grid):
        asked.append(len(radiographs))
        return right(radiographs, grid)

    run = voxel_runner()
    first = run(predictor, [case], SPEC, CONDITIONS, 10, 3)
    assert sorted(asked) == [1, 2, 2]
    again = run(predictor, [case], SPEC, CONDITIONS[2:], 10, 3)
    assert len(asked) == 3
    scores = first.groupby("setting")["f1"].mean()
    assert scores["again"] == scores["plain"] == 1 > scores["off"]
    np.testing.assert_array_equal(again["f1"], first[first["setting"].isin(["one", "again"])]["f1"])


def test_nothing_to_study(case):
    with pytest.raises(InputError, match="0 conditions"):
        voxel_runner()(oracle(case), [case], SPEC, [], 10, 3)
    with pytest.raises(InputError, match="view of adapt-28"):
        voxel_runner()(oracle(case), [case], SPEC, [Condition(("frontal",))], 10, 3)
