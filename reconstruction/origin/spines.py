"""Spines with X-rays whose levels are known: what origin estimation learns from and is judged on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from drrkit.errors import InputError
from drrkit.radiograph import Radiograph
from drrkit.volume import LUMBAR_LEVELS
from reconstruction.cases import Case
from reconstruction.loading import lumbar_center_world, read_case_labels, read_case_radiographs


@dataclass(frozen=True, eq=False)
class KnownSpine:
    """X-rays of one spine and where its levels are.

    Args:
        case_id: Of the case.
        radiographs: Line integrals with cameras.
        levels: Centroids (3,) in the world of the levels that are known.
        middle_world: (3,) middle of the box around L1 to L5, or None where one of them is not known whole.
    """

    case_id: str
    radiographs: tuple[Radiograph, ...]
    levels: Mapping[str, Float[np.ndarray, " 3"]]
    middle_world: Float[np.ndarray, " 3"] | None

    @property
    def points_world(self) -> Float[np.ndarray, "6 3"] | None:
        """The six points of a spine's shape: centroids of L1 to L5, then the middle; None where one is not known."""
        if self.middle_world is None:
            return None
        return np.stack([*(self.levels[level] for level in LUMBAR_LEVELS), self.middle_world])


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
    levels = {level: volume.level_centroid_world(level) for level in case.levels if level in LUMBAR_LEVELS}
    middle = lumbar_center_world(volume) if set(LUMBAR_LEVELS) <= set(case.levels) else None
    return KnownSpine(case.case_id, tuple(radiographs), levels, middle)
