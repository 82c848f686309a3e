import json

import numpy as np
import pandas as pd
import pytest

from drrkit.errors import InputError
from evaluation_cases import LEVELS, SPEC, oracle, toy_case
from reconstruction.judging import results, studies
from reconstruction.judging.evaluation import UNION, evaluate, predicted_masks
from reconstruction.judging.pictures import write_reconstruction
from reconstruction.judging.plots import write_regions, write_study
from reconstruction.judging.summary import BootstrapParameters

BOOTSTRAP = BootstrapParameters(resamples=50, confidence=0.95, seed=0)
PNG = b"\x89PNG"


@pytest.fixture(scope="module")
def table():
    cases = [toy_case("donor-1"), toy_case("donor-2", "shifted", shift_mm=3.0)]
    return evaluate(oracle(cases[0]), cases, SPEC, (2, 4), 10.0)


@pytest.fixture(scope="module")
def study(table):
    """Two amounts of one study, made of the table."""
    labels = {"study": "origin_error", "setting": "shifted grid", "unit": "mm", "shots": "ap-00"}
    return pd.concat([table.assign(**labels, value=value) for value in (0.0, 5.0)], ignore_index=True)


def test_the_folder_holds_tables_numbers_and_plots(tmp_path, table, study):
    summary = results.write_results(tmp_path, table, {"origin_error": study}, BOOTSTRAP, {"model": "toy"})
    assert json.loads((tmp_path / "summary.json").read_text()) == summary
    names = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert names == {
        "rows.csv", "means.csv", "summary.json", "levels.png", "regions.png",
        "studies/origin_error.csv", "studies/origin_error_means.csv", "studies/origin_error.png",
    }  # fmt: skip
    assert all((tmp_path / name).read_bytes().startswith(PNG) for name in names if name.endswith("png"))
    assert len(pd.read_csv(tmp_path / "rows.csv")) == len(table)


def test_the_numbers_are_means_over_donors(table):
    means = results.evaluation_means(table, BOOTSTRAP)
    numbers = results.headline(means, results.ALL)
    assert {"f1_views2", "f1_views4", "level_f1_views4", "surface_1mm_views4", "surface_2mm_views4"} <= set(numbers)
    assert "f1_views3" not in numbers
    chosen = table[(table["region"] == "whole") & (table["n_views"] == 4)]
    union = chosen[chosen["level"] == UNION]["f1"]
    assert numbers["f1_views4"] == pytest.approx(union.mean(), abs=1e-4)
    levels = chosen[chosen["level"] != UNION].groupby("donor")["f1"].mean()
    assert numbers["level_f1_views4"] == pytest.approx(levels.mean(), abs=1e-4)
    # The first donor is what the oracle knows; the second lies off.
    assert results.headline(means, "adults")["f1_views4"] == 1
    assert results.headline(means, "shifted")["f1_views4"] < 0.9
    assert set(results.by_level(means)["views4"]) == {*LEVELS, UNION, results.LEVELS}
    assert set(results.by_region(means)["views4"]) == {"body", "spinous"}
    mean, low, high = results.by_region(means)["views4"]["body"]["recall"]
    assert low <= mean <= high


def test_one_donor_has_no_interval_and_json_no_nan(tmp_path):
    case = toy_case()
    table = evaluate(oracle(case), [case], SPEC, (1,), 10.0)
    summary = results.write_results(tmp_path, table, {}, BOOTSTRAP, {})
    assert summary["levels"]["views1"]["L1"]["f1"] == [1.0, None, None]
    assert "NaN" not in (tmp_path / "summary.json").read_text()


def test_every_study_can_be_drawn(tmp_path):
    case = toy_case(levels=("L2", "L3"))
    parameters = studies.StudyParameters(
        view_counts=(1, 2), disturbed_views=1, camera_rotation_deg=(0, 5), camera_shift_mm=(0, 5),
        camera_both=((0, 0), (5, 10)), photons=(0, 100, 1000), gaussian=(0, 0.1), origin_shift_mm=(0, 20),
        match_limit_deg=10, seed=0,
    )  # fmt: skip
    bench = studies.Bench(oracle(case, present=("L2", "L3")), [case], SPEC, parameters)
    for name in ("number_of_views", "camera_noise", "image_noise", "origin_error"):
        write_study(tmp_path / f"{name}.png", studies.STUDIES[name](bench), BOOTSTRAP, name)
        assert (tmp_path / f"{name}.png").read_bytes().startswith(PNG)


def test_pictures_of_a_study_and_of_regions_refuse_what_they_cannot_show(tmp_path, table, study):
    two = pd.concat([study, study.assign(study="other")])
    with pytest.raises(InputError, match="one study"):
        write_study(tmp_path / "x.png", two, BOOTSTRAP, "x")
    with pytest.raises(InputError, match="no regions"):
        write_regions(tmp_path / "x.png", table[table["region"] == "whole"], BOOTSTRAP, "x")


def test_a_reconstruction_can_be_drawn_and_looks_other_when_it_is_other(tmp_path):
    case = toy_case()
    masks = predicted_masks(oracle(case), case, ["ap-00"], SPEC)
    for name, drawn in (("right", masks), ("again", masks), ("lost", masks | {"L3": np.zeros(case.shape, bool)})):
        write_reconstruction(tmp_path / f"{name}.png", case, drawn, "toy")
    right, again, lost = ((tmp_path / f"{name}.png").read_bytes() for name in ("right", "again", "lost"))
    assert right == again
    assert right != lost
