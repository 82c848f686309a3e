import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import yaml
from pydantic import ValidationError

import hull_network
from ball_pairs import VIEWS, write_ball_session, write_ball_set
from drrkit.errors import InputError
from drrkit.io.store import read_image, write_image, write_json
from protocols.pairset import write_pairset
from reconstruction.ladder.evaluation import Outputs, evaluate_ladder
from reconstruction.ladder.heldout import donors_of
from reconstruction.ladder.judged import Places, held_out
from reconstruction.ladder.rungs import RUNGS, LadderParameters
from reconstruction.ladder.table import COLUMNS, source_of_images
from reconstruction.stages import evaluate
from reconstruction.weights import build_network, save_model

RUNG_SETTINGS = {
    "source_only": {"network": "pretrain/hull", "images": "real"},
    "augmentation": {"network": "finetune/same", "images": "real"},
    "style_transfer": {"network": "pretrain/hull", "images": "paired"},
    "transfer_learning": {"network": "finetune/same", "images": "real"},
    "both": {"network": "finetune/same", "images": "halfway"},
    "synthetic_ceiling": {"network": "pretrain/hull", "images": "synthetic"},
}
SECTION = {
    "view_counts": [2, 4],
    "headline_views": 4,
    "unseen_views": [4],
    "match_limit_deg": 5,
    "group": "flat-panel",
    "unseen_group": "intensifier",
    "folds": {"frozen": RUNG_SETTINGS},
    "bootstrap": {"resamples": 50, "confidence": 0.9, "seed": 1},
    "pictures": 1,
    "meshes": {
        "rungs": ["source_only", "synthetic_ceiling"],
        "spacing_mm": 1.5,
        "smoothing_steps": 2,
        "color_limit_mm": 4.0,
    },
    "precision": "fp32",
    "mirror": True,
    "workers": 2,
}
SEEN = {"train_donors": ["a"], "validation_donors": ["b"]}


def changed(**changes) -> LadderParameters:
    return LadderParameters.model_validate(SECTION | changes)


def write_hull(folder, training):
    spec = hull_network.hull_spec(training=training)
    save_model(folder / "model.safetensors", build_network(spec), spec)


def write_translator(folder, training):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.safetensors").write_bytes(b"")
    write_json(folder / "model.json", {"training": training})


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """Networks that know DRRs, a perfect translator and one that goes halfway."""
    folder = tmp_path_factory.mktemp("ladder")
    with pytest.MonkeyPatch.context() as patch:
        hull_network.register(patch)
        write_hull(folder / "models" / "pretrain" / "hull", {"train_donors": ["x"], "validation_donors": ["y"]})
        write_hull(folder / "models" / "finetune" / "same", SEEN | {"started_from": SEEN})
        sessions = write_ball_set(folder / "sets" / "frozen")
        for session in sessions:
            for view in VIEWS:
                real, bone = (read_image(session.pairs / kind / f"{view}.tif") for kind in ("real", "drr_bone"))
                for name, pixels in (("paired", bone), ("halfway", bone + 2 * real)):
                    path = folder / "translated" / name / session.acquisition_id / f"{view}.tif"
                    write_image(path, pixels.astype(np.float32))
        for name in ("paired", "halfway"):
            write_translator(folder / "translators" / name, SEEN)
        places = Places(folder / "models", folder / "translators", folder / "translated")
        outputs = Outputs(folder / "ladder.csv", folder / "out", folder / "meshes")
        summary = evaluate_ladder({"frozen": sessions}, places, changed(), outputs)
        yield SimpleNamespace(folder=folder, sessions=sessions, places=places, outputs=outputs, summary=summary)


def test_the_table_has_a_row_for_each_rung_and_number_of_views(lab):
    table = pd.read_csv(lab.outputs.table)
    assert tuple(table.columns) == COLUMNS
    assert ",".join(COLUMNS) == (
        "rung,views,f1,f1_l1,f1_l2,f1_l3,f1_l4,f1_l5,surface_1mm,surface_1p5mm,surface_2mm,assd_mm,hd95_mm,n_missed,"
        "donors,ci_low,ci_high"
    )
    assert list(zip(table["rung"], table["views"], strict=True)) == [(rung, n) for rung in RUNGS for n in (2, 4)]
    assert (table["donors"] == 2).all()
    assert ((table["ci_low"] <= table["f1"]) & (table["f1"] <= table["ci_high"])).all()
    # The balls are L1 and L2.
    assert table[["f1_l3", "f1_l4", "f1_l5"]].isna().all(axis=None)
    assert table[["f1_l1", "f1_l2"]].notna().all(axis=None)
    rows = pd.read_csv(lab.outputs.folder / "rows.csv")
    union = rows[(rows["level"] == "union") & (rows["region"] == "whole") & (rows["group"] == "flat-panel")]
    one = union[(union["rung"] == "both") & (union["n_views"] == 2)]
    shown = table[(table["rung"] == "both") & (table["views"] == 2)].iloc[0]
    assert shown["f1"] == pytest.approx(one["f1"].mean(), abs=1e-4)
    assert shown["hd95_mm"] == pytest.approx(one["hd95_mm"].mean(), abs=1e-4)


