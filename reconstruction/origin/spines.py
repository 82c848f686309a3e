"""Spines with X-rays whose levels are known: what origin estimation learns from and is judged on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from drrkit.errors import InputError
from drrkit.radiograph import Radiograph
from drrkit.volume import LUMBAR_LEVELS
from reconstruction.cases import Case
from reconstruction.loading import (
    cut_to_levels,
    levels_center_world,
    lumbar_center_world,
    read_case_labels,
    read_case_radiographs,
)


@dataclass(frozen=True, eq=False)
class KnownSpine:
    """X-rays of one spine and where its levels are.

    Args:
        case_id: Of the case.
        radiographs: Line integrals with cameras.
        levels: Centroids (3,) in the world of the levels that are known.
        middles: Middles (3,) of the boxes around them, along the world's axes.
        middle_world: (3,) middle of the box around L1 to L5, or None where one of them is not known whole.
    """

    case_id: str
    radiographs: tuple[Radiograph, ...]
    levels: Mapping[str, Float[np.ndarray, " 3"]]
    middles: Mapping[str, Float[np.ndarray, " 3"]]
    middle_world: Float[np.ndarray, " 3"] | None

    @property
    def points_world(self) -> Float[np.ndarray, "11 3"] | None:
        """The points of a spine's shape: see :mod:`reconstruction.origin.shape`; None where one is not known."""
        if self.middle_world is None:
            return None
        centroids, middles = ([each[level] for level in LUMBAR_LEVELS] for each in (self.levels, self.middles))
        return np.stack([*centroids, self.middle_world, *middles])


def known_spine(case: Case, views: Sequence[str] | None = None) -> KnownSpine:
    """Read a case.

    Args:
        case: With labels.
        views: Ids of the views to read; all if None.

    Raises:
        InputError: A file that is missing or wrong, or a view that the case does not have.
    """
    views = case.views if views is None else views
    strange = [view for view in views if view not in case.views]
    if strange:
        raise InputError(f"case {case.case_id}", f"no view {strange[0]}", f"views out of {', '.join(case.views)}")
    radiographs = read_case_radiographs(replace(case, views=tuple(views)))
    volume = read_case_labels(case)
    lumbar = [level for level in case.levels if level in LUMBAR_LEVELS]
    levels = {level: volume.level_centroid_world(level) for level in lumbar}
    middles = {level: levels_center_world(*cut_to_levels(volume, [level]), [level]) for level in lumbar}
    middle = lumbar_center_world(volume) if len(lumbar) == len(LUMBAR_LEVELS) else None
    return KnownSpine(case.case_id, tuple(radiographs), levels, middles, middle)
