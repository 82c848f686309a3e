"""Each rule fires on the fault that it names, and stays silent on healthy spines and near misses."""

import re
from pathlib import Path

import numpy as np
import pytest

from drrkit.cohort.counting import order_along_spine
from drrkit.cohort.findings import RULES
from drrkit.cohort.measures import measure_spine
from drrkit.cohort.rules import check_spine
from drrkit.volume import LEVEL_CODES, Volume
from spines import SPINE, spine_volume


def findings(volume: Volume, labels=None, hu=True):
    labels = volume.labels if labels is None else labels
    found = check_spine("ct", measure_spine(labels, volume.world_from_voxel, volume.hu if hu is True else hu))
    assert {finding.rule for finding in found} <= set(RULES)
    return found


def rules(volume, labels=None, hu=True):
    return {finding.rule for finding in findings(volume, labels, hu)}


@pytest.fixture(scope="module")
def healthy():
    return spine_volume()


def relabelled(volume, names):
    """Return the labels with some levels under other names; an empty name takes the label away."""
    table = np.arange(256, dtype=np.uint8)
    for old, new in names.items():
        table[LEVEL_CODES[old]] = LEVEL_CODES[new] if new else 0
    return table[volume.labels]


def voxels(volume, level):
    return np.argwhere(volume.labels == LEVEL_CODES[level])


HEALTHY = {
    "a thoracolumbar spine": {},
    "with a sacrum": {"sacrum": True},
    "tilted by 40 degrees": {"tilt_deg": 40, "sacrum": True},
    "tilted the other way": {"tilt_deg": -40},
    "with six lumbar vertebrae": {"names": (*SPINE[1:], "L6"), "sacrum": True},
    "with thirteen ribs": {"names": ("T11", "T12", "T13", "L1", "L2", "L3")},
    "lumbar only": {"names": SPINE[2:]},
    "one vertebra": {"names": ("L3",)},
    "two vertebrae": {"names": ("L3", "L4")},
    "on a coarse grid": {"voxel_mm": 4.5},
}


@pytest.mark.parametrize("case", HEALTHY)
def test_healthy_spines_have_no_findings(case):
    assert findings(spine_volume(**HEALTHY[case])) == []


def test_an_empty_label_map_is_a_warning(healthy):
    found = findings(healthy, np.zeros_like(healthy.labels))
    assert [(finding.severity, finding.rule) for finding in found] == [("warning", "no-levels")]


# ---- is the mask on the bone ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("axes", "words"), [((2,), "left-right"), ((0,), "head-foot"), ((0, 1), "front-back")])
def test_a_mirrored_mask_is_named_with_its_axis(healthy, axes, words):
    found = [finding for finding in findings(healthy, np.flip(healthy.labels, axes)) if finding.rule == "flipped"]
    assert [finding.severity for finding in found] == ["error"]
    assert words in found[0].fix


def test_a_mask_off_the_bone(healthy):
    shifted = np.roll(healthy.labels, (0, 0, 12), (0, 1, 2))
    assert rules(healthy, hu=np.full_like(healthy.hu, -700)) == {"off-bone"}
    assert {"off-bone", "flipped"} & rules(healthy, shifted)


def test_one_soft_vertebra_is_a_warning_and_an_osteoporotic_spine_is_none(healthy):
    soft = np.where(healthy.labels == LEVEL_CODES["L3"], 20, healthy.hu)
    assert [(f.severity, f.rule) for f in findings(healthy, hu=soft)] == [("warning", "off-bone")]
    assert rules(healthy, hu=np.where(healthy.labels > 0, 85, 40)) == set()


def test_a_mirrored_mask_shows_in_osteoporotic_bone(healthy):
    soft = np.where(healthy.labels > 0, 85, 40)
    assert "flipped" in rules(healthy, healthy.labels[:, :, ::-1], soft)


def test_without_a_ct_the_labels_are_still_judged(healthy):
    assert rules(healthy, hu=None) == set()
    assert rules(healthy, relabelled(healthy, {"L3": ""}), hu=None) == {"gap"}


# ---- border, parts, sizes ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("axis", "level", "end"), [(0, "L5", "foot"), (2, "L3", "right"), (1, "L3", "front")])
def test_a_cut_level_names_the_end_and_is_not_judged_by_size(healthy, axis, level, end):
    # The voxel axes follow x, y, z of LPS here: the first slice is at the feet, the first column at the right.
    middle = int(np.median(voxels(healthy, level)[:, axis]))
    cut = tuple(slice(middle if other == axis else 0, None) for other in range(3))
    found = findings(Volume(healthy.hu[cut].copy(), healthy.world_from_voxel, healthy.labels[cut].copy()))
    assert [(finding.severity, finding.rule) for finding in found] == [("warning", "border")]
    assert re.search(rf"{level}[L0-9, ]* at the {end}", found[0].found)


