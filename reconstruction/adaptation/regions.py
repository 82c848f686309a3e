"""F1 by region of a vertebra: a prediction has no regions, so what it adds counts where the nearest true bone is."""

import numpy as np

from drrkit.phantom.anatomy import REGION_CODES
from reconstruction.metrics import Mask, Truth

# An element of a surface lies half a voxel beyond the voxel that its corner names.
_ELEMENT_OFFSET = 0.5


def region_f1(prediction: Mask, truth: Truth) -> dict[str, float]:
    """Compare a prediction with the truth region by region.

    True voxels have the regions of the truth. Predicted voxels beside the bone have the region of the nearest element
    of its surface, so that bone that is invented beside a process counts against that process.

    Args:
        prediction: (Z, Y, X) voxels.
        truth: Of the same grid.

    Returns:
        F1 for each region that the truth has; empty if its labels tell no regions.
    """
    if truth.regions is None or truth.element_regions is None:
        return {}
    most = max(REGION_CODES.values()) + 1
    inside = prediction[truth.box]
    found = np.bincount(truth.regions[inside & truth.mask], minlength=most)
    true = np.bincount(truth.regions[truth.mask], minlength=most)
    beside = prediction.copy()
    beside[truth.box] &= ~truth.mask
    places = (np.argwhere(beside) - _ELEMENT_OFFSET) * np.array(truth.surface.spacing_mm)
    nearest = truth.surface.tree.query(places)[1] if len(places) else np.zeros(0, np.int64)
    invented = np.bincount(truth.element_regions[nearest], minlength=most)
    return {
        region: float(2 * found[code] / (true[code] + found[code] + invented[code]))
        for region, code in REGION_CODES.items()
        if true[code]
    }
