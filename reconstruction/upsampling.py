"""From probabilities on the network's grid to labels on a finer one.

What is interpolated is the margin of each class over the best other one. Two margins are never positive at the same
point: at every voxel their sum is at most zero, so it is between voxels too. Labels and meshes that both come from
margins agree, and neighbors never overlap.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float32, UInt8
from torch import Tensor

from drrkit.errors import InputError
from drrkit.geometry import rigid
from reconstruction.grid import Grid


@dataclass(frozen=True, eq=False)
class Margin:
    """How far one class is ahead of the best other one, in -1 to 1, in the box outside of which it never is.

    Args:
        values: (Z, Y, X) of the box; positive where the class wins.
        corner: (z, y, x) of the box on the fine grid.
    """

    values: Float32[np.ndarray, "z y x"]
    corner: tuple[int, int, int]

    @property
    def box(self) -> tuple[slice, slice, slice]:
        """Where the values lie on the fine grid."""
        z, y, x = (slice(low, low + size) for low, size in zip(self.corner, self.values.shape, strict=True))
        return z, y, x


def finer(grid: Grid, spacing_mm: float) -> Grid:
    """Return a grid over the same box with smaller voxels; the same grid where its voxels are already as small.

    The last voxels along an axis may end before the box does, by less than one of them.

    Raises:
        InputError: A spacing that is not positive.
    """
    if not 0 < spacing_mm < np.inf:
        raise InputError("spacing", f"{spacing_mm} mm", "a positive number of millimeters")
    scales = np.minimum(spacing_mm / np.array(grid.spacing_mm), 1.0)
    # Outer faces coincide: fine voxel i has its middle at (i + 0.5) * scale - 0.5 of the coarse ones.
    coarse_from_fine = rigid.from_rotation_translation(np.diag(scales), scales / 2 - 0.5)
    shape = [int(size / scale + 1e-6) for size, scale in zip(grid.shape, scales[::-1], strict=True)]
    return Grid((shape[0], shape[1], shape[2]), grid.world_from_grid @ coarse_from_fine)


def margins_on(probabilities: Float32[np.ndarray, "c z y x"], grid: Grid, fine: Grid) -> dict[int, Margin]:
    """Interpolate the margin of every class that wins somewhere.

    Args:
        probabilities: Of every class, background first, on ``grid``.
        grid: The network's.
        fine: A grid of :func:`finer`.

    Returns:
        Margins by number of the class, from 1.
    """
    values = torch.from_numpy(probabilities)
    # numpy's argmax along the first axis is several times faster than torch's.
    winner = probabilities.argmax(axis=0)
    margins = {}
    for number in range(1, len(probabilities)):
        box = _box(winner == number)
        if box is not None:
            part = values[(slice(None), *box)]
            others = torch.cat([part[:number], part[number + 1 :]]).amax(dim=0)
            margins[number] = _interpolated(part[number] - others, box, grid, fine)
    return margins


def labels_of(margins: Mapping[int, Margin], shape: tuple[int, int, int]) -> UInt8[np.ndarray, "z y x"]:
    """Give each voxel the class whose margin is positive there; background elsewhere."""
    labels = np.zeros(shape, np.uint8)
    for number, margin in margins.items():
        labels[margin.box][margin.values > 0] = number
    return labels


def grid_of(margin: Margin, fine: Grid) -> Grid:
    """Return the part of the fine grid that a margin lies on."""
    z, y, x = margin.corner
    corner = rigid.from_rotation_translation(np.eye(3), [x, y, z])
    depth, height, width = margin.values.shape
    return Grid((depth, height, width), fine.world_from_grid @ corner)


def _box(mask: np.ndarray) -> tuple[slice, slice, slice] | None:
    """Bounding box with one voxel around it: beyond that, no interpolation can reach the class."""
    bounds = []
    for axis in range(3):
        hit = np.flatnonzero(mask.any(axis=tuple(other for other in range(3) if other != axis)))
        if not hit.size:
            return None
        bounds.append(slice(max(int(hit[0]) - 1, 0), min(int(hit[-1]) + 2, mask.shape[axis])))
    return bounds[0], bounds[1], bounds[2]


def _interpolated(values: Float[Tensor, "z y x"], box: tuple[slice, slice, slice], grid: Grid, fine: Grid) -> Margin:
    corner = []
    coarse_mm, fine_mm = grid.spacing_mm[::-1], fine.spacing_mm[::-1]
    for axis in range(3):
        scale = fine_mm[axis] / coarse_mm[axis]
        places = (np.arange(fine.shape[axis]) + 0.5) * scale - 0.5
        # Fine voxels between the middles of the box's outermost voxels; at the grid's border all that there are.
        low = -np.inf if box[axis].start == 0 else box[axis].start
        high = np.inf if box[axis].stop == grid.shape[axis] else box[axis].stop - 1
        chosen = np.flatnonzero((places >= low) & (places <= high))
        corner.append(int(chosen[0]))
        size = values.shape[axis]
        local = np.clip(places[chosen] - box[axis].start, 0, size - 1)
        below = np.minimum(local.astype(np.int64), max(size - 2, 0))
        above = np.minimum(below + 1, size - 1)
        weight_shape = [-1 if other == axis else 1 for other in range(3)]
        weight = torch.from_numpy((local - below).astype(np.float32)).reshape(weight_shape)
        first = values.index_select(axis, torch.from_numpy(below))
        values = first.lerp_(values.index_select(axis, torch.from_numpy(above)), weight)
    return Margin(values.numpy(), (corner[0], corner[1], corner[2]))
