"""What rungs of the ladder learn from: paired donors as they are or translated, and DRRs beside them."""

from dataclasses import replace
from pathlib import Path

import pytest

from drrkit.errors import InputError
from protocols.pairset import PairedSession
from reconstruction.adaptation import lessons
from reconstruction.adaptation.lessons import RungParameters, cases_of_rung
from reconstruction.cases import Case

DRRS = [
    Case(
        case_id=f"drr-{number}",
        donor_id=f"drr-{number}",
        split="train" if number < 8 else "validation",
        kind="drr",
        views=("ap-00", "lat-left"),
        cameras=Path("cameras.json"),
        images=Path("images"),
        labels=Path("labels.nii.gz"),
        label_scheme="verse",
        levels=("L1", "L2", "L3", "L4", "L5"),
    )
    for number in range(10)
]


def session(number, split, simulated=True):
    return PairedSession(
        acquisition_id=f"torso-{number}",
        donor_id=f"donor-{number}",
        split=split,
        group="flat-panel",
        simulated=simulated,
        pairs=Path(f"pairs-{number}"),
        acquisition=Path(f"session-{number}"),
    )


SESSIONS = [session(1, "train"), session(2, "train", simulated=False), session(3, "validation"), session(4, "test")]


def rung(**changes):
    known = {"start": "lumbar", "fold": "frozen", "images": None, "drr_cases": 4, "repeats": 3}
    return RungParameters.model_construct(**known | changes)


@pytest.fixture(autouse=True)
def asked(monkeypatch):
    """Stand in for reading sessions from files; tells what was asked for."""
    calls = []

    def from_pairs(pairs, acquisition, split, kind, images="real"):
        calls.append((str(pairs), split, kind, str(images)))
        number = pairs.name.split("-")[1]
        return [replace(DRRS[0], case_id=f"torso-{number}", donor_id=f"donor-{number}", split=split, kind=kind)]

    monkeypatch.setattr(lessons, "cases_from_pairs", from_pairs)
    return calls


def test_without_images_nobody_but_drrs_is_learned_from(asked):
    cases, repeats = cases_of_rung(SESSIONS, Path("translated"), DRRS, rung())
    assert [case.case_id for case in cases] == ["drr-0", "drr-2", "drr-4", "drr-6", "drr-8", "drr-9"]
    assert repeats == {}
    assert asked == []


def test_real_images_are_those_that_were_recorded(asked):
    cases, repeats = cases_of_rung(SESSIONS, Path("translated"), DRRS, rung(images="real", drr_cases=2))
    assert [(case.case_id, case.split, case.kind) for case in cases] == [
        ("torso-1", "train", "simulated"),
        ("torso-2", "train", "real"),
        ("drr-0", "train", "drr"),
        ("drr-4", "train", "drr"),
        ("torso-3", "validation", "simulated"),
    ]
    assert repeats == {"torso-1": 3, "torso-2": 3}
    assert [call[3] for call in asked] == ["real"] * 3


def test_translated_images_are_those_of_the_translator(asked):
    cases, repeats = cases_of_rung(SESSIONS, Path("translated"), DRRS, rung(images="paired", drr_cases=0))
    assert [(case.case_id, case.kind) for case in cases] == [
        ("torso-1-paired", "translated"),
        ("torso-2-paired", "translated"),
        ("torso-3-paired", "translated"),
    ]
    assert repeats == {"torso-1-paired": 3, "torso-2-paired": 3}
    assert asked[0] == ("pairs-1", "train", "translated", "translated/paired/torso-1")


def test_no_test_donor_is_among_them(asked):
    cases, _ = cases_of_rung(SESSIONS, Path("translated"), DRRS, rung(images="real"))
    assert "donor-4" not in {case.donor_id for case in cases}
    assert all("pairs-4" not in call for call in asked)


@pytest.mark.parametrize(
    ("sessions", "changes", "message"),
    [
        (SESSIONS, {"drr_cases": 9}, "at most the 8"),
        (SESSIONS, {"drr_cases": 0}, "something to learn from"),
        (SESSIONS[2:], {"images": "real"}, "split train"),
        (SESSIONS[:2], {"images": "paired"}, "split validation"),
    ],
)
def test_too_little_to_learn_from(sessions, changes, message):
    with pytest.raises(InputError, match=message):
        cases_of_rung(sessions, Path("translated"), DRRS, rung(**changes))
