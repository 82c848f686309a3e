from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import typer
from click.testing import Result
from typer.testing import CliRunner

from acquisition_folder import DONOR, NAME, edit, empty_session
from drrkit.cohort import freeze_splits, read_cohort, write_cohort, write_splits
from drrkit.dataset.plan import cohort_sources, make_plan
from drrkit.dataset.run import render_dataset
from drrkit.errors import InputError
from drrkit.io.ct import write_labels
from drrkit.io.store import content_sha256, read_image, write_cameras, write_image
from drrkit.volume import LEVEL_CODES, Volume
from protocols.pairs import PairRow, write_pairs
from reconstruction.cases import read_cases, write_cases
from reconstruction.commands.cases import cases as cases_command
from reconstruction.loading import read_case_labels, read_case_radiographs
from reconstruction.sets.adapters import cases_from_pairs, cases_from_renders, check_same_patient, whole_levels
from toys import SETTINGS, toy_volume, view_rig, write_toy

FRACTIONS = {"train": 0.4, "validation": 0.3, "test": 0.3}
VIEWS = [("ap", 0, 0), ("obl", 40, 10)]


def write_toy_cohort(folder: Path) -> None:
    rows = []
    for number, name in enumerate("abc"):
        source = write_toy(folder, name, 700 + number)
        labels_sha256, ct_sha256 = content_sha256(source.labels_path), content_sha256(source.ct_path)
        rows.append(
            {
                "ct_id": name,
                "donor_id": f"donor-{name}",
                "ct_path": str(source.ct_path),
                "labels_path": str(source.labels_path),
                "label_scheme": "verse",
                "levels": ["L1", "L2"],
                "shape": [22, 18, 20],
                "spacing_mm": [4.0, 4.0, 4.0],
                "ct_sha256": ct_sha256,
                "labels_sha256": labels_sha256,
                "voxels_sha256": ct_sha256,
                "layout": "plain",
            }
        )
    write_cohort(pd.DataFrame(rows), folder)


@pytest.fixture(scope="module")
def renders(tmp_path_factory):
    cohort, out = tmp_path_factory.mktemp("cohort"), tmp_path_factory.mktemp("render")
    write_toy_cohort(cohort)
    render_dataset(make_plan(out, cohort_sources(cohort), view_rig(*VIEWS), SETTINGS))
    return out, cohort, freeze_splits(read_cohort(cohort), FRACTIONS, 0)


def test_cases_of_renders(renders, tmp_path):
    out, cohort, splits = renders
    cases = cases_from_renders(out, cohort, splits)
    assert [case.case_id for case in cases] == ["a", "b", "c"]
    assert {case.split for case in cases} == {"train", "validation", "test"}
    for case in cases:
        assert case.split == splits.split_of(case.donor_id)
        assert case.levels == ("L1", "L2")
        assert case.views == (f"{case.case_id}_ap", f"{case.case_id}_obl")
        np.testing.assert_array_equal(read_case_labels(case).labels, toy_volume().labels)
        for view_id, radiograph in zip(case.views, read_case_radiographs(case), strict=True):
            np.testing.assert_array_equal(radiograph.pixels, read_image(out / "images" / f"{view_id}.tif"))
    write_cases(tmp_path / "cases.json", cases)
    assert [case.split for case in read_cases(tmp_path)] == [case.split for case in cases]


def test_splits_are_asserted(renders):
    out, cohort, splits = renders
    missing = replace(splits, donors={**splits.donors, "train": ()})
    with pytest.raises(InputError, match="no split"):
        cases_from_renders(out, cohort, missing)
    named = replace(splits, donors={"learn" if name == "train" else name: ids for name, ids in splits.donors.items()})
    with pytest.raises(InputError, match="'learn'"):
        cases_from_renders(out, cohort, named)


def test_renders_of_another_cohort(renders, tmp_path):
    out, cohort, splits = renders
    with pytest.raises(InputError, match="no rendered images"):
        cases_from_renders(tmp_path, cohort, splits)
    table = read_cohort(cohort)
    other = tmp_path / "other"
    write_cohort(table[table["ct_id"] != "c"], other)
    with pytest.raises(InputError, match="an image of the CT c"):
        cases_from_renders(out, other, splits)
    changed = table.assign(labels_sha256=["0" * 64, *table["labels_sha256"][1:]])
    write_cohort(changed, other)
    with pytest.raises(InputError, match="another state of the CT a"):
        cases_from_renders(out, other, splits)


def test_a_level_that_the_border_cuts_is_not_whole():
    volume = toy_volume()
    assert whole_levels(volume) == ("L1", "L2")
    labels = volume.labels.copy()
    labels[0, 8, 9] = LEVEL_CODES["L2"]
    labels[10, 8, -1] = LEVEL_CODES["sacrum"]
    assert whole_levels(Volume(volume.hu, volume.world_from_voxel, labels)) == ("L1",)


def pair(exposure_id: str, **changes) -> PairRow:
    nothing = {"boxes": {}, "visibility": {}, "images_sha256": {}, "masks_sha256": {}, "field_sha256": ""}
    row = PairRow(
        pair_id=f"{NAME}/{exposure_id}",
        acquisition_id=NAME,
        exposure_id=exposure_id,
        donor_id=DONOR,
        simulated=False,
        status="pass",
        reason="",
        rating="",
        target_error_mm=0.2,
        rms_px=0.1,
        open_field=1.0,
        open_field_from="image",
        identity_sha256="",
        **nothing,
    )
    return replace(row, **changes)


