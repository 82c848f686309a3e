"""Rules that one labelled spine must keep; each finds what it names and nothing else.

A spine is judged by itself first (its other levels say what is usual for this person), by published ranges second.
Levels that the CT cuts off are not measured against whole ones.
"""

from collections.abc import Iterator

import numpy as np

from drrkit.cohort.anatomy import (
    usual_volume_mm3,
    volume_bounds_mm3,
)
from drrkit.cohort.counting import check_count, check_order
from drrkit.cohort.findings import Finding
from drrkit.cohort.measures import SpineMeasures

# Below this mean a mask lies on soft tissue or air: soft-boned vertebrae, cortex included, average more.
OFF_BONE_HU = 50.0
# A mask that was drawn on this CT fits better than any mirror image of it, even where the spine lies in the middle.
FLIP_GAIN_HU = 20.0
# A second part of that share is half a vertebra or another vertebra; smaller ones are specks.
SPLIT_SHARE = 0.2
# Facet joints leave no gap at CT resolution; farther parts stretch boxes and masks of rendered images.
STRAY_GAP_MM = 10.0
STRAY_SHARE = 0.02
# A plane that cuts a vertebra leaves body and spinous process apart, but not farther than this.
CUT_PARTS_GAP_MM = 40.0
# Neighbors differ by a fifth at most in healthy spines.
VOLUME_OUTLIER = 1.6
# Two labels in one vertebra share a cross-section of it, about its volume to the power 2/3.
SHARED_FACE = 1.0


def check_spine(ct_id: str, spine: SpineMeasures) -> list[Finding]:
    """Apply all rules to one spine.

    Where the order of the levels is wrong, the rules that rely on it are left out: they would only repeat it.
    """
    if not spine.levels:
        return [
            Finding(
                "warning",
                ct_id,
                "no-levels",
                "a label map without any vertebra",
                "nothing can be rendered or learned from it",
                "check the label scheme, or import the CT without this label map",
            )
        ]
    findings = [
        *_off_bone(ct_id, spine),
        *_border(ct_id, spine),
        *_parts(ct_id, spine),
        *_volumes(ct_id, spine),
        *_merged(ct_id, spine),
    ]
    disorder = list(check_order(ct_id, spine))
    if disorder:
        return [*disorder, *findings]
    return [*findings, *_volume_outliers(ct_id, spine), *check_count(ct_id, spine)]


# ---- is the mask on the bone ---------------------------------------------------------------------------------------


def _off_bone(ct_id: str, spine: SpineMeasures) -> Iterator[Finding]:
    if not spine.flipped_mean_hu:
        return
    flip, flipped_hu = max(spine.flipped_mean_hu.items(), key=lambda item: item[1])
    if flipped_hu > spine.mean_hu + FLIP_GAIN_HU and flipped_hu > OFF_BONE_HU:
        yield Finding(
            "error",
            ct_id,
            "flipped",
            f"mean {spine.mean_hu:.0f} HU in the mask, {flipped_hu:.0f} HU with the mask mirrored {flip}",
            "the label map is a mirror image of the CT",
            f"mirror the label map {flip}, or correct its affine, then import again",
        )
    elif spine.mean_hu < OFF_BONE_HU:
        yield Finding(
            "error",
            ct_id,
            "off-bone",
            f"mean {spine.mean_hu:.0f} HU in the mask",
            f"vertebrae average more than {OFF_BONE_HU:.0f} HU: the mask lies on soft tissue or air",
            "check that the label map belongs to this CT, its affine, and the CT's rescaling to HU",
        )
    else:
        for level in spine.levels:
            if level.mean_hu < OFF_BONE_HU:
                yield Finding(
                    "warning",
                    ct_id,
                    "off-bone",
                    f"mean {level.mean_hu:.0f} HU in {level.level}",
                    f"vertebrae average more than {OFF_BONE_HU:.0f} HU",
                    f"look at {level.level} in the CT: a shifted label, or a lytic vertebra",
                )


def _border(ct_id: str, spine: SpineMeasures) -> Iterator[Finding]:
    ends: dict[str, list[str]] = {}
    for level in spine.presacral:
        for end in level.cut_at:
            ends.setdefault(end, []).append(level.level)
    if ends:
        yield Finding(
            "warning",
            ct_id,
            "border",
            "; ".join(f"{', '.join(levels)} at the {end}" for end, levels in ends.items()),
            "cut off by the CT's border: incomplete in every image and every volume",
            "leave these levels out of training and evaluation",
        )


