"""From X-rays to class probabilities on a grid, and from those to classes in the voxels of any volume."""

from collections.abc import Callable, Sequence
from typing import Literal

import numba
import numpy as np
import torch
from jaxtyping import Float, Float32, UInt8
from torch import nn

from drrkit.errors import InputError
from drrkit.radiograph import Radiograph
from drrkit.volume import check_affine
from reconstruction.grid import Grid
from reconstruction.model import ViewWindow
from reconstruction.views import PreparedViews, mirrored_views, prepare_views

# Calibrated line integrals and a grid -> (C, Z, Y, X) probabilities of every class, background first. Whatever does so
# can be evaluated and studied: a network, another runtime, or a method without any network.
Predictor = Callable[[Sequence[Radiograph], Grid], Float32[np.ndarray, "c z y x"]]

Precision = Literal["fp32", "bf16"]
# No network has so many classes.
_DISAGREED = 255


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


def network_predictor(
    network: nn.Module, window: ViewWindow, precision: Precision = "fp32", mirror: bool = False
) -> Predictor:
    """Return the predictor of a network: views are brought to its window, then it runs.

    Args:
        network: As :func:`predict` takes it.
        window: Of the network.
        precision: ``bf16`` runs convolutions with 8 bits of mantissa, as training does: half the time on processors
            that know such numbers, and scores that differ by less than a thousandth.
        mirror: Average with what the network makes of the mirrored scene, for twice the time.
    """

    def run(prepared: PreparedViews, grid: Grid) -> Float32[np.ndarray, "c z y x"]:
        probabilities = predict(network, prepared, grid)
        if not mirror:
            return probabilities
        return (probabilities + predict(network, mirrored_views(prepared, grid.shape[2]), grid)[..., ::-1]) / 2

    def predictor(radiographs: Sequence[Radiograph], grid: Grid) -> Float32[np.ndarray, "c z y x"]:
        prepared = prepare_views(radiographs, grid, window)
        if precision == "fp32":
            return run(prepared, grid)
        # Here and not around all: threads do not inherit it.
        with torch.autocast(next(network.parameters()).device.type, torch.bfloat16):
            return run(prepared, grid)

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
    grid_from_voxel = grid.grid_from_world @ check_affine(world_from_voxel, "world_from_voxel")
    classes = np.zeros(shape, np.uint8)
    # Classes last: what is interpolated together lies together.
    values = np.ascontiguousarray(np.moveaxis(probabilities, 0, -1), np.float32)
    _interpolate(values, _agreed(probabilities), grid_from_voxel[:3], classes)
    return classes


def _agreed(probabilities: Float32[np.ndarray, "c z y x"]) -> UInt8[np.ndarray, "z y x"]:
    """Say which class wins at all eight corners of the cell above a voxel, so that it wins in between as well."""
    winners = probabilities.argmax(axis=0).astype(np.uint8)
    padded = np.pad(winners, [(0, 1)] * 3, mode="edge")
    low, high = slice(None, -1), slice(1, None)
    agreed = winners.copy()
    for shift in np.ndindex(2, 2, 2):
        agreed[padded[tuple(high if step else low for step in shift)] != winners] = _DISAGREED
    return agreed


@numba.njit(nogil=True, cache=True)
def _interpolate(
    values: Float32[np.ndarray, "z y x c"],
    agreed: UInt8[np.ndarray, "z y x"],
    grid_from_voxel: Float[np.ndarray, "3 4"],
    classes: UInt8[np.ndarray, "vz vy vx"],
) -> None:
    """Fill ``classes``; only where the corners of a cell disagree is there anything to interpolate."""
    sizes = agreed.shape
    sums = np.empty(values.shape[3], np.float32)
    low, high, part = np.empty(3, np.int64), np.empty(3, np.int64), np.empty(3, np.float64)
    for z in range(classes.shape[0]):
        for y in range(classes.shape[1]):
            for x in range(classes.shape[2]):
                inside = True
                for axis in range(3):
                    row = grid_from_voxel[2 - axis]
                    place = row[0] * x + row[1] * y + row[2] * z + row[3]
                    if place < -0.5 or place > sizes[axis] - 0.5:
                        inside = False
                        break
                    place = min(max(place, 0.0), sizes[axis] - 1.0)
                    low[axis] = int(place)
                    high[axis] = min(low[axis] + 1, sizes[axis] - 1)
                    part[axis] = place - low[axis]
                if not inside:
                    continue
                winner = agreed[low[0], low[1], low[2]]
                if winner == _DISAGREED:
                    sums[:] = 0.0
                    for corner in range(8):
                        far_z, far_y, far_x = corner & 1, corner >> 1 & 1, corner >> 2
                        weight = (
                            (part[0] if far_z else 1 - part[0])
                            * (part[1] if far_y else 1 - part[1])
                            * (part[2] if far_x else 1 - part[2])
                        )
                        if weight > 0:
                            at_z = high[0] if far_z else low[0]
                            at_y = high[1] if far_y else low[1]
                            at_x = high[2] if far_x else low[2]
                            for number in range(len(sums)):
                                sums[number] += np.float32(weight) * values[at_z, at_y, at_x, number]
                    winner = np.uint8(np.argmax(sums))
                classes[z, y, x] = winner