def test_two_vertebrae_under_one_name(healthy):
    assert {"split-level", "gap"} <= rules(healthy, relabelled(healthy, {"L3": "L2"}))


def test_specks_far_away_and_specks_at_hand(healthy):
    far, near = healthy.labels.copy(), healthy.labels.copy()
    far[1, 1, 1] = LEVEL_CODES["L2"]
    top = voxels(healthy, "L2")[:, 0].max()
    near[top + 2, *voxels(healthy, "L2").mean(axis=0).astype(int)[1:]] = LEVEL_CODES["L2"]
    assert rules(healthy, far) == {"stray-voxels"}
    assert rules(healthy, near) == set()


def test_a_plane_that_cuts_a_vertebra_may_leave_it_in_parts(healthy):
    """Cut across T11, body and spinous process are apart; two bodies in the middle of a CT are two vertebrae."""
    top = int(np.median(voxels(healthy, "T11")[:, 0]))
    rows = voxels(healthy, "T11")[:, 1]
    between = slice(int(np.median(rows)) - 2, int(np.median(rows)) + 3)
    torn = healthy.labels.copy()
    torn[:, between][torn[:, between] == LEVEL_CODES["T11"]] = 0
    assert "split-level" in rules(healthy, torn)
    cut = Volume(healthy.hu[: top + 1].copy(), healthy.world_from_voxel, torn[: top + 1].copy())
    assert rules(cut) == {"border"}


def test_a_wrong_voxel_spacing_shows_in_volumes(healthy):
    twice = healthy.world_from_voxel.copy()
    twice[:3, :3] *= 2
    found = check_spine("ct", measure_spine(healthy.labels, twice))
    assert {"volume", "spacing"} <= {finding.rule for finding in found}


def test_half_a_vertebra_is_an_outlier_and_a_collapsed_one_is_none(healthy):
    heights = voxels(healthy, "L2")[:, 0]
    for share, expected in ((0.48, {"volume-outlier"}), (0.8, set())):
        labels = healthy.labels.copy()
        upper = np.arange(len(labels))[:, None, None] > heights.min() + share * np.ptp(heights)
        labels[upper & (labels == LEVEL_CODES["L2"])] = 0
        assert rules(healthy, labels) - {"volume"} == expected


def test_one_vertebra_under_two_names(healthy):
    """L3 cut in two by a coronal plane, its front named L3 and its back L4, all others renamed below."""
    labels = relabelled(healthy, {"L4": "L5", "L5": "L6"})
    rows = voxels(healthy, "L3")
    back = rows[rows[:, 1] > np.median(rows[:, 1])]
    labels[tuple(back.T)] = LEVEL_CODES["L4"]
    assert "two-labels" in rules(healthy, labels)


