import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import yaml
from pydantic import ValidationError

import hull_network
from ball_pairs import VIEWS, write_ball_set
from drrkit.errors import InputError
from drrkit.io.store import read_image, write_image, write_json
from drrkit.phantom.anatomy import REGION_CODES
from reconstruction.adaptation.regions import region_f1
from reconstruction.adaptation.summary import TranslatorRecord, gap_closed, read_translator_records
from reconstruction.adaptation.translations import TranslationParameters, judge_translations
from reconstruction.judging.summary import BootstrapParameters
from reconstruction.metrics import f1_score, prepare_truth
from reconstruction.stages import translation

BOOTSTRAP = {"resamples": 50, "confidence": 0.9, "seed": 1}
SECTION = {
    "view_counts": [2, 4],
    "view_counts_of_all": [4],
    "headline_views": 4,
    "match_limit_deg": 5,
    "group": "flat-panel",
    "unseen_group": "intensifier",
    "chosen_on": "validation",
    "bootstrap": BOOTSTRAP,
    "pictures": 1,
    "workers": 2,
}


def record(learns=True, donors=8, pairs=200, method="paired"):
    return TranslatorRecord(method, learns, donors, pairs, 12.5, {"flat-panel": 0.4, "intensifier": 0.9})


RECORDS = {
    "none": record(learns=False, method="none"),
    "paired": record(),
    "paired-donors-1": record(donors=1, pairs=25),
}


def write_translated(folder, sessions):
    """``none`` leaves images as they are, ``paired`` makes perfect DRRs, the one of one donor something between."""
    for session in sessions:
        for view in VIEWS:
            real, bone = (read_image(session.pairs / kind / f"{view}.tif") for kind in ("real", "drr_bone"))
            made = {"none": real, "paired": bone, "paired-donors-1": bone + 2 * real}
            for name, pixels in made.items():
                write_image(folder / name / session.acquisition_id / f"{view}.tif", pixels.astype(np.float32))
    return {name: folder / name for name in RECORDS}


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    """A hull network that knows DRRs, judged on three translators."""
    folder = tmp_path_factory.mktemp("translations")
    with pytest.MonkeyPatch.context() as patch:
        hull_network.register(patch)
        model = folder / "hull" / "model.safetensors"
        hull_network.save_hull(model)
        sessions = write_ball_set(folder / "set")
        images = write_translated(folder / "images", sessions)
        parameters = TranslationParameters.model_validate(SECTION)
        summary = judge_translations(model, sessions, images, RECORDS, parameters, folder / "out")
        yield SimpleNamespace(
            summary=summary, out=folder / "out", sessions=sessions, images=images, model=model, parameters=parameters
        )


def test_a_perfect_translator_closes_the_gap_and_none_closes_nothing(judged):
    summary = judged.summary
    assert summary["f1_views4"]["ceiling"] > summary["f1_views4"]["source"] + 0.2
    assert summary["method"] == "paired"
    assert summary["gap_closed_views4"] == 1
    assert summary["gap_closed_views4_ci"] == [1, 1]
    methods = summary["methods"]
    assert methods["none"]["gap_closed_views4"] == 0
    assert methods["none"]["f1_views4"] == summary["source"]["f1_views4"]
    assert 0 < methods["paired-donors-1"]["gap_closed_views4"] < 1
    assert summary["f1_by_region"]["translated"] == summary["f1_by_region"]["ceiling"]
    assert set(summary["f1_by_region"]["source"]) == {"body", "spinous"}
    assert set(summary["f1_by_level"]["ceiling"]) == {"L1", "L2"}


