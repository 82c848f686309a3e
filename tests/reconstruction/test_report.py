"""The report's page and summary: everything that the stages wrote is told, nothing else, and always the same."""

import json
import math
import re
import shutil
from html.parser import HTMLParser

import pandas as pd
import pytest

from drrkit.errors import InputError
from reconstruction.judging.evaluation import UNION as EVALUATED_UNION
from reconstruction.ladder.rungs import CEILING as LAST
from reconstruction.ladder.rungs import RUNGS as JUDGED
from reconstruction.ladder.rungs import SOURCE_ONLY
from reconstruction.metrics import WHOLE as EVALUATED_WHOLE
from reconstruction.report.page import worst_regions, write_report
from reconstruction.report.settings import CEILING, RUNGS, SOURCE
from reconstruction.report.studies import UNION, WHOLE
from report_inputs import F1, PARAMETERS, make_inputs, places_in


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("report")
    return make_inputs(root)


@pytest.fixture(scope="module")
def written(made):
    out = made.root / "out"
    write_report(made, PARAMETERS, out / "report.html", out / "summary.json")
    return (out / "report.html").read_text(), json.loads((out / "summary.json").read_text())


@pytest.fixture
def own(made, tmp_path):
    """A copy that a test may break."""
    shutil.copytree(made.root, tmp_path / "copy")
    return places_in(tmp_path / "copy")


def write(places, parameters=PARAMETERS):
    write_report(places, parameters, places.root / "page.html", places.root / "summary.json")
    return (places.root / "page.html").read_text()


def text_of(html):
    """What is written outside of scripts and styles."""
    return re.sub(r"<(script|style)[^>]*>.*?</\1>", "", html, flags=re.S)


class Scripts(HTMLParser):
    """Collect what stands in script elements, as a browser takes the page apart."""

    def __init__(self):
        super().__init__()
        self.contents, self.inside = [], False

    def handle_starttag(self, tag, attrs):
        self.inside = tag == "script"
        if self.inside:
            self.contents.append("")

    def handle_endtag(self, tag):
        self.inside = False

    def handle_data(self, data):
        if self.inside:
            self.contents[-1] += data


def test_names_are_those_of_the_ladder():
    assert tuple(RUNGS) == tuple(JUDGED)
    assert (SOURCE, CEILING, UNION, WHOLE) == (SOURCE_ONLY, LAST, EVALUATED_UNION, EVALUATED_WHOLE)


def test_every_section_is_there_and_says_what_is_simulated(written):
    text = text_of(written[0])
    headings = re.findall(r"<h2>(.*?)</h2>", text, flags=re.S)
    assert len(headings) == 13
    captions = re.findall(r'class="caption">(.*?)</', text, flags=re.S)
    assert sum("SIMULATED" in caption for caption in captions) >= 10
    for number in ("0.400", "0.851", "0.875", "95 %"):
        assert number in text
    for name in (
        "sim-01 (SIMULATED)",
        "shifted-7101",
        "calibrate",
        "first_seed=7",
        "MIT",
        "never trained on",
        "1 min 15 s",
    ):
        assert name in text


def test_the_page_needs_no_network_and_closes_no_script_early(written):
    html, _ = written
    outside = text_of(html)
    assert "http://" not in outside
    assert "https://" not in outside
    assert not re.search(r'<(script|link|img|iframe)[^>]+(src|href)="(?!data:)', outside)
    scripts = Scripts()
    scripts.feed(html)
    *figures, library, own = scripts.contents
    assert len(library) > 1e6
    assert "use strict" in own
    assert len(figures) == 10
    assert all(json.loads(figure)["data"] for figure in figures)
    # params.yaml is text, whatever stands in it.
    assert "# &lt;/script&gt; &lt;b&gt;" in outside


def test_the_same_inputs_give_the_same_bytes(made, own, written):
    # Another folder, another time.
    assert write(own) == written[0]
    assert str(made.root) not in written[0]


