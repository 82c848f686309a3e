import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import typer
import yaml
from typer.testing import CliRunner

from ball_pairs import VIEWS, write_ball_set
from drrkit.errors import InputError
from drrkit.io.store import read_image, read_mask, write_image, write_json
from protocols.pairs import field_path
from styletransfer.commands.evaluate import evaluate
from styletransfer.domain import DomainStatistics
from styletransfer.images import open_pairs
from styletransfer.judging.evaluation import judge_translators
from styletransfer.judging.held import hold
from styletransfer.judging.pictures import CloseUp, edge_overlay, write_close_up, write_comparison
from styletransfer.judging.settings import BootstrapParameters, JudgingParameters
from styletransfer.judging.summary import bootstrap_ci, over_donors
from styletransfer.model import TranslatorSpec
from styletransfer.scale import Scale
from styletransfer.stages import translate
from styletransfer.weights import build_translator, save_translator

BOOTSTRAP = {"resamples": 200, "confidence": 0.9, "seed": 1}
SECTION = {
    "splits": ["test", "validation"],
    "exposures": None,
    "scored_pairs": 3,
    "disagreement_pairs": 2,
    "precision": "32",
    "bootstrap": BOOTSTRAP,
    "pictures": {"sessions": 1, "views": ["ap-00", "lat-left", "never-seen"], "close_up": "none"},
    "workers": 2,
}
SHIFT_PX = 2
CLAHE = {"kernel_px": 16, "clip_limit": 0.01}


def save(path: Path, method: str, settings=None, domain=None, donors=("a",)) -> Path:
    spec = TranslatorSpec(
        method, settings or {}, Scale(1.0, 1.0, 1.0), (1.1, 1.2), {"train_donors": list(donors), "pairs": 4}
    )
    save_translator(path, build_translator(spec), spec, domain)
    return path


@pytest.fixture(scope="module")
def material(tmp_path_factory):
    """The X-rays of one test donor show nothing but bone; those of the other too, but all of it moved sideways."""
    folder = tmp_path_factory.mktemp("judging")
    sessions = write_ball_set(folder / "set")
    for session in sessions:
        moved_px = {"test-1": 0, "test-2": SHIFT_PX}.get(session.acquisition_id)
        if moved_px is None:
            continue
        for view in VIEWS:
            field = read_mask(session.pairs / field_path(view))
            bone = np.roll(read_image(session.pairs / "drr_bone" / f"{view}.tif"), moved_px, axis=1)
            write_image(session.pairs / "real" / f"{view}.tif", np.where(field, bone, 0).astype(np.float32))
    train = open_pairs(sessions, "train")
    domain = DomainStatistics.fit((pair.real, pair.donor_id, 1.1) for pair in train)
    models = {"none": save(folder / "none" / "model.safetensors", "none", domain=domain)}
    models["again"] = save(folder / "again" / "model.safetensors", "none")
    write_json(folder / "none" / "train.json", {"seconds": 1.26})
    parameters = JudgingParameters.model_validate(SECTION)
    summary = judge_translators(sessions, models, parameters, folder / "images", folder / "results")
    return SimpleNamespace(folder=folder, sessions=sessions, models=models, summary=summary, parameters=parameters)


def test_every_pair_is_translated_and_some_are_scored(material):
    for session in material.sessions:
        for name in material.models:
            folder = material.folder / "images" / name / session.acquisition_id
            if session.split == "train":
                assert not folder.exists()
                continue
            for view in VIEWS:
                real = read_image(session.pairs / "real" / f"{view}.tif")
                translated = read_image(folder / f"{view}.tif")
                np.testing.assert_allclose(translated, real.clip(min=0), rtol=1e-3, atol=1e-3)
    table = pd.read_csv(material.folder / "results" / "scores.csv")
    assert len(table) == 2 * 4 * 3
    assert set(table["split"]) == {"test", "validation"}


