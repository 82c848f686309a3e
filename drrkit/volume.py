"""A CT in Hounsfield units, placed in the world, with vertebra labels on the same grid."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float, Num, UInt8

from drrkit.errors import InputError
from drrkit.geometry import rigid
from drrkit.geometry.rigid import ArrayLike

# Vertebrae go by name. Where an array must hold them, these are the numbers (those of VerSe and CTSpine1K).
LEVEL_CODES: dict[str, int] = (
    {f"C{number}": number for number in range(1, 8)}
    | {f"T{number}": 7 + number for number in range(1, 13)}
    | {f"L{number}": 19 + number for number in range(1, 7)}
    | {"sacrum": 26, "coccyx": 27, "T13": 28}
)
LUMBAR_LEVELS: tuple[str, ...] = ("L1", "L2", "L3", "L4", "L5")

# The lowest value of the Hounsfield scale; scanners pad the field of view with less (-2048, -3024).
AIR_HU = -1024


@dataclass(frozen=True, eq=False)
class Volume:
    """A CT volume; valid when it exists.

    Args:
        hu: (Z, Y, X) Hounsfield units, int16 or float32.
        world_from_voxel: (4, 4) affine from voxel (x, y, z), integers at voxel centers, to world (LPS mm). Its axes
            are orthogonal and may be oblique or left-handed.
        labels: (Z, Y, X) uint8 of ``LEVEL_CODES``, 0 elsewhere; or None.

    Raises:
        InputError: Wrong shapes, values that are not finite, or an affine that is singular or sheared.
    """

    hu: Num[np.ndarray, "z y x"]
    world_from_voxel: Float[np.ndarray, "4 4"]
    labels: UInt8[np.ndarray, "z y x"] | None = None

    def __post_init__(self) -> None:
        if self.hu.ndim != 3 or 0 in self.hu.shape:
            raise InputError("volume", f"shape {self.hu.shape}", "three axes (Z, Y, X), none empty")
        if self.hu.dtype not in (np.int16, np.float32):
            raise InputError("volume", f"{self.hu.dtype} voxels", "int16 or float32 Hounsfield units")
        if self.hu.dtype == np.float32:
            with np.errstate(invalid="ignore"):  # infinities of both signs
                total = self.hu.sum(dtype=np.float64)
            if not np.isfinite(total):
                count = int(np.count_nonzero(~np.isfinite(self.hu)))
                raise InputError("volume", f"{count} NaN or infinite voxels", "finite Hounsfield units")
        affine = check_affine(self.world_from_voxel, "world_from_voxel")
        affine.setflags(write=False)
        object.__setattr__(self, "world_from_voxel", affine)
        if self.labels is not None:
            if self.labels.shape != self.hu.shape:
                raise InputError("labels", f"shape {self.labels.shape}", f"the CT's shape {self.hu.shape}")
            if self.labels.dtype != np.uint8:
                raise InputError("labels", f"{self.labels.dtype} voxels", "uint8 level codes")

    @property
    def shape(self) -> tuple[int, int, int]:
        """(Z, Y, X)."""
        depth, height, width = self.hu.shape
        return depth, height, width

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Voxel size along the voxel axes x, y, z."""
        x_mm, y_mm, z_mm = np.linalg.norm(self.world_from_voxel[:3, :3], axis=0)
        return float(x_mm), float(y_mm), float(z_mm)

    @property
    def voxel_from_world(self) -> Float[np.ndarray, "4 4"]:
        """The inverse affine."""
        return np.linalg.inv(self.world_from_voxel)

    @property
    def center_world(self) -> Float[np.ndarray, " 3"]:
        """The middle of the volume in world millimeters."""
        depth, height, width = self.shape
        return rigid.apply(self.world_from_voxel, [(width - 1) / 2, (height - 1) / 2, (depth - 1) / 2])

    @cached_property
    def levels(self) -> tuple[str, ...]:
        """Names of the labelled levels, from head to foot; empty without labels."""
        if self.labels is None:
            return ()
        present = np.flatnonzero(np.bincount(self.labels.ravel(), minlength=256))
        return tuple(name for name in _HEAD_TO_FOOT if LEVEL_CODES[name] in present)

    def level_mask(self, level: str) -> np.ndarray:
        """(Z, Y, X) bool mask of one level by name.

        Raises:
            InputError: The level is not labelled here.
        """
        if level not in self.levels or self.labels is None:
            raise InputError(f"level {level}", f"labels for {', '.join(self.levels) or 'nothing'}", "a labelled level")
        return self.labels == LEVEL_CODES[level]

    def level_centroid_world(self, level: str) -> Float[np.ndarray, " 3"]:
        """Centroid of one level's voxels in world millimeters."""
        z, y, x = (axis.mean() for axis in np.nonzero(self.level_mask(level)))
        return rigid.apply(self.world_from_voxel, [x, y, z])

    def with_labels(self, labels: UInt8[np.ndarray, "z y x"]) -> "Volume":
        """Return the same CT with other labels."""
        return Volume(self.hu, self.world_from_voxel, labels)


_HEAD_TO_FOOT: tuple[str, ...] = (
    *(f"C{number}" for number in range(1, 8)),
    *(f"T{number}" for number in range(1, 14)),
    *(f"L{number}" for number in range(1, 7)),
    "sacrum",
    "coccyx",
)


def check_affine(affine: ArrayLike, where: str) -> Float[np.ndarray, "4 4"]:
    """Return a fresh float64 voxel affine, or say why it cannot place a CT.

    Raises:
        InputError: Wrong shape, not finite, zero spacing, or axes that are not orthogonal.
    """
    matrix = np.array(affine, dtype=np.float64)
    if matrix.shape != (4, 4) or not np.isfinite(matrix).all():
        raise InputError(where, "no finite 4x4 matrix", "a finite 4x4 affine")
    if not np.allclose(matrix[3], [0, 0, 0, 1]):
        raise InputError(where, f"last row {matrix[3].tolist()}", "[0, 0, 0, 1]")
    spacing_mm = np.linalg.norm(matrix[:3, :3], axis=0)
    if (spacing_mm < 1e-6).any():
        raise InputError(where, f"voxel spacing {spacing_mm.tolist()} mm", "three positive spacings")
    axes = matrix[:3, :3] / spacing_mm
    skew = float(np.abs(axes.T @ axes - np.eye(3)).max())
    if skew > 1e-3:
        raise InputError(where, f"axes off a right angle by {skew:.2g}", "orthogonal axes (gantry tilt? resample)")
    return matrix
