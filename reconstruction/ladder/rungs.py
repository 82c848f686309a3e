"""The rungs of the ladder, in order, and what an evaluation needs to know: which network sees which images."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Self

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from drrkit.parameters import Parameters
from reconstruction.adaptation.sessions import REAL, SYNTHETIC
from reconstruction.judging.prediction import Precision
from reconstruction.judging.summary import BootstrapParameters
from reconstruction.judging.viewplan import VIEW_ORDER

SOURCE_ONLY, CEILING = "source_only", "synthetic_ceiling"
# rung -> what it is
RUNGS: Mapping[str, str] = MappingProxyType(
    {
        SOURCE_ONLY: "the network that learned on DRRs alone, on the X-rays as they are",
        "augmentation": "the same, further trained on DRRs that were changed at random, on the X-rays as they are",
        "style_transfer": "the network that learned on DRRs alone, unchanged, on X-rays translated to DRRs",
        "transfer_learning": "the network fine-tuned on X-rays of other donors, on the X-rays as they are",
        "both": "the network fine-tuned on translated X-rays of other donors, on translated X-rays",
        CEILING: "the network that learned on DRRs alone, on the DRRs of the same cameras: no X-ray is seen",
    }
)


class Rung(Parameters):
    """What stands on a rung.

    Args:
        network: Folder of the network below that of all models, as ``pretrain/lumbar``.
        images: ``real``, ``synthetic``, or the name of the translator whose images it sees.
    """

    network: str = Field(min_length=1)
    images: str = Field(min_length=1)


class MeshParameters(Parameters):
    """Which meshes of one test donor are written and drawn.

    Args:
        rungs: Whose.
        spacing_mm: Voxels that the surfaces are taken from; those of the network where they are smaller.
        smoothing_steps: Pairs of Taubin's steps, of the true surface as well.
        color_limit_mm: Error at the end of the picture's color bar.
    """

    rungs: tuple[str, ...] = Field(min_length=1)
    spacing_mm: PositiveFloat
    smoothing_steps: NonNegativeInt
    color_limit_mm: PositiveFloat


class LadderParameters(Parameters):
    """How the ladder is judged.

    Args:
        view_counts: Numbers of views.
        headline_views: Number of views that rungs are compared by; one of ``view_counts``.
        unseen_views: Numbers of views on the device that nobody trained on.
        match_limit_deg: How far off a view of another name than the standard one may look.
        group: Sessions of the device that was trained on.
        unseen_group: Sessions of a device that nobody trained on; null where there is none.
        folds: By name of the fold, whose pair set says which donors it holds out: every rung.
        bootstrap: Of the confidence intervals over donors.
        pictures: Number of sessions whose reconstructions are drawn, the first ones.
        meshes: Which meshes.
        precision: Of the networks' numbers, ``fp32`` or ``bf16``.
        mirror: Average every reconstruction with that of the mirrored scene, as ``drrkit reconstruct --mirror`` does.
        workers: Threads.
    """

    view_counts: tuple[PositiveInt, ...] = Field(min_length=1)
    headline_views: PositiveInt
    unseen_views: tuple[PositiveInt, ...] = Field(min_length=1)
    match_limit_deg: PositiveFloat = Field(le=90)
    group: str
    unseen_group: str | None
    folds: dict[str, dict[str, Rung]] = Field(min_length=1)
    bootstrap: BootstrapParameters
    pictures: NonNegativeInt
    meshes: MeshParameters
    precision: Precision
    mirror: bool
    workers: PositiveInt

    @property
    def most_views(self) -> int:
        """The largest number of views that is judged."""
        return max(*self.view_counts, *self.unseen_views)

    @model_validator(mode="after")
    def _views_fit(self) -> Self:
        if self.most_views > len(VIEW_ORDER):
            raise ValueError(f"numbers of views from 1 to {len(VIEW_ORDER)}")
        if self.headline_views not in self.view_counts:
            raise ValueError("headline_views that is among view_counts")
        if self.unseen_group == self.group:
            raise ValueError("an unseen_group other than group")
        return self

    @model_validator(mode="after")
    def _rungs_fit(self) -> Self:
        for fold, rungs in self.folds.items():
            if set(rungs) != set(RUNGS):
                raise ValueError(f"the rungs {', '.join(RUNGS)} in the fold {fold}")
            if rungs[SOURCE_ONLY].images != REAL or rungs[CEILING].images != SYNTHETIC:
                raise ValueError(f"{SOURCE_ONLY} on {REAL} and {CEILING} on {SYNTHETIC} images in the fold {fold}")
        unknown = [rung for rung in self.meshes.rungs if rung not in RUNGS]
        if unknown:
            raise ValueError(f"meshes of {', '.join(RUNGS)}; there is no {', '.join(unknown)}")
        return self

    def synthetic_rungs(self) -> set[str]:
        """Name the rungs that need DRRs when they are used: nobody has those of a patient without a CT."""
        return {name for rungs in self.folds.values() for name, rung in rungs.items() if rung.images == SYNTHETIC}