def test_chosen_exposures_alone_are_judged(material, tmp_path):
    chosen = material.parameters.model_copy(update={"exposures": VIEWS[:1], "splits": ("validation",)})
    judge_translators(
        material.sessions, {"none": material.models["none"]}, chosen, tmp_path / "images", tmp_path / "out"
    )
    assert [path.name for path in sorted((tmp_path / "images").rglob("*.tif"))] == [f"{VIEWS[0]}.tif"]
    with pytest.raises(InputError, match="none of the exposures never-seen"):
        hold(material.sessions, "test", ["never-seen"])


def test_bone_that_moved_is_measured_in_mm(material):
    table = pd.read_csv(material.folder / "results" / "scores.csv")
    shift_mm = table[table["model"] == "none"].groupby("acquisition")["bone_edge_shift_mm"].median()
    assert shift_mm["test-1"] < 0.01
    # Sideways only: edges see the part of it along their normals, those of a ball less than all of it.
    mm_per_px = np.median(hold(material.sessions, "test").mm_per_px)
    assert 0.4 * SHIFT_PX * mm_per_px < shift_mm["test-2"] < 1.1 * SHIFT_PX * mm_per_px
    exact = table[(table["acquisition"] == "test-1") & (table["model"] == "none")]
    assert exact["ssim"].min() > 0.999
    assert exact["gradient_ncc"].min() > 0.999


def test_the_summary_tells_groups_and_where_numbers_come_from(material):
    summary = material.summary
    assert summary == json.loads((material.folder / "results" / "summary.json").read_text())
    assert summary["simulated"] is True
    assert summary["donors"] == {"test": 2, "validation": 1}
    assert summary["kid"] is None
    assert summary["kid_reason"]
    none = summary["models"]["none"]
    assert (none["method"], none["learning"], none["train_donors"], none["train_pairs"]) == ("none", "nothing", 1, 4)
    assert none["train_seconds"] == 1.3
    assert summary["models"]["again"]["train_seconds"] is None
    assert set(none["groups"]) == {"flat-panel", "intensifier"}
    assert set(none["validation_groups"]) == {"flat-panel"}
    shift = none["groups"]["flat-panel"]["bone_edge_shift_mm"]
    assert shift["low"] <= shift["mean"] <= shift["high"]
    assert none["groups"]["flat-panel"]["donors"] == 2
    assert none["groups"]["intensifier"]["bone_edge_shift_mm"]["low"] is None


def test_images_of_another_device_are_flagged_more_often(material):
    rates = material.summary["models"]["none"]["domain"]
    assert rates["intensifier"]["images"] == 4
    assert rates["intensifier"]["median_distance"] > 0
    assert 0 <= rates["intensifier"]["flagged"] <= 1
    assert material.summary["models"]["again"]["domain"] is None


def test_pictures(material):
    folder = material.folder / "results" / "pictures"
    assert sorted(path.name for path in folder.iterdir()) == [
        "test-1-ii-none.png", "test-1-ii.png", "test-1-none.png", "test-1.png"
    ]  # fmt: skip


def test_edges_that_agree_are_blue_and_others_orange(material):
    pair = open_pairs(material.sessions, "test", purpose="evaluation")[0]
    same = edge_overlay(CloseUp(pair, pair.synthetic, np.zeros_like(pair.real), 1.1))
    colors = {tuple(color) for color in same.reshape(-1, 3) if len(set(color.tolist())) > 1}
    assert len(colors) == 1
    moved = np.roll(pair.synthetic, 6, axis=1)
    other = edge_overlay(CloseUp(pair, moved, np.zeros_like(pair.real), 1.1))
    assert len({tuple(color) for color in other.reshape(-1, 3) if len(set(color.tolist())) > 1}) == 2


