"""What the report shows, and where the stages left it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt

from drrkit.parameters import Parameters

# The rungs of the ladder in order -> what each is, in words for a reader who did not build it.
RUNGS: Mapping[str, str] = {
    "source_only": "trained on DRRs, used on {xrays} as it is",
    "augmentation": "trained on with disturbed DRRs; has seen no X-ray",
    "style_transfer": "used as it is, on {xrays} that were translated into DRRs",
    "transfer_learning": "trained on with {xrays} of the paired donors",
    "both": "trained on with translated {xrays} of the paired donors",
    "synthetic_ceiling": "used as it is on the DRRs themselves: no gap at all",
}
SOURCE, CEILING = "source_only", "synthetic_ceiling"
TRUTH = "truth"
LEVELS = ("L1", "L2", "L3", "L4", "L5")

StudyName = Literal["number_of_views", "view_sets", "camera_noise", "origin_error"]
ModelKind = Literal["reconstructor", "finetuned", "translator", "origin"]


class ModelCard(Parameters):
    """A model that gets a card.

    Args:
        kind: What it is; the words of the card depend on it.
        folder: Holds ``model.json``, relative to the repository.
    """

    kind: ModelKind
    folder: Path


class ReportParameters(Parameters):
    """What the report shows.

    Args:
        fold: The set of data/sessions whose donors are told.
        studies: Studies of results/study that are drawn; one that is not asked for leaves its place empty.
        mesh_cell_mm: Vertices of meshes are merged in cells of this size, so that the page stays light; 0 keeps all.
        error_limit_mm: Where the colors of surface errors end.
        pictures: Names of pictures in results/translate/pictures, without suffix; none leaves the section out.
        picture_width_px: Wider pictures are made smaller.
        models: Models with a card, by the name that the card gets; none leaves the cards of models out.
    """

    fold: str
    studies: tuple[StudyName, ...]
    mesh_cell_mm: NonNegativeFloat
    error_limit_mm: PositiveFloat
    pictures: tuple[str, ...]
    picture_width_px: PositiveInt
    models: dict[str, ModelCard]


@dataclass(frozen=True)
class Places:
    """Where the stages left what the report reads.

    Args:
        root: Folder that the models of the parameters and the source folders are relative to.
        ladder: results/ladder.csv.
        evaluation: Folder with the summary of the ladder.
        meshes: Folder with ``truth.npz`` and a file for each rung.
        studies: Folder with the tables of the studies and of view planning.
        mean_vertebra: Surface errors on the mean vertebra.
        pictures: Folder with pictures of translations.
        calibrations: Folder with a folder for each acquisition.
        rehearsal: Summary of the rehearsal.
        sessions: Folder with a set of paired sessions for each fold.
        cases: Folder with ``cases.json`` of what networks learn from.
        cohort: Folder with the table and the splits of CTs.
        accounts: Folder with what each stage took.
        lock: dvc.lock.
        pipeline: dvc.yaml.
        parameters: params.yaml.
        sources: Folders of source files, the packages.
    """

    root: Path
    ladder: Path
    evaluation: Path
    meshes: Path
    studies: Path
    mean_vertebra: Path
    pictures: Path
    calibrations: Path
    rehearsal: Path
    sessions: Path
    cases: Path
    cohort: Path
    accounts: Path
    lock: Path
    pipeline: Path
    parameters: Path
    sources: tuple[Path, ...]
