from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from drrkit.errors import InputError
from evaluation_cases import toy_case
from reconstruction.metrics import METRICS
from reconstruction.studies.angle_map import MAP_COLUMNS
from reconstruction.studies.headlines import study_headlines
from reconstruction.studies.settings import StudiesParameters
from reconstruction.studies.study import seen_from_everywhere

SETTINGS = {
    "study_names": ["number_of_views"],
    "amounts": {
        "view_counts": [1, 8], "disturbed_views": 3, "camera_rotation_deg": [0], "camera_shift_mm": [0],
        "camera_both": [], "photons": [], "gaussian": [], "origin_shift_mm": [0], "match_limit_deg": 12, "seed": 1,
    },
    "cases": 1,
    "map_bases": {"partner": ["ap-00"]},
    "map_cases": 1,
    "hard_regions": {"cases": 1, "sessions": 1, "views": 3, "mesh_spacing_mm": 1, "smoothing_steps": 2},
    "paired_donors": {"series": "paired-donors", "views": 3, "sessions": 1},
    "planning": {
        "fit": {
            "donors": 2, "sets_per_donor": 8, "view_counts": [2], "penalties": [0.1], "trust_deg": 12, "seed": 1,
        },
        "budget": {
            "carm": "siemens-cios-spin", "kvp": 80, "aluminum_mm": 3, "copper_mm": 0.1, "detector_kerma_ugy": 1,
            "trunk_width_mm": 340, "trunk_depth_mm": 220, "spine_behind_middle_mm": 30, "arm_speed_deg_s": 10,
            "shot_s": 5,
        },
        "comparison": {
            "shots": [2], "cases": 1, "random_sets": 1, "seed": 1, "least_apart_deg": 15, "dose_price": 0, "caution": 0,
            "match_limit_deg": 12, "bootstrap": {"resamples": 9, "confidence": 0.9, "seed": 1},
        },
    },
    "fold": "frozen",
    "group": "flat-panel",
    "translator": "paired",
    "match_limit_deg": 12,
    "precision": "bf16",
    "bootstrap": {"resamples": 9, "confidence": 0.9, "seed": 1},
    "workers": 1,
    "threads": 1,
}  # fmt: skip


def test_only_donors_that_were_seen_from_everywhere_are_studied():
    case = toy_case().case
    few = replace(case, case_id="few", views=("ap-00", "lat-left"))
    trained = replace(case, case_id="trained", split="train")
    assert seen_from_everywhere([few, trained, case], "test") == [case]
    with pytest.raises(InputError, match="no validation donor with all views"):
        seen_from_everywhere([case], "validation")


def rows(donor, f1, level="union"):
    labels = {"study": "origin_error", "setting": "shifted grid", "value": 5.0, "unit": "mm", "shots": "ap-00"}
    scores = dict.fromkeys(METRICS, np.nan) | {"f1": f1}
    return {**labels, "donor": donor, "level": level, "region": "whole", **scores}


def test_headlines_average_donors_and_find_best_and_worst():
    study = pd.DataFrame([rows("a", 0.5), rows("a", 0.7), rows("b", 0.9), rows("b", 0.1, "L1")])
    places = [(0, 0, "ap-00", 0.6, 0.2), (90, 0, "lat-left", 0.8, 0.0)]
    chart = pd.DataFrame([(*place, 0.5, 0.9, 2, 0.0, 0.3) for place in places], columns=list(MAP_COLUMNS))
    regions = pd.DataFrame(
        [("drr", level, region, mm, 3.0, 0.0, 2, 1) for level in ("L1", "L2")
         for region, mm in (("whole", 1.0), ("body", 0.5), ("transverse", 2.0))],
        columns=["images", "level", "region", "mean_abs_mm", "p95_mm", "mean_signed_mm", "donors", "missed"],
    )  # fmt: skip
    donors = pd.DataFrame(
        {"images": ["real", "synthetic"], "donors": [0, None], "f1": [0.4, 0.8], "gap_closed": [0, 1]}
    )
    plan = {
        "shots": 3,
        "kind": "planned",
        "f1": 0.85,
        "expected_f1": 0.86,
        "gain": np.nan,
        "dose_rel": 1.5,
        "seconds": 40.0,
    }
    summary = study_headlines({"origin_error": study, "map": chart}, regions, donors, pd.DataFrame([plan]))
    (origin,) = summary["f1"]["origin_error"]
    assert (origin["value"], origin["f1"]) == (5.0, 0.75)
    assert summary["angle_maps"]["map"] == {
        "best": "lat-left", "best_f1": 0.8, "worst": "ap-00", "worst_f1": 0.6, "donors": 2
    }  # fmt: skip
    hard = summary["hard_regions"]["drr"]
    assert list(hard["by_region_mm"]) == ["transverse", "body"]
    assert hard["missed"] == 2
    assert summary["paired_donors"][1] == {"images": "synthetic", "donors": None, "f1": 0.8, "gap_closed": 1.0}
    assert summary["view_plans"][0]["gain"] is None


def test_settings_are_checked():
    good = StudiesParameters.model_validate(SETTINGS).model_dump()
    with pytest.raises(ValidationError, match="there is no weather"):
        StudiesParameters.model_validate({**good, "study_names": ["weather"]})
    with pytest.raises(ValidationError, match="number of views"):
        StudiesParameters.model_validate({**good, "paired_donors": {**good["paired_donors"], "views": 9}})
    with pytest.raises(ValidationError, match="colour"):
        StudiesParameters.model_validate({**good, "colour": "red"})