def test_a_perfect_translator_closes_the_gap_and_the_same_network_closes_nothing(lab):
    f1 = {rung: lab.summary["rungs"][rung]["views4"]["f1"][0] for rung in RUNGS}
    assert f1["synthetic_ceiling"] > f1["source_only"] + 0.2
    assert f1["style_transfer"] == f1["synthetic_ceiling"]
    gaps = lab.summary["gap_closed"]
    assert gaps["style_transfer"]["views4"] == [1, 1, 1]
    assert gaps["augmentation"]["views2"] == [0, 0, 0]
    assert 0 < gaps["both"]["views4"][0] < 1
    # The ceiling is as high, but nobody has DRRs of a patient without a CT.
    assert lab.summary["best"] == "style_transfer"


def test_the_summary(lab):
    summary = lab.summary
    assert summary == json.loads((lab.outputs.folder / "summary.json").read_text())
    assert (summary["simulated"], summary["donors"], summary["simulated_donors"]) == (True, 2, 2)
    assert (summary["unseen"]["group"], summary["unseen"]["donors"]) == ("intensifier", 1)
    assert list(summary["unseen"]["rungs"]["both"]) == ["views4"]
    # Of one donor, no interval.
    assert summary["unseen"]["gap_closed"]["style_transfer"]["views4"] == [1, None, None]
    assert set(summary["by_region"]["both"]) == {"body", "spinous"}
    assert set(summary["by_level"]["both"]) == {"L1", "L2"}
    assert summary["meshes"] == {
        "acquisition_id": "test-1",
        "views": list(VIEWS),
        "rungs": ["source_only", "synthetic_ceiling"],
        "simulated": True,
    }
    models = summary["folds"]["frozen"]
    assert models["source_only"]["model_sha256"] == models["style_transfer"]["model_sha256"]
    assert models["both"]["network"] == "finetune/same"
    pictures = sorted(path.name for path in (lab.outputs.folder / "pictures").iterdir())
    assert pictures == ["test-1-source_only.png", "test-1-synthetic_ceiling.png"]
    for name in ("ladder.png", "mesh.png"):
        assert (lab.outputs.folder / name).read_bytes().startswith(b"\x89PNG")


def test_meshes_lie_where_the_balls_are(lab):
    with np.load(lab.outputs.meshes / "truth.npz") as truth:
        assert set(truth) == {f"{what}_{level}" for what in ("vertices", "faces") for level in ("L1", "L2")}
        for level, center in hull_network.BALLS.items():
            radii_mm = np.linalg.norm(truth[f"vertices_{level}"] - center, axis=1)
            assert radii_mm.mean() == pytest.approx(hull_network.RADIUS_MM, abs=0.5)
    for rung in ("source_only", "synthetic_ceiling"):
        with np.load(lab.outputs.meshes / f"{rung}.npz") as found:
            vertices, errors_mm = found["vertices_L1"], found["error_mm_L1"]
            assert (vertices.dtype, found["faces_L1"].dtype, errors_mm.dtype) == (np.float32, np.int32, np.float32)
        assert errors_mm.shape == (len(vertices),)
        # Outside is positive: as much farther from the middle of the ball as the vertex lies beyond its radius.
        beyond_mm = np.linalg.norm(vertices - hull_network.BALLS["L1"], axis=1) - hull_network.RADIUS_MM
        assert np.abs(errors_mm - beyond_mm).max() < 1.2
        far = np.abs(beyond_mm) > 1.2
        assert far.any()
        assert (np.sign(errors_mm[far]) == np.sign(beyond_mm[far])).all()


@pytest.mark.parametrize("leak", ["train_donors", "validation_donors", "started_from"])
def test_a_network_that_saw_a_judged_donor_is_refused(lab, tmp_path, leak):
    training = SEEN | ({"started_from": SEEN | {"train_donors": ["c"]}} if leak == "started_from" else {leak: ["c"]})
    write_hull(tmp_path / "finetune" / "leaky", training)
    (tmp_path / "pretrain").symlink_to(lab.places.models / "pretrain")
    rungs = {**RUNG_SETTINGS}
    for name in ("augmentation", "transfer_learning", "both"):
        rungs[name] = {**RUNG_SETTINGS[name], "network": "finetune/leaky"}
    parameters = changed(folds={"frozen": rungs})
    with pytest.raises(InputError, match="saw the donor c"):
        evaluate_ladder({"frozen": lab.sessions}, replace(lab.places, models=tmp_path), parameters, lab.outputs)


def test_a_translator_that_saw_a_judged_donor_is_refused(lab, tmp_path):
    for name, donor in (("paired", "b"), ("halfway", "d")):
        write_translator(tmp_path / name, {"train_donors": ["a"], "validation_donors": [donor]})
    with pytest.raises(InputError, match=r"halfway.*saw the donor d"):
        evaluate_ladder({"frozen": lab.sessions}, replace(lab.places, translators=tmp_path), changed(), lab.outputs)
    (tmp_path / "halfway" / "model.safetensors").unlink()
    with pytest.raises(InputError, match="0 models"):
        evaluate_ladder({"frozen": lab.sessions}, replace(lab.places, translators=tmp_path), changed(), lab.outputs)


