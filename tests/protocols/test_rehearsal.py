"""A rehearsal of one SIMULATED donor under two machines: what is kept, what is not, and what makes a session anew."""

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from pydantic import ValidationError

from drrkit.errors import InputError
from drrkit.io import volumefile
from drrkit.io.store import read_cameras, read_image
from protocols.acquisition.sheet import read_sheet
from protocols.pairs import image_path, read_pairs
from protocols.pairset import read_pairset
from protocols.rehearsal import RehearsalSettings, cohort, make_rehearsal, summary_of
from reconstruction.sets.adapters import cases_from_pairs

GROUP = {
    "name": "plain",
    "judged_as": "flat-panel",
    "split": "test",
    "population": "adults",
    "first_seed": 7,
    "count": 1,
    "spacing_mm": 2.5,
    "ct_spacing_mm": 2.5,
    "device": "flat-panel",
    "panel_mm": 460.8,
    "size_px": 256,
    "relation": "LIN",
    "exposure_target": 0.25,
    "machine": None,
    "exposures": [
        "ap-00",
        "lat-left",
        "lat-right-caudal-06",
        "obl-left",
        "misc-left-20-caudal-15",
        "misc-right-40-cranial-20",
    ],
}
AGAIN = {
    **GROUP,
    "name": "noisy",
    "population": None,
    "first_seed": None,
    "donors_of": "plain",
    "machine": {"kvp": 95.0, "electronic_noise_factor": 3.0, "gain_factor": 4.0},
}
SECTION = {
    "views": "adapt-28",
    "balls": {"count": 14, "diameter_mm": 5.0},
    "workers": 1,
    "calibration": {"least_share_pass": 0.4},
    "pair": {"size_px": [64, 64]},
    "groups": [GROUP, AGAIN],
}


def settings(**changes):
    return RehearsalSettings.model_validate(SECTION | changes)


@pytest.fixture(scope="module")
def rehearsal(tmp_path_factory):
    out = tmp_path_factory.mktemp("rehearse")
    return out, make_rehearsal(settings(), out)


def test_every_session_is_in_the_set_and_says_simulated(rehearsal):
    out, sessions = rehearsal
    assert [one.acquisition_id for one in sessions] == ["plain-0007", "noisy-0007"]
    assert {one.donor_id for one in sessions} == {"phantom-adults-0007"}
    assert read_pairset(out) == sessions
    for one in sessions:
        assert one.simulated
        rows = read_pairs(one.pairs)
        assert 4 <= len(rows) <= 6
        assert all(row.simulated and row.acquisition_id == one.acquisition_id for row in rows)
        assert list(read_cameras(one.pairs / "cameras.json")) == [row.exposure_id for row in rows]
        sheet = read_sheet(one.acquisition)
        assert (sheet.acquisition_id, sheet.donor_id, sheet.simulated) == (one.acquisition_id, one.donor_id, True)
        assert "SIMULATED" in sheet.site
        assert "not kept" in sheet.notes


def test_xrays_ct_and_truth_are_not_kept(rehearsal):
    out, sessions = rehearsal
    for one in sessions:
        assert {path.name for path in one.acquisition.iterdir()} == {
            "acquisition.yaml", "labels.nii.gz", "regions.nii.gz",
        }  # fmt: skip
    files = [path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()]
    assert not [name for name in files if name.endswith(".dcm") or "truth" in name or ".partial-" in name]


def test_networks_can_learn_from_what_is_left(rehearsal):
    _, sessions = rehearsal
    (case,) = cases_from_pairs(sessions[0].pairs, sessions[0].acquisition, "test", "simulated")
    assert set(case.levels) == {"L1", "L2", "L3", "L4", "L5"}
    assert len(case.views) == len(read_pairs(sessions[0].pairs))
    labels, grid = volumefile.read(sessions[0].acquisition / "labels.nii.gz")
    regions, same = volumefile.read(sessions[0].acquisition / "regions.nii.gz")
    assert np.array_equal(grid.world_from_voxel, same.world_from_voxel)
    assert (labels[regions > 0] > 0).all()
    assert (regions > 0).any()


def test_another_machine_makes_other_images_of_the_same_donor(rehearsal):
    _, (plain, noisy) = rehearsal
    shared = {row.exposure_id for row in read_pairs(plain.pairs)} & {row.exposure_id for row in read_pairs(noisy.pairs)}
    assert shared
    contrasts = []
    for one in (plain, noisy):
        images = [read_image(one.pairs / image_path("real", exposure_id)) for exposure_id in sorted(shared)]
        contrasts.append(np.median([np.subtract(*np.percentile(image[16:48, 16:48], [90, 10])) for image in images]))
    # Harder rays tell bone and soft tissue less apart.
    assert 0 < contrasts[1] < 0.98 * contrasts[0]
    labels = [(one.acquisition / "labels.nii.gz").read_bytes() for one in (plain, noisy)]
    assert labels[0] == labels[1]


def test_the_summary_counts_what_was_calibrated(rehearsal):
    out, sessions = rehearsal
    summary = summary_of(settings(), out)
    assert summary["simulated"] is True
    assert list(summary["groups"]) == ["plain", "noisy"]
    for one, counted in zip(sessions, summary["groups"].values(), strict=True):
        rows = read_pairs(one.pairs)
        assert (counted["donors"], counted["exposures"], counted["calibrated"]) == (1, 6, len(rows))
        assert counted["median_target_error_mm"] == pytest.approx(
            np.median([row.target_error_mm for row in rows]), abs=1e-4
        )
        assert counted["median_target_error_mm"] < 0.6
    json.dumps(summary)


