"""From X-rays to class probabilities on a grid, and from those to classes in the voxels of any volume."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from jaxtyping import Float, Float32, UInt8
from torch import Tensor, nn
from torch.nn import functional

from drrkit.errors import InputError
from drrkit.radiograph import Radiograph
from drrkit.volume import check_affine
from reconstruction.grid import Grid
from reconstruction.model import ViewWindow
from reconstruction.views import PreparedViews, prepare_views

# Calibrated line integrals and a grid -> (C, Z, Y, X) probabilities of every class, background first. Whatever does so
# can be evaluated and studied: a network, another runtime, or a method without any network.
Predictor = Callable[[Sequence[Radiograph], Grid], Float32[np.ndarray, "c z y x"]]

# Voxels that are sampled at once, so that memory stays small for large volumes.
_VOXELS_AT_ONCE = 1_000_000


def predict(network: nn.Module, prepared: PreparedViews, grid: Grid) -> Float32[np.ndarray, "c z y x"]:
    """Run a network on one case.

    Args:
        network: In eval mode, with the contract of :mod:`reconstruction.networks`; it may be on any device.
        prepared: The views.
        grid: That the views were prepared for.

    Returns:
        Probabilities of every class, background first.

    Raises:
        InputError: A network that answers with another grid or with NaN.
    """
    parameter = next(network.parameters(), None)
    device = torch.device("cpu") if parameter is None else parameter.device
    with torch.inference_mode():
        images = torch.from_numpy(prepared.images)[None].to(device)
        matrices = torch.from_numpy(prepared.pixel_from_grid)[None].to(device)
        logits = network(images, matrices, grid.shape)[0].float()
        if tuple(logits.shape[1:]) != grid.shape or not torch.isfinite(logits).all():
            raise InputError("network", f"an answer of shape {tuple(logits.shape)}", f"finite logits on {grid.shape}")
        return logits.softmax(dim=0).cpu().numpy()


def network_predictor(network: nn.Module, window: ViewWindow) -> Predictor:
    """Return the predictor of a network: views are brought to its window, then it runs."""

    def predictor(radiographs: Sequence[Radiograph], grid: Grid) -> Float32[np.ndarray, "c z y x"]:
        return predict(network, prepare_views(radiographs, grid, window), grid)

    return predictor


def upsampled_classes(
    probabilities: Float32[np.ndarray, "c z y x"],
    grid: Grid,
    shape: tuple[int, int, int],
    world_from_voxel: Float[np.ndarray, "4 4"],
) -> UInt8[np.ndarray, "vz vy vx"]:
    """Say for every voxel of a volume which class it is, by trilinear interpolation of the probabilities.

    Interpolating before deciding keeps surfaces smooth: labels that are decided on the network's coarse grid and then
    enlarged would have its stairs. Within half a voxel of the grid's border, the border's value counts.

    Args:
        probabilities: Of every class, background first, on ``grid``; logits will do as well.
        grid: Where they are.
        shape: (Z, Y, X) of the volume.
        world_from_voxel: (4, 4) of the volume, which may be turned against the grid in any way.

    Returns:
        Classes; 0 outside the grid.

    Raises:
        InputError: Probabilities that are not on the grid.
    """
    if probabilities.shape[1:] != grid.shape:
        raise InputError("probabilities", f"shape {probabilities.shape}", f"classes on the grid's {grid.shape}")
    classes = np.zeros(shape, np.uint8)
    grid_from_voxel = grid.grid_from_world @ check_affine(world_from_voxel, "world_from_voxel")
    box = _reached(grid, grid_from_voxel, shape)
    if box is None:
        return classes
    values = torch.from_numpy(np.ascontiguousarray(probabilities))[None]
    planes = max(1, _VOXELS_AT_ONCE // ((box[1].stop - box[1].start) * (box[2].stop - box[2].start)))
    with torch.inference_mode():
        for first in range(box[0].start, box[0].stop, planes):
            part = (slice(first, min(first + planes, box[0].stop)), box[1], box[2])
            places = _places(grid, grid_from_voxel, part)
            sampled = functional.grid_sample(values, places[None], "bilinear", "border", align_corners=False)[0]
            winners = sampled.argmax(dim=0).to(torch.uint8)
            winners[(places.abs() > 1).any(dim=-1)] = 0
            classes[part] = winners.numpy()
    return classes


def _reached(
    grid: Grid, grid_from_voxel: Float[np.ndarray, "4 4"], shape: tuple[int, int, int]
) -> tuple[slice, slice, slice] | None:
    """Box of voxels of a volume that may lie in the grid; None if there is none."""
    depth, height, width = grid.shape
    corners = np.array(
        [[x, y, z, 1] for x in (-0.5, width - 0.5) for y in (-0.5, height - 0.5) for z in (-0.5, depth - 0.5)]
    )
    voxels = (corners @ np.linalg.inv(grid_from_voxel).T)[:, 2::-1]
    low = np.maximum(np.floor(voxels.min(axis=0)).astype(int), 0)
    high = np.minimum(np.ceil(voxels.max(axis=0)).astype(int) + 1, shape)
    if (low >= high).any():
        return None
    z, y, x = (slice(int(start), int(stop)) for start, stop in zip(low, high, strict=True))
    return z, y, x


def _places(
    grid: Grid, grid_from_voxel: Float[np.ndarray, "4 4"], part: tuple[slice, slice, slice]
) -> Float32[Tensor, "z y x 3"]:
    """Where voxels lie in the grid, as grid_sample counts: (x, y, z), -1 and 1 at the outer faces of the grid."""
    sizes = np.array(grid.shape[::-1])
    steps, start = grid_from_voxel[:3, :3], grid_from_voxel[:3, 3]
    # Pixel i of n has its center at (2 i + 1) / n - 1.
    scaled, offset = 2 * steps / sizes[:, None], (2 * start + 1) / sizes - 1
    z, y, x = (
        torch.arange(span.start, span.stop, dtype=torch.float64)[:, None] * torch.from_numpy(column.copy())
        for span, column in zip(part, (scaled[:, 2], scaled[:, 1], scaled[:, 0]), strict=True)
    )
    rows = (z[:, None] + y[None] + torch.from_numpy(offset)).float()
    return rows[:, :, None] + x.float()[None, None]
