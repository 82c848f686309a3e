"""Spines of beads, one brightness a level, and a network that knows brightness: origin estimation without training."""

import numpy as np
import torch
from torch import nn

from drrkit.radiograph import Radiograph
from drrkit.volume import LUMBAR_LEVELS
from reconstruction.origin.model import OriginModel
from reconstruction.origin.settings import OriginSettings
from reconstruction.origin.shape import fit_shape

# Left, back, head in mm, from the middle of L3: 35 mm apart, bent like a lordosis; the processes reach to the back.
CENTROIDS = np.array([[0, 4, 69], [0, -1, 35], [0, -4, 0], [0, -3, -35], [0, 6, -69]], np.float64)
MEAN_SPINE = np.concatenate([CENTROIDS, [[0, 18, 1]], CENTROIDS + np.array([0, 8, -3])])
BRIGHTNESS = np.array([0.2, 0.4, 0.6, 0.8, 1.0])
BEAD_MM = 9.0

SETTINGS = OriginSettings.model_validate(
    {
        "network": {"pixel_mm": 2.0, "stride": 4, "widths": (4, 8)},
        "training": {
            "seed": 0,
            "steps": 25,
            "batch_images": 4,
            "views_per_case": 3,
            "size_px": 64,
            "learning_rate": 0.01,
            "rising_steps": 3,
            "gradient_limit": 1.0,
            "weight_decay": 0.01,
            "blob_sigma_mm": 8.0,
            "augmentation": {
                "rotation_deg": 10.0,
                "scale": 0.1,
                "shift_mm": 10.0,
                "field_mm": (120.0, 200.0),
                "pixels": "none",
            },
        },
        "location": {
            "peaks": 2,
            "peak_radius_cells": 2,
            "least_mass": 0.05,
            "sigma_mm": 3.0,
            "outlier_share": 0.05,
            "gate_sigmas": 3.0,
            "level_gate_sigmas": 4.0,
            "shape_floor_mm": 1.0,
            "rotation_prior_deg": 15.0,
        },
    }
)


def spine_points(rotation=None, position=(0.0, 0.0, 0.0)) -> np.ndarray:
    """(11, 3) the mean spine, turned and moved."""
    return MEAN_SPINE @ (np.eye(3) if rotation is None else rotation).T + position


def levels_of(points) -> dict[str, np.ndarray]:
    """The centroids by level."""
    return dict(zip(LUMBAR_LEVELS, points, strict=False))


def toy_shape():
    """A shape learned from the mean spine with noise of 1.5 mm."""
    # Each deviation once and once the other way, so that the mean is the mean spine.
    noise_mm = np.random.default_rng(3).normal(0, 1.5, (8, *MEAN_SPINE.shape))
    return fit_shape([MEAN_SPINE + sign * noise for noise in noise_mm for sign in (1, -1)], 1.0, 15.0)


def bead_radiograph(points, camera) -> Radiograph:
    """A bead at each centroid, in the brightness of its level."""
    v, u = np.mgrid[: camera.height, : camera.width]
    pixels = np.zeros((camera.height, camera.width), np.float32)
    for point, value in zip(points, BRIGHTNESS, strict=False):
        center_u, center_v = camera.project(point)
        radius_px = BEAD_MM * camera.focal_px / camera.depth_mm(point)
        pixels[np.hypot(u - center_u, v - center_v) < radius_px] = value
    return Radiograph(pixels * np.float32(7), "line_integral", camera)


class BeadNetwork(nn.Module):
    """Heat maps of the beads."""

    stride, multiple = 4, 16

    def forward(self, images):
        """Weigh cells by how much of them has a level's brightness."""
        values = torch.tensor(BRIGHTNESS, dtype=torch.float32)[None, :, None, None]
        alike = torch.exp(-(((images[:, :1] - values) / 0.05) ** 2))
        cells = nn.functional.avg_pool2d(alike, self.stride).flatten(2) ** 4
        return torch.log(torch.cat([cells, torch.full_like(cells[:, :, :1], 0.1)], 2) + 1e-9).log_softmax(2)


def bead_model() -> OriginModel:
    """A model that finds beads."""
    return OriginModel(BeadNetwork(), toy_shape(), SETTINGS)