def test_a_run_goes_on_where_it_was_left(rehearsal, monkeypatch):
    out, sessions = rehearsal
    made = []
    assert make_rehearsal(settings(workers=2), out, made.append) == sessions
    assert made == []
    started = []

    def pretended(role, parameters, folder):
        started.append(role.acquisition_id)
        return role.acquisition_id

    monkeypatch.setattr(cohort, "make_session", pretended)
    lost = sessions[1].pairs / read_pairs(sessions[1].pairs)[0].files[0]
    content = lost.read_bytes()
    lost.unlink()
    make_rehearsal(settings(), out)
    lost.write_bytes(content)
    assert started == ["noisy-0007"]
    make_rehearsal(settings(pair={"size_px": [48, 48]}), out)
    assert started == ["noisy-0007", "plain-0007", "noisy-0007"]
    record = out / "plain-0007" / cohort.RECORD_NAME
    content = record.read_bytes()
    record.write_text(json.dumps(json.loads(content) | {"complete": False}))
    make_rehearsal(settings(), out)
    record.write_bytes(content)
    assert started[3:] == ["plain-0007"]
    assert make_rehearsal(settings(), out, made.append) == sessions
    assert made == []


def test_an_interrupted_session_is_begun_again_and_nothing_foreign_is_touched(tmp_path):
    parameters = settings(groups=[GROUP | {"spacing_mm": 9.0}])
    (role,) = parameters.roles()
    foreign = tmp_path / role.acquisition_id / "thesis.txt"
    foreign.parent.mkdir()
    foreign.write_text("mine")
    with pytest.raises(InputError, match=r"without rehearsal\.json"):
        make_rehearsal(parameters, tmp_path)
    assert foreign.read_text() == "mine"
    # As a killed run leaves it: begun, not complete.
    (foreign.parent / cohort.RECORD_NAME).write_text(
        json.dumps({"convention": "x", "identity_sha256": "y", "complete": False})
    )
    other = tmp_path / "old-0001"
    other.mkdir()
    (other / cohort.RECORD_NAME).write_text("{}")
    with pytest.raises(InputError, match="spacing_mm"):
        make_rehearsal(parameters, tmp_path)
    assert not foreign.exists()
    assert not other.exists()
    assert not cohort.is_complete(role, parameters, tmp_path)


def test_workers_and_companions_change_no_session():
    alone = settings(groups=[GROUP], workers=2)
    both = settings()
    hashes = [cohort.identity_sha256(one.roles()[0], one) for one in (alone, both)]
    assert hashes[0] == hashes[1]
    changed = [
        settings(views="x23d-20", groups=[GROUP | {"exposures": None}]),
        settings(groups=[GROUP | {"exposures": ["ap-00", "lat-left"]}]),
        settings(balls={"count": 15, "diameter_mm": 5.0}),
        settings(calibration={"gate_sigmas": 4.0}),
        settings(groups=[GROUP | {"spacing_mm": 2.0}]),
        settings(groups=[GROUP | {"panel_mm": 400.0}]),
        settings(groups=[GROUP | {"population": "varied"}]),
        settings(groups=[GROUP | {"machine": {"kvp": 81.0}}]),
    ]
    assert len({cohort.identity_sha256(one.roles()[0], one) for one in (alone, *changed)}) == 1 + len(changed)
    assert len({both.session(role).seed for role in both.roles()}) == 2


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ([GROUP, GROUP | {"first_seed": 9}], "twice"),
        ([GROUP, GROUP | {"name": "b", "split": "train"}], "seed 7 in two groups"),
        ([GROUP, GROUP | {"name": "b", "population": "shifted"}], "seed 7 in two groups"),
        ([GROUP, AGAIN | {"split": "train"}], "split of its donors, test"),
        ([GROUP, AGAIN | {"count": 2}], "at most the 1 donors"),
        ([GROUP, AGAIN | {"donors_of": "nobody"}], "donors of its own"),
        ([GROUP, AGAIN, AGAIN | {"name": "c", "donors_of": "noisy"}], "donors of its own"),
        ([GROUP, AGAIN | {"first_seed": 7}], "donors_of without them"),
        ([GROUP | {"first_seed": None}], "population and first_seed"),
        ([GROUP | {"population": "giants"}], "population giants"),
        ([GROUP | {"machine": {"dose": 2}}], "dose"),
        ([GROUP | {"exposures": ["ap-00", "ap-90"]}], "exposures of adapt-28; found ap-90"),
        ([GROUP | {"name": "../x"}], "name"),
        ([], "groups"),
    ],
)
def test_a_cohort_that_contradicts_itself_is_refused(groups, message):
    with pytest.raises(ValidationError, match=message):
        settings(groups=groups)


def test_the_same_calibration_serves_two_sections():
    calibrate = yaml.safe_load((Path(__file__).parents[2] / "params.yaml").read_text())["calibrate"]
    assert settings(calibration={k: v for k, v in calibrate.items() if k != "refine"}).calibration.gate_sigmas > 0
