"""A whole cohort on disk: files, grids, duplicates; and the rules on a real CT."""

import numpy as np
import pytest

from drrkit.cohort import import_cohort, lint_cohort, write_cohort
from drrkit.cohort.findings import RULES
from drrkit.cohort.measures import measure_spine
from drrkit.cohort.rules import check_spine
from drrkit.errors import InputError
from drrkit.io.ct import read_volume, write_ct, write_labels
from drrkit.stages.sample import packaged_ct
from drrkit.volume import LEVEL_CODES, Volume


@pytest.fixture
def cohort(root, tmp_path):
    write_cohort(import_cohort(root), tmp_path / "cohort")
    return tmp_path / "cohort"


def lint(cohort, **options):
    found = lint_cohort(cohort, **options)
    assert {finding.rule for finding in found} <= set(RULES)
    return [(finding.severity, finding.ct_id, finding.rule) for finding in found]


def relint(root, cohort):
    write_cohort(import_cohort(root), cohort)
    return lint(cohort)


def test_a_healthy_cohort_has_no_findings(cohort):
    steps = []
    assert lint(cohort, on_ct=lambda done, total: steps.append((done, total))) == []
    assert steps == [(done, 4) for done in range(5)]


def test_files_that_changed_or_vanished_since_the_import(root, cohort, plant):
    plant(root / "d2", 9)
    (root / "d3/ct.nii").unlink()
    (root / "d1/first/labels.nii").write_text("hello")
    assert lint(cohort) == [
        ("error", "d1-first", "unreadable"),
        ("error", "d2", "changed"),
        ("error", "d2", "changed"),
        ("error", "d3", "unreadable"),
    ]


@pytest.mark.parametrize("kind", ["size", "placement", "spacing"])
def test_labels_on_another_grid(root, cohort, spine, kind):
    affine, labels = spine.world_from_voxel.copy(), spine.labels
    if kind == "size":
        labels = labels[1:]
        affine[:3, 3] += affine[:3, 2]
    elif kind == "placement":
        affine[0, 3] += 4
    else:
        affine[2, 2] *= 1.02
    write_labels(Volume(np.zeros(labels.shape, np.int16), affine, labels), root / "d2/labels.nii")
    write_cohort(import_cohort(root), cohort)
    (finding,) = lint_cohort(cohort)
    assert (finding.severity, finding.ct_id, finding.rule) == ("error", "d2", "grid")
    assert ("resample" if kind == "size" else "header") in finding.fix


def test_rounding_of_an_affine_is_not_another_grid(root, cohort, spine):
    affine = spine.world_from_voxel + 1e-5
    affine[3] = [0, 0, 0, 1]
    write_labels(Volume(spine.hu, affine, spine.labels), root / "d2/labels.nii")
    assert relint(root, cohort) == []


def test_one_ct_under_two_donors_in_another_format(root, cohort, spine):
    write_ct(read_volume(root / "d2/ct.nii"), root / "d9/ct.nrrd")
    assert relint(root, cohort) == [("error", "d9", "duplicate")]
    (finding,) = lint_cohort(cohort)
    assert "d2" in finding.found


def test_one_ct_twice_of_one_donor_is_a_warning(root, cohort, plant):
    plant(root / "d1/again", 1, labelled=False)
    assert relint(root, cohort) == [("warning", "d1-first", "duplicate")]


def test_one_label_map_for_two_cts(root, cohort):
    (root / "d2/labels.nii").write_bytes((root / "d1/first/labels.nii").read_bytes())
    assert relint(root, cohort) == [("error", "d2", "shared-labels")]


def test_findings_of_the_spine_reach_the_report(root, cohort, spine):
    labels = np.where(spine.labels == LEVEL_CODES["L3"], 0, spine.labels).astype(np.uint8)
    write_labels(spine.with_labels(labels), root / "d2/labels.nii")
    assert relint(root, cohort) == [("error", "d2", "gap")]


def test_no_cohort(tmp_path):
    with pytest.raises(InputError, match=r"no cohort\.parquet"):
        lint_cohort(tmp_path)


# ---- a real CT with TotalSegmentator's labels, C5 to L3 ------------------------------------------------------------


@pytest.fixture(scope="module")
def real():
    ct_path, labels_path = packaged_ct()
    return read_volume(ct_path, labels_path, "totalsegmentator")


def real_rules(real, labels, hu=None):
    spine = measure_spine(labels.astype(np.uint8), real.world_from_voxel, hu)
    return {finding.rule for finding in check_spine("real", spine)} - {"border"}


def test_a_real_ct_is_clean_but_for_its_cut_ends(real):
    spine = measure_spine(real.labels, real.world_from_voxel, real.hu)
    found = check_spine("real", spine)
    assert [(finding.severity, finding.rule) for finding in found] == [("warning", "border")]
    assert found[0].found == "C5, C6, C7 at the head; L2, L3 at the foot"


def test_real_faults_are_found(real):
    labels, code = real.labels, LEVEL_CODES
    renamed = np.where(labels > code["T8"], labels - 1, np.where(labels == code["T8"], 0, labels))
    assert real_rules(real, np.where(labels > 0, labels + 1, 0)) == {"off-by-one"}
    assert real_rules(real, np.where(labels > 0, labels - 1, 0)) == {"off-by-one"}
    assert real_rules(real, np.where(labels == code["T8"], 0, labels)) == {"gap"}
    assert "spacing" in real_rules(real, renamed)


def test_a_mirrored_real_mask_is_found(real):
    assert "flipped" in real_rules(real, real.labels[:, :, ::-1], real.hu)
