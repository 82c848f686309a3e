"""Maxima of heat maps: where a level may be in an image, to a part of a pixel, and how sure that is."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor, nn

from reconstruction.origin.heatmaps import LevelHeatmaps, pixel_from_cell


@dataclass(frozen=True, eq=False)
class Peaks:
    """The best peaks of every view and level, best first.

    Args:
        pixels: (V, L, K, 2) pixels (u, v) of the whole image that was looked at.
        masses: (V, L, K) probability that the level is there; 0 where there is no such peak.
    """

    pixels: Float[np.ndarray, "v l k 2"]
    masses: Float[np.ndarray, "v l k"]


@torch.no_grad()
def find_peaks(
    network: LevelHeatmaps, images: Float32[np.ndarray, "v 2 h w"], count: int, radius_cells: int, least_mass: float
) -> Peaks:
    """Look at images and find where each level may be.

    Args:
        network: In eval mode.
        images: Whole images.
        count: Peaks of each view and level.
        radius_cells: Cells around a maximum that its place and its mass are taken from.
        least_mass: Peaks that hold less get mass 0.
    """
    probabilities = network(torch.from_numpy(images)).exp()[..., :-1]
    height, width = (length // network.stride for length in images.shape[2:])
    cells, masses = peaks_of(probabilities.unflatten(2, (height, width)), count, radius_cells)
    masses = torch.where(masses < least_mass, 0.0, masses)
    pixels = pixel_from_cell(cells, network.stride)
    return Peaks(pixels.double().numpy(), masses.double().numpy())


def peaks_of(
    probabilities: Float[Tensor, "v l h w"], count: int, radius_cells: int
) -> tuple[Float[Tensor, "v l k 2"], Float[Tensor, "v l k"]]:
    """Find the ``count`` largest maxima of each map.

    Returns:
        Their places (x, y) in cells, each the mean of the cells around, and the sums of the cells around.
    """
    side = 2 * radius_cells + 1
    highest = nn.functional.max_pool2d(probabilities, side, 1, radius_cells)
    maxima = torch.where(probabilities == highest, probabilities, 0.0)
    heights, places = maxima.flatten(2).topk(count, dim=2)
    width = probabilities.shape[3]
    # (V, L, K, side^2): the cells around each maximum; what is outside the map counts 0.
    around = nn.functional.unfold(probabilities.flatten(0, 1)[:, None], side, padding=radius_cells)
    around = around.unflatten(0, probabilities.shape[:2])
    around = torch.gather(around, 3, places[:, :, None].expand(-1, -1, side**2, -1)).transpose(2, 3)
    masses = around.sum(dim=3)
    steps = torch.arange(-radius_cells, radius_cells + 1, dtype=probabilities.dtype)
    offsets = torch.stack([steps.repeat(side), steps.repeat_interleave(side)], dim=1)
    centers = torch.stack([places % width, places // width], dim=3)
    cells = centers + around @ offsets / masses.clamp_min(torch.finfo(masses.dtype).tiny)[..., None]
    return cells, torch.where(heights > 0, masses, 0.0)
