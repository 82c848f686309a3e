"""The bone that refinement draws: a CT cut to the height of its lumbar spine, without metal, at several spacings."""

from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32

from drrkit.errors import InputError
from drrkit.geometry import rigid
from drrkit.geometry.rigid import ArrayLike
from drrkit.projection.attenuation import BONE_RAMP_HU, BONE_THRESHOLD_HU, attenuation_map, attenuation_table
from drrkit.projection.box import nonzero_box, world_from_box
from drrkit.projection.renderer import prepare_attenuation
from drrkit.projection.silhouette import LabelledLevels, prepare_levels
from drrkit.volume import AIR_HU, LEVEL_CODES, Volume
from protocols.erase import erase_ct_balls

# Bone this far above and below the vertebrae is drawn; it fades over the outer part, so that the cut has no edge.
# To the sides nothing is cut: iliac wings and ribs lie over the vertebrae in oblique and lateral views.
MARGIN_MM, FADE_MM = 30.0, 10.0
# Finer voxels are averaged: images are compared at pixels of a millimeter or more in the patient.
FINEST_MM = 1.2
# Denser than any bone: balls, screws. What the CT blurs around metal goes with it.
METAL_HU, METAL_REACH_MM = 2500.0, 3.0
SOFT_TISSUE_HU = 40
# Slices of the CT at once, so that memory stays small.
SLAB = 32


@dataclass(frozen=True, eq=False)
class Bones:
    """Bone of one CT, ready for all of its exposures; from :func:`prepare_bones`.

    Args:
        attenuation: (Z, Y, X) in mm^-1, zero outside.
        world_from_voxel: Where it lies.
        labelled: The vertebrae whose edges count; None to count all that is bone.
        center_world: The middle of the vertebrae.

    Raises:
        InputError: Attenuation that is not finite, or zero everywhere.
    """

    attenuation: Float32[np.ndarray, "z y x"]
    world_from_voxel: Float[np.ndarray, "4 4"]
    labelled: LabelledLevels | None
    center_world: Float[np.ndarray, " 3"]
    _coarser: dict[tuple[tuple[int, ...], str], tuple[torch.Tensor, np.ndarray]] = field(
        default_factory=dict, repr=False
    )

    def __post_init__(self) -> None:
        if not np.isfinite(self.attenuation).all():
            raise InputError("bone to refine with", "NaN or infinite attenuation", "finite attenuation in mm^-1")
        if not self.attenuation.any():
            raise InputError("bone to refine with", "no bone", "a CT with bone to align with (is the threshold right?)")

    def at(self, spacing_mm: float, device: str) -> tuple[torch.Tensor, Float[np.ndarray, "4 4"]]:
        """Average voxels until they are about this large; return them on the device, and ``voxel_from_world``."""
        own_mm = np.linalg.norm(self.world_from_voxel[:3, :3], axis=0)
        factors = tuple(int(factor) for factor in np.maximum(1, np.round(spacing_mm / own_mm)))
        key = (factors, device)
        if key not in self._coarser:
            prepared = prepare_attenuation(*_block_means(self.attenuation, self.world_from_voxel, factors))
            self._coarser[key] = (prepared.tensor(device), prepared.voxel_from_world)
        return self._coarser[key]


def prepare_bones(
    volume: Volume,
    balls_world: ArrayLike = (),
    *,
    bone_threshold_hu: float = BONE_THRESHOLD_HU,
    margin_mm: float = MARGIN_MM,
) -> Bones:
    """Cut a CT to the bone around its lumbar vertebrae, and take the metal out.

    Args:
        volume: The CT. With labels, the lumbar levels count (other vertebrae, where none is lumbar); without, all bone.
        balls_world: (N, 3) centers of balls in the CT, in case they are less dense than ``METAL_HU`` there.
        bone_threshold_hu: Where unlabelled bone begins; see :mod:`drrkit.projection.attenuation`.
        margin_mm: How far above and below the vertebrae bone is drawn.

    Raises:
        InputError: No bone, or a threshold that is not finite.
    """
    if not np.isfinite(bone_threshold_hu):
        raise InputError("bone_threshold_hu", bone_threshold_hu, "a finite number of Hounsfield units")
    levels = [level for level in volume.levels if level not in ("sacrum", "coccyx")]
    levels = [level for level in levels if level.startswith("L")] or levels
    codes = [LEVEL_CODES[level] for level in levels]
    if volume.labels is not None and levels:
        volume = _cut(volume, np.isin(volume.labels, codes), margin_mm)
    volume = _without_metal(erase_ct_balls(volume, balls_world, METAL_REACH_MM))
    factors = tuple(max(1, round(FINEST_MM / own_mm)) for own_mm in volume.spacing_mm)
    depth, step = volume.shape[0], SLAB * factors[2]
    slabs = [_contrast(volume, slice(start, start + step), bone_threshold_hu) for start in range(0, depth, step)]
    blocks = [_block_means(slab, volume.world_from_voxel, factors) for slab in slabs]
    contrast, world_from_voxel = np.concatenate([means for means, _ in blocks]), blocks[0][1]
    if not levels or volume.labels is None:
        return Bones(contrast, world_from_voxel, None, _centroid_world(contrast > 0, world_from_voxel))
    counted = np.where(np.isin(volume.labels, codes), volume.labels, 0).astype(np.uint8)
    if margin_mm > 0:
        contrast *= _fade(contrast.shape, world_from_voxel)
    center_world = _centroid_world(counted > 0, volume.world_from_voxel)
    return Bones(contrast, world_from_voxel, prepare_levels(volume.with_labels(counted)), center_world)


