"""The cohort's measures against published figures.

Everything is measured on the finished meshes, not read from the parameters that made them. Published figures come as a
median with a 5-95 % interval, or as a range of the population. Sources:

VID: vertebral body centers and pedicles of 2046 CTs in the VID data set (CC BY-SA 4.0).
morphometry: ranges of adult lumbar vertebrae collected from anatomical and CT morphometry.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Float

from drrkit.geometry import rigid
from drrkit.phantom.parameters import sample_parameters
from drrkit.phantom.template import template
from drrkit.phantom.vertebrae import Spine, Vertebra, make_spine
from drrkit.volume import LUMBAR_LEVELS

MEDIAN_TOLERANCE = 0.25  # of the published interval's width, between the medians
LEAST_OVERLAP = 0.5  # of the two intervals, as intersection over union


@dataclass(frozen=True)
class Published:
    """A published figure.

    Args:
        unit: mm, degrees or cm3.
        low: 5th percentile, or lower end of the population's range.
        high: 95th percentile, or upper end of the range.
        median: None where only a range is published.
        source: Where it comes from.
    """

    unit: str
    low: float
    high: float
    median: float | None = None
    source: str = "VID"


def _vid(low: float, median: float, high: float, unit: str = "mm") -> Published:
    return Published(unit, low, high, median)


def _range(low: float, high: float, unit: str = "mm") -> Published:
    return Published(unit, low, high, source="morphometry")


PUBLISHED: dict[str, Published] = {
    "body spacing L1-L2": _vid(30.7, 34.5, 38.6),
    "body spacing L2-L3": _vid(31.2, 35.7, 40.3),
    "body spacing L3-L4": _vid(31.9, 36.5, 40.8),
    "body spacing L4-L5": _vid(31.0, 36.3, 40.9),
    "pedicle distance L1": _vid(25.9, 30.1, 34.6),
    "pedicle distance L2": _vid(27.0, 30.2, 34.7),
    "pedicle distance L3": _vid(28.7, 33.0, 37.9),
    "pedicle distance L4": _vid(31.5, 36.3, 42.9),
    "pedicle distance L5": _vid(38.9, 48.2, 58.0),
    "body to pedicles L1": _vid(21.1, 25.6, 30.1),
    "body to pedicles L2": _vid(21.2, 25.7, 30.2),
    "body to pedicles L3": _vid(20.9, 25.4, 29.9),
    "body to pedicles L4": _vid(20.4, 24.9, 29.4),
    "body to pedicles L5": _vid(18.8, 23.3, 27.8),
    "chord angle L1L2 to L4L5": _vid(7.8, 22.5, 39.4, "degrees"),
    "body width": _range(39, 59),
    "body depth": _range(30, 42),
    "body height": _range(24, 32),
    "canal depth": _range(13, 20),
    "canal width": _range(22, 32),
    "disc height": _range(3, 11),
    "spinous length": _range(43, 61),
    "left-right extent": _range(83, 98),
    "antero-posterior extent": _range(83, 92),
    "vertebra volume": _range(54, 66, "cm3"),
}


@dataclass(frozen=True)
class Comparison:
    """One line of the table: a published figure and the cohort's.

    Args:
        name: What is measured.
        published: The published figure.
        low: 5th percentile of the cohort.
        median: Its median.
        high: Its 95th percentile.
    """

    name: str
    published: Published
    low: float
    median: float
    high: float

    @property
    def median_shift(self) -> float | None:
        """Our median minus the published one, in widths of the published interval."""
        if self.published.median is None:
            return None
        return (self.median - self.published.median) / (self.published.high - self.published.low)

    @property
    def overlap(self) -> float:
        """Intersection over union of the two intervals."""
        common = min(self.high, self.published.high) - max(self.low, self.published.low)
        whole = max(self.high, self.published.high) - min(self.low, self.published.low)
        return max(0.0, common) / whole

    @property
    def median_inside(self) -> bool:
        """Whether our median lies in the published interval."""
        return self.published.low <= self.median <= self.published.high


def compare(spines: Iterable[Spine]) -> list[Comparison]:
    """Measure a cohort of spines and set it beside the published figures."""
    drawn: dict[str, list[float]] = {name: [] for name in PUBLISHED}
    for spine in spines:
        for name, values in measures(spine).items():
            drawn[name].extend(values)
    rows = []
    for name, published in PUBLISHED.items():
        low, median, high = np.percentile(drawn[name], [5, 50, 95])
        rows.append(Comparison(name, published, float(low), float(median), float(high)))
    return rows


def markdown(rows: Iterable[Comparison]) -> str:
    """Write the comparison as a Markdown table."""
    lines = ["| measure | unit | published | ours | overlap | source |", "|---|---|---|---|---|---|"]
    for row in rows:
        known = row.published
        interval = f"{known.low:.1f} to {known.high:.1f}"
        theirs = interval if known.median is None else f"{known.median:.1f} [{interval}]"
        ours = f"{row.median:.1f} [{row.low:.1f} to {row.high:.1f}]"
        lines.append(f"| {row.name} | {known.unit} | {theirs} | {ours} | {row.overlap:.2f} | {known.source} |")
    return "\n".join(lines)


def calibration_table(count: int = 200) -> str:
    """Draw a cohort of adults, measure it, and write the comparison with the published figures (docs/phantom.md).

    Args:
        count: Individuals, by the seeds 0 to count - 1.
    """
    return markdown(compare(make_spine(sample_parameters(seed)) for seed in range(count)))


def measures(spine: Spine) -> dict[str, list[float]]:
    """Measure one spine by the names of ``PUBLISHED``; measures of every level give one value a level."""
    drawn: dict[str, list[float]] = {name: [] for name in PUBLISHED}
    lumbar = [spine.vertebrae[level] for level in LUMBAR_LEVELS]
    centers = [body_center(vertebra) for vertebra in lumbar]
    for vertebra, center in zip(lumbar, centers, strict=True):
        left, right = vertebra.landmarks_world["left_pedicle"], vertebra.landmarks_world["right_pedicle"]
        drawn[f"pedicle distance {vertebra.level}"].append(_distance(left, right))
        drawn[f"body to pedicles {vertebra.level}"].append(_distance((left + right) / 2, center))
        for name, value in _of_one(vertebra).items():
            drawn[name].append(value)
    for upper, lower in pairwise(lumbar):
        spacing = _distance(body_center(upper), body_center(lower))
        drawn[f"body spacing {upper.level}-{lower.level}"].append(spacing)
        drawn["disc height"].append(disc_height_mm(upper, lower))
    first, second = centers[1] - centers[0], centers[4] - centers[3]
    cosine = first @ second / np.linalg.norm(first) / np.linalg.norm(second)
    drawn["chord angle L1L2 to L4L5"].append(float(np.degrees(np.arccos(cosine))))
    return drawn


def body_center(vertebra: Vertebra) -> Float[np.ndarray, " 3"]:
    """Return the middle between the centers of the end plates."""
    return (vertebra.landmarks_world["upper_end_plate"] + vertebra.landmarks_world["lower_end_plate"]) / 2


def disc_height_mm(upper: Vertebra, lower: Vertebra) -> float:
    """Return the disc's height as the mean distance of the facing rims, in front, behind and at both sides."""
    sides = ("front", "back", "left", "right")
    gaps = [_distance(_spot(upper, f"lower_rim_{side}"), _spot(lower, f"upper_rim_{side}")) for side in sides]
    return float(np.mean(gaps))


