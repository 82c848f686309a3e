"""Line integrals as networks see them: the one place where images of either kind are scaled."""

from dataclasses import dataclass

import numpy as np

from drrkit.errors import InputError


@dataclass(frozen=True)
class Scale:
    """Numbers of a training set, noted once and kept with the model.

    A real image enters a network as (line integral - ``real_center``) / ``real_spread``; what leaves it is multiplied
    by ``synthetic_spread``. Nothing depends on the single image, so that a tile is scaled as the whole image is.

    Args:
        real_center: Mean of the real images, inside their fields.
        real_spread: Their standard deviation there.
        synthetic_spread: Root mean square of the synthetic images.
    """

    real_center: float
    real_spread: float
    synthetic_spread: float

    def __post_init__(self) -> None:
        numbers = (self.real_center, self.real_spread, self.synthetic_spread)
        if not (np.isfinite(numbers).all() and self.real_spread > 0 and self.synthetic_spread > 0):
            raise InputError("scale", numbers, "a finite center and spreads above 0: images that show something")
