"""The box of voxels that a network fills with vertebrae, placed anywhere in the world."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from drrkit.errors import InputError
from drrkit.geometry import rigid
from drrkit.geometry.camera import Camera
from drrkit.geometry.rigid import ArrayLike
from drrkit.volume import check_affine


@dataclass(frozen=True, eq=False)
class Grid:
    """Voxels in the world; valid when it exists.

    Args:
        shape: (Z, Y, X).
        world_from_grid: (4, 4) affine from voxel (x, y, z), integers at voxel centers, to world (LPS mm).

    Raises:
        InputError: An empty shape, or an affine that is singular or sheared.
    """

    shape: tuple[int, int, int]
    world_from_grid: Float[np.ndarray, "4 4"]

    def __post_init__(self) -> None:
        if len(self.shape) != 3 or min(self.shape) < 1:
            raise InputError("grid", f"shape {self.shape}", "three axes (Z, Y, X), none empty")
        affine = check_affine(self.world_from_grid, "world_from_grid")
        affine.setflags(write=False)
        object.__setattr__(self, "world_from_grid", affine)

    @classmethod
    def centered(
        cls,
        center_world: ArrayLike,
        shape: Sequence[int],
        spacing_mm: float,
        world_from_grid_rotation: ArrayLike | None = None,
    ) -> "Grid":
        """Place cubic voxels around a point.

        Args:
            center_world: (3,) middle of the grid in world millimeters.
            shape: (Z, Y, X).
            spacing_mm: Side of a voxel.
            world_from_grid_rotation: (3, 3) whose columns are the grid's axes in the world; along the world's if None.
        """
        rotation = np.eye(3) if world_from_grid_rotation is None else np.asarray(world_from_grid_rotation, np.float64)
        depth, height, width = (int(size) for size in shape)
        middle = np.array([width - 1, height - 1, depth - 1]) / 2
        axes = rotation * spacing_mm
        corner = np.asarray(center_world, np.float64) - axes @ middle
        return cls((depth, height, width), rigid.from_rotation_translation(axes, corner))

    @property
    def grid_from_world(self) -> Float[np.ndarray, "4 4"]:
        """The inverse affine."""
        return np.linalg.inv(self.world_from_grid)

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Voxel size along the grid's axes x, y, z."""
        x_mm, y_mm, z_mm = np.linalg.norm(self.world_from_grid[:3, :3], axis=0)
        return float(x_mm), float(y_mm), float(z_mm)

    @property
    def center_world(self) -> Float[np.ndarray, " 3"]:
        """The middle of the grid in world millimeters."""
        depth, height, width = self.shape
        return rigid.apply(self.world_from_grid, [(width - 1) / 2, (height - 1) / 2, (depth - 1) / 2])

    def points_world(self) -> Float[np.ndarray, "z y x 3"]:
        """World coordinates of all voxel centers."""
        z, y, x = np.meshgrid(*(np.arange(size) for size in self.shape), indexing="ij")
        return rigid.apply(self.world_from_grid, np.stack([x, y, z], axis=-1))

    def pixel_from_grid(self, camera: Camera) -> Float[np.ndarray, "3 4"]:
        """Project voxel (x, y, z, 1) to homogeneous pixels of a camera; the third row is the depth in millimeters."""
        return camera.pixel_from_world @ self.world_from_grid
