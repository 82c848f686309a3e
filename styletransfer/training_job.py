"""What a training is asked for, what it measures first, how far it is, and what it says: values only."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from protocols.pairs import read_pairs
from protocols.pairset import PairedSession, Split, check_pairset, sessions_of
from styletransfer.domain import DomainStatistics
from styletransfer.images import SYNTHETIC_KIND, PairSource, measure_scale, open_pairs, spread_evenly
from styletransfer.model import TranslatorSpec
from styletransfer.scale import Scale
from styletransfer.settings import TranslatorParameters
from styletransfer.translator import Learning
from styletransfer.validation import pixel_sizes_mm

# What of a pair a training looks at; other images of it may be made anew in peace.
_LEARNED_FROM = ("real", SYNTHETIC_KIND)
# Statistics of more images than these would hardly differ.
DOMAIN_PAIRS = 512


@dataclass(frozen=True)
class StepReport:
    """What a training says of itself now and then.

    Args:
        step: Steps done.
        steps: Steps in all.
        losses: Means since the last report, by name; empty for a method that learns nothing.
        seconds_left: When it will be done.
        scores: Of the last validation; empty before the first.
    """

    step: int
    steps: int
    losses: Mapping[str, float]
    seconds_left: float
    scores: Mapping[str, float]


@dataclass(frozen=True)
class TrainingResult:
    """A finished training.

    Args:
        model: The translator, ``<name>.safetensors``.
        steps: Steps done.
        seconds: Time of all steps and validations, over all runs.
        losses: Means of the last steps, by name.
        scores: Of the last validation, by name; empty without a validation donor.
    """

    model: Path
    steps: int
    seconds: float
    losses: Mapping[str, float]
    scores: Mapping[str, float]


Report = Callable[[StepReport], None]


@dataclass
class Progress:
    """How far a training is.

    Args:
        step: Steps done.
        seconds: Time that they took with all validations, over all runs.
        validation_seconds: What of this validations took.
        loss_sums: Of the steps since the last row of the log, by name.
        loss_steps: How many these are.
        losses: Means of the last row of the log.
        scores: Of the last validation.
    """

    step: int = 0
    seconds: float = 0.0
    validation_seconds: float = 0.0
    loss_sums: dict[str, float] = field(default_factory=dict)
    loss_steps: int = 0
    losses: dict[str, float] = field(default_factory=dict)
    scores: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Measures:
    """What is measured on the train images once, before the first step; a resumed training does not measure again.

    Args:
        scale: How line integrals are scaled.
        isocenter_pixel_mm: Lowest and highest size of their pixels, scaled back to the middle of the patient.
        domain: What they look like.
    """

    scale: Scale
    isocenter_pixel_mm: tuple[float, float]
    domain: DomainStatistics

    def state(self) -> dict[str, Any]:
        """Return it as plain values and tensors."""
        scale = [self.scale.real_center, self.scale.real_spread, self.scale.synthetic_spread]
        return {"scale": scale, "isocenter_pixel_mm": list(self.isocenter_pixel_mm), "domain": self.domain.tensors()}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> "Measures":
        """Take back what :meth:`state` returned."""
        low, high = state["isocenter_pixel_mm"]
        domain: dict[str, Tensor] = state["domain"]
        return cls(Scale(*state["scale"]), (low, high), DomainStatistics.from_tensors(domain))


@dataclass(frozen=True)
class Material:
    """Who is learned from and who judges meanwhile; nobody else is known to a training.

    Args:
        learners: Sessions of train donors.
        judges: Sessions of validation donors; may be none.
        sha256: Of the images of all their pairs that may be used.
    """

    learners: tuple[PairedSession, ...]
    judges: tuple[PairedSession, ...]
    sha256: str

    def record(self, parameters: TranslatorParameters) -> dict[str, Any]:
        """Say what a training is asked to do, as JSON values; only the same may go on from a state."""
        return {"parameters": parameters.model_dump(mode="json"), "pairs_sha256": self.sha256}


@dataclass(frozen=True, eq=False)
class Job:
    """A training, ready for its first step.

    Args:
        spec: What becomes of it; ``training`` tells what it learns from.
        learning: What the method learns from.
        steps: Of the loop.
        material: Whose images.
        source: Train pairs.
        measures: Of these.
        parameters: What was asked for.
        out: Folder.
        report: Called after every row of the log.
    """

    spec: TranslatorSpec
    learning: Learning
    steps: int
    material: Material
    source: PairSource
    measures: Measures
    parameters: TranslatorParameters
    out: Path
    report: Report | None


def material_of(sessions: Sequence[PairedSession]) -> Material:
    """Choose the sessions of train and validation donors, and tell their pairs by one hash.

    No file of a test donor is opened.

    Raises:
        InputError: A donor in two splits, no train session, or no pairs that may train.
    """
    check_pairset(sessions, "pairset")
    learners = tuple(sessions_of(sessions, "train"))
    judges = tuple(session for session in sessions if session.split == "validation")
    assert not {session.donor_id for session in sessions if session.split == "test"} & {
        session.donor_id for session in (*learners, *judges)
    }
    told = [_identity(learners, "train"), _identity(judges, "validation") if judges else []]
    return Material(learners, judges, hashlib.sha256(json.dumps(told).encode()).hexdigest())


def _identity(sessions: Sequence[PairedSession], split: Split) -> list[list[str | None]]:
    """List name and hashes of every pair that may be used."""
    usable = {place.pair_id for place in open_pairs(sessions, split).places}
    rows = [row for session in sessions for row in read_pairs(session.pairs) if row.pair_id in usable]
    return [[row.pair_id, *(row.images_sha256.get(kind) for kind in _LEARNED_FROM), row.field_sha256] for row in rows]


def measured(source: PairSource) -> Measures:
    """Measure train pairs: scale, size of their pixels, and what real images look like.

    Raises:
        InputError: A file that cannot be read, or images that show nothing.
    """
    sizes_mm = np.array(pixel_sizes_mm(source))
    looked_at = spread_evenly(len(source), DOMAIN_PAIRS)
    seen = ((source[index].real, source.donor_ids[index], float(sizes_mm[index].mean())) for index in looked_at)
    domain = DomainStatistics.fit(seen)
    return Measures(measure_scale(source), (float(sizes_mm.min()), float(sizes_mm.max())), domain)
