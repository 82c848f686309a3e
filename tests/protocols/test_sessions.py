"""Sets of a pipeline: own acquisitions beside a rehearsal, folds by donor, and what their hashes notice."""

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from ball_pairs import write_ball_session, write_ball_set
from drrkit.errors import InputError
from drrkit.parameters import read_parameters
from protocols.pairs import read_pairs, write_pairs
from protocols.pairset import PairedSession, read_pairset, sessions_of, write_pairset
from protocols.sessions import Fold, OwnSession, SessionSettings, folded, hashed, own_sessions, write_folds

FOLDS = {"frozen": None, "first": Fold(of=3, number=1, seed=1)}
HASHES = ("pairs_sha256", "cameras_sha256", "session_sha256")


def cohort(count=17, both=4) -> list[PairedSession]:
    """Donors under a flat panel, the first of them under an intensifier too."""
    nowhere = Path("nowhere")
    groups = [("flat-panel", number) for number in range(count)] + [("intensifier", number) for number in range(both)]
    return [PairedSession(f"{g}-{n}", f"donor-{n}", "train", g, True, nowhere, nowhere) for g, n in groups]


def test_every_donor_tests_in_exactly_one_fold():
    sessions = cohort()
    tested: list[str] = []
    for number in (1, 2, 3, 4, 5):
        dealt = folded(sessions, Fold(of=5, number=number, seed=1))
        assert [replace(one, split="train") for one in dealt] == sessions
        donors = {split: {one.donor_id for one in dealt if one.split == split} for split in ("train", "test")}
        assert not donors["train"] & donors["test"]
        assert 3 <= len(donors["test"]) <= 4
        # Four donors lie under both devices: no fold has two of them to judge.
        assert sum(one.group == "intensifier" for one in dealt if one.split == "test") <= 1
        after = folded(sessions, Fold(of=5, number=number % 5 + 1, seed=1))
        assert {one.donor_id for one in dealt if one.split == "validation"} == {
            one.donor_id for one in after if one.split == "test"
        }
        tested += donors["test"]
    assert sorted(tested) == sorted({one.donor_id for one in sessions})


def test_folds_depend_on_the_seed_alone():
    fold = Fold(of=5, number=1, seed=1)
    split_of = {one.acquisition_id: one.split for one in folded(cohort(), fold)}
    assert {one.acquisition_id: one.split for one in folded(cohort()[::-1], fold)} == split_of
    assert {one.acquisition_id: one.split for one in folded(cohort(), Fold(of=5, number=1, seed=2))} != split_of
    with pytest.raises(InputError, match="2 donors"):
        folded(cohort(2, 0), Fold(of=3, number=1, seed=1))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("set")
    return folder, write_ball_set(folder)


def test_sets_are_written_with_what_their_sessions_hold(made):
    folder, sessions = made
    write_folds(sessions, FOLDS, folder / "sessions")
    frozen = read_pairset(folder / "sessions" / "frozen")
    assert [one.split for one in frozen] == [one.split for one in sessions]
    assert all(len(getattr(one, name)) == 64 for one in frozen for name in HASHES)
    # Donor c has two sessions: the same CT under two devices, but pairs of its own.
    assert len({one.pairs_sha256 for one in frozen}) == len(frozen)
    assert [one.pairs.resolve() for one in frozen] == [one.pairs for one in sessions]
    first = read_pairset(folder / "sessions" / "first")
    assert {one.split for one in first} == {"train", "validation", "test"}
    assert {one.split for one in first if one.donor_id == "c"} in ({"train"}, {"validation"}, {"test"})
    assert [[getattr(one, name) for name in HASHES] for one in first] == [
        [getattr(one, name) for name in HASHES] for one in frozen
    ]


def test_a_set_without_hashes_stays_as_it_was(made):
    folder, sessions = made
    write_pairset(folder / "plain" / "pairset.json", sessions)
    assert "sha256" not in (folder / "plain" / "pairset.json").read_text()
    assert not any(getattr(one, name) for one in read_pairset(folder / "plain") for name in HASHES)