@pytest.fixture
def session(tmp_path):
    folder = empty_session(tmp_path)
    write_labels(toy_volume(), folder / "labels.nii.gz")
    edit(folder, ct={"labels": "labels.nii.gz", "label_scheme": "verse"})
    pairs = tmp_path / "pairs"
    rig = view_rig(("s1", 0, 0), ("s2", 90, 0), ("s3", 40, 0), ("s4", -40, 0))
    cameras = rig.cameras(toy_volume())
    rows = [
        pair("s1"),
        pair("s2", status="warn"),
        pair("s3", status="warn", rating="accept"),
        pair("s4", rating="reject"),
    ]
    write_cameras(pairs / "cameras.json", cameras)
    for kind in ("real", "drr_bone", "translated"):
        for number, (view_id, camera) in enumerate(cameras.items()):
            pixels = np.full((camera.height, camera.width), number + len(kind), np.float32)
            digest = write_image(pairs / kind / f"{view_id}.tif", pixels)
            rows[number].images_sha256[kind] = digest
    write_pairs(pairs, [replace(row, images_sha256=dict(row.images_sha256)) for row in rows])
    return pairs, folder


@pytest.mark.parametrize(
    ("split", "views"), [("train", ("s1", "s3")), ("validation", ("s1", "s2", "s3")), ("test", ("s1", "s2", "s3"))]
)
def test_who_may_train(session, split, views):
    pairs, folder = session
    (case,) = cases_from_pairs(pairs, folder, split, "real")
    assert case.views == views
    assert (case.case_id, case.donor_id, case.split) == (NAME, DONOR, split)
    assert read_case_labels(case).levels == ("L1", "L2")
    assert len(read_case_radiographs(case)) == len(views)


def test_other_images_of_the_same_cameras(session):
    pairs, folder = session
    (drr,) = cases_from_pairs(pairs, folder, "train", "drr", "drr_bone")
    (translated,) = cases_from_pairs(pairs, folder, "train", "translated", pairs / "translated")
    assert (drr.case_id, translated.case_id) == (f"{NAME}-drr_bone", f"{NAME}-translated")
    assert read_case_radiographs(translated)[0].pixels[0, 0] == len("translated")
    for kind, images in (("simulated", "real"), ("real", "drr_bone"), ("simulated", pairs / "translated")):
        with pytest.raises(InputError, match="the kind"):
            cases_from_pairs(pairs, folder, "train", kind, images)
    (pairs / "translated" / "s3.tif").unlink()
    with pytest.raises(InputError, match=r"s3\.tif"):
        cases_from_pairs(pairs, folder, "train", "translated", pairs / "translated")


def test_pairs_that_are_not_of_the_session(session, tmp_path):
    pairs, folder = session
    with pytest.raises(InputError, match="no pairs"):
        cases_from_pairs(tmp_path / "nowhere", folder, "train", "real")
    write_pairs(pairs, [pair("s1", donor_id="somebody")])
    with pytest.raises(InputError, match="donor somebody"):
        cases_from_pairs(pairs, folder, "train", "real")
    write_pairs(pairs, [pair("s1", rating="reject")])
    with pytest.raises(InputError, match="no pairs for test"):
        cases_from_pairs(pairs, folder, "test", "real")


def test_views_of_one_patient(renders, session, tmp_path):
    images, pairs = renders[0] / "images", session[0]
    assert check_same_patient([images / "a_ap.tif", images / "a_obl.tif"]) == "donor-a"
    assert check_same_patient([pairs / "real" / "s1.tif", pairs / "real" / "s2.tif"]) == DONOR
    with pytest.raises(InputError, match="a view of donor-b, beside one of donor-a"):
        check_same_patient([images / "a_ap.tif", images / "b_obl.tif"])
    with pytest.raises(InputError, match=f"a view of {DONOR}, beside one of donor-a"):
        check_same_patient([images / "a_ap.tif", pairs / "real" / "s2.tif"])
    with pytest.raises(InputError, match="the same image"):
        check_same_patient([images / "a_ap.tif", images / "a_ap.tif"])
    unknown = tmp_path / "unknown" / "one.tif"
    write_image(unknown, np.ones((3, 3), np.float32))
    assert check_same_patient([unknown]) == ""
    assert check_same_patient([unknown, images / "c_ap.tif"]) == "donor-c"


def test_an_image_that_was_exchanged(session):
    image = session[0] / "real" / "s1.tif"
    write_image(image, read_image(image) + 1)
    with pytest.raises(InputError, match="another image than its manifest has"):
        check_same_patient([image])


def command(*words) -> Result:
    app = typer.Typer()
    app.command("cases")(cases_command)
    return CliRunner().invoke(app, [str(word) for word in words])


def test_the_command_writes_cases_and_adds_to_them(renders, tmp_path):
    out, cohort, splits = renders
    write_splits(splits, cohort, force=True)
    path = tmp_path / "learn" / "cases.json"
    for _ in range(2):  # the same cases again replace themselves
        result = command(path, "--rendered", out, "--cohort", cohort)
        assert result.exit_code == 0, result.output
        assert [case.case_id for case in read_cases(path)] == ["a", "b", "c"]
    one = replace(read_cases(path)[0], case_id="z", donor_id="donor-z")
    write_cases(path, [one])
    command(path, "--rendered", out, "--cohort", cohort)
    assert [case.case_id for case in read_cases(path)] == ["z", "a", "b", "c"]


def test_the_command_wants_one_of_two_ways(renders, tmp_path):
    out, cohort, _ = renders
    for words in ([], ["--rendered", out], ["--rendered", out, "--cohort", cohort, "--pairs", out]):
        result = command(tmp_path, *words)
        assert isinstance(result.exception, InputError)
        assert "--pairs and --acquisition" in str(result.exception)
    assert not (tmp_path / "cases.json").exists()
