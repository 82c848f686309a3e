import dataclasses

import numpy as np
import pytest

from evaluation_cases import SPEC, oracle, toy_case
from reconstruction.judging import studies
from reconstruction.judging.evaluation import KEYS, UNION
from reconstruction.metrics import METRICS

LEVELS = ("L2", "L3")

PARAMETERS = studies.StudyParameters(
    view_counts=(1, 8),
    disturbed_views=2,
    camera_rotation_deg=(0, 5),
    camera_shift_mm=(0, 10),
    camera_both=((5, 10),),
    photons=(0, 100),
    gaussian=(0.1,),
    origin_shift_mm=(0, 20),
    match_limit_deg=10,
    seed=3,
)


@pytest.fixture(scope="module")
def case():
    return toy_case(levels=LEVELS)


def bench(case, offset_mm=0.0):
    return studies.Bench(oracle(case, offset_mm=offset_mm, present=LEVELS), [case], SPEC, PARAMETERS)


def f1_by(table, *names):
    whole = table[(table["level"] == UNION) & (table["region"] == "whole")]
    return whole.groupby(list(names))["f1"].mean()


def test_every_study_gives_a_tidy_table(case):
    assert list(studies.STUDIES) == [
        "number_of_views", "view_sets", "view_angle", "camera_noise", "image_noise", "origin_error"
    ]  # fmt: skip
    table = studies.origin_error(bench(case))
    assert list(table.columns) == ["study", "setting", "value", "unit", "shots", *KEYS, *METRICS]
    assert set(table["study"]) == {"origin_error"}
    assert set(table["shots"]) == {"ap-00+lat-left"}


def test_number_of_views(case):
    # An oracle that is off by 6 mm with one view, and right with eight.
    table = studies.number_of_views(bench(case, lambda views: 6.0 if len(views) == 1 else 0.0))
    assert set(table["value"]) == {1, 8}
    assert (table["value"] == table["n_views"]).all()
    scores = f1_by(table, "value")
    assert scores[8] > scores[1] + 0.2


def test_view_sets_cover_all_triples(case):
    # Off by how alike the lines of sight are.
    def offset_mm(views):
        directions = np.array([view.camera.view_direction_world for view in views])
        return 8.0 * (1 - np.linalg.svd(directions)[1][1])

    table = studies.view_sets(bench(case, offset_mm))
    assert (table["n_views"] == 3).all()
    scores = f1_by(table, "setting")
    assert set(scores.index) == set(studies.VIEW_TRIPLES)
    assert scores["three AP tilts"] < scores["AP + lateral + oblique"]


def test_view_angle_says_the_angle(case):
    def offset_mm(views):
        first, second = (view.camera.view_direction_world for view in views)
        return 8.0 * abs(float(first @ second))

    scores = f1_by(studies.view_angle(bench(case, offset_mm)), "value")
    assert list(scores.index) == [0, 15, 30, 45, 60, 75, 90]
    assert scores[0] < scores[45] < scores[90]


def test_camera_noise_reaches_the_cameras_in_the_amount(case):
    true = {name: radiograph.camera for name, radiograph in case.radiographs.items()}

    def offset_mm(views):
        return float(np.mean([
            np.linalg.norm(view.camera.source_world - true[name].source_world)
            for view, name in zip(views, ("ap-00", "lat-left"), strict=True)
        ]))  # fmt: skip

    table = studies.camera_noise(bench(case, offset_mm))
    scores = f1_by(table, "setting", "value")
    assert set(scores.index) == {
        ("turned", 0), ("turned", 5), ("shifted", 0), ("shifted", 10), ("turned and shifted", 5)
    }  # fmt: skip
    assert scores["shifted", 0] == scores["turned", 0] > scores["shifted", 10]
    assert scores["turned", 5] < scores["shifted", 10]
    assert set(table[table["setting"] == "turned"]["unit"]) == {"deg"}


def test_image_noise_reaches_the_pixels(case):
    table = studies.image_noise(bench(case, lambda views: 30.0 * float(views[0].pixels.std())))
    scores = f1_by(table, "setting", "value")
    assert scores["Poisson", 0] > scores["Poisson", 100]
    assert scores["Poisson", 0] > scores["Gaussian", 0.1]


def test_origin_error_cuts_off_what_leaves_the_grid(case):
    # The oracle is right wherever the grid is, so what is lost lies outside of it: it is little larger than the spine.
    spec = dataclasses.replace(SPEC, grid_shape=(24, 18, 14))
    tight = dataclasses.replace(bench(case), spec=spec)
    scores = f1_by(studies.origin_error(tight), "value")
    assert scores[0] == 1
    assert scores[20] < 0.8
