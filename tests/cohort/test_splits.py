"""Who trains and who tests: the same on every machine, never moved, never leaking."""

import json
from dataclasses import replace

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drrkit.cohort.splits import assert_split, freeze_splits, read_splits, write_splits
from drrkit.errors import InputError

FRACTIONS = {"train": 0.6, "validation": 0.2, "test": 0.2}


def table(donors, cts_each=1, content=""):
    """Make the columns that splits look at, with a content of its own for every CT."""
    ids = [(f"{donor}-{number}", donor) for donor in donors for number in range(cts_each)]
    return pd.DataFrame(
        [{"ct_id": ct_id, "donor_id": donor, "voxels_sha256": f"{content}{ct_id}"} for ct_id, donor in ids]
    )


def people(count, start=0):
    return [f"donor{number:03d}" for number in range(start, start + count)]


def counts(splits):
    return {split: len(donors) for split, donors in splits.donors.items()}


def test_fractions_are_met_exactly():
    splits = freeze_splits(table(people(20)), FRACTIONS, 0)
    assert counts(splits) == {"train": 12, "validation": 4, "test": 4}
    assert sorted(donor for donors in splits.donors.values() for donor in donors) == people(20)


def test_the_deal_depends_on_the_seed_and_on_nothing_else():
    first = freeze_splits(table(people(30)), FRACTIONS, 5)
    shuffled = table(people(30)[::-1], cts_each=2).sample(frac=1, random_state=1)
    assert freeze_splits(shuffled, FRACTIONS, 5).donors == first.donors
    assert freeze_splits(table(people(30)), FRACTIONS, 6).donors != first.donors


def test_the_deal_is_the_same_on_every_machine():
    # Frozen by hand once: a change of the drawing would move donors of cohorts out in the world.
    splits = freeze_splits(table(people(8)), {"train": 0.5, "test": 0.5}, 0)
    assert splits.donors["test"] == ("donor000", "donor002", "donor004", "donor005")


@settings(max_examples=40, deadline=None)
@given(
    first=st.integers(3, 25),
    more=st.lists(st.integers(1, 9), max_size=3),
    seed=st.integers(0, 5),
)
def test_growing_cohorts_move_nobody_and_keep_near_the_fractions(first, more, seed):
    count, splits = first, freeze_splits(table(people(first)), FRACTIONS, seed)
    for added in more:
        count += added
        before, splits = splits, freeze_splits(table(people(count)), FRACTIONS, seed, frozen=splits)
        for split, donors in before.donors.items():
            assert set(donors) <= set(splits.donors[split])
    assert sum(counts(splits).values()) == count
    assert all(counts(splits).values())
    if not more:
        assert all(abs(counts(splits)[split] - share * count) <= 1 for split, share in FRACTIONS.items())


def test_donors_that_left_keep_their_place():
    before = freeze_splits(table(people(10)), FRACTIONS, 0)
    after = freeze_splits(table(people(10, start=5)), FRACTIONS, 0, frozen=before)
    for split, donors in before.donors.items():
        assert set(donors) <= set(after.donors[split])
    assert set(before.cts) < set(after.cts)


def test_pinned_donors_are_where_they_must_be_and_count():
    splits = freeze_splits(table(people(10)), FRACTIONS, 0, {"donor004": "test", "donor005": "test"})
    assert splits.donors["test"] == ("donor004", "donor005")
    assert counts(splits) == {"train": 6, "validation": 2, "test": 2}
    again = freeze_splits(table(people(12)), FRACTIONS, 0, frozen=splits)
    assert again.pinned == {"donor004": "test", "donor005": "test"}


def test_all_cts_of_a_donor_go_together():
    splits = freeze_splits(table(people(9), cts_each=3), FRACTIONS, 1)
    placed = assert_split(table(people(9), cts_each=3), splits)
    donors = table(people(9), cts_each=3).donor_id
    assert all(placed[donors == donor].nunique() == 1 for donor in people(9))
    assert len(placed) == 27


def test_a_ct_under_two_donors_is_refused():
    both = table(people(5))
    both.loc[3, "voxels_sha256"] = both.loc[0, "voxels_sha256"]
    with pytest.raises(InputError, match=r"donor000-0 and donor003-0.*the same content"):
        freeze_splits(both, FRACTIONS, 0)
    both.loc[3, "donor_id"] = "donor000"
    assert sum(counts(freeze_splits(both, FRACTIONS, 0)).values()) == 4


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"voxels_sha256": "other"}, "another content"),
        ({"donor_id": "donor001"}, "frozen as CT donor000-0 of donor donor000"),
        ({"ct_id": "renamed", "donor_id": "donor001"}, "frozen as CT donor000-0 of donor donor000"),
        ({"ct_id": "renamed"}, "CT renamed.*not frozen"),
        ({"ct_id": "new", "donor_id": "new", "voxels_sha256": "new"}, "donor new.*no split"),
    ],
)
def test_loading_checks_donors_and_contents(change, words):
    splits = freeze_splits(table(people(6)), FRACTIONS, 0)
    changed = table(people(6))
    for column, value in change.items():
        changed.loc[0, column] = value
    with pytest.raises(InputError, match=words):
        assert_split(changed, splits)


