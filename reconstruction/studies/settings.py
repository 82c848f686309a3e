"""Settings of the studies: one section of params.yaml."""

from typing import Self

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, field_validator, model_validator

from drrkit.errors import InputError
from drrkit.parameters import Parameters
from reconstruction.judging.prediction import Precision
from reconstruction.judging.studies import STUDIES, StudyParameters
from reconstruction.judging.summary import BootstrapParameters
from reconstruction.judging.viewplan import views_for
from reconstruction.planning.judged import PlanningParameters


class HardRegionParameters(Parameters):
    """How surface errors are measured.

    Args:
        cases: Number of test donors seen on DRRs, spread evenly over all.
        sessions: Number of test donors seen on translated images.
        views: Number of standard views.
        mesh_spacing_mm: Voxels of the predicted surface.
        smoothing_steps: Of the predicted surface.
    """

    cases: PositiveInt
    sessions: PositiveInt
    views: PositiveInt
    mesh_spacing_mm: PositiveFloat
    smoothing_steps: NonNegativeInt


class PairedDonorParameters(Parameters):
    """How the number of paired donors is studied.

    Args:
        series: Translators ``<series>-<number>`` that differ in their donors alone.
        views: Number of standard views.
        sessions: Number of test donors.
    """

    series: str = Field(pattern=r"^[a-z0-9-]+$")
    views: PositiveInt
    sessions: PositiveInt


class StudiesParameters(Parameters):
    """What is studied, and on how many donors.

    Args:
        study_names: Keys of :data:`reconstruction.judging.studies.STUDIES`.
        amounts: What they vary.
        cases: On how many test donors they run, spread evenly over all.
        map_bases: Shots that are there already, by name of the map, to which a shot of each angle is added.
        map_cases: On how many test donors.
        hard_regions: Surface errors.
        paired_donors: Translators of few donors.
        planning: View planning: its fit on validation donors, and its comparison on test donors.
        fold: Pair set whose test donors are studied on X-rays; the translators and ``both`` are of it.
        group: Sessions of the device that translators learned from.
        translator: Whose images the fine-tuned network is shown.
        match_limit_deg: How far off a view of another name than the wanted one may look.
        precision: Of the networks' numbers, ``fp32`` or ``bf16``.
        bootstrap: Of the confidence intervals over donors.
        workers: Threads that reconstruct, each with ``threads`` of torch.
        threads: Of torch.
    """

    study_names: tuple[str, ...]
    amounts: StudyParameters
    cases: PositiveInt
    map_bases: dict[str, tuple[str, ...]]
    map_cases: PositiveInt
    hard_regions: HardRegionParameters
    paired_donors: PairedDonorParameters
    planning: PlanningParameters
    fold: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")
    group: str
    translator: str
    match_limit_deg: PositiveFloat = Field(le=90)
    precision: Precision
    bootstrap: BootstrapParameters
    workers: PositiveInt
    threads: PositiveInt

    @field_validator("study_names")
    @classmethod
    def _known_studies(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [name for name in names if name not in STUDIES]
        if unknown:
            raise ValueError(f"some of {', '.join(STUDIES)}; there is no {', '.join(unknown)}")
        return names

    @model_validator(mode="after")
    def _known_counts(self) -> Self:
        for count in (*self.amounts.view_counts, self.hard_regions.views, self.paired_donors.views):
            try:
                views_for(count)
            except InputError as error:
                raise ValueError(str(error)) from error
        return self
