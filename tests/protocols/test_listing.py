"""``drrkit acquisition set``: a lab's own sessions as one set, and what does not belong together."""

import json

import pytest
import yaml
from typer.testing import CliRunner

from drrkit.cli import build_app
from drrkit.errors import InputError
from protocols.layout import Layout
from protocols.listing import paired_session
from protocols.pairs import PairRow, write_pairs
from protocols.pairset import read_pairset


def row(acquisition_id, donor_id, simulated=False):
    return PairRow(
        pair_id=f"{acquisition_id}/shot-01", acquisition_id=acquisition_id, exposure_id="shot-01", donor_id=donor_id,
        simulated=simulated, status="pass", reason="", rating="", target_error_mm=0.2, rms_px=0.1, open_field=None,
        open_field_from="", boxes={}, visibility={}, images_sha256={}, field_sha256="", masks_sha256={},
        identity_sha256="",
    )  # fmt: skip


def session(folder, acquisition_id, donor_id, detector="flat_panel", simulated=False):
    record = {
        "convention": "drrkit-acquisition/1",
        "acquisition_id": acquisition_id,
        "donor_id": donor_id,
        "simulated": simulated,
        "site": "Anatomy lab",
        "consent_reference": "BASEC-1",
        "specimen": {"kind": "cadaver", "levels": ["L3"]},
        "balls": {"material": "steel", "diameter_mm": 3.0, "count": 20},
        "ct": {"labels": "labels.nii.gz", "label_scheme": "verse"},
        "device": {"detector": detector},
    }
    folder.mkdir(parents=True)
    (folder / "acquisition.yaml").write_text(yaml.safe_dump(record))


@pytest.fixture
def data(tmp_path):
    """Pairs of four sessions, one of them SIMULATED, as the commands lay them out."""
    folder = tmp_path / "data"
    for name, donor, detector in (("a-1", "a", "flat_panel"), ("a-2", "a", "flat_panel"), ("b-1", "b", "flat_panel")):
        session(Layout(folder, name).raw, name, donor, detector)
        write_pairs(Layout(folder, name).pairs, [row(name, donor)])
    session(Layout(folder, "s-1").simulated, "s-1", "s", "image_intensifier", simulated=True)
    write_pairs(Layout(folder, "s-1").pairs, [row("s-1", "s", simulated=True)])
    return folder


def make_set(*words):
    return CliRunner().invoke(build_app(), ["acquisition", "set", *map(str, words)])


def test_sessions_are_found_by_their_ids(data, tmp_path):
    out = tmp_path / "sets" / "mine"
    result = make_set(out, "--train", "a-1", "--train", "a-2", "--validation", "b-1", "--test", "s-1", "--data", data)
    assert result.exit_code == 0, f"{result.output} {result.exception}"
    assert "train: 1 donors, 2 sessions" in result.output
    assert "1 of 4 sessions are SIMULATED" in result.output
    found = {one.acquisition_id: one for one in read_pairset(out / "pairset.json")}
    assert {name: one.split for name, one in found.items()} == {
        "a-1": "train", "a-2": "train", "b-1": "validation", "s-1": "test",
    }  # fmt: skip
    assert {name: one.group for name, one in found.items()} == {
        "a-1": "flat-panel", "a-2": "flat-panel", "b-1": "flat-panel", "s-1": "image-intensifier",
    }  # fmt: skip
    assert found["s-1"].simulated
    assert not found["a-1"].simulated
    assert found["s-1"].acquisition.resolve() == Layout(data, "s-1").simulated
    assert found["a-1"].acquisition.resolve() == Layout(data, "a-1").raw
    assert found["a-1"].pairs.resolve() == Layout(data, "a-1").pairs


def test_folders_and_groups_may_be_named(data, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    Layout(data, "b-1").pairs.rename(elsewhere)
    Layout(data, "b-1").raw.rename(tmp_path / "session-b")
    out = tmp_path / "mine.json"
    result = make_set(out, "--test", elsewhere, "--session", f"b-1={tmp_path / 'session-b'}", "--group", "b-1=old tube",
                      "--data", data)  # fmt: skip
    assert result.exit_code == 0, f"{result.output} {result.exception}"
    (only,) = read_pairset(out)
    assert (only.group, only.pairs.resolve(), only.acquisition.resolve()) == (
        "old tube", elsewhere, tmp_path / "session-b",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--train", "a-1", "--test", "a-2"), "in train and in test"),
        (("--train", "a-1", "--train", "a-1"), "twice"),
        (("--train", "nobody"), "no pairs"),
        (("--train", "a-1", "--group", "b-1=x"), "a session of this set"),
        (("--train", "a-1", "--session", "b-1=x"), "a session of this set"),
        (("--train", "a-1", "--group", "x"), "ID="),
        (("--train", "a-1", "--session", "a-1=nowhere"), r"acquisition\.yaml"),
        ((), "no sessions"),
    ],
)
def test_sets_that_cannot_be(words, message, data, tmp_path):
    result = make_set(tmp_path / "out", *words, "--data", data)
    assert isinstance(result.exception, InputError)
    assert message.replace("\\", "") in str(result.exception)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "other", [row("a-2", "a"), row("a-1", "c"), row("a-1", "a", simulated=True)], ids=["session", "donor", "simulated"]
)
def test_pairs_of_another_session_are_refused(other, data):
    layout = Layout(data, "a-1")
    write_pairs(layout.pairs, [row("a-1", "a"), other])
    with pytest.raises(InputError, match="pairs of a-1, a, as"):
        paired_session(layout.pairs, layout.raw, "train")


def test_the_set_of_a_lab_names_no_absolute_path(data, tmp_path):
    make_set(tmp_path / "data" / "sets", "--train", "a-1", "--data", data)
    content = json.loads((tmp_path / "data" / "sets" / "pairset.json").read_text())
    assert content["sessions"][0]["pairs"] == "../pair/a-1"
    assert content["sessions"][0]["acquisition"] == "../raw/a-1"
