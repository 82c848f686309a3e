"""What is done to the pixels of a window while learning; geometry is never changed."""

from typing import Literal

import numpy as np
from jaxtyping import Bool, Float32

AugmentationName = Literal["none", "photometric", "domain-randomization"]


def augmented(
    pixels: Float32[np.ndarray, "h w"],
    field: Bool[np.ndarray, "h w"],
    name: AugmentationName,
    rng: np.random.Generator,
) -> Float32[np.ndarray, "h w"]:
    """Return changed line integrals."""
    if name == "none":
        return pixels
    raise NotImplementedError(name)
