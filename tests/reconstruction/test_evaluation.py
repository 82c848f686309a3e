import dataclasses

import numpy as np
import pytest

from drrkit.errors import InputError
from drrkit.io.volumefile import write
from drrkit.volume import LEVEL_CODES
from evaluation_cases import LEVELS, SPEC, oracle, toy_case, toy_codes, write_toy_case
from reconstruction.judging import evaluation
from reconstruction.judging.disturbance import Disturbance
from reconstruction.judging.evaluation import (
    UNION,
    Condition,
    evaluate,
    evaluate_case,
    load_evaluation_case,
    run_conditions,
)
from reconstruction.metrics import METRICS


def rows_of(rows, region="whole"):
    return {row["level"]: row for row in rows if row["region"] == region}


def test_an_oracle_is_perfect():
    case = toy_case()
    rows = evaluate_case(oracle(case), case, ["ap-00", "lat-left"], SPEC)
    whole = rows_of(rows)
    assert list(whole) == [*LEVELS, UNION]
    for row in whole.values():
        assert row["f1"] == row["surface_1mm"] == 1
        assert row["hd95_mm"] == row["n_missed"] == 0
    assert {row["region"] for row in rows} == {"whole", "body", "spinous"}
    first = rows[0]
    assert [first[key] for key in evaluation.KEYS] == [
        "donor-1", "adults", "donor-1-drr", 2, "ap-00+lat-left", "L1", "whole"
    ]  # fmt: skip
    assert set(first) == {*evaluation.KEYS, *METRICS}
    body = rows_of(rows, "body")["L3"]
    assert body["recall"] == 1
    assert np.isnan(body["f1"])


def test_a_prediction_off_by_a_known_distance_scores_so():
    case = toy_case()
    whole = rows_of(evaluate_case(oracle(case, offset_mm=6.0), case, ["ap-00"], SPEC))
    # Blocks are 18 mm wide: moved by 6 mm, a third is lost.
    assert whole["L3"]["f1"] == pytest.approx(2 / 3)
    assert whole["L3"]["hd95_mm"] == pytest.approx(6.0)
    assert whole["L3"]["surface_1mm"] < 0.8


def test_a_level_called_by_another_name_is_wrong_but_still_bone():
    case = toy_case()
    swapped = ("L2", "L1", "L3", "L4", "L5")
    whole = rows_of(evaluate_case(oracle(case, swapped), case, ["ap-00"], SPEC))
    assert whole["L1"]["f1"] == 0
    assert whole["L1"]["n_missed"] == 0
    assert whole["L3"]["f1"] == whole[UNION]["f1"] == 1


def test_a_missed_level_is_counted():
    case = toy_case()
    right = oracle(case)

    def without_l5(radiographs, grid):
        probabilities = right(radiographs, grid)
        probabilities[0] += probabilities[5]
        probabilities[5] = 0
        return probabilities

    whole = rows_of(evaluate_case(without_l5, case, ["ap-00"], SPEC))
    assert whole["L5"]["n_missed"] == 1
    assert whole["L5"]["f1"] == 0
    assert whole["L5"]["assd_mm"] == pytest.approx(np.linalg.norm([12, 24, 18]))


def test_bone_that_is_labelled_in_part_is_not_judged():
    case = toy_case(judged=("L1", "L2", "L3", "L4"))
    whole = rows_of(evaluate_case(oracle(case), case, ["ap-00"], SPEC))
    assert "L5" not in whole
    assert whole[UNION]["f1"] == 1
    unaware = dataclasses.replace(case, unjudged=None)
    assert rows_of(evaluate_case(oracle(unaware), unaware, ["ap-00"], SPEC))[UNION]["f1"] < 0.95


def test_vertebra_mode_takes_a_grid_for_each_level():
    case = toy_case()
    grids = []

    def predictor(radiographs, grid):
        grids.append(grid)
        inside = np.abs(grid.points_world() - grid.center_world) < np.array([9.0, 12.0, 6.0])
        inside = inside.all(axis=-1)
        return np.stack([~inside, inside]).astype(np.float32)

    spec = dataclasses.replace(SPEC, mode="vertebra", classes=("vertebra",), grid_shape=(16, 24, 24))
    whole = rows_of(evaluate_case(predictor, case, ["ap-00"], spec))
    assert len(grids) == 5
    np.testing.assert_allclose(grids[2].center_world, case.level_centers_world["L3"])
    assert all(whole[level]["f1"] > 0.8 for level in (*LEVELS, UNION))


