"""The short training of an origin model: heat maps by gradient descent, the shape of spines by counting."""

import math
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from drrkit.errors import InputError
from reconstruction.cases import Case, of_split
from reconstruction.origin.examples import KnownImages, changed, known_images
from reconstruction.origin.heatmaps import LevelHeatmaps, pixel_from_cell
from reconstruction.origin.model import OriginModel, make_network, save_origin
from reconstruction.origin.settings import OriginSettings
from reconstruction.origin.shape import fit_shape
from reconstruction.origin.spines import KnownSpine, known_spine

# Called after every step with its number, from 1, and its loss.
OnStep = Callable[[int, float], None]


def train_origin(
    cases: Sequence[Case], settings: OriginSettings, out: Path, on_step: OnStep | None = None
) -> OriginModel:
    """Train on the cases of the split ``train`` and write the model.

    Args:
        cases: Of any splits; no file of another split is opened.
        settings: All numbers.
        out: ``<name>.safetensors``; ``<name>.json`` comes beside it.
        on_step: Told about every step.

    Raises:
        InputError: No case to train on, files that are missing or wrong, or no two cases with L1 to L5 whole.
    """
    chosen = of_split(cases, "train")
    # One after the other: whole images at full resolution need not be in memory together.
    model = train_on_spines((known_spine(case) for case in chosen), settings, on_step)
    save_origin(out, model)
    return model


def train_on_spines(
    spines: Iterable[KnownSpine], settings: OriginSettings, on_step: OnStep | None = None
) -> OriginModel:
    """Train on spines, each asked for once.

    Raises:
        InputError: Fewer than two spines with L1 to L5 whole, or images that cannot be used.
    """
    training, location = settings.training, settings.location
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(training.seed)
        network = make_network(settings.network)
    rng = np.random.default_rng(training.seed)
    names, whole, parts = [], [], []
    for spine in spines:
        names.append(spine.case_id)
        parts.append(known_images(spine, settings, network.multiple, rng))
        if spine.points_world is not None:
            whole.append(spine.points_world)
    shape = fit_shape(whole, location.shape_floor_mm, location.rotation_prior_deg)
    images = KnownImages.joined(parts)
    started = time.monotonic()
    losses = train_heatmaps(network, images, settings, on_step)
    record = {
        "cases": names,
        "images": len(images.images),
        "loss": losses[-1],
        "seconds": round(time.monotonic() - started, 1),
    }
    return OriginModel(network.eval(), shape, settings, record)


def train_heatmaps(
    network: LevelHeatmaps, images: KnownImages, settings: OriginSettings, on_step: OnStep | None = None
) -> list[float]:
    """Train the network in place; the same seed gives the same weights.

    Returns:
        The loss of every step.

    Raises:
        InputError: Training images that are no multiple of the network's cells.
    """
    training, pixel_mm = settings.training, settings.network.pixel_mm
    if training.size_px % network.multiple:
        raise InputError("training.size_px", training.size_px, f"a multiple of {network.multiple}")
    generator = torch.Generator().manual_seed(training.seed)
    optimizer = torch.optim.AdamW(network.parameters(), lr=training.learning_rate, weight_decay=training.weight_decay)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: _rate(step, training.steps, training.rising_steps)
    )
    losses = []
    network.train()
    for step in range(1, training.steps + 1):
        drawn = torch.randint(len(images.images), (training.batch_images,), generator=generator)
        shown = changed(images.subset(drawn), training.augmentation, pixel_mm, generator)
        loss = heatmap_loss(network(shown.images), shown, network.stride, training.blob_sigma_mm / pixel_mm)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), training.gradient_limit)
        optimizer.step()
        schedule.step()
        losses.append(float(loss.detach()))
        if on_step is not None:
            on_step(step, losses[-1])
    return losses


def heatmap_loss(
    log_probabilities: Float[Tensor, "n l cells"], shown: KnownImages, stride: int, sigma_px: float
) -> Float[Tensor, ""]:
    """Cross-entropy to a Gaussian around the centroid, or to "outside" where the field does not show it.

    Args:
        log_probabilities: Of all cells, row by row, and of "outside".
        shown: What the network saw; levels that are not known do not count.
        stride: Pixels a cell.
        sigma_px: Of the Gaussian.
    """
    size = shown.images.shape[2] // stride
    places = pixel_from_cell(torch.arange(size, dtype=torch.float32), stride)
    across, down = (-0.5 * ((places - shown.pixels[..., axis, None]) / sigma_px) ** 2 for axis in (0, 1))
    blobs = torch.softmax((down[..., :, None] + across[..., None, :]).flatten(2), dim=2)
    visible = shown.visible()[..., None].float()
    target = torch.cat([blobs * visible, 1 - visible], dim=2)
    entropy = -(target * log_probabilities).sum(dim=2)
    known = shown.known.float()
    return (entropy * known).sum() / known.sum().clamp_min(1)


def _rate(step: int, steps: int, rising: int) -> float:
    """Rise in a line, then fall as a cosine to 0."""
    if step < rising:
        return (step + 1) / (rising + 1)
    return 0.5 + 0.5 * math.cos(math.pi * (step - rising) / max(1, steps - rising))
