"""What a network tells apart: background and levels by name. The only place where a class has a number."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Integer, UInt8

from drrkit.volume import LEVEL_CODES, LUMBAR_LEVELS

# Of the whole-lumbar mode: class 0 is background, class i is LUMBAR_LEVELS[i - 1].
LUMBAR_CLASSES: tuple[str, ...] = LUMBAR_LEVELS
# Of the single-vertebra mode: class 1 is the vertebra in the middle of the grid, whichever it is.
VERTEBRA_CLASSES: tuple[str, ...] = ("vertebra",)


def classes_from_codes(codes: UInt8[np.ndarray, "..."], levels: Sequence[str]) -> UInt8[np.ndarray, "..."]:
    """Turn ``LEVEL_CODES`` into classes: 1 for the first of ``levels`` and so on, 0 for everything else."""
    table = np.zeros(256, np.uint8)
    for number, level in enumerate(levels, start=1):
        table[LEVEL_CODES[level]] = number
    return table[codes]


def codes_from_classes(classes: Integer[np.ndarray, "..."], levels: Sequence[str]) -> UInt8[np.ndarray, "..."]:
    """Turn classes back into ``LEVEL_CODES``, as label files hold them."""
    return np.array([0, *(LEVEL_CODES[level] for level in levels)], np.uint8)[classes]
