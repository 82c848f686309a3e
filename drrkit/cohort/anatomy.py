"""Sizes of vertebrae, as wide as living people are: outside of them a label is wrong, not rare.

Centers of the ranges: whole-vertebra volumes of CT segmentations (lumbar means 54-66 cm3); spacing of vertebral bodies
over 2046 CTs (VID: L1 to L5 medians 34.5-36.5 mm, 5-95 % 30.7-41 mm); spans over the transverse processes (Panjabi et
al., Spine 1991 and 1992, rounded). The widths are our choice: room for small women, giants, collapse and cement.
"""

from collections.abc import Mapping
from typing import TypeVar

from drrkit.volume import LEVEL_CODES

Value = TypeVar("Value")

# T13 has the last code of all but lies between T12 and L1.
HEAD_TO_FOOT: tuple[str, ...] = tuple(
    sorted(LEVEL_CODES, key=lambda name: 19.5 if name == "T13" else float(LEVEL_CODES[name]))
)
PRESACRAL: tuple[str, ...] = HEAD_TO_FOOT[: HEAD_TO_FOOT.index("sacrum")]
# Few people have these, and a spine without them is not incomplete.
OPTIONAL_LEVELS = frozenset({"T13", "L6", "coccyx"})
# Some people lack one of these: 11 pairs of ribs, or an L5 grown together with the sacrum.
SOMETIMES_ABSENT = frozenset({"T12", "L5"})

# mm over both transverse processes. T12 has the shortest ones, L1 the first long ones: the landmark for counting.
TRANSVERSE_SPAN_MM = {"T9": 60, "T10": 58, "T11": 52, "T12": 47, "L1": 71, "L2": 76, "L3": 86, "L4": 79, "L5": 93}

# Each entry holds from the level named down to the next one.
_VOLUME_BOUNDS_CM3 = {"C1": (4, 35), "C3": (3, 32), "T1": (6, 45), "T5": (8, 55), "T9": (12, 80), "L1": (22, 130)}
_USUAL_VOLUME_CM3 = {"C1": 12, "T1": 20, "T9": 32, "L1": 55}
_SPACING_BOUNDS_MM = {"C1": (7, 30), "T1": (11, 42), "L1": (17, 58)}
_USUAL_SPACING_MM = {"C1": 17, "T1": 22, "T9": 28, "L1": 34}


def volume_bounds_mm3(level: str) -> tuple[float, float]:
    """Return the smallest and the largest volume of a whole vertebra."""
    lower, upper = _at(level, _VOLUME_BOUNDS_CM3)
    return lower * 1000.0, upper * 1000.0


def usual_volume_mm3(level: str) -> float:
    """Return the volume of a usual vertebra, for spines too short to be their own measure."""
    return _at(level, _USUAL_VOLUME_CM3) * 1000.0


def spacing_bounds_mm(level: str) -> tuple[float, float]:
    """Return the least and the greatest distance of a vertebra's centroid from that of the vertebra above."""
    lower, upper = _at(level, _SPACING_BOUNDS_MM)
    return float(lower), float(upper)


def usual_spacing_mm(level: str) -> float:
    """Return the usual distance of a vertebra's centroid from that of the vertebra above."""
    return float(_at(level, _USUAL_SPACING_MM))


def levels_between(upper: str, lower: str) -> list[str]:
    """Return the levels that every spine has between two levels."""
    between = HEAD_TO_FOOT[HEAD_TO_FOOT.index(upper) + 1 : HEAD_TO_FOOT.index(lower)]
    return [level for level in between if level not in OPTIONAL_LEVELS]


def _at(level: str, table: Mapping[str, Value]) -> Value:
    place = HEAD_TO_FOOT.index(level)
    return [value for first, value in table.items() if HEAD_TO_FOOT.index(first) <= place][-1]
