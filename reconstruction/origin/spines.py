"""Spines with X-rays whose levels are known: what origin estimation learns from and is judged on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from drrkit.errors import InputError
from drrkit.geometry import rigid
from drrkit.io import volumefile
from drrkit.io.labels import read_labels
from drrkit.io.store import read_cameras, read_image
from drrkit.radiograph import Radiograph
from drrkit.volume import LEVEL_CODES, LUMBAR_LEVELS, Volume
from reconstruction.cases import Case


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
    cameras = read_cameras(case.cameras)
    missing = [view for view in views if view not in cameras]
    if missing:
        raise InputError(case.cameras, f"no camera {missing[0]}", "a camera for each view")
    radiographs = tuple(Radiograph(read_image(case.image(view)), "line_integral", cameras[view]) for view in views)
    volume = _labels(case)
    levels = {level: volume.level_centroid_world(level) for level in case.levels if level in LUMBAR_LEVELS}
    middle = middle_world(volume) if set(LUMBAR_LEVELS) <= set(case.levels) else None
    return KnownSpine(case.case_id, radiographs, levels, middle)


def middle_world(volume: Volume) -> Float[np.ndarray, " 3"]:
    """Return the middle of the box around the labels of L1 to L5, along the world's axes.

    Raises:
        InputError: One of the levels is not labelled.
    """
    missing = [level for level in LUMBAR_LEVELS if level not in volume.levels]
    if missing or volume.labels is None:
        raise InputError("labels", f"no {', '.join(missing)}", "L1 to L5")
    z, y, x = np.nonzero(np.isin(volume.labels, [LEVEL_CODES[level] for level in LUMBAR_LEVELS]))
    points = rigid.apply(volume.world_from_voxel, np.stack([x, y, z], axis=1))
    return np.asarray((points.min(axis=0) + points.max(axis=0)) / 2)


def _labels(case: Case) -> Volume:
    """Read labels alone; a CT of zeros stands for the one that is not needed."""
    grid = volumefile.read_grid(case.labels)
    blank = Volume(np.zeros(grid.shape, np.int16), grid.world_from_voxel)
    return blank.with_labels(read_labels(case.labels, case.label_scheme, blank))
