"""How translators are judged by their images, as params.yaml says it."""

from typing import Literal

from pydantic import Field, PositiveInt

from drrkit.parameters import Parameters

JudgedSplit = Literal["validation", "test"]


class BootstrapParameters(Parameters):
    """How confidence intervals are made: ``resamples`` draws of donors; ``confidence`` is the part they cover."""

    resamples: int = Field(ge=1)
    confidence: float = Field(gt=0, lt=1)
    seed: int = Field(ge=0)


class PictureParameters(Parameters):
    """What is drawn.

    Args:
        sessions: Of each group of the first split, the first ones.
        views: Exposures, as far as a session has them.
        close_up: The translator whose edges and disagreement are drawn as well; null for none.
    """

    sessions: int = Field(ge=0)
    views: tuple[str, ...] = Field(min_length=1)
    close_up: str | None


class JudgingParameters(Parameters):
    """How translators are judged.

    Args:
        splits: Whose donors; the first one makes the numbers by group, the pictures, and what is said of trust.
        exposures: Which of each session are translated and judged, as far as it has them; null for all.
        scored_pairs: How many pairs of each session are scored, spread evenly; null for all.
        disagreement_pairs: On how many pairs of each session it is measured whether disagreement foretells error; 0
            leaves it out.
        precision: Of translating: ``32``, ``bf16``, or ``auto`` for what the machine does fast.
        bootstrap: Of the confidence intervals over donors.
        pictures: What is drawn.
        workers: Threads.
    """

    splits: tuple[JudgedSplit, ...] = Field(min_length=1)
    exposures: tuple[str, ...] | None
    scored_pairs: PositiveInt | None
    disagreement_pairs: int = Field(ge=0)
    precision: Literal["auto", "32", "bf16"]
    bootstrap: BootstrapParameters
    pictures: PictureParameters
    workers: PositiveInt
