"""What a training is asked for, and what it says: values only."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter
from torch import Tensor, nn

from drrkit.learning.weights import weights_content
from reconstruction.learning.settings import TrainSettings
from reconstruction.model import ModelSpec

if TYPE_CHECKING:
    # What draws examples imports much that spawned processes need not wait for here.
    from reconstruction.learning.examples import Batch


@dataclass(frozen=True, eq=False)
class Start:
    """Where a training starts if not from random weights.

    Args:
        weights: State dictionary of the same network.
        frozen: Part that does not learn, one of ``reconstruction.learning.freezing.PARTS``.
    """

    weights: Mapping[str, Tensor]
    frozen: str


@dataclass(frozen=True)
class StepReport:
    """What a training says of itself now and then: mean loss since the last time, and when it will be done."""

    step: int
    steps: int
    loss: float
    seconds_left: float
    scores: Mapping[str, float]


@dataclass(frozen=True)
class TrainingResult:
    """A finished training.

    Args:
        model: The weights that were kept.
        steps: Steps done.
        best_step: Step of the weights that were kept.
        seconds: Time of all steps and validations, over all runs.
        scores: Validation of the weights that were kept; empty without one.
    """

    model: Path
    steps: int
    best_step: int
    seconds: float
    scores: Mapping[str, float]


@dataclass
class Progress:
    """How far a training is.

    Args:
        step: Steps done.
        seconds: Time that they took, over all runs.
        loss_sum: Of the steps since the last row of the log.
        loss_steps: How many these are.
        scores: Of the weights that are kept, at their last validation.
        best: Best score so far; with early stopping only.
        best_step: Step of ``scores``.
        waited: Validations since then.
    """

    step: int = 0
    seconds: float = 0.0
    loss_sum: float = 0.0
    loss_steps: int = 0
    scores: dict[str, float] = field(default_factory=dict)
    best: float | None = None
    best_step: int | None = None
    waited: int = 0


# (step, rank) -> examples; the same arguments give the same examples.
Batches = Callable[[int, int], "Batch"]
Validate = Callable[[nn.Module], Mapping[str, float]]
Report = Callable[[StepReport], None]


@dataclass(frozen=True, eq=False)
class Job:
    """What ``reconstruction.learning.training.train`` was asked for."""

    spec: ModelSpec
    batches: Batches
    settings: TrainSettings
    out: Path
    validate: Validate | None
    start: Start | None
    report: Report | None

    @cached_property
    def record(self) -> dict[str, Any]:
        """What the training was asked to do; only the same may go on from a state."""
        start = self.start and {
            "frozen": self.start.frozen,
            "weights_sha256": hashlib.sha256(weights_content(self.start.weights)).hexdigest(),
        }
        spec = TypeAdapter(ModelSpec).dump_python(self.spec, mode="json")
        return {"model": spec, "training": self.settings.model_dump(mode="json"), "start": start}