def test_the_summary_has_the_numbers_that_matter(written):
    _, summary = written
    assert summary["simulated"] is True
    assert summary["headline"] == {
        "views": 3,
        "best_rung": "both",
        "f1_source_only": F1["source_only"],
        "f1_best": F1["both"],
        "f1_ceiling": F1["synthetic_ceiling"],
        "gap_closed": pytest.approx(
            (F1["both"] - F1["source_only"]) / (F1["synthetic_ceiling"] - F1["source_only"]), abs=1e-4
        ),
    }
    assert list(summary["rungs"]) == list(RUNGS)
    assert summary["rungs"]["both"]["views4"] == {"f1": 0.871, "ci_low": 0.851, "ci_high": 0.886, "donors": 6}
    assert summary["gap_closed"]["source_only"]["views3"] == [0.0, None, None]
    # Neither the report's own account nor those of stages that are gone.
    assert summary["stages"] == {
        "phantom": {"seconds": 12.5, "peak_mb": 512.0},
        "calibrate@sim-01": {"seconds": 75.0, "peak_mb": 512.0},
    }
    assert re.fullmatch(r"[0-9a-f]{64}", summary["versions"]["code_sha256"])


def test_lists_that_are_empty_leave_their_part_out(own):
    html = write(own, PARAMETERS.model_copy(update={"studies": (), "pictures": (), "models": {}}))
    assert 'id="figure-views"' not in html
    assert 'id="figure-cameras"' not in html
    assert "No picture is asked for" in html
    assert "No card is asked for" in html


def test_a_real_donor_is_not_called_simulated(own):
    path = own.evaluation / "summary.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "simulated": False, "simulated_donors": 2}))
    text = text_of(write(own))
    assert "X-rays (those of 2 of 6 donors SIMULATED)" in text
    assert '<span class="simulated">' not in text


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("results/ladder.csv", "evaluate"),
        ("results/evaluate/summary.json", "evaluate"),
        ("results/study/view_plans.csv", "study"),
        ("results/study/angle_map_ap.csv", "study"),
        ("data/evaluate/meshes/both.npz", "evaluate"),
        ("data/study/mean_vertebra.npz", "study"),
        ("results/translate/pictures/shifted-7101-paired.png", "translate"),
        ("models/finetune/both/model.safetensors", "weights"),
        ("dvc.lock", "dvc repro"),
        ("params.yaml", "params.yaml"),
        ("data/sessions/frozen/pairset.json", "pairset"),
    ],
)
def test_what_is_missing_is_named(own, name, said):
    (own.root / name).unlink()
    with pytest.raises(InputError) as caught:
        write(own)
    assert name.rsplit("/", 1)[-1] in caught.value.where or name.rsplit("/", 1)[0] in caught.value.where
    assert said in str(caught.value)
    assert not (own.root / "page.html").exists()


def test_a_ladder_without_a_column_or_with_a_strange_rung_is_refused(own):
    table = pd.read_csv(own.ladder)
    table.drop(columns="hd95_mm").to_csv(own.ladder, index=False)
    with pytest.raises(InputError, match="no column hd95_mm"):
        write(own)
    table.replace({"rung": {"augmentation": "magic"}}).to_csv(own.ladder, index=False)
    with pytest.raises(InputError, match="the rung magic"):
        write(own)
    table[table["rung"] != "source_only"].to_csv(own.ladder, index=False)
    with pytest.raises(InputError, match="0 rows of source_only with 3 views"):
        write(own)


def test_the_worst_region_comes_first():
    columns = ["images", "region", "mean_abs_mm", "p95_mm", "mean_signed_mm"]
    rows = [("drr", "body", 0.4, 1, 0), ("drr", "arch", 0.8, 2, 0), ("drr", "arch", 1.2, 4, math.nan)]
    worst = worst_regions(pd.DataFrame(rows, columns=columns))
    assert worst["region"].tolist() == ["arch", "body"]
    assert worst["mean_abs_mm"].tolist() == pytest.approx([1.0, 0.4])