def test_touching_facets_are_not_one_vertebra():
    """Vertebrae drawn so high that they touch, as masks on coarse CTs do."""
    volume = spine_volume()
    labels = volume.labels.copy()
    for upper, lower in (("L1", "L2"), ("L2", "L3"), ("L3", "L4")):
        y, x = voxels(volume, upper).mean(axis=0).astype(int)[1:]
        lowest, highest = voxels(volume, upper)[:, 0].min(), voxels(volume, lower)[:, 0].max()
        labels[(lowest + highest) // 2 : lowest + 1, y - 4 : y + 4, x - 3 : x + 3] = LEVEL_CODES[upper]
        labels[highest : (lowest + highest) // 2, y - 4 : y + 4, x - 3 : x + 3] = LEVEL_CODES[lower]
    assert measure_spine(labels, volume.world_from_voxel).contact_mm2[("L1", "L2")] > 300
    assert "two-labels" not in rules(volume, labels, hu=None)


# ---- order and counting --------------------------------------------------------------------------------------------


def test_swapped_levels(healthy):
    found = findings(healthy, relabelled(healthy, {"L2": "L3", "L3": "L2"}))
    assert [finding.rule for finding in found] == ["order"]
    assert "L1, L3, L2, L4" in found[0].found


@pytest.mark.parametrize("names", [("L1", "L2", "L3", "L4", "L5"), ("L3", "L4")])
def test_totalsegmentator_numbers_read_upside_down(names):
    volume = spine_volume(names)
    labels = relabelled(volume, dict(zip(names, names[::-1], strict=True)))
    assert "reversed" in rules(volume, labels)
    assert any("TotalSegmentator" in finding.why for finding in findings(volume, labels))


def test_order_follows_the_curve_not_the_height():
    """A bent neck: from the head down, the first vertebrae climb before the spine turns down."""
    heading = np.radians(np.linspace(25, -85, 14))
    steps = 30 * np.stack([0 * heading, np.cos(heading), np.sin(heading)], axis=-1)
    spine = np.cumsum(steps, axis=0)
    assert not (np.diff(spine[:, 2]) < 0).all()
    shuffled = np.random.default_rng(3).permutation(14)
    assert shuffled[order_along_spine(spine[shuffled])].tolist() == list(range(14))


@pytest.mark.parametrize(
    ("names", "severity", "words"),
    [
        ({"L3": ""}, "error", "room for a vertebra"),
        ({"L3": "", "L4": ""}, "error", "room for a vertebra"),
        ({"L5": "L6", "L4": "L5"}, "error", "skip a level"),
        ({"T12": "T11", "T11": ""}, "warning", "variant"),
    ],
)
def test_gaps_say_whether_a_label_or_a_number_is_missing(healthy, names, severity, words):
    found = [finding for finding in findings(healthy, relabelled(healthy, names)) if finding.rule == "gap"]
    assert [finding.severity for finding in found] == [severity]
    assert words in found[0].why


def test_a_vertebra_without_a_label_but_no_gap_in_the_names():
    volume = spine_volume(("T11", "T12", "L1", "L2", "L3"), skip_after="L1")
    found = findings(volume)
    assert {(finding.severity, finding.rule) for finding in found} == {("error", "spacing")}
    assert found[0].found.startswith("L1 and L2")


def test_a_missing_label_shows_in_a_small_person_too():
    """Two steps of a child are no longer than one of a giant: the spine is its own measure."""
    volume = spine_volume(("T11", "T12", "L1", "L2", "L3"), skip_after="L1")
    small = volume.world_from_voxel * [[0.75], [0.75], [0.75], [1]]
    found = check_spine("ct", measure_spine(volume.labels, small))
    assert [finding.found for finding in found if finding.rule == "spacing"] == ["L1 and L2 48 mm apart"]


def test_two_names_close_together():
    volume = spine_volume(SPINE)
    labels = volume.labels.copy()
    rows = voxels(volume, "L3")
    high = rows[rows[:, 0] >= np.median(rows[:, 0])]
    labels = relabelled(volume, {"L4": "L5", "L5": "L6", "L3": "L4"})
    labels[tuple(high.T)] = LEVEL_CODES["L3"]
    assert {"spacing", "two-labels"} <= rules(volume, labels)


@pytest.mark.parametrize(
    ("names", "shapes"),
    [
        (("T10", "T11", "T12", "L1", "L2"), ("T11", "T12", "L1", "L2", "L3")),
        (("T12", "L1", "L2", "L3", "L4"), ("T11", "T12", "L1", "L2", "L3")),
        (("L1", "L2", "L3", "L4", "L5"), ("T12", "L1", "L2", "L3", "L4")),
    ],
)
def test_names_one_off_show_at_the_transverse_processes(names, shapes):
    found = findings(spine_volume(names, shapes))
    assert [(finding.severity, finding.rule) for finding in found] == [("warning", "off-by-one")]
    place = list(spine_levels()).index(names[1]) - list(spine_levels()).index(shapes[1])
    assert ("above" if place > 0 else "below") in found[0].why


def spine_levels():
    return ("T10", "T11", "T12", "L1", "L2", "L3", "L4", "L5")


def test_the_level_on_the_sacrum():
    on_l4 = spine_volume(("T11", "T12", "L1", "L2", "L3", "L4"), sacrum=True)
    assert rules(on_l4) == {"off-by-one"}
    assert "L4 " in findings(on_l4)[0].found
    assert rules(spine_volume(sacrum=True)) == set()


def test_room_above_the_sacrum():
    volume = spine_volume(sacrum=True)
    (gap,) = findings(volume, relabelled(volume, {"L5": ""}))
    assert (gap.severity, gap.rule) == ("error", "gap")
    assert gap.found.startswith("no L5 between L4 and the sacrum")
    six = spine_volume(("L1", "L2", "L3", "L4", "L5", "L6"), sacrum=True)
    (off,) = findings(six, relabelled(six, {"L6": ""}))
    assert (off.severity, off.rule) == ("warning", "off-by-one")


def test_every_rule_is_explained_to_users():
    page = (Path(__file__).parents[2] / "docs/how-to/cohort.md").read_text()
    assert [rule for rule in RULES if f"| `{rule}` |" not in page] == []