def test_the_summary_tells_devices_donors_and_what_was_not_computed(judged):
    summary = judged.summary
    assert summary == json.loads((judged.out / "summary.json").read_text())
    assert (summary["simulated"], summary["donors"], summary["split"]) == (True, 2, "test")
    unseen = summary["unseen_device"]
    assert (unseen["group"], unseen["donors"]) == ("intensifier", 1)
    # Of one donor, no interval.
    assert unseen["methods"]["paired"]["gap_closed_views4_ci"] == [None, None]
    assert (summary["bone_edge_shift_median_mm"], summary["train_seconds"]) == (0.4, 12.5)
    assert unseen["methods"]["paired"]["bone_edge_shift_median_mm"] == 0.9
    assert summary["kid"] is None
    assert "photographs" in summary["kid_reason"]
    assert [row["model"] for row in summary["study"]] == ["paired-donors-1", "paired"]
    assert set(summary["by_views"]) == {"views2", "views4"}
    assert summary["by_views"]["views4"]["gap_closed"] == 1


def test_what_is_written(judged):
    table = pd.read_csv(judged.out / "scores.csv")
    whole = table[(table["level"] == "union") & (table["region"] == "whole")]
    counts = whole.groupby(["split", "images"])["n_views"].agg(lambda values: sorted(set(values)))
    assert counts["test", "source"] == counts["test", "ceiling"] == counts["test", "paired"] == [2, 4]
    assert counts["test", "none"] == counts["validation", "source"] == counts["validation", "paired"] == [4]
    assert "train-1" not in set(table["acquisition"])
    assert not whole["f1"].isna().any()
    for name in ("methods.png", "views.png", "regions.png", "amounts.png", "means.csv"):
        assert (judged.out / name).stat().st_size > 0
    pictures = sorted(path.stem for path in (judged.out / "pictures").iterdir())
    assert pictures == [
        *(f"test-1-{name}" for name in ("ceiling", "ii-ceiling", "ii-paired", "ii-source", "paired", "source"))
    ]


def test_the_best_is_chosen_on_validation_donors(judged, tmp_path):
    """What is best on test donors alone is not taken."""
    swapped = {"paired": judged.images["paired-donors-1"], "paired-donors-1": judged.images["paired"]}
    mixed = tmp_path / "mixed"
    for session in judged.sessions:
        for name in swapped:
            # On test donors, images as they are named; on validation donors, those of the other.
            folder = swapped[name] if session.split == "validation" else judged.images[name]
            for view in VIEWS:
                pixels = read_image(folder / session.acquisition_id / f"{view}.tif")
                write_image(mixed / name / session.acquisition_id / f"{view}.tif", pixels)
    images = {name: mixed / name for name in swapped}
    parameters = judged.parameters.model_copy(update={"pictures": 0, "view_counts": (4,)})
    run = judge_translations(judged.model, judged.sessions, images, RECORDS, parameters, tmp_path / "out")
    assert run["method"] == "paired-donors-1"
    assert run["gap_closed_views4"] < 1
    parameters = parameters.model_copy(update={"chosen_on": "test"})
    run = judge_translations(judged.model, judged.sessions, images, RECORDS, parameters, tmp_path / "out")
    assert run["method"] == "paired"


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ({"none": "none"}, "no translator that learned"),
        ({"paired": "paired", "fresh": "none"}, "the translator fresh"),
        ({"paired": "nowhere"}, "ap-00.tif"),
    ],
)
def test_bad_input(judged, tmp_path, names, message):
    images = {name: judged.images.get(folder, tmp_path / folder) for name, folder in names.items()}
    with pytest.raises(InputError, match=message):
        judge_translations(judged.model, judged.sessions, images, RECORDS, judged.parameters, tmp_path / "out")


def test_bad_names_and_groups(judged, tmp_path):
    source = {"source": judged.images["paired"]}
    with pytest.raises(InputError, match="the translator source"):
        judge_translations(
            judged.model, judged.sessions, source, {"source": record()}, judged.parameters, tmp_path / "out"
        )
    parameters = judged.parameters.model_copy(update={"unseen_group": "biplane"})
    with pytest.raises(InputError, match="no test donor of the group biplane"):
        judge_translations(judged.model, judged.sessions, judged.images, RECORDS, parameters, tmp_path / "out")