# ---- parts and sizes -----------------------------------------------------------------------------------------------


def _parts(ct_id: str, spine: SpineMeasures) -> Iterator[Finding]:
    for level in spine.levels:
        if level.cut_at and level.farthest_part_mm <= CUT_PARTS_GAP_MM:
            continue
        second_share = level.parts_mm3[1] / level.volume_mm3 if len(level.parts_mm3) > 1 else 0.0
        largest = ", ".join(f"{part / 1000:.2f}" for part in level.parts_mm3[:3])
        found = f"{level.level} in {len(level.parts_mm3)} parts ({largest} cm3)"
        if second_share >= SPLIT_SHARE:
            yield Finding(
                "error",
                ct_id,
                "split-level",
                found,
                "one label holds two large bodies: two vertebrae, or one vertebra torn apart",
                f"correct {level.level} in the label map",
            )
        elif second_share >= STRAY_SHARE or level.farthest_part_mm > STRAY_GAP_MM:
            yield Finding(
                "warning",
                ct_id,
                "stray-voxels",
                f"{found}, up to {level.farthest_part_mm:.0f} mm away",
                "specks apart from the vertebra stretch its box and its projected mask",
                f"keep the largest part of {level.level}",
            )


def _volumes(ct_id: str, spine: SpineMeasures) -> Iterator[Finding]:
    for level in spine.presacral:
        lower_mm3, upper_mm3 = volume_bounds_mm3(level.level)
        # A cut vertebra may be as small as it likes, but not too large.
        if level.volume_mm3 > upper_mm3 or (level.volume_mm3 < lower_mm3 and not level.cut_at):
            yield Finding(
                "error",
                ct_id,
                "volume",
                f"{level.level} of {level.volume_mm3 / 1000:.1f} cm3",
                f"that level has {lower_mm3 / 1000:.0f} to {upper_mm3 / 1000:.0f} cm3 in adults",
                "check the voxel spacing of CT and labels, and the label itself",
            )


def _volume_outliers(ct_id: str, spine: SpineMeasures) -> Iterator[Finding]:
    levels = spine.presacral
    for above, level, below in zip(levels, levels[1:], levels[2:], strict=False):
        if above.cut_at or level.cut_at or below.cut_at or level.level in ("C1", "C2", "C3"):
            continue
        ratio = level.volume_mm3 / np.sqrt(above.volume_mm3 * below.volume_mm3)
        if not 1 / VOLUME_OUTLIER <= ratio <= VOLUME_OUTLIER:
            yield Finding(
                "warning",
                ct_id,
                "volume-outlier",
                f"{level.level} of {level.volume_mm3 / 1000:.1f} cm3 between {above.volume_mm3 / 1000:.1f} and"
                f" {below.volume_mm3 / 1000:.1f} cm3",
                "neighbors are of nearly equal size: a part is missing, or belongs to the neighbor",
                f"look at {level.level} and its neighbors",
            )


def _merged(ct_id: str, spine: SpineMeasures) -> Iterator[Finding]:
    levels = {level.level: level for level in spine.presacral}
    for (upper, lower), contact_mm2 in spine.contact_mm2.items():
        if upper not in levels or lower not in levels or levels[upper].cut_at or levels[lower].cut_at:
            continue
        volumes = [levels[upper].volume_mm3, levels[lower].volume_mm3]
        others = [level.volume_mm3 for level in levels.values() if level.level not in (upper, lower)]
        whole_mm3 = float(np.median(others)) if len(others) >= 3 else usual_volume_mm3(lower)
        if contact_mm2 > SHARED_FACE * min(volumes) ** (2 / 3) and sum(volumes) < 1.5 * whole_mm3:
            yield Finding(
                "error",
                ct_id,
                "two-labels",
                f"{upper} and {lower} share a face of {contact_mm2:.0f} mm2 and have {sum(volumes) / 1000:.1f} cm3"
                " together",
                "that is one vertebra under two names, so every name beyond it is off by one",
                f"merge {upper} and {lower}, and rename the levels beyond",
            )
