import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from drrkit.errors import InputError
from reconstruction.cases import CASES_NAME, Case, check_cases, of_split, read_cases, write_cases


def made(folder: Path, case_id: str = "one", split: str = "train", donor_id: str = "") -> Case:
    home = folder / case_id
    return Case(
        case_id,
        donor_id or f"donor-{case_id}",
        split,
        "drr",
        ("ap", "lat"),
        home / "cameras.json",
        home / "images",
        folder.parent / "labels" / f"{case_id}.nii.gz",
        "verse",
        ("L1", "L2"),
        "adults",
        home / "regions.nii.gz" if case_id == "one" else None,
    )


def test_cases_come_back_and_can_be_moved(tmp_path):
    folder = tmp_path / "here" / "cases"
    cases = [made(folder), made(folder, "two", "test")]
    write_cases(folder / CASES_NAME, cases)
    for place in (folder, folder / CASES_NAME):
        back = read_cases(place)
        assert [case.case_id for case in back] == ["one", "two"]
        assert [case.labels.resolve() for case in back] == [case.labels for case in cases]
        assert back[0].image("ap").resolve() == folder / "one" / "images" / "ap.tif"
        assert back[1].regions is None
        assert (back[0].views, back[0].levels) == (("ap", "lat"), ("L1", "L2"))
    shutil.copytree(tmp_path / "here", tmp_path / "there")
    assert read_cases(tmp_path / "there" / "cases")[0].cameras.resolve() == tmp_path / "there/cases/one/cameras.json"
    assert not Path(json.loads((folder / CASES_NAME).read_text())["cases"][0]["cameras"]).is_absolute()


def test_splits(tmp_path):
    cases = [made(tmp_path), made(tmp_path, "two", "test")]
    assert of_split(cases, "test") == [cases[1]]
    with pytest.raises(InputError, match="validation"):
        of_split(cases, "validation")


def test_a_donor_is_in_one_split_and_an_id_is_used_once(tmp_path):
    one, two = made(tmp_path), made(tmp_path, "two", "test")
    check_cases([one, replace(two, donor_id=one.donor_id, split="train")], "here")
    for bad, message in (
        ([one, replace(two, donor_id=one.donor_id)], "one split a donor"),
        ([one, replace(two, case_id="one")], "twice"),
        ([replace(one, split="exam")], "exam"),
        ([], "at least one case"),
    ):
        with pytest.raises(InputError, match=message):
            check_cases(bad, "here")
        with pytest.raises(InputError, match=message):
            write_cases(tmp_path / CASES_NAME, bad)
    assert not (tmp_path / CASES_NAME).exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "No such file"),
        ("{", "no JSON"),
        ("[]", "another kind"),
        ('{"convention": "drrkit-cases/9"}', "another kind"),
        ('{"convention": "drrkit-cases/1", "cases": []}', "no cases"),
        ('{"convention": "drrkit-cases/1", "cases": [{"case_id": "x"}]}', "a case that is none"),
        ('{"convention": "drrkit-cases/1", "cases": [3]}', "a case that is none"),
    ],
)
def test_files_that_are_none(tmp_path, content, message):
    path = tmp_path / CASES_NAME
    if content is not None:
        path.write_text(content)
    with pytest.raises(InputError, match=message):
        read_cases(path)


def test_unknown_fields(tmp_path):
    write_cases(tmp_path / CASES_NAME, [made(tmp_path)])
    content = json.loads((tmp_path / CASES_NAME).read_text())
    content["cases"][0]["color"] = "blue"
    (tmp_path / CASES_NAME).write_text(json.dumps(content))
    with pytest.raises(InputError, match="color"):
        read_cases(tmp_path)
