"""Sets of paired sessions: what is written is read again, relative to the set, and no donor is in two splits."""

import json
from dataclasses import replace

import pytest

from drrkit.errors import InputError
from protocols.pairset import PAIRSET_CONVENTION, PairedSession, read_pairset, sessions_of, write_pairset


@pytest.fixture
def sessions(tmp_path):
    def session(name, donor, split):
        folder = tmp_path / "data" / name
        return PairedSession(name, donor, split, "flat-panel", True, folder / "pairs", folder / "session")

    return [session("a-1", "a", "train"), session("a-2", "a", "train"), session("b-1", "b", "test")]


def test_a_set_comes_back_and_names_no_absolute_path(sessions, tmp_path):
    path = tmp_path / "sets" / "pairset.json"
    write_pairset(path, sessions)
    again = read_pairset(path)
    resolved = [replace(one, pairs=one.pairs.resolve(), acquisition=one.acquisition.resolve()) for one in again]
    assert resolved == sessions
    assert read_pairset(path.parent) == again
    assert str(tmp_path) not in path.read_text()
    assert json.loads(path.read_text())["sessions"][0]["pairs"] == "../data/a-1/pairs"


def test_a_set_may_move_with_its_sessions(sessions, tmp_path):
    write_pairset(tmp_path / "data" / "pairset.json", sessions)
    (tmp_path / "data").rename(tmp_path / "moved")
    assert read_pairset(tmp_path / "moved")[2].pairs == tmp_path / "moved" / "b-1" / "pairs"


def test_splits_are_told_apart(sessions):
    assert [one.acquisition_id for one in sessions_of(sessions, "train")] == ["a-1", "a-2"]
    assert [one.donor_id for one in sessions_of(sessions, "test")] == ["b"]
    with pytest.raises(InputError, match="no session in the split validation"):
        sessions_of(sessions, "validation")


def test_a_donor_is_in_one_split(sessions, tmp_path):
    path = tmp_path / "pairset.json"
    with pytest.raises(InputError, match="in train and in test"):
        write_pairset(path, [*sessions, replace(sessions[0], acquisition_id="a-3", split="test")])
    assert not path.exists()
    write_pairset(path, sessions)
    content = json.loads(path.read_text())
    content["sessions"][1]["split"] = "test"
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match="donor a"):
        read_pairset(path)


def test_what_is_no_set_is_refused(sessions, tmp_path):
    path = tmp_path / "pairset.json"
    with pytest.raises(InputError, match="twice"):
        write_pairset(path, [sessions[0], sessions[0]])
    with pytest.raises(InputError, match="no sessions"):
        write_pairset(path, [])
    with pytest.raises(InputError, match="learn"):
        write_pairset(path, [replace(sessions[0], split="learn")])
    with pytest.raises(InputError, match="No such file"):
        read_pairset(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("no json", "no JSON"),
        ("[]", "another kind of file"),
        ('{"convention": "drrkit-pairset/9", "sessions": []}', "another kind of file"),
        (json.dumps({"convention": PAIRSET_CONVENTION, "sessions": []}), "no sessions"),
        (json.dumps({"convention": PAIRSET_CONVENTION}), "no sessions"),
        (json.dumps({"convention": PAIRSET_CONVENTION, "sessions": [{"donor_id": "a"}]}), "a session that is none"),
        (json.dumps({"convention": PAIRSET_CONVENTION, "sessions": ["a"]}), "a session that is none"),
        (json.dumps({"convention": PAIRSET_CONVENTION, "sessions": {"a": 1}}), "a list of sessions"),
    ],
)
def test_files_that_are_none(content, message, tmp_path):
    path = tmp_path / "pairset.json"
    path.write_text(content)
    with pytest.raises(InputError, match=message):
        read_pairset(path)


@pytest.mark.parametrize("field", ["acquisition_id", "donor_id", "split", "group", "simulated", "pairs", "acquisition"])
def test_a_field_of_another_kind_is_refused(field, sessions, tmp_path):
    path = tmp_path / "pairset.json"
    write_pairset(path, sessions)
    content = json.loads(path.read_text())
    content["sessions"][0][field] = 7
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match=field):
        read_pairset(path)
