"""Whether a translator says itself when it is not to be trusted: images unlike its training, answers that disagree."""

from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32

from drrkit.io.store import read_image
from styletransfer.disagreement import disagreement_map, predicts_error
from styletransfer.judging.held import HeldOut, translated_path
from styletransfer.judging.summary import rounded
from styletransfer.translate import TranslatedImage, translate_image
from styletransfer.translator import Translator

# More examples of what was odd nobody reads.
_REASONS = 3


def domain_rates(held: HeldOut, translated: Mapping[str, TranslatedImage]) -> dict[str, Any] | None:
    """Say by group how many real images are flagged as unlike those of the training.

    Of the device that the translator learned from few should be; of another device, many.

    Args:
        held: Pairs of held-out donors.
        translated: What was thought of each image, by pair.

    Returns:
        By group: ``images``, ``flagged`` (share of them), ``median_distance``, ``limit``, and some ``reasons``. None
        if the model does not know what its training images look like.
    """
    rates: dict[str, Any] = {}
    judged = [place for place in held.source.places if place.pair_id in translated]
    for group in held.groups:
        chosen = [translated[place.pair_id] for place in judged if place.group == group]
        distances = [one.distance for one in chosen if one.distance is not None]
        if len(distances) < len(chosen):
            return None
        reasons = dict.fromkeys(one.reasons[0] for one in chosen if one.reasons)
        rates[group] = {
            "images": len(chosen),
            "flagged": rounded(np.mean([one.is_inside is False for one in chosen])),
            "median_distance": rounded(np.median(distances)),
            "limit": rounded(chosen[0].limit),
            "reasons": list(reasons)[:_REASONS],
        }
    return rates


def disagreement_worth(
    translator: Translator, held: HeldOut, most: int, images: Path, device: str = "cpu"
) -> dict[str, Any] | None:
    """Measure by group how well a translator's disagreement with itself foretells its error.

    Args:
        translator: On ``device``.
        held: Pairs of held-out donors.
        most: On how many pairs of each session; 0 for none.
        images: Folder of its translated images, by session.
        device: Where the translator is.

    Returns:
        By group: ``images``, the mean ``disagreement`` in line integrals, and what
        :class:`styletransfer.disagreement.ErrorPrediction` holds. None if no pair was asked for.
    """
    numbers = held.some(most)
    if not numbers:
        return None
    found: dict[str, Any] = {}
    for group in held.groups:
        pairs = [held.source[number] for number in numbers if held.source.places[number].group == group]
        maps = [doubt_of(translator, pair.real, device) for pair in pairs]
        errors = [read_image(translated_path(images, pair)) - pair.synthetic for pair in pairs]
        fields = [pair.field for pair in pairs]
        worth = asdict(predicts_error(maps, errors, fields))
        level = np.mean([doubt[field].mean() for doubt, field in zip(maps, fields, strict=True)])
        numbers_of = {name: rounded(value) for name, value in worth.items()}
        found[group] = {"images": len(pairs), "disagreement": rounded(level), **numbers_of}
    return found


def doubt_of(translator: Translator, real: Float32[np.ndarray, "h w"], device: str) -> Float32[np.ndarray, "h w"]:
    """Return the map of disagreement of one image, translated as all images are."""
    return disagreement_map(translator, real, translate=partial(translate_image, device=device))
