"""Real trees of public collections, by the names of their files."""

import pytest

from drrkit.cohort.layouts import find_scans
from drrkit.errors import InputError


def plant(root, *files):
    """Make files whose content is their own path, so that no two are equal."""
    for name in files:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return root


VERSE = (
    "dataset-verse19training/rawdata/sub-verse004/sub-verse004_ct.nii.gz",
    "dataset-verse19training/derivatives/sub-verse004/sub-verse004_seg-vert_msk.nii.gz",
    "dataset-verse19training/derivatives/sub-verse004/sub-verse004_seg-subreg_ctd.json",
    "dataset-verse19training/derivatives/sub-verse004/sub-verse004_seg-vert_snp.png",
    "dataset-verse19training/rawdata/sub-verse402/sub-verse402_split-verse253_ct.nii.gz",
    "dataset-verse19training/rawdata/sub-verse402/sub-verse402_split-verse254_ct.nii.gz",
    "dataset-verse19training/derivatives/sub-verse402/sub-verse402_split-verse253_seg-vert_msk.nii.gz",
    "dataset-verse19training/derivatives/sub-verse402/sub-verse402_split-verse254_seg-vert_msk.nii.gz",
    "dataset-03test/rawdata/sub-gl003/sub-gl003_dir-ax_ct.nii.gz",
    "dataset-03test/derivatives/sub-gl003/sub-gl003_dir-ax_seg-vert_msk.nii.gz",
)
CTSPINE1K = (
    "raw_data/volumes/MSD-T10/liver_106.nii.gz",
    "raw_data/labels/MSD-T10/liver_106_seg.nii.gz",
    "raw_data/volumes/COLONOG/1.3.6.1.4.1.9328.50.4.0004.nii.gz",
    "raw_data/labels/COLONOG/1.3.6.1.4.1.9328.50.4.0004_seg.nii.gz",
    "raw_data/volumes/COLONOG/CTC-1018399231.nii.gz",
    "raw_data/labels/COLONOG/CTC-1018399231_seg.nii.gz",
    "raw_data/volumes/HNSCC-3DCT-RT/HN_P001.nii.gz",
    "raw_data/labels/HNSCC-3DCT-RT/HN_P001_seg.nii.gz",
    "raw_data/volumes/COVID-19/volume-covid19-A-0319_ct.nii.gz",
    "raw_data/labels/COVID-19/volume-covid19-A-0319_ct_seg.nii.gz",
    "metadata/data_split.txt",
)
TOTALSEGMENTATOR = (
    "meta.csv",
    "s0011/ct.nii.gz",
    "s0011/segmentations/vertebrae_L1.nii.gz",
    "s0011/segmentations/sacrum.nii.gz",
    "s0012/ct.nii.gz",
    "s0012/segmentations/liver.nii.gz",
)
PLAIN = (
    "p1/ct.nii.gz",
    "p1/labels.nii.gz",
    "p1/landmarks.nii.gz",
    "p2/prone/ct.mha",
    "p2/prone/seg.nrrd",
    "p2/supine/ct/IM0001",
    "p2/supine/mask.nii",
    "p3/ct.nrrd",
)


def by_id(found):
    return {scan.ct_id: scan for scan in found.scans}


def test_verse_pairs_across_trees_and_keeps_series_of_a_patient_together(tmp_path):
    found = find_scans(plant(tmp_path, *VERSE))
    scans = by_id(found)
    assert found.layout == "verse"
    assert list(scans) == [
        "sub-gl003_dir-ax",
        "sub-verse004",
        "sub-verse402_split-verse253",
        "sub-verse402_split-verse254",
    ]
    assert {scan.donor_id for scan in found.scans} == {"sub-gl003", "sub-verse004", "sub-verse402"}
    for scan in found.scans:
        assert scan.labels_path is not None
        assert scan.labels_path.name == f"{scan.ct_id}_seg-vert_msk.nii.gz"
        assert scan.label_scheme == "verse"
    assert found.notes == []


def test_verse_as_handed_out_for_the_challenge(tmp_path):
    names = ("verse005.nii.gz", "verse005_seg.nii.gz", "verse506_CT-iso.nii.gz", "verse506_CT-iso_seg.nii.gz")
    found = find_scans(plant(tmp_path, *names))
    assert found.layout == "verse"
    assert {scan.donor_id: scan.labels_path.name for scan in found.scans} == {
        "verse005": "verse005_seg.nii.gz",
        "verse506": "verse506_CT-iso_seg.nii.gz",
    }
    assert any("donors" in note for note in found.notes)


