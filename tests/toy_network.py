"""A reconstruction network of a few hundred weights, and batches of spheres for it; nothing that anatomy needs."""

from types import MappingProxyType

import torch
from torch import nn

from reconstruction import networks
from reconstruction.examples import Batch
from reconstruction.model import ModelSpec, ViewWindow

SIDE = 8


class ToyNetwork(nn.Module):
    """Two views replicated along their rays; parts are named as x23d's are."""

    def __init__(self, classes: int, width: int = 4) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Conv2d(1, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU())
        self.fusion = nn.Conv3d(width, width, 1)
        self.unet = nn.Module()
        self.unet.body = nn.Sequential(nn.Conv3d(width, width, 3, padding=1), nn.BatchNorm3d(width), nn.ReLU())
        self.unet.head = nn.Conv3d(width, classes, 1)

    def forward(self, images, pixel_from_grid, grid_shape):
        batch, views = images.shape[:2]
        flat = self.encoder(images.flatten(0, 1)).unflatten(0, (batch, views))
        front, side = flat[:, 0], flat[:, views - 1]
        size = (batch, front.shape[1], *grid_shape)
        volume = front[:, :, :, None, :].expand(size) + side[:, :, :, :, None].expand(size)
        return self.unet.head(self.unet.body(self.fusion(volume)))


def register() -> None:
    """Make ``toy`` known, in this process; in tests undo it by ``monkeypatch``."""
    networks.NETWORKS = MappingProxyType({**networks.NETWORKS, "toy": ToyNetwork})


def toy_spec(width: int = 4) -> ModelSpec:
    window = ViewWindow((SIDE, SIDE), 2.0)
    return ModelSpec("toy", {"width": width}, "vertebra", ("vertebra",), (SIDE, SIDE, SIDE), 2.0, window)


def sphere_example(generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Images (2, 1, H, W) seen along y and along x, and classes (Z, Y, X) of one ball."""
    center = 2.5 + 2 * torch.rand(3, generator=generator)
    z, y, x = torch.meshgrid(*(torch.arange(SIDE),) * 3, indexing="ij")
    ball = ((z - center[0]) ** 2 + (y - center[1]) ** 2 + (x - center[2]) ** 2 < 6).float()
    return torch.stack([ball.mean(1), ball.mean(2)])[:, None] * 2, ball.to(torch.uint8)


def sphere_batches(seed: int, batch: int):
    """A pure function of (step, rank)."""

    def batches(step: int, rank: int) -> Batch:
        generator = torch.Generator().manual_seed(seed * 1_000_003 + step * 1009 + rank)
        images, classes = zip(*(sphere_example(generator) for _ in range(batch)), strict=True)
        return Batch(torch.stack(images), torch.zeros(batch, 2, 3, 4), torch.stack(classes))

    return batches