def test_a_record_must_say_whom_a_model_saw():
    assert donors_of(SEEN | {"started_from": {"train_donors": ["x"], "validation_donors": []}}, "m") == {"a", "b", "x"}
    for training in ({}, {"train_donors": ["a"]}, SEEN | {"started_from": {"train_donors": "abc"}}, ["a"]):
        with pytest.raises(InputError, match="a record without"):
            donors_of(training, "model.json")


def test_folds_pool_their_donors_and_share_none(lab, tmp_path):
    sessions = {session.acquisition_id: session for session in lab.sessions}
    folds = {"one": RUNG_SETTINGS, "two": RUNG_SETTINGS}
    parameters = changed(folds=folds, view_counts=[4], unseen_group=None, pictures=0)
    sets = {"one": [sessions["train-1"], sessions["test-1"]], "two": [sessions["test-2"]]}
    outputs = Outputs(tmp_path / "ladder.csv", tmp_path / "out", tmp_path / "meshes")
    summary = evaluate_ladder(sets, lab.places, parameters, outputs)
    assert summary["rungs"]["both"]["views4"] == lab.summary["rungs"]["both"]["views4"]
    assert summary["unseen"] is None
    rows = pd.read_csv(outputs.folder / "rows.csv")
    assert set(zip(rows["fold"], rows["donor"], strict=True)) == {("one", "c"), ("two", "d")}
    with pytest.raises(InputError, match="held out by one and by two"):
        held_out({"one": sets["one"], "two": [*sets["two"], sessions["test-1"]]}, parameters)
    with pytest.raises(InputError, match="no test donor of the group flat-panel"):
        held_out({"one": [sessions["train-1"]], "two": []}, parameters)


def test_real_donors_are_never_called_simulated(lab, tmp_path):
    assert source_of_images(3, 3) == "SIMULATED X-rays"
    assert "SIMULATED" not in source_of_images(0, 3)
    assert source_of_images(1, 3) == "SIMULATED X-rays of 1 donor, real ones of 2"
    session = write_ball_session(tmp_path, "specimen", "e", "test", regions=False)
    sheet = session.acquisition / "acquisition.yaml"
    sheet.write_text(yaml.safe_dump(yaml.safe_load(sheet.read_text()) | {"simulated": False}))
    for view in VIEWS:
        for name in ("paired", "halfway"):
            path = tmp_path / "translated" / name / "specimen" / f"{view}.tif"
            write_image(path, read_image(session.pairs / "drr_bone" / f"{view}.tif"))
    parameters = changed(view_counts=[4], unseen_group=None, pictures=0)
    outputs = Outputs(tmp_path / "ladder.csv", tmp_path / "out", tmp_path / "meshes")
    places = replace(lab.places, translated=tmp_path / "translated")
    summary = evaluate_ladder({"frozen": [replace(session, simulated=False)]}, places, parameters, outputs)
    assert (summary["simulated"], summary["donors"], summary["simulated_donors"]) == (False, 1, 0)
    assert summary["meshes"]["simulated"] is False
    assert summary["by_region"]["both"] == {}
    assert pd.read_csv(outputs.table)[["ci_low", "ci_high"]].isna().all(axis=None)


@pytest.mark.parametrize(
    "change",
    [
        {"view_counts": [2, 9]},
        {"headline_views": 3},
        {"unseen_group": "flat-panel"},
        {"folds": {"frozen": {name: RUNG_SETTINGS[name] for name in list(RUNGS)[1:]}}},
        {"folds": {"frozen": RUNG_SETTINGS | {"source_only": RUNG_SETTINGS["both"]}}},
        {"meshes": SECTION["meshes"] | {"rungs": ["ground_truth"]}},
    ],
)
def test_parameters_that_do_not_fit(change):
    with pytest.raises(ValidationError):
        changed(**change)


def test_the_stage(lab, tmp_path, monkeypatch):
    (tmp_path / "params.yaml").write_text(yaml.safe_dump({"evaluate": SECTION | {"view_counts": [4], "pictures": 0}}))
    monkeypatch.setattr("drrkit.parameters.PARAMETERS_PATH", tmp_path / "params.yaml")
    monkeypatch.chdir(tmp_path)
    write_pairset(tmp_path / "data" / "sessions" / "frozen" / "pairset.json", lab.sessions)
    monkeypatch.setattr(evaluate, "PLACES", lab.places)
    evaluate.main()
    written = json.loads((tmp_path / "results" / "evaluate" / "summary.json").read_text())
    assert written["rungs"]["both"]["views4"] == lab.summary["rungs"]["both"]["views4"]
    assert (tmp_path / "results" / "ladder.csv").is_file()
    assert (tmp_path / "data" / "evaluate" / "meshes" / "truth.npz").is_file()