def test_disturbances_reach_views_and_grid():
    case = toy_case()
    seen = []

    def predictor(radiographs, grid):
        seen.append((radiographs, grid))
        return oracle(case)(radiographs, grid)

    for amounts in ({}, {"origin_shift_mm": 10.0}, {"camera_shift_mm": 5.0}, {"camera_shift_mm": 5.0}):
        evaluate_case(predictor, case, ["ap-00", "lat-left"], SPEC, Disturbance(**amounts), seed=1)
    (plain, here), (_, away), (shifted, still), (again, _) = seen
    np.testing.assert_allclose(here.center_world, case.lumbar_center_world)
    assert np.linalg.norm(away.center_world - here.center_world) == pytest.approx(10.0)
    np.testing.assert_allclose(still.center_world, here.center_world)
    moves = [two.camera.source_world - one.camera.source_world for one, two in zip(plain, shifted, strict=True)]
    assert np.linalg.norm(moves, axis=1) == pytest.approx([5.0, 5.0])
    assert not np.allclose(moves[0], moves[1])
    assert all(one.camera.allclose(two.camera) for one, two in zip(shifted, again, strict=True))


def test_evaluate_gives_a_tidy_table_in_one_order():
    cases = [toy_case("donor-1"), toy_case("donor-2", "shifted", shift_mm=3.0)]
    predictor = oracle(cases[0])
    done = []
    table = evaluate(predictor, cases, SPEC, (1, 3), 10.0, on_done=done.append)
    assert list(table.columns) == [*evaluation.KEYS, *METRICS]
    assert len(table) == 2 * 2 * 6 * 3
    assert len(done) == 4
    assert set(table["views"]) == {"ap-00", "ap-00+lat-left+obl-left"}
    assert not table.duplicated(["case", "n_views", "level", "region"]).any()
    # The second donor lies 3 mm off what the oracle knows.
    union = table[(table["level"] == UNION) & (table["region"] == "whole")].groupby("donor")["f1"].mean()
    assert union["donor-1"] > union["donor-2"]
    threaded = evaluate(predictor, cases, SPEC, (1, 3), 10.0, workers=2)
    assert threaded.equals(table)


def test_conditions_label_their_rows():
    condition = Condition(("ap-00",), labels={"study": "mine", "value": 3.0})
    case = toy_case()
    table = run_conditions(oracle(case), [case], SPEC, [condition], 10.0, 0)
    assert set(table["study"]) == {"mine"}
    assert set(table["value"]) == {3.0}


def test_bad_input():
    case = toy_case()
    with pytest.raises(InputError, match="no view orbit-003"):
        evaluate_case(oracle(case), case, ["ap-00", "orbit-003"], SPEC)
    with pytest.raises(InputError, match="a class for L4, L5"):
        evaluate_case(oracle(case), case, ["ap-00"], dataclasses.replace(SPEC, classes=("L1", "L2", "L3")))
    with pytest.raises(InputError, match="found 0 cases"):
        evaluate(oracle(case), [], SPEC, (1,), 10.0)
    with pytest.raises(InputError, match="number of views"):
        evaluate(oracle(case), [case], SPEC, (9,), 10.0)


def test_a_case_is_read_from_its_files(tmp_path):
    loaded = load_evaluation_case(write_toy_case(tmp_path, ("T12", "L1", "L2", "L3")[1:]))
    assert loaded.levels == ("L1", "L2", "L3")
    assert loaded.shape == (56, 32, 32)
    np.testing.assert_array_equal(loaded.unjudged, np.isin(toy_codes(), [LEVEL_CODES["L4"], LEVEL_CODES["L5"]]))
    assert set(loaded.radiographs) == {"ap-00", "lat-left"}
    assert loaded.radiographs["ap-00"].camera.width == 32
    # L1 to L3 are voxels 24 to 51 of z.
    np.testing.assert_allclose(loaded.lumbar_center_world[2], 1.5 * (24 + 51) / 2)
    assert loaded.truths["L1"].regions.max() == 1
    whole = load_evaluation_case(write_toy_case(tmp_path / "whole", regions=False))
    assert whole.unjudged is None
    assert whole.truths["L1"].regions is None


def test_a_case_without_lumbar_levels_is_refused(tmp_path):
    path = tmp_path / "labels.nii.gz"
    case = write_toy_case(tmp_path)
    write(path, np.where(toy_codes() > 0, LEVEL_CODES["T12"], 0).astype(np.uint8), np.diag([1.5, 1.5, 1.5, 1.0]))
    with pytest.raises(InputError, match="a lumbar level to judge"):
        load_evaluation_case(dataclasses.replace(case, levels=("T12",)))
    write(tmp_path / "regions.nii.gz", np.zeros((4, 4, 4), np.uint8), np.eye(4))
    write(path, toy_codes(), np.diag([1.5, 1.5, 1.5, 1.0]))
    with pytest.raises(InputError, match=r"regions.nii.gz: found shape"):
        load_evaluation_case(case)