def test_a_copy_of_a_ct_that_left_is_still_known():
    splits = freeze_splits(table(people(6)), FRACTIONS, 0)
    later = table(people(5, start=1))
    later.loc[5] = {"ct_id": "copy", "donor_id": "somebody", "voxels_sha256": "donor000-0"}
    with pytest.raises(InputError, match="of donor donor000"):
        freeze_splits(later, FRACTIONS, 0, frozen=splits)


@pytest.mark.parametrize(
    ("fractions", "pinned", "count", "words"),
    [
        ({"train": 0.5, "test": 0.4}, {}, 9, "add up to 1"),
        ({"train": 1.5, "test": -0.5}, {}, 9, "above 0"),
        ({}, {}, 9, "add up to 1"),
        (FRACTIONS, {"nobody": "test"}, 9, "nobody"),
        (FRACTIONS, {"donor001": "exam"}, 9, "exam"),
        (FRACTIONS, {}, 2, r"2 donor\(s\) for 3 splits"),
    ],
)
def test_deals_that_cannot_be_made(fractions, pinned, count, words):
    with pytest.raises(InputError, match=words):
        freeze_splits(table(people(count)), fractions, 0, pinned)


def test_frozen_splits_are_only_extended(tmp_path):
    first = freeze_splits(table(people(10)), FRACTIONS, 0)
    write_splits(first, tmp_path)
    assert read_splits(tmp_path) == first
    extended = freeze_splits(table(people(13)), FRACTIONS, 0, frozen=first)
    write_splits(extended, tmp_path)
    assert read_splits(tmp_path) == extended
    other = freeze_splits(table(people(13)), FRACTIONS, 1)
    with pytest.raises(InputError, match="would move"):
        write_splits(other, tmp_path)
    with pytest.raises(InputError, match="other frozen CTs"):
        write_splits(replace(extended, cts={}), tmp_path)
    assert read_splits(tmp_path) == extended
    write_splits(other, tmp_path, force=True)
    assert read_splits(tmp_path) == other


@pytest.mark.parametrize(
    ("fractions", "seed", "pinned", "words"),
    [
        ({"train": 0.5, "test": 0.5}, 0, {}, "--force"),
        (FRACTIONS, 1, {}, "--force"),
        (FRACTIONS, 0, {"donor000": None}, "no donor moves"),
    ],
)
def test_frozen_splits_keep_their_rules(fractions, seed, pinned, words):
    frozen = freeze_splits(table(people(10)), FRACTIONS, 0)
    pinned = {donor: next(split for split in FRACTIONS if donor not in frozen.donors[split]) for donor in pinned}
    with pytest.raises(InputError, match=words):
        freeze_splits(table(people(10)), fractions, seed, pinned, frozen)


def test_the_file_names_donors_hashes_and_seed(tmp_path):
    write_splits(freeze_splits(table(people(5)), FRACTIONS, 7, {"donor002": "test"}), tmp_path)
    content = json.loads((tmp_path / "splits.json").read_text())
    assert content["convention"] == "drrkit-splits/1"
    assert (content["seed"], content["fractions"], content["pinned"]) == (7, FRACTIONS, {"donor002": "test"})
    assert content["splits"]["test"] == ["donor002"]
    assert content["cts"]["donor002-0"] == {"donor_id": "donor002", "voxels_sha256": "donor002-0"}


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda content: content["splits"]["test"].append(content["splits"]["train"][0]), "in two splits"),
        (lambda content: content.update(convention="mine/2"), "mine/2"),
        (lambda content: content.pop("seed"), "seed"),
        (lambda content: content.update(cts=[]), "no drrkit-splits/1 file"),
    ],
)
def test_damaged_splits_are_refused(tmp_path, edit, words):
    write_splits(freeze_splits(table(people(5)), FRACTIONS, 7), tmp_path)
    content = json.loads((tmp_path / "splits.json").read_text())
    edit(content)
    (tmp_path / "splits.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=words):
        read_splits(tmp_path)
    assert read_splits(tmp_path / "elsewhere") is None
