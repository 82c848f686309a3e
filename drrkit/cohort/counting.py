"""Rules on the order and the count of levels: wrong label schemes, skipped vertebrae, miscounts."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
from jaxtyping import Float

from drrkit.cohort.anatomy import (
    SOMETIMES_ABSENT,
    TRANSVERSE_SPAN_MM,
    levels_between,
    spacing_bounds_mm,
    usual_spacing_mm,
)
from drrkit.cohort.findings import Finding, Severity
from drrkit.cohort.measures import LevelMeasure, SpineMeasures

# Steps between neighbors grow slowly along a spine; twice the step is a vertebra without a label, half of it a name too
# many.
SPACING_OUTLIER = 1.6
TIGHT_SPACING = 0.5
# The facets of L5 and the sacrum touch, up to a slice; those of L4 end some 16 mm above it.
TOUCHING_SACRUM_MM = 8.0
ABOVE_NEXT_LEVEL_MM = 12.0
# Widths are worth a look when they miss the published ones by 10 % as named, and fit much better one level off.
SHIFT_MISFIT = 0.1
SHIFT_FIT = 0.4
SHIFT_LEVELS = 4


def check_order(ct_id: str, spine: SpineMeasures) -> Iterator[Finding]:
    """Check that the names follow each other along the spine."""
    names = [level.level for level in spine.levels]
    if len(names) < 2:
        return
    seen = [names[index] for index in order_along_spine(np.stack([level.centroid_world for level in spine.levels]))]
    if seen == names:
        return
    if seen == names[::-1]:
        yield Finding(
            "error",
            ct_id,
            "reversed",
            f"{seen[0]} on top and {seen[-1]} at the bottom",
            "the names run from foot to head: TotalSegmentator counts L5 to L1, VerSe and CTSpine1K count L1 to L5",
            "import with the right label scheme; if the CT itself is upside down, correct its affine",
        )
    else:
        yield Finding(
            "error",
            ct_id,
            "order",
            f"from head to foot {', '.join(seen)}",
            f"the order is {', '.join(names)}",
            "check the label scheme, then the labels that are out of place",
        )


def check_count(ct_id: str, spine: SpineMeasures) -> Iterator[Finding]:
    """Check gaps, distances, and what tells T12 from L1 and L5 from L4; only for levels that are in order."""
    for rule in (_gaps, _spacing, _presacral, _shifted):
        yield from rule(ct_id, spine)


def order_along_spine(centroids_world: Float[np.ndarray, "n 3"]) -> list[int]:
    """Sort points from head to foot along a smooth curve through them.

    A spine that lies askew or bends strongly is not sorted by height alone: points are projected on a cubic curve that
    is fitted to them, five times over, starting from their main axis.

    Returns:
        Indices of the points, head first (the head is where z, superior, is largest).
    """
    centered = centroids_world - centroids_world.mean(axis=0)
    along = centered @ np.linalg.svd(centered, full_matrices=False)[2][0]
    degree = min(3, len(along) - 2)
    if degree >= 1:
        for _ in range(5):
            along = (along - along.mean()) / (np.ptp(along) or 1.0)
            curve = [np.polynomial.Polynomial.fit(along, axis, degree) for axis in centered.T]
            steps = np.linspace(along.min() - 0.1, along.max() + 0.1, 500)
            samples = np.stack([axis(steps) for axis in curve], axis=-1)
            nearest = np.linalg.norm(centered[:, None] - samples[None], axis=-1).argmin(axis=1)
            along = steps[nearest]
    order = np.argsort(along, kind="stable")
    headward = centroids_world[order[0], 2] >= centroids_world[order[-1], 2]
    return [int(index) for index in (order if headward else order[::-1])]


def _gaps(ct_id: str, spine: SpineMeasures) -> Iterator[Finding]:
    levels = spine.presacral
    steps_mm = _steps_mm(levels)
    for upper, lower in pairwise(levels):
        missing = levels_between(upper.level, lower.level)
        if not missing:
            continue
        usual_mm = _usual_step_mm(lower.level, list(steps_mm.items()))
        distance_mm = _distance_mm(upper, lower)
        found = f"no {', '.join(missing)} between {upper.level} and {lower.level}, {distance_mm:.0f} mm apart"
        if distance_mm > (len(missing) + 0.5) * usual_mm:
            yield Finding(
                "error",
                ct_id,
                "gap",
                found,
                "there is room for a vertebra that has no label",
                f"label {', '.join(missing)}, or leave the CT out",
            )
        else:
            variant = set(missing) <= SOMETIMES_ABSENT
            severity: Severity = "warning" if variant else "error"
            yield Finding(
                severity,
                ct_id,
                "gap",
                found,
                "the names skip a level though the vertebrae are neighbors"
                + (": a known variant, or off by one" if variant else ": the names on one side are off by one"),
                "count the levels in the CT and rename",
            )


def _spacing(ct_id: str, spine: SpineMeasures) -> Iterator[Finding]:
    levels = spine.presacral
    steps_mm = _steps_mm(levels)
    for upper, lower in pairwise(levels):
        step_mm = steps_mm.get((upper.level, lower.level))
        if step_mm is None:
            continue
        whole = not upper.cut_at and not lower.cut_at
        others = [step for step in steps_mm.items() if step[0] != (upper.level, lower.level)]
        usual_mm = _usual_step_mm(lower.level, others)
        least_mm, greatest_mm = spacing_bounds_mm(lower.level)
        found = f"{upper.level} and {lower.level} {step_mm:.0f} mm apart"
        if step_mm > greatest_mm or step_mm > SPACING_OUTLIER * usual_mm:
            yield Finding(
                "error",
                ct_id,
                "spacing",
                found,
                f"{usual_mm:.0f} mm are usual here: a vertebra between them has no label, so names are off by one",
                f"label the vertebra below {upper.level} and rename the levels beyond",
            )
        elif whole and (step_mm < least_mm or step_mm < TIGHT_SPACING * usual_mm):
            yield Finding(
                "error",
                ct_id,
                "spacing",
                found,
                f"{usual_mm:.0f} mm are usual here: two names may lie in one vertebra",
                f"look at {upper.level} and {lower.level}",
            )


def _presacral(ct_id: str, spine: SpineMeasures) -> Iterator[Finding]:
    levels = spine.presacral
    if not levels or levels[-1].level not in spine.sacrum_gap_mm:
        return
    lowest = levels[-1].level
    gap_mm = spine.sacrum_gap_mm[lowest]
    found = f"{lowest} {gap_mm:.0f} mm above the sacrum"
    if lowest not in ("L5", "L6") and gap_mm <= TOUCHING_SACRUM_MM:
        yield Finding(
            "warning",
            ct_id,
            "off-by-one",
            found,
            "the vertebra on the sacrum is L5 or L6: the names are off, or L5 has grown together with the sacrum",
            "count the levels in the CT and rename",
        )
    elif gap_mm > ABOVE_NEXT_LEVEL_MM:
        missing = levels_between(lowest, "sacrum")
        yield Finding(
            "error" if missing else "warning",
            ct_id,
            "gap" if missing else "off-by-one",
            f"no {', '.join(missing)} between {lowest} and the sacrum, {gap_mm:.0f} mm apart" if missing else found,
            "there is room for a vertebra that has no label",
            f"label {', '.join(missing)}, or leave the CT out"
            if missing
            else "count the levels in the CT: an L6 without a label, or names one too low",
        )


def _shifted(ct_id: str, spine: SpineMeasures) -> Iterator[Finding]:
    """Compare the spans over the transverse processes with the published ones, as labelled and one level off."""
    whole = [level for level in spine.presacral if not level.cut_at]
    misfits = {shift: _span_misfit(whole, shift) for shift in (-1, 0, 1)}
    best = min(misfits, key=lambda shift: misfits[shift])
    too_few = not np.isfinite(misfits[0])
    if too_few or misfits[0] < SHIFT_MISFIT**2 or misfits[best] > SHIFT_FIT * misfits[0]:
        return
    spans = ", ".join(f"{level.level} {level.width_mm:.0f}" for level in whole if level.level in TRANSVERSE_SPAN_MM)
    yield Finding(
        "warning",
        ct_id,
        "off-by-one",
        f"widths {spans} mm",
        "T12 has short transverse processes and L1 long ones: the widths fit the names one level"
        f" {'below' if best > 0 else 'above'} better",
        "count the ribs in the CT and rename, unless the thoracolumbar junction is a variant",
    )


def _span_misfit(levels: Sequence[LevelMeasure], shift: int) -> float:
    """Mean squared log ratio of widths to published spans ``shift`` levels further down, after scaling to size."""
    names = list(TRANSVERSE_SPAN_MM)
    ratios = []
    for level in levels:
        place = names.index(level.level) + shift if level.level in names else -1
        if 0 <= place < len(names):
            ratios.append(np.log(level.width_mm / TRANSVERSE_SPAN_MM[names[place]]))
    return float(np.var(ratios)) if len(ratios) >= SHIFT_LEVELS else np.inf


def _distance_mm(upper: LevelMeasure, lower: LevelMeasure) -> float:
    return float(np.linalg.norm(upper.centroid_world - lower.centroid_world))


def _steps_mm(levels: Sequence[LevelMeasure]) -> dict[tuple[str, str], float]:
    """Distances of neighbors by name."""
    return {
        (upper.level, lower.level): _distance_mm(upper, lower)
        for upper, lower in pairwise(levels)
        if not levels_between(upper.level, lower.level)
    }


def _usual_step_mm(level: str, steps_mm: Sequence[tuple[tuple[str, str], float]]) -> float:
    """Return how far that level should lie from the one above: the usual step, scaled to this person's other steps."""
    scales = [step_mm / usual_spacing_mm(lower) for (_, lower), step_mm in steps_mm]
    return usual_spacing_mm(level) * (float(np.median(scales)) if len(scales) >= 2 else 1.0)
