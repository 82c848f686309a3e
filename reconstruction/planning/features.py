"""What a set of lines of sight looks like, in numbers that do not depend on their order.

Opposite directions are one line, and a set and its mirror image (left for right) have the same numbers: the spine is
about symmetric, and a model of few sets must not learn a side by chance.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from drrkit.errors import InputError

# A line of sight covers a standard one the less the further it is off, as a Gaussian of this width.
COVER_DEG = 20.0
# What is known of every direction without any view, as a part of what one view tells across its line of sight; it keeps
# the numbers of a single view finite.
PRIOR_VIEWS = 0.3
_TILT_UNIT_DEG = 20.0

FEATURES: tuple[str, ...] = (
    "inverse_count",  # 1 over the number of views
    "worst_spread",  # standard deviation of a triangulated point in its worst direction; 1 is one view's, across
    "middle_spread",  # and in the second worst
    "widest_gap",  # widest angle without a line of sight in the axial plane, of 180 degrees
    "unevenness",  # sum of the squares of all such gaps
    "ap_cover",  # how well the best view covers AP, 0 to 1
    "lateral_cover",
    "oblique_cover",  # of the two 45-degree obliques, the one that is covered better
    "other_oblique_cover",
    "lateral_share",  # mean square of the part of the line of sight from side to side
    "skew",  # whether the obliques are all of one side
    "tilt",  # mean angle off the axial plane, of 20 degrees
    "lean",  # whether tilts are all to one side: products of the parts along the patient and across, which may cancel
)
_DIAGONAL = float(np.sqrt(0.5))
# Lines of sight of AP, lateral and the two obliques.
_STANDARD = np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [_DIAGONAL, _DIAGONAL, 0.0], [_DIAGONAL, -_DIAGONAL, 0.0]])


def set_features(
    directions_world: Float[np.ndarray, "sets views 3"], names: Sequence[str] = FEATURES
) -> Float[np.ndarray, "sets features"]:
    """Describe sets of one number of views each.

    Args:
        directions_world: Unit vectors from source to detector (LPS).
        names: Which features.

    Returns:
        A column for each name.

    Raises:
        InputError: No view, or an unknown name.
    """
    lines = np.asarray(directions_world, np.float64)
    if lines.ndim != 3 or lines.shape[1] < 1 or lines.shape[2] != 3:
        raise InputError("directions of view sets", f"shape {lines.shape}", "(sets, views, 3) with at least one view")
    unknown = [name for name in names if name not in FEATURES]
    if unknown:
        raise InputError("features of view sets", ", ".join(unknown), f"some of {', '.join(FEATURES)}")
    count = lines.shape[1]
    # A view tells all of a point but its place along the line of sight; what views tell adds up.
    scatter = np.einsum("svi,svj->sij", lines, lines)
    told = np.linalg.eigvalsh((count + PRIOR_VIEWS) * np.eye(3) - scatter)
    spreads = 1 / np.sqrt(np.clip(told, PRIOR_VIEWS / 2, None))
    gaps = _axial_gaps(lines)
    tilt_deg = np.degrees(np.arcsin(np.clip(lines[:, :, 2], -1, 1)))
    off_deg = np.degrees(np.arccos(np.clip(np.abs(lines @ _STANDARD.T), 0, 1)))
    covers = np.exp(-((off_deg / COVER_DEG) ** 2) / 2).max(axis=1)
    obliques = np.sort(covers[:, 2:], axis=1)
    columns = {
        "inverse_count": np.full(len(lines), 1 / count),
        "worst_spread": spreads[:, 0],
        "middle_spread": spreads[:, 1],
        "widest_gap": gaps.max(axis=1),
        "unevenness": (gaps**2).sum(axis=1),
        "ap_cover": covers[:, 0],
        "lateral_cover": covers[:, 1],
        "oblique_cover": obliques[:, 1],
        "other_oblique_cover": obliques[:, 0],
        "lateral_share": (lines[:, :, 0] ** 2).mean(axis=1),
        "skew": np.abs((lines[:, :, 0] * lines[:, :, 1]).mean(axis=1)),
        "tilt": np.abs(tilt_deg).mean(axis=1) / _TILT_UNIT_DEG,
        "lean": np.hypot(scatter[:, 0, 2], scatter[:, 1, 2]) / count,
    }
    return np.stack([columns[name] for name in names], axis=1)


def _axial_gaps(lines: Float[np.ndarray, "sets views 3"]) -> Float[np.ndarray, "sets views"]:
    """Angles between neighbors, seen along the patient's axis, as parts of 180 degrees; they sum to 1."""
    around = np.sort(np.degrees(np.arctan2(lines[:, :, 0], -lines[:, :, 1])) % 180, axis=1)
    return np.diff(around, axis=1, append=around[:, :1] + 180) / 180