@pytest.mark.parametrize(
    "change", [{"view_counts": [2, 9]}, {"headline_views": 3}, {"view_counts_of_all": [3, 4]}, {"headline_views": 2}]
)
def test_counts_that_do_not_fit(change):
    with pytest.raises(ValidationError):
        TranslationParameters.model_validate(SECTION | change)


def test_the_gap():
    bootstrap = BootstrapParameters.model_validate({**BOOTSTRAP, "resamples": 500})
    source, ceiling = np.array([0.4, 0.5, 0.6]), np.array([0.8, 0.9, 1.0])
    value, low, high = gap_closed(source + np.array([0.1, 0.2, 0.3]), source, ceiling, bootstrap)
    assert value == pytest.approx(0.5)
    assert 0.25 <= low < value < high <= 0.75
    # Worse than before is below 0, and what was no gap cannot be closed.
    assert gap_closed(source - 0.1, source, ceiling, bootstrap)[0] == pytest.approx(-0.25)
    assert np.isnan(gap_closed(source, ceiling, source, bootstrap)).all()
    one = gap_closed(source[:1], source[:1], ceiling[:1], bootstrap)
    assert one[0] == 0
    assert np.isnan(one[1:]).all()


def test_f1_by_region():
    mask = np.zeros((12, 12, 12), bool)
    mask[2:10, 4:8, 2:10] = True
    regions = np.full(mask.shape, REGION_CODES["body"], np.uint8)
    regions[:, 6:] = REGION_CODES["spinous"]
    truth = prepare_truth(mask, (1.0, 1.0, 1.0), regions)
    assert region_f1(mask, truth) == {"body": 1.0, "spinous": 1.0}
    assert region_f1(np.zeros_like(mask), truth) == {"body": 0.0, "spinous": 0.0}
    # Bone that is invented behind the spinous half counts against it alone, however far away it is.
    more = mask.copy()
    more[2:10, 8:10, 2:10] = True
    found = region_f1(more, truth)
    assert found["body"] == 1
    assert found["spinous"] == pytest.approx(2 * 128 / (128 + 256))
    less = mask.copy()
    less[:, :6] = False
    assert region_f1(less, truth) == {"body": 0.0, "spinous": 1.0}
    whole = prepare_truth(mask, (1.0, 1.0, 1.0), np.where(mask, np.uint8(REGION_CODES["body"]), np.uint8(0)))
    assert region_f1(more, whole)["body"] == pytest.approx(f1_score(more, mask))
    assert region_f1(mask, replace(whole, regions=None, element_regions=None)) == {}


def test_the_stage_reads_what_earlier_stages_wrote(judged, tmp_path, monkeypatch):
    models = {
        name: {
            "method": known.method,
            "learning": "pairs" if known.learns else "nothing",
            "train_donors": known.train_donors,
            "train_pairs": known.train_pairs,
            "train_seconds": known.train_seconds,
            "groups": {group: {"bone_edge_shift_mm": {"median": mm}} for group, mm in known.bone_edge_shift_mm.items()},
        }
        for name, known in RECORDS.items()
    }
    write_json(tmp_path / "summary.json", {"models": models})
    assert read_translator_records(tmp_path / "summary.json") == RECORDS
    section = {**SECTION, "pictures": 0, "view_counts": [4]}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump({"translation": section}))
    monkeypatch.setattr("drrkit.parameters.PARAMETERS_PATH", tmp_path / "params.yaml")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(translation, "PAIRS", judged.sessions[0].pairs.parent.parent)
    monkeypatch.setattr(translation, "IMAGES", judged.images["none"].parent)
    monkeypatch.setattr(translation, "TRANSLATORS", tmp_path / "summary.json")
    monkeypatch.setattr(translation, "MODEL", judged.model)
    translation.main()
    written = json.loads((tmp_path / "results" / "translation" / "summary.json").read_text())
    assert written["gap_closed_views4"] == judged.summary["gap_closed_views4"]
    del models["none"]["learning"]
    write_json(tmp_path / "summary.json", {"models": models})
    with pytest.raises(InputError, match="without a readable 'learning'"):
        translation.main()
