"""`drrkit views plan` as a user types it."""

import csv
import json
import subprocess
import sys

import pytest
import typer
from typer.testing import CliRunner

from drrkit.errors import InputError
from drrkit.io.views import load_view_set
from reconstruction.commands import views
from reconstruction.planning.expectation import Expectation, write_expectation
from reconstruction.planning.reach import Pose, read_poses, standard_poses

REACH = ("--primary-range", "-40", "100", "--secondary-range", "-20", "20", "--step-deg", "15")


@pytest.fixture
def model(tmp_path):
    """F1 that falls with the worst spread and the widest gap of the lines of sight."""
    made = Expectation(
        design="spread",
        penalty=0.1,
        center=(0.0, 0.0, 0.0),
        scale=(1.0, 1.0, 1.0),
        coefficients=(0.0, -0.1, -0.1),
        intercept=0.95,
        covariance=((0.0,) * 3,) * 3,
        error=0.012,
        donor_sd=0.005,
        counts=(2, 6),
        learned_deg=tuple((pose.primary_deg, pose.secondary_deg) for pose in standard_poses("adapt-28").values()),
        trust_deg=12.0,
        about={"kind": "drr", "donors": ["a", "b"], "simulated": True},
    )
    path = tmp_path / "model.json"
    write_expectation(path, made)
    return path


def run(model, *words):
    app = typer.Typer()
    app.add_typer(views, name="views")
    return CliRunner().invoke(app, ["views", "plan", "--model-file", str(model), *(str(word) for word in words)])


def test_the_plan_is_shown_as_the_c_arm_shows_it(model):
    result = run(model, *REACH, "--shots", 2)
    assert result.exit_code == 0, result.output
    for words in ("LAO 90", "lat-left", "+- 0.013", "std", "estimates", "drr images of 2 SIMULATED validation donors"):
        assert words in result.output
    assert max(map(len, result.stdout.splitlines())) <= 80


def test_json_and_csv_tell_the_same_and_can_be_used_again(model, tmp_path):
    for name in ("plan.json", "plan.csv"):
        assert run(model, *REACH, "--out", tmp_path / name, "--views-out", tmp_path / "views.json").exit_code == 0
    content = json.loads((tmp_path / "plan.json").read_text())
    assert content["convention"] == "drrkit-view-plan/1"
    assert "estimate" in content["estimate"]
    assert [plan["rank"] for plan in content["plans"]] == [1, 2, 3]
    best = content["plans"][0]
    assert len(best["poses"]) == 3
    rows = list(csv.DictReader((tmp_path / "plan.csv").open()))
    assert len(rows) == 9
    assert [float(row["primary_deg"]) for row in rows[:3]] == [pose["primary_deg"] for pose in best["poses"]]
    assert float(rows[0]["set_expected_f1"]) == best["expected_f1"]
    poses = {Pose(pose["primary_deg"], pose["secondary_deg"]) for pose in best["poses"]}
    assert set(read_poses(tmp_path / "plan.json")) == poses
    drawn = load_view_set(str(tmp_path / "views.json")).views
    assert {Pose(view.primary_deg, view.secondary_deg) for view in drawn} == poses


def test_the_same_reach_gives_the_same_plan(model, tmp_path):
    for name in ("a.json", "b.json"):
        run(model, *REACH, "--shots", 4, "--out", tmp_path / name)
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


def test_forbidden_sectors_are_kept_out(model, tmp_path):
    forbidden = ("--forbid", "60:100,-90:90", "--forbid", "-5:5,-90:90")
    assert run(model, *REACH, *forbidden, "--out", tmp_path / "plan.json").exit_code == 0
    for plan in json.loads((tmp_path / "plan.json").read_text())["plans"]:
        for pose in plan["poses"]:
            assert not 60 <= pose["primary_deg"] <= 100
            assert pose["primary_deg"] != 0


def test_poses_may_come_from_a_file(model, tmp_path):
    (tmp_path / "poses.csv").write_text("primary_deg,secondary_deg\n0,0\n30,0\n92,3\n")
    assert run(model, "--poses", tmp_path / "poses.csv", "--shots", 2, "--out", tmp_path / "p.json").exit_code == 0
    best = json.loads((tmp_path / "p.json").read_text())["poses"]
    assert [(pose["primary_deg"], pose["nearest_view"]) for pose in best] == [(0, "ap-00"), (92, "lat-left")]


def test_dearer_dose_takes_thinner_ways_through_the_patient(model, tmp_path):
    cheap, dear = tmp_path / "cheap.json", tmp_path / "dear.json"
    run(model, *REACH, "--out", cheap, "--dose-price", 0)
    run(model, *REACH, "--out", dear, "--dose-price", 0.1)
    cheap, dear = (json.loads(path.read_text())["plans"][0] for path in (cheap, dear))
    assert dear["dose_rel"] < cheap["dose_rel"]
    assert dear["expected_f1"] < cheap["expected_f1"]


def test_technique_and_patient_change_the_estimate(model, tmp_path):
    doses = []
    for words in ((), ("--kvp", 100), ("--trunk", 400, 260), ("--detector-dose", 2)):
        run(model, *REACH, "--dose-price", 0, "--out", tmp_path / "plan.json", *words)
        doses.append(json.loads((tmp_path / "plan.json").read_text())["plans"][0]["kap_gy_cm2"])
    usual, hard, large, bright = doses
    assert hard < usual < large
    assert bright == pytest.approx(2 * usual, rel=1e-3)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "--primary-range and --secondary-range, or --poses"),
        (("--primary-range", "-40", "100"), "--primary-range and --secondary-range, or --poses"),
        ((*REACH, "--poses", "gone.csv"), "--primary-range and --secondary-range, or --poses"),
        (("--poses", "gone.csv"), "gone.csv"),
        ((*REACH, "--shots", "8"), "2 to 6"),
        ((*REACH, "--out", "plan.txt"), ".json or .csv"),
        ((*REACH, "--views-out", "plan.csv"), ".json"),
        ((*REACH, "--carm", "none"), "C-arm preset"),
        ((*REACH, "--kvp", "400"), "kvp"),
        ((*REACH, "--trunk", "10", "10"), "trunk_width_mm"),
        ((*REACH, "--forbid", "60"), "forbidden sector"),
        ((*REACH, "--min-angle-deg", "85"), "85 degrees apart"),
        (("--primary-range", "100", "-40", "--secondary-range", "0", "0"), "low to high"),
        (("--primary-range", "0", "5", "--secondary-range", "60", "80"), "like views"),
    ],
)
def test_bad_input_is_one_clear_error(model, words, message):
    result = run(model, *words)
    assert isinstance(result.exception, InputError)
    assert message in str(result.exception)


def test_no_model_tells_where_it_comes_from(tmp_path):
    result = run(tmp_path / "gone.json", *REACH)
    assert isinstance(result.exception, InputError)
    assert "view_expectation.json" in str(result.exception)


def test_planning_waits_for_nothing_heavy(model):
    # A surgeon's assistant waits for this command: torch, numba and pandas would cost seconds.
    heavy = ("torch", "numba", "SimpleITK", "pandas", "matplotlib", "skimage", "xraydb", "cv2")
    code = (
        "import sys; from reconstruction.commands import views; words = sys.argv[1:];"
        f"views(['plan', *words], standalone_mode=False); print([m for m in {heavy} if m in sys.modules])"
    )
    words = ["--model-file", str(model), *REACH]
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