def test_pictures_of_nothing(tmp_path):
    with pytest.raises(InputError, match="no rows"):
        write_comparison(tmp_path / "a.png", [], "nothing")
    with pytest.raises(InputError, match="no rows"):
        write_close_up(tmp_path / "a.png", [], "nothing")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"models": {}}, "none"),
        ({"donors": ("c",)}, "trained on donor c"),
        ({"pictures": {"sessions": 1, "views": ["ap-00"], "close_up": "cut"}}, "cut among them"),
    ],
)
def test_bad_input(material, tmp_path, change, message):
    models = {"none": save(tmp_path / "none.safetensors", "none", donors=change.get("donors", ("a",)))}
    told = {name: value for name, value in change.items() if name == "pictures"}
    parameters = JudgingParameters.model_validate(SECTION | told)
    with pytest.raises(InputError, match=message):
        judge_translators(
            material.sessions, change.get("models", models), parameters, tmp_path / "images", tmp_path / "results"
        )


def test_intervals_draw_donors():
    bootstrap = BootstrapParameters.model_validate(BOOTSTRAP)
    low, high = bootstrap_ci(np.array([1.0, 2.0, 3.0]), bootstrap)
    assert 1 <= low < 2 < high <= 3
    assert bootstrap_ci(np.array([2.0, 2.0]), bootstrap) == (2, 2)
    assert np.isnan(bootstrap_ci(np.array([2.0]), bootstrap)).all()
    # A donor with many pairs weighs no more than one with few.
    rows = pd.DataFrame({"donor": ["a"] * 9 + ["b"], "score": [1.0] * 8 + [2.0, 3.0], "never": [np.nan] * 10})
    found = over_donors(rows, ["score", "never"], bootstrap)
    assert found["score"]["mean"] == pytest.approx((10 / 9 + 3) / 2, abs=1e-5)
    assert found["score"]["median"] == 2
    assert found["never"] == {"mean": None, "low": None, "high": None, "median": None}


def command(*words):
    app = typer.Typer()
    app.command()(evaluate)
    return CliRunner().invoke(app, [str(word) for word in words], env={"COLUMNS": "200"})


def test_the_command(material, tmp_path):
    config = tmp_path / "params.yaml"
    config.write_text(yaml.safe_dump({"translate": SECTION}))
    paths = [*material.models.values(), material.folder / "set", tmp_path / "out"]
    result = command(*paths, "--split", "validation", "--config", config)
    assert result.exit_code == 0, result.output
    assert "edge shift" in result.output
    written = json.loads((tmp_path / "out" / "results" / "summary.json").read_text())
    assert set(written["models"]) == {"none", "again"}
    assert written["splits"] == ["validation"]
    for words, message in (
        ([*paths, "--split", "train"], "--split"),
        ([paths[0], *paths], "two models named none"),
    ):
        failed = command(*words, "--config", config)
        assert isinstance(failed.exception, InputError)
        assert message in str(failed.exception)


def test_the_stage(material, tmp_path, monkeypatch):
    folds = {"set": {"judged": ["none", "again"], "learned_from": ["again"]}}
    section = SECTION | {"splits": ["test"], "folds": folds}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump({"translate": section}))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(translate, "SESSIONS", material.folder)
    with pytest.raises(InputError, match="none"):
        translate.main()
    monkeypatch.setattr(translate, "MODELS", material.folder)
    translate.main()
    assert (tmp_path / "results" / "translate" / "summary.json").is_file()
    images = tmp_path / "data" / "translate"
    for name in ("none", "again"):
        assert list((images / name).glob("*/ap-00.tif"))
    # Whoever learns needs the images of donors that are not judged: of one translator, and never test donors' alone.
    assert (images / "again" / "validation-1" / "ap-00.tif").is_file()
    assert not (images / "none" / "validation-1").exists()


def test_pairs_that_are_held_out(material):
    held = hold(material.sessions, "test")
    assert held.groups == ("flat-panel", "intensifier")
    assert len(held.some(None)) == 12
    assert len(held.some(1)) == 3
    assert held.some(0) == []
    lonely = [replace(session, split="train") for session in material.sessions]
    with pytest.raises(InputError, match="no session in the split test"):
        hold(lonely, "test")