def _contrast(volume: Volume, rows: slice, bone_threshold_hu: float) -> Float32[np.ndarray, "z y x"]:
    """What bone takes from the beam beyond the soft tissue that would be in its place.

    Only this shows as an edge in an X-ray of the body. Bone with all of its own attenuation, as it would look without a
    body, has outlines several times too strong around soft marrow, which turn the refined camera by some tenths of a
    degree. Labelled voxels are bone whatever their density; elsewhere the threshold decides.
    """
    hu = volume.hu[rows]
    water = attenuation_table("full")[SOFT_TISSUE_HU - AIR_HU]
    contrast = attenuation_map(Volume(hu, volume.world_from_voxel), "full") - water
    weight = np.clip((hu - np.float32(bone_threshold_hu)) / np.float32(BONE_RAMP_HU) + np.float32(0.5), 0, 1)
    if volume.labels is not None:
        weight[volume.labels[rows] > 0] = 1
    return np.maximum(contrast, 0) * weight


def _centroid_world(
    solid: Bool[np.ndarray, "z y x"], world_from_voxel: Float[np.ndarray, "4 4"]
) -> Float[np.ndarray, " 3"]:
    if not solid.any():
        return rigid.apply(world_from_voxel, (np.array(solid.shape[::-1]) - 1) / 2)
    z, y, x = (axis.mean() for axis in np.nonzero(solid))
    return rigid.apply(world_from_voxel, [x, y, z])


def _head_foot_axis(world_from_voxel: Float[np.ndarray, "4 4"]) -> int:
    """Which axis of the array (0 to 2 for z, y, x) runs most nearly from foot to head."""
    axes = world_from_voxel[:3, :3] / np.linalg.norm(world_from_voxel[:3, :3], axis=0)
    return 2 - int(np.abs(axes[2]).argmax())


def _cut(volume: Volume, counted: Bool[np.ndarray, "z y x"], margin_mm: float) -> Volume:
    axis = _head_foot_axis(volume.world_from_voxel)
    met = nonzero_box(counted)[axis]
    reach = int(np.ceil(margin_mm / volume.spacing_mm[2 - axis]))
    slices = [slice(0, size) for size in volume.shape]
    slices[axis] = slice(max(met.start - reach, 0), min(met.stop + reach, volume.shape[axis]))
    box = (slices[0], slices[1], slices[2])
    labels = None if volume.labels is None else volume.labels[box]
    return Volume(volume.hu[box], world_from_box(volume.world_from_voxel, box), labels)


def _without_metal(volume: Volume) -> Volume:
    """Put soft tissue where metal is, and as far around as the CT smears it."""
    places = np.argwhere(volume.hu > METAL_HU)
    if not len(places):
        return volume
    spacing_mm = np.array(volume.spacing_mm[::-1])
    reach = np.floor(METAL_REACH_MM / spacing_mm).astype(int)
    around = np.argwhere(np.ones(2 * reach + 1, bool)) - reach
    around = around[np.linalg.norm(around * spacing_mm, axis=1) <= METAL_REACH_MM]
    hu = volume.hu.copy()
    last = np.array(volume.shape) - 1
    for offset in around:
        z, y, x = np.clip(places + offset, 0, last).T
        hu[z, y, x] = SOFT_TISSUE_HU
    return Volume(hu, volume.world_from_voxel, volume.labels)


def _fade(shape: tuple[int, ...], world_from_voxel: Float[np.ndarray, "4 4"]) -> Float32[np.ndarray, "z y x"]:
    """One inside, falling to zero at the upper and at the lower face."""
    axis = _head_foot_axis(world_from_voxel)
    spacing_mm = np.linalg.norm(world_from_voxel[:3, 2 - axis])
    places = np.arange(shape[axis])
    weights = np.clip((np.minimum(places, places[::-1]) + 0.5) * spacing_mm / FADE_MM, 0, 1)
    return weights.astype(np.float32).reshape([-1 if number == axis else 1 for number in range(3)])


def _block_means(
    attenuation: Float32[np.ndarray, "z y x"], world_from_voxel: Float[np.ndarray, "4 4"], factors: tuple[int, ...]
) -> tuple[Float32[np.ndarray, "z y x"], Float[np.ndarray, "4 4"]]:
    """Average blocks of (x, y, z) voxels; the last ones are filled up with zeros, so integrals stay."""
    x, y, z = factors
    depth, height, width = attenuation.shape
    filled = np.pad(attenuation, ((0, -depth % z), (0, -height % y), (0, -width % x)))
    depth, height, width = (size // factor for size, factor in zip(filled.shape, (z, y, x), strict=True))
    means = filled.reshape(depth, z, height, y, width, x).mean(axis=(1, 3, 5), dtype=np.float32)
    voxel_from_block = np.diag([x, y, z, 1.0])
    voxel_from_block[:3, 3] = (np.array(factors) - 1) / 2
    return means, world_from_voxel @ voxel_from_block