def test_ctspine1k_in_all_its_sources(tmp_path):
    found = find_scans(plant(tmp_path, *CTSPINE1K))
    assert found.layout == "ctspine1k"
    assert {scan.ct_id: scan.donor_id for scan in found.scans} == {
        "liver_106": "liver_106",
        "1.3.6.1.4.1.9328.50.4.0004": "1.3.6.1.4.1.9328.50.4.0004",
        "CTC-1018399231": "CTC-1018399231",
        "HN_P001": "HN_P001",
        "volume-covid19-A-0319": "volume-covid19-A-0319",
    }
    assert all(scan.labels_path.parent.name == scan.ct_path.parent.name for scan in found.scans)
    assert {scan.label_scheme for scan in found.scans} == {"ctspine1k"}


def test_ctspine1k_with_completed_verse_masks_is_not_verse(tmp_path):
    files = ("liver_1.nii.gz", "liver_1_seg.nii.gz", "verse100.nii.gz", "verse100_seg.nii.gz")
    assert find_scans(plant(tmp_path, *files)).layout == "ctspine1k"


def test_scans_of_one_patient_at_several_times_share_the_donor(tmp_path):
    names = ("HN_P001_pre.nii.gz", "HN_P001_post.nii.gz", "volume-covid19-A-0319_day000.nii.gz")
    scans = find_scans(plant(tmp_path, *names), "ctspine1k").scans
    assert [scan.donor_id for scan in scans] == ["HN_P001", "HN_P001", "volume-covid19-A-0319"]


def test_totalsegmentator_takes_the_folder_of_masks(tmp_path):
    found = find_scans(plant(tmp_path, *TOTALSEGMENTATOR))
    scans = by_id(found)
    assert found.layout == "totalsegmentator"
    assert scans["s0011"].labels_path == tmp_path / "s0011/segmentations"
    assert scans["s0011"].label_scheme == "totalsegmentator"
    assert (scans["s0012"].labels_path, scans["s0012"].label_scheme) == (None, "")
    assert any("s0012" in note for note in found.notes)


def test_plain_folders(tmp_path):
    found = find_scans(plant(tmp_path, *PLAIN))
    assert found.layout == "plain"
    assert {
        scan.ct_id: (scan.donor_id, scan.ct_path.name, scan.labels_path and scan.labels_path.name)
        for scan in found.scans
    } == {
        "p1": ("p1", "ct.nii.gz", "labels.nii.gz"),
        "p2-prone": ("p2", "ct.mha", "seg.nrrd"),
        "p2-supine": ("p2", "ct", "mask.nii"),
        "p3": ("p3", "ct.nrrd", None),
    }
    assert any("p2" in note for note in found.notes)


def test_plain_files_side_by_side(tmp_path):
    names = ("a 1.nii.gz", "a 1_labels.nii.gz", "b.nii", "b_mask.nrrd", "c_seg.nii.gz")
    found = find_scans(plant(tmp_path, *names))
    assert [(scan.ct_id, scan.donor_id) for scan in found.scans] == [("a-1", "a 1"), ("b", "b")]
    assert found.scans[1].labels_path == tmp_path / "b_mask.nrrd"
    assert found.scans[1].label_scheme == "verse"
    assert any("c_seg.nii.gz" in note for note in found.notes)
    assert any("--label-scheme" in note for note in found.notes)
    assert not any("--label-scheme" in note for note in find_scans(tmp_path, label_scheme="verse").notes)


def test_the_folder_itself_can_be_the_one_ct(tmp_path):
    (scan,) = find_scans(plant(tmp_path / "patient", "ct.nii.gz", "labels.nii.gz")).scans
    assert (scan.ct_id, scan.donor_id) == ("patient", "patient")


