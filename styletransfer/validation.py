"""How a translator does while it learns: scores and a picture of some pairs of validation donors, always the same."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import UInt8

from protocols.pairset import PairedSession
from styletransfer.grids import GridRow, image_grid
from styletransfer.images import PairImage, PairSource, isocenter_pixel_mm, isocenter_world, open_pairs, spread_evenly
from styletransfer.metrics import score_pair
from styletransfer.tiling import translate_image
from styletransfer.translator import Translator

# More rows than these nobody looks at.
GRID_ROWS = 6


@dataclass(frozen=True, eq=False)
class Seen:
    """What a validation saw.

    Args:
        scores: Means over its pairs; a score that a pair does not have, as a shift without any edge, is left out.
        grid: Picture of some of them: real, translated, synthetic, difference.
    """

    scores: dict[str, float]
    grid: UInt8[np.ndarray, "h w"]


@dataclass(frozen=True, eq=False)
class Validation:
    """Pairs of validation donors that a translator is tried on; read when they are first needed.

    Args:
        sessions: Of validation donors.
        pairs: How many of their pairs, spread evenly.
    """

    sessions: tuple[PairedSession, ...]
    pairs: int

    def seen(self, translator: Translator, device: torch.device | str = "cpu") -> Seen:
        """Translate the pairs, and compare with their DRRs.

        Args:
            translator: On ``device``.
            device: Where it is.

        Raises:
            InputError: A file that cannot be read.
        """
        scores: dict[str, list[float]] = {}
        rows = []
        for pair, pixel_mm in self._chosen:
            translated = translate_image(translator, pair.real, device=device)
            for name, score in score_pair(translated, pair.synthetic, pair.field, pixel_mm).items():
                scores.setdefault(name, []).append(score)
            rows.append(GridRow(pair.real, translated, pair.synthetic, pair.field))
        shown = [rows[index] for index in spread_evenly(len(rows), GRID_ROWS)]
        return Seen(_means(scores), image_grid(shown))

    @cached_property
    def _chosen(self) -> list[tuple[PairImage, float]]:
        source = open_pairs(self.sessions, "validation")
        sizes_mm = pixel_sizes_mm(source)
        return [(source[index], float(np.mean(sizes_mm[index]))) for index in spread_evenly(len(source), self.pairs)]


def pixel_sizes_mm(source: PairSource) -> list[tuple[float, float]]:
    """Return the least and largest size of each pair's pixels in the middle of the patient.

    Both are the same where the views of a session say where that is. Views along one line do not: then the patient may
    be anywhere between the detector and half way to the source.
    """
    sessions: dict[str, list[int]] = {}
    for index, place in enumerate(source.places):
        sessions.setdefault(place.acquisition_id, []).append(index)
    sizes: dict[int, tuple[float, float]] = {}
    for indices in sessions.values():
        center = isocenter_world([source.places[index].camera for index in indices])
        for index in indices:
            camera = source.places[index].camera
            largest = float(np.mean(camera.pixel_spacing_mm))
            known = None if center is None else isocenter_pixel_mm(camera, center)
            sizes[index] = (largest / 2, largest) if known is None else (known, known)
    return [sizes[index] for index in range(len(source))]


def _means(scores: Mapping[str, Sequence[float]]) -> dict[str, float]:
    finite = {name: [score for score in found if np.isfinite(score)] for name, found in scores.items()}
    return {name: float(np.mean(found)) for name, found in finite.items() if found}