def volume_cm3(vertebra: Vertebra) -> float:
    """Return the volume that a vertebra's surface encloses."""
    a, b, c = (vertebra.vertices_world[vertebra.faces[:, corner]] for corner in range(3))
    return float((a * np.cross(b, c)).sum() / 6000)


def _of_one(vertebra: Vertebra) -> dict[str, float]:
    def between(first: str, second: str) -> float:
        return _distance(_spot(vertebra, first), _spot(vertebra, second))

    local = rigid.apply(rigid.invert(vertebra.world_from_vertebra), vertebra.vertices_world)
    extent = np.ptp(local, axis=0)
    return {
        "body width": (between("upper_rim_left", "upper_rim_right") + between("lower_rim_left", "lower_rim_right")) / 2,
        "body depth": (between("upper_rim_front", "upper_rim_back") + between("lower_rim_front", "lower_rim_back")) / 2,
        "body height": (between("upper_rim_front", "lower_rim_front") + between("upper_rim_back", "lower_rim_back"))
        / 2,
        "canal depth": between("posterior_wall", "canal_back"),
        "canal width": between("left_pedicle_medial", "right_pedicle_medial"),
        "spinous length": between("posterior_wall", "spinous_tip"),
        "left-right extent": float(extent[0]),
        "antero-posterior extent": float(extent[1]),
        "vertebra volume": volume_cm3(vertebra),
    }


def _spot(vertebra: Vertebra, name: str) -> Float[np.ndarray, " 3"]:
    return vertebra.vertices_world[template().nearest[name]]


def _distance(first: Float[np.ndarray, " 3"], second: Float[np.ndarray, " 3"]) -> float:
    return float(np.linalg.norm(first - second))