@pytest.mark.parametrize("place", ["in the folder", "as an argument"])
def test_donors_csv_overrules_names(tmp_path, place):
    text = "ct_id,donor_id,label_scheme\np1,d7,totalsegmentator\np3,d7,\n"
    plant(tmp_path / "root", *PLAIN)
    path = tmp_path / ("root/donors.csv" if place == "in the folder" else "elsewhere.csv")
    path.write_text(text)
    scans = by_id(find_scans(tmp_path / "root", donors_csv=None if place == "in the folder" else path))
    assert {ct_id: scan.donor_id for ct_id, scan in scans.items()} == {
        "p1": "d7",
        "p2-prone": "p2",
        "p2-supine": "p2",
        "p3": "d7",
    }
    assert (scans["p1"].label_scheme, scans["p2-prone"].label_scheme, scans["p3"].label_scheme) == (
        "totalsegmentator",
        "verse",
        "",
    )


def test_cohort_yaml_names_scheme_and_donors(tmp_path):
    plant(tmp_path, *PLAIN)
    (tmp_path / "cohort.yaml").write_text("label_scheme: totalsegmentator_v1\ndonors: {p1: 17}\n")
    scans = by_id(find_scans(tmp_path))
    assert scans["p1"].donor_id == "17"
    assert scans["p2-prone"].label_scheme == "totalsegmentator_v1"
    assert scans["p3"].label_scheme == ""
    assert by_id(find_scans(tmp_path, label_scheme="verse"))["p1"].label_scheme == "verse"


def test_what_is_left_over_is_said(tmp_path):
    orphan = "dataset/derivatives/sub-verse009/sub-verse009_seg-vert_msk.nii.gz"
    bare = "dataset/rawdata/sub-verse010/sub-verse010_ct.nii.gz"
    found = find_scans(plant(tmp_path, *VERSE, orphan, bare))
    assert any("sub-verse009" in note for note in found.notes)
    assert any("1 of 5" in note and "sub-verse010" in note for note in found.notes)
    assert by_id(found)["sub-verse010"].labels_path is None


def test_a_copy_is_left_out_and_a_namesake_is_refused(tmp_path):
    plant(tmp_path, *VERSE)
    copy = tmp_path / "again/rawdata/sub-verse004/sub-verse004_ct.nii.gz"
    copy.parent.mkdir(parents=True)
    copy.write_text((tmp_path / VERSE[0]).read_text())
    found = find_scans(tmp_path)
    assert len(found.scans) == 4
    assert any("is a copy of" in note for note in found.notes)
    copy.write_text("another CT")
    with pytest.raises(InputError, match="one name for two contents"):
        find_scans(tmp_path)


@pytest.mark.parametrize(
    ("files", "arguments", "words"),
    [
        ((), {}, r"no CT.*sXXXX.*sub-\*.*_seg.*<id>"),
        (("notes.txt",), {"layout": "verse"}, r"no CT.*rawdata"),
        (("liver_1_seg.nii.gz",), {"layout": "ctspine1k"}, "no CT"),
        (PLAIN, {"layout": "mine"}, "'mine'.*auto, totalsegmentator, verse, ctspine1k, plain"),
        (PLAIN, {"label_scheme": "mine"}, "'mine'.*totalsegmentator_v1"),
        (("p1/ct.nii", "p1/labels.nii", "p1/seg.nii"), {}, "labels.nii and seg.nii"),
        (("a b.nii", "a-b.nii"), {}, "the CT id 'a-b'"),
    ],
)
def test_bad_collections(tmp_path, files, arguments, words):
    with pytest.raises(InputError, match=words):
        find_scans(plant(tmp_path, *files), **arguments)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("donors.csv", "ct_id,donor_id\np9,d1\n", "'p9'"),
        ("donors.csv", "ct_id,donor_id\np1,\n", "line 2"),
        ("donors.csv", "id;donor\np1;d1\n", "line 2"),
        ("donors.csv", "ct_id,donor_id,label_scheme\np1,d1,mine\n", "'mine'"),
        ("cohort.yaml", "donors: [p1]\n", "a donor for each"),
        ("cohort.yaml", "schema: verse\n", "label_scheme and donors"),
        ("cohort.yaml", "label_scheme: [\n", "YAML"),
    ],
)
def test_bad_donor_files(tmp_path, name, text, words):
    plant(tmp_path, *PLAIN)
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=words):
        find_scans(tmp_path)


def test_no_folder_and_no_csv(tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        find_scans(tmp_path / "gone")
    with pytest.raises(InputError, match=r"gone\.csv"):
        find_scans(plant(tmp_path, *PLAIN), donors_csv=tmp_path / "gone.csv")
