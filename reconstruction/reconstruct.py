"""From calibrated X-rays to labelled vertebrae in the world: the whole way, with a network that is already loaded."""

import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float32, UInt8

from drrkit.errors import InputError
from drrkit.geometry.rigid import ArrayLike
from drrkit.radiograph import Radiograph
from reconstruction.grid import Grid
from reconstruction.origin.isocenter import isocenter_world
from reconstruction.runtime import Runtime
from reconstruction.upsampling import Margin, finer, labels_of, margins_on
from reconstruction.views import PreparedViews, check_sees, checked_camera, mirrored_views, prepare_views


@dataclass(frozen=True, eq=False)
class Reconstruction:
    """Labelled vertebrae.

    Args:
        labels: (Z, Y, X) classes on ``grid``: 0 background, i for the i-th of ``classes``.
        grid: Of the labels; as fine as was asked for.
        classes: Names of classes 1, 2, ...
        margins: By class, how far it is ahead of all others, on ``grid``; meshes come from them.
        probabilities: (C, z, y, x) of every class, background first, on ``network_grid``.
        network_grid: What the network filled.
        seconds: By step.
    """

    labels: UInt8[np.ndarray, "z y x"]
    grid: Grid
    classes: tuple[str, ...]
    margins: Mapping[int, Margin]
    probabilities: Float32[np.ndarray, "c z y x"]
    network_grid: Grid
    seconds: Mapping[str, float]


def reconstruct(
    radiographs: Mapping[str, Radiograph],
    runtime: Runtime,
    spacing_mm: float,
    center_world: ArrayLike | None = None,
    world_from_grid_rotation: ArrayLike | None = None,
    mirror: bool = False,
) -> Reconstruction:
    """Reconstruct from any number of calibrated views.

    Args:
        radiographs: Line integrals with cameras, by id.
        runtime: The loaded network.
        spacing_mm: Voxel size of the labels; those of the network where they are smaller.
        center_world: (3,) where the middle of the grid goes; the point nearest to all central rays if None.
        world_from_grid_rotation: (3, 3) whose columns are the grid's axes in the world; along the patient's if None.
        mirror: Average with what the network makes of the mirrored scene, for twice the network's time.

    Raises:
        InputError: No view, one that is not calibrated, not line integrals or that sees none of the grid, no center
            where the views do not tell one, or a network that answers with NaN.
    """
    started = time.perf_counter()
    if not radiographs:
        raise InputError("views", "none", "at least one radiograph")
    cameras = {view_id: checked_camera(image, f"view {view_id}") for view_id, image in radiographs.items()}
    spec = runtime.spec
    center = isocenter_world(list(cameras.values())) if center_world is None else _checked_center(center_world)
    network_grid = Grid.centered(center, spec.grid_shape, spec.grid_spacing_mm, world_from_grid_rotation)
    for view_id, camera in cameras.items():
        check_sees(camera, network_grid, f"view {view_id}")
    grid = finer(network_grid, spacing_mm)
    views = prepare_views(list(radiographs.values()), network_grid, spec.window)
    prepared = time.perf_counter()
    probabilities = _probabilities(runtime, views)
    if mirror:
        seen = _probabilities(runtime, mirrored_views(views, network_grid.shape[2]))
        probabilities = (probabilities + seen[..., ::-1]) / 2
    predicted = time.perf_counter()
    # One NaN in the input reaches every voxel or few; a sum finds it either way.
    if not np.isfinite(probabilities.sum()):
        raise InputError("model", "NaN in its answer", "weights and images of finite numbers")
    margins = margins_on(probabilities, network_grid, grid)
    labels = labels_of(margins, grid.shape)
    done = time.perf_counter()
    seconds = {
        "prepare": prepared - started,
        "network": predicted - prepared,
        "label": done - predicted,
        "total": done - started,
    }
    return Reconstruction(labels, grid, spec.classes, margins, probabilities, network_grid, seconds)


def _probabilities(runtime: Runtime, views: PreparedViews) -> Float32[np.ndarray, "c z y x"]:
    logits = runtime.predict(views.images, views.pixel_from_grid)
    wanted = (len(runtime.spec.classes) + 1, *runtime.spec.grid_shape)
    if logits.shape != wanted:
        raise InputError("model", f"an answer of shape {logits.shape}", f"{wanted}, as its description says")
    return torch.softmax(torch.from_numpy(logits), dim=0).numpy()


def _checked_center(center_world: ArrayLike) -> Float[np.ndarray, " 3"]:
    center = np.asarray(center_world, np.float64)
    if center.shape != (3,) or not np.isfinite(center).all():
        raise InputError("center", np.asarray(center_world).tolist(), "three finite world coordinates in millimeters")
    return center
