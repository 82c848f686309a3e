"""A reconstruction network of a few hundred weights, and batches of spheres for it; nothing that anatomy needs."""

from types import MappingProxyType, SimpleNamespace

import torch
from torch import nn
from torch.nn import functional

from reconstruction import networks
from reconstruction.learning.settings import TrainSettings
from reconstruction.model import ModelSpec, ViewWindow

SIDE = 8


class ToyNetwork(nn.Module):
    """Two views replicated along their rays; parts are named as x23d's are."""

    def __init__(self, classes: int, width: int = 4, batch_norm: bool = True, dropout: float = 0.0) -> None:
        super().__init__()
        norms = [nn.GroupNorm(2, width), nn.GroupNorm(2, width)]
        if batch_norm:
            norms = [nn.BatchNorm2d(width), nn.BatchNorm3d(width)]
        self.encoder = nn.Sequential(nn.Conv2d(1, width, 3, padding=1), norms[0], nn.ReLU(), nn.Dropout(dropout))
        self.fusion = nn.Conv3d(width, width, 1)
        self.unet = nn.Module()
        self.unet.body = nn.Sequential(nn.Conv3d(width, width, 3, padding=1), norms[1], nn.ReLU())
        self.unet.head = nn.Conv3d(width, classes, 1)

    def forward(self, images, pixel_from_grid, grid_shape):
        batch, views = images.shape[:2]
        flat = self.encoder(images.flatten(0, 1)).unflatten(0, (batch, views))
        depth, height, width = grid_shape
        front = functional.adaptive_avg_pool2d(flat[:, 0], (depth, width))
        side = functional.adaptive_avg_pool2d(flat[:, views - 1], (depth, height))
        size = (batch, front.shape[1], *grid_shape)
        volume = front[:, :, :, None, :].expand(size) + side[:, :, :, :, None].expand(size)
        return self.unet.head(self.unet.body(self.fusion(volume)))


def register() -> None:
    """Make ``toy`` known, in this process; in tests undo it by ``monkeypatch``."""
    networks.NETWORKS = MappingProxyType({**networks.NETWORKS, "toy": ToyNetwork})


def toy_spec(width: int = 4, **settings) -> ModelSpec:
    window = ViewWindow((SIDE, SIDE), 2.0)
    return ModelSpec("toy", {"width": width, **settings}, "vertebra", ("vertebra",), (SIDE, SIDE, SIDE), 2.0, window)


def toy_settings(**changes) -> TrainSettings:
    values = {
        "steps": 12,
        "batch": 2,
        "learning_rate": 0.01,
        "kernel_learning_rate": 0.01,
        "warmup_steps": 3,
        "weight_decay": 0.01,
        "gradient_clip": 1.0,
        "ema_decay": 0.9,
        "losses": {"dice_classes": 1.0, "dice_union": 1.0, "cross_entropy": 1.0, "background": 0.5, "levels": 0.5},
        "precision": "32",
        "channels_last": False,
        "processes": 1,
        "prefetch": 0,
        "seed": 5,
        "log_every": 4,
        "validate_every": 6,
        "checkpoint_every": 4,
        "patience": None,
    }
    return TrainSettings.model_validate(values | changes)


def sphere_example(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Images (2, 1, H, W) seen along y and along x, and classes (Z, Y, X) of one ball."""
    center = 2.5 + 2 * torch.rand(3, generator=torch.Generator().manual_seed(seed))
    z, y, x = torch.meshgrid(*(torch.arange(SIDE),) * 3, indexing="ij")
    ball = ((z - center[0]) ** 2 + (y - center[1]) ** 2 + (x - center[2]) ** 2 < 6).float()
    return torch.stack([ball.mean(1), ball.mean(2)])[:, None] * 2, ball.to(torch.uint8)


class SphereBatches:
    """Balls as a pure function of (step, rank); of each step's balls rank r has the r-th share."""

    def __init__(self, batch: int, first_seed: int = 0) -> None:
        self.batch = batch
        self.first_seed = first_seed

    def __call__(self, step: int, rank: int) -> SimpleNamespace:
        first = self.first_seed + 1000 * step + rank * self.batch
        images, classes = zip(*(sphere_example(first + number) for number in range(self.batch)), strict=True)
        # The fields of a Batch; its own module imports what a spawned process would wait long for.
        return SimpleNamespace(
            images=torch.stack(images),
            pixel_from_grid=torch.zeros(self.batch, 2, 3, 4),
            classes=torch.stack(classes),
        )

    def __reduce__(self):
        # Unpickled in a spawned process, which must learn of the toy network too.
        return _in_new_process, (type(self), self.batch, self.first_seed)


def _in_new_process(kind, batch, first_seed):
    register()
    return kind(batch, first_seed)


class SphereScores:
    """Union F1 on balls that no step trains on."""

    def __call__(self, network: nn.Module) -> dict[str, float]:
        batch = SphereBatches(8, first_seed=10_000_000)(0, 0)
        predicted = network(batch.images, batch.pixel_from_grid, (SIDE,) * 3).argmax(1) > 0
        true = batch.classes > 0
        return {"f1": float(2 * (predicted & true).sum() / (predicted.sum() + true.sum()))}
