"""Where the voxels of a file lie: the header without the pixels."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from drrkit.geometry import rigid
from drrkit.volume import Volume

# Two grids are one when no corner moves by more: far below a voxel, far above float32 rounding of an affine.
SAME_GRID_LIMIT_MM = 0.05

_LETTERS = (("R", "L"), ("A", "P"), ("I", "S"))


@dataclass(frozen=True, eq=False)
class Grid:
    """The geometry of a volume.

    Args:
        shape: (Z, Y, X).
        world_from_voxel: (4, 4) affine from voxel (x, y, z) to world (LPS mm).
    """

    shape: tuple[int, int, int]
    world_from_voxel: Float[np.ndarray, "4 4"]

    @classmethod
    def of(cls, volume: Volume) -> "Grid":
        """Return the grid of a volume."""
        return cls(volume.shape, volume.world_from_voxel)

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Voxel size along the voxel axes x, y, z."""
        x_mm, y_mm, z_mm = np.linalg.norm(self.world_from_voxel[:3, :3], axis=0)
        return float(x_mm), float(y_mm), float(z_mm)

    @property
    def axis_codes(self) -> str:
        """Where the voxel axes x, y, z run to, such as LPS; an oblique axis goes by its largest part."""
        axes = self.world_from_voxel[:3, :3]
        codes = []
        for axis in axes.T:
            largest = int(np.argmax(np.abs(axis)))
            codes.append(_LETTERS[largest][int(axis[largest] > 0)])
        return "".join(codes)

    def matches(self, other: "Grid") -> bool:
        """Whether both grids have the same size and place each voxel at the same point."""
        if self.shape != other.shape:
            return False
        depth, height, width = self.shape
        corners = np.stack(np.meshgrid([0, width - 1], [0, height - 1], [0, depth - 1]), axis=-1).reshape(-1, 3)
        apart = rigid.apply(self.world_from_voxel, corners) - rigid.apply(other.world_from_voxel, corners)
        return bool(np.linalg.norm(apart, axis=1).max() <= SAME_GRID_LIMIT_MM)

    def __str__(self) -> str:
        depth, height, width = self.shape
        x_mm, y_mm, z_mm = self.spacing_mm
        first = ", ".join(f"{coordinate:.2f}" for coordinate in self.world_from_voxel[:3, 3])
        return (
            f"{width} x {height} x {depth} voxels of {x_mm:.4g} x {y_mm:.4g} x {z_mm:.4g} mm, "
            f"axes {self.axis_codes}, first voxel at ({first}) mm"
        )
