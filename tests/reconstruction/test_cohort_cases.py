"""Rendered CT cohorts beside the learning set: what is listed, what is refused, and what the hashes notice."""

import json
from dataclasses import replace

import pandas as pd
import pytest

from drrkit.cohort import freeze_splits, read_cohort, write_cohort, write_splits
from drrkit.dataset.plan import cohort_sources, make_plan
from drrkit.dataset.run import render_dataset
from drrkit.errors import InputError
from drrkit.io.store import content_sha256
from reconstruction.cases import Case, read_cases
from reconstruction.sets.cohorts import RenderedCohort, gather_cases, write_gathered
from toys import SETTINGS, view_rig, write_toy

FRACTIONS = {"train": 0.4, "validation": 0.3, "test": 0.3}


def write_rendered(cohort, renders, names="abc"):
    rows = []
    for number, name in enumerate(names):
        source = write_toy(cohort, name, 700 + number)
        labels_sha256, ct_sha256 = content_sha256(source.labels_path), content_sha256(source.ct_path)
        rows.append(
            {
                "ct_id": name, "donor_id": f"donor-{name}", "ct_path": source.ct_path.name,
                "labels_path": source.labels_path.name, "label_scheme": "verse", "levels": ["L1", "L2"],
                "shape": [22, 18, 20], "spacing_mm": [4.0, 4.0, 4.0], "ct_sha256": ct_sha256,
                "labels_sha256": labels_sha256, "voxels_sha256": ct_sha256, "layout": "plain",
            }
        )  # fmt: skip
    write_cohort(pd.DataFrame(rows), cohort)
    write_splits(freeze_splits(read_cohort(cohort), FRACTIONS, 0), cohort)
    render_dataset(make_plan(renders, cohort_sources(cohort), view_rig(("ap", 0, 0)), SETTINGS))
    return RenderedCohort(cohort=str(cohort), renders=str(renders))


@pytest.fixture
def mine(tmp_path):
    return write_rendered(tmp_path / "cts" / "mine", tmp_path / "cts" / "mine-drr")


@pytest.fixture
def phantom(tmp_path):
    folder = tmp_path / "spines" / "adults-1"
    return Case(
        "adults-1", "adults-1", "train", "drr", ("ap-00",), folder / "cameras.json", folder / "images",
        folder / "labels.nii.gz", "verse", ("L1",), "adults",
    )  # fmt: skip


def test_without_a_cohort_the_cases_are_those_of_the_learning_set(phantom, tmp_path):
    cases = gather_cases([phantom], {})
    assert cases == [phantom]
    write_gathered(tmp_path / "cases", cases, {})
    (again,) = read_cases(tmp_path / "cases")
    assert (
        replace(again, **{name: getattr(again, name).resolve() for name in ("cameras", "images", "labels")}) == phantom
    )
    assert json.loads((tmp_path / "cases" / "sources.json").read_text())["cohorts"] == {}


def test_a_cohort_adds_its_cases_by_its_frozen_splits(mine, phantom, tmp_path):
    cases = gather_cases([phantom], {"mine": mine})
    assert [case.case_id for case in cases] == ["adults-1", "a", "b", "c"]
    assert {case.split for case in cases[1:]} == {"train", "validation", "test"}
    assert {case.kind for case in cases} == {"drr"}
    write_gathered(tmp_path / "cases", cases, {"mine": mine})
    content = (tmp_path / "cases" / "cases.json").read_text()
    assert str(tmp_path) not in content
    assert "../cts/mine-drr/images" in content
    assert all(case.image(view).is_file() for case in read_cases(tmp_path / "cases")[1:] for view in case.views)


def test_sources_notice_a_render_with_other_images(mine, phantom, tmp_path):
    out = tmp_path / "cases"

    def source():
        write_gathered(out, gather_cases([phantom], {"mine": mine}), {"mine": mine})
        return json.loads((out / "sources.json").read_text())["cohorts"]["mine"]

    before, listed = source(), (out / "cases.json").read_bytes()
    assert source() == before
    rig = view_rig(("ap", 5, 0))  # the same names, another angle
    render_dataset(make_plan(tmp_path / "cts" / "mine-drr", cohort_sources(tmp_path / "cts" / "mine"), rig, SETTINGS))
    after = source()
    assert (out / "cases.json").read_bytes() == listed
    assert {name for name in before if before[name] != after[name]} == {"manifest_sha256", "cameras_sha256"}


def test_cohorts_that_contradict_are_refused(mine, phantom, tmp_path):
    (split_of_a,) = (case.split for case in gather_cases([], {"mine": mine}) if case.case_id == "a")
    elsewhere = replace(phantom, donor_id="donor-a", split="train" if split_of_a == "test" else "test")
    with pytest.raises(InputError, match="donor donor-a: found in"):
        gather_cases([elsewhere], {"mine": mine})
    with pytest.raises(InputError, match="up to again: found the case id a twice"):
        gather_cases([phantom], {"mine": mine, "again": mine})
    (tmp_path / "cts/mine-drr/images/b_ap.tif").unlink()
    with pytest.raises(InputError, match=r"b_ap\.tif"):
        gather_cases([phantom], {"mine": mine})
    (tmp_path / "cts/mine/splits.json").unlink()
    with pytest.raises(InputError, match=r"no splits\.json"):
        gather_cases([phantom], {"mine": mine})


def test_labels_that_changed_since_the_import_are_refused(mine, phantom, tmp_path):
    folder = tmp_path / "cts" / "mine"
    path = folder / read_cohort(folder)["labels_path"][1]
    other = folder / read_cohort(folder)["labels_path"][0]
    path.write_bytes(path.read_bytes() + other.read_bytes())
    with pytest.raises(InputError, match="other labels than were imported"):
        gather_cases([phantom], {"mine": mine})


def test_images_of_soft_tissue_are_no_images_of_bone(tmp_path):
    cohort, renders = tmp_path / "mine", tmp_path / "mine-drr"
    source = write_rendered(cohort, renders)
    render_dataset(make_plan(renders, cohort_sources(cohort), view_rig(("ap", 0, 0)), replace(SETTINGS, tissue="full")))
    with pytest.raises(InputError, match="of full"):
        gather_cases([], {"mine": source})