def test_what_changed_since_it_was_listed_is_noticed(tmp_path):
    session = write_ball_session(tmp_path, "one", "a", "train")
    listed = hashed(session)
    assert sessions_of([listed], "train") == [listed]
    assert hashed(session) == listed
    rows = read_pairs(session.pairs)
    write_pairs(session.pairs, [rows[0].judged("pass", "", "reject"), *rows[1:]])
    with pytest.raises(InputError, match="another file than was listed"):
        sessions_of([listed], "train")
    assert sessions_of([session], "train") == [session]  # nothing taken down, nothing asked
    assert hashed(session).pairs_sha256 != listed.pairs_sha256
    labels = session.acquisition / "labels.nii.gz"
    labels.write_bytes(labels.read_bytes() + b"0")
    assert hashed(session).session_sha256 != listed.session_sha256
    assert hashed(session).cameras_sha256 == listed.cameras_sha256
    (session.acquisition / "regions.nii.gz").unlink()
    listed = hashed(session)
    (session.pairs / "cameras.json").write_text("{}")
    with pytest.raises(InputError, match=r"cameras\.json"):
        sessions_of([listed], "train")


def own(folder: Path, split: str | None = "train", group: str | None = None) -> OwnSession:
    return OwnSession(folder=str(folder), split=split, group=group)


@pytest.fixture
def lab(tmp_path):
    """A session where a pipeline has it: its folder, and its pairs below another."""
    session = write_ball_session(tmp_path, "torso-01", "z", "train")
    pairs = tmp_path / "pair"
    pairs.mkdir()
    session.pairs.rename(pairs / "torso-01")
    return session.acquisition, pairs


def test_own_acquisitions_with_a_split_are_listed(lab):
    folder, pairs = lab
    (listed,) = own_sessions(
        {"torso-01": own(folder), "idle": OwnSession(folder="gone", split=None, group=None)}, pairs
    )
    assert (listed.acquisition_id, listed.donor_id, listed.split) == ("torso-01", "z", "train")
    assert (listed.group, listed.pairs, listed.acquisition) == ("flat-panel", pairs / "torso-01", folder)
    (listed,) = own_sessions({"torso-01": own(folder, "test", "theatre-2")}, pairs)
    assert (listed.split, listed.group) == ("test", "theatre-2")


def test_acquisitions_that_cannot_be_listed(lab):
    folder, pairs = lab
    with pytest.raises(InputError, match="no pairs"):
        own_sessions({"torso-02": own(folder)}, pairs)
    sheet = folder / "acquisition.yaml"
    record = yaml.safe_load(sheet.read_text())
    (pairs / "torso-01").rename(pairs / "torso-02")
    with pytest.raises(InputError, match="the acquisition torso-01"):
        own_sessions({"torso-02": own(folder)}, pairs)
    record["ct"]["labels"] = record["ct"]["label_scheme"] = None
    sheet.write_text(yaml.safe_dump(record))
    (pairs / "torso-02").rename(pairs / "torso-01")
    with pytest.raises(InputError, match="without labels"):
        own_sessions({"torso-01": own(folder)}, pairs)


def test_contradicting_sets_are_refused_and_nothing_is_written(made, tmp_path):
    sessions = made[1]
    out = tmp_path / "out"
    with pytest.raises(InputError, match="in test and in train"):
        write_folds([*sessions, replace(sessions[2], acquisition_id="again", split="train")], FOLDS, out)
    with pytest.raises(InputError, match="twice"):
        write_folds([*sessions, sessions[0]], FOLDS, out)
    real = replace(sessions[3], simulated=False)
    with pytest.raises(InputError, match="real and SIMULATED"):
        write_folds([*sessions[:3], real], {"frozen": None}, out)
    with pytest.raises(InputError, match="4 donors"):
        write_folds(sessions, {"frozen": None, "fifth": Fold(of=5, number=5, seed=1)}, out)
    assert not out.exists()
    write_folds([*sessions[:3], replace(real, group="theatre-2")], {"frozen": None}, out)


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ("{acquisitions: {a: {folder: x, split: learn, group: null}}, folds: {frozen: null}}", "split"),
        ("{acquisitions: {a: {folder: x, split: null, group: ii}}, folds: {frozen: null}}", "or no group"),
        ("{acquisitions: {a: x}, folds: {frozen: null}}", "acquisitions.a"),
        ("{acquisitions: {}, folds: {}}", "folds"),
        ("{acquisitions: {}, folds: {../up: null}}", "can be a folder"),
        ("{acquisitions: {}, folds: {one: {of: 5, number: 6, seed: 1}}}", "from 1 to 5"),
        ("{acquisitions: {}, folds: {one: {of: 2, number: 1, seed: 1}}}", "greater than or equal to 3"),
    ],
)
def test_settings_that_make_no_sense(section, message, tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text(f"sessions: {section}\n")
    with pytest.raises(InputError, match=message):
        read_parameters("sessions", SessionSettings, path)
