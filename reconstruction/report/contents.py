"""Everything that the report tells, read from what the stages wrote."""

import base64
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from drrkit.errors import InputError
from protocols.pairset import read_pairset
from reconstruction.cases import read_cases
from reconstruction.report.cards import Card, dataset_cards, model_cards
from reconstruction.report.files import field, read_object, read_table, read_yaml
from reconstruction.report.ladder import Ladder, read_ladder
from reconstruction.report.provenance import Provenance, read_provenance
from reconstruction.report.quality import AcquisitionQuality, RehearsalQuality, read_qualities, read_rehearsal
from reconstruction.report.settings import Places, ReportParameters
from reconstruction.report.studies import Studies, read_studies
from reconstruction.report.surfaces import Surface, read_mean_vertebra, read_meshes

_WEBP_QUALITY = 88
COHORT_COLUMNS = ("ct_id", "donor_id", "levels", "shape", "spacing_mm")


@dataclass(frozen=True)
class Picture:
    """A picture in the page: its name, its bytes as base64 WebP, and its size in pixels."""

    name: str
    webp: str
    width: int
    height: int


@dataclass(frozen=True, eq=False)
class Contents:
    """What the page and the summary are made from.

    Args:
        ladder: What each step is worth.
        studies: What it depends on.
        map_bases: Map of angles -> the shots that were there already.
        meshes: Rung or ``truth`` -> level -> surface.
        mean_vertebra: Level -> mean vertebra with errors.
        pictures: Of translations.
        qualities: Of calibrations.
        rehearsal: Of the rehearsal's groups.
        provenance: What made it all.
        models: Cards.
        datasets: Cards.
    """

    ladder: Ladder
    studies: Studies
    map_bases: Mapping[str, tuple[str, ...]]
    meshes: Mapping[str, Mapping[str, Surface]]
    mean_vertebra: Mapping[str, Surface]
    pictures: tuple[Picture, ...]
    qualities: tuple[AcquisitionQuality, ...]
    rehearsal: tuple[RehearsalQuality, ...]
    provenance: Provenance
    models: tuple[Card, ...]
    datasets: tuple[Card, ...]


def read_contents(places: Places, parameters: ReportParameters) -> Contents:
    """Read everything.

    Raises:
        InputError: Anything that is missing or unusable.
    """
    ladder = read_ladder(places)
    sessions = read_pairset(places.sessions / parameters.fold)
    told = read_yaml(places.parameters, "params.yaml")
    acquisitions = field(told, "sessions.acquisitions", places.parameters)
    bases = field(told, "study.map_bases", places.parameters)
    cohort = read_table(places.cohort / "cohort.csv", COHORT_COLUMNS, "cohort")
    splits = field(read_object(places.cohort / "splits.json", "cohort"), "splits", places.cohort / "splits.json")
    split_of = {donor: split for split, donors in splits.items() for donor in donors}
    cohort = cohort.assign(split=cohort["donor_id"].map(split_of).fillna("none"))
    return Contents(
        ladder=ladder,
        studies=read_studies(places.studies, parameters.studies),
        map_bases={name: tuple(views) for name, views in bases.items()},
        meshes=read_meshes(places.meshes, ladder.shown.rungs, parameters.mesh_cell_mm),
        mean_vertebra=read_mean_vertebra(places.mean_vertebra),
        pictures=tuple(
            read_picture(places.pictures / f"{name}.png", parameters.picture_width_px) for name in parameters.pictures
        ),
        qualities=tuple(read_qualities(places.calibrations, acquisitions)),
        rehearsal=tuple(read_rehearsal(places.rehearsal)),
        provenance=read_provenance(places),
        models=tuple(model_cards(parameters.models, places.root, ladder)),
        datasets=tuple(dataset_cards(read_cases(places.cases), sessions, cohort)),
    )


def read_picture(path: Path, width_px: int) -> Picture:
    """Read a PNG, make it narrower if it is too wide, and encode it for the page.

    Raises:
        InputError: No such file, or no picture.
    """
    try:
        with Image.open(path) as found:
            picture = found.convert("RGB")
    except (OSError, UnidentifiedImageError) as error:
        raise InputError(path, error, "a picture that the stage translate writes") from error
    if picture.width > width_px:
        height_px = round(picture.height * width_px / picture.width)
        picture = picture.resize((width_px, height_px), Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    picture.save(stream, "WEBP", quality=_WEBP_QUALITY, method=4)
    return Picture(path.stem, base64.b64encode(stream.getvalue()).decode(), picture.width, picture.height)
