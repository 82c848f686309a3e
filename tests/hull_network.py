"""A network without training: the visual hull of two shadows, the upper half of the grid L1, the lower L2.

Through it, tests follow a shape from X-rays in the world to labels in the world.
"""

from types import MappingProxyType

import numpy as np
import torch
from torch import nn

from drrkit.geometry.camera import Camera
from drrkit.geometry.carm import CArm
from drrkit.radiograph import Radiograph
from reconstruction import networks
from reconstruction.model import ModelSpec, ViewWindow
from reconstruction.networks.backprojection import backproject
from reconstruction.weights import build_network, save_model

GRID_SHAPE, SPACING_MM = (20, 16, 16), 3.0
ISOCENTER = np.array([12.0, -7.0, -310.0])
RADIUS_MM = 9.0
BALLS = {"L1": ISOCENTER + np.array([2.0, 1.0, 14.0]), "L2": ISOCENTER + np.array([-3.0, 2.0, -14.0])}
ANGLES_DEG = {"ap": 0.0, "lat": 90.0, "oblique": 45.0, "other": -45.0}
CARM = CArm(1000.0, 700.0, 96, 80, (1.6, 1.6))
# A ray through the edge of the ball has no length inside; this part of the longest lies at 0.95 of its radius.
_EDGE = 0.3


class HullNetwork(nn.Module):
    """The least image value over the views decides, as when a shape is carved from its shadows."""

    grid_multiple = 2

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.sharpness = nn.Parameter(torch.tensor(20.0))

    def forward(self, images, pixel_from_grid, grid_shape):
        seen, inside, _ = backproject(images[0], pixel_from_grid[0], grid_shape)
        bone = (torch.where(inside > 0, seen, 1.0).amin(dim=0) - _EDGE) * self.sharpness
        upper = (torch.arange(grid_shape[0]) >= grid_shape[0] // 2).to(bone.dtype).reshape(-1, 1, 1)
        away = -10.0
        logits = [torch.zeros_like(bone), bone * upper + away * (1 - upper), bone * (1 - upper) + away * upper]
        return torch.cat(logits)[None]


def register(monkeypatch) -> None:
    """Make ``hull`` known for one test."""
    monkeypatch.setattr(networks, "NETWORKS", MappingProxyType({**networks.NETWORKS, "hull": HullNetwork}))


def hull_spec(**changes) -> ModelSpec:
    values = {
        "network": "hull",
        "settings": {},
        "mode": "lumbar",
        "classes": ("L1", "L2"),
        "grid_shape": GRID_SHAPE,
        "grid_spacing_mm": SPACING_MM,
        "window": ViewWindow((64, 64), 1.2),
    }
    return ModelSpec(**values | changes)


def save_hull(path) -> None:
    save_model(path, build_network(hull_spec()), hull_spec())


def camera(view_id: str, isocenter=ISOCENTER) -> Camera:
    return CARM.camera(ANGLES_DEG[view_id], 0.0, 0.0, isocenter)


def radiograph(of: Camera) -> Radiograph:
    """Exact line integrals of the balls: chords of the rays."""
    v, u = np.mgrid[: of.height, : of.width]
    directions = of.rays(np.stack([u, v], axis=-1))
    chords = np.zeros((of.height, of.width))
    for center in BALLS.values():
        nearest = np.linalg.norm(np.cross(directions, center - of.source_world), axis=-1)
        chords += 2 * np.sqrt(np.clip(RADIUS_MM**2 - nearest**2, 0, None))
    return Radiograph(chords.astype(np.float32), "line_integral", of)


def radiographs(count: int = 4) -> dict[str, Radiograph]:
    return {view_id: radiograph(camera(view_id)) for view_id in list(ANGLES_DEG)[:count]}
