"""The parts of a step: learning rate, optimizer, average of weights, randomness. Each a function of the step."""

import math
import random
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer
from torch.optim.swa_utils import AveragedModel

from drrkit.learning.muon import Muon, is_kernel

Made = TypeVar("Made")


def learning_share(step: int, steps: int, warmup_steps: int) -> float:
    """Return a step's share of the highest learning rate: straight up, then half a cosine down to 0.

    Loshchilov & Hutter 2017.
    """
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    return 0.5 * (1 + math.cos(math.pi * (step - warmup_steps) / max(1, steps - warmup_steps)))


def set_learning_rate(optimizers: Sequence[Optimizer], share: float) -> None:
    """Use a share of every highest learning rate in the next step."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group["highest"] * share


def make_optimizers(
    network: nn.Module, rate: float, kernel_rate: float | None, weight_decay: float
) -> tuple[Optimizer, ...]:
    """Make Muon for the kernels that learn and AdamW for the other weights; vectors (biases, norms) do not decay.

    Args:
        network: Whose weights.
        rate: Highest learning rate of AdamW.
        kernel_rate: Highest learning rate of Muon; None leaves kernels to AdamW as well.
        weight_decay: Of both.
    """
    learning = [parameter for parameter in network.parameters() if parameter.requires_grad]
    kernels = [weight for weight in learning if kernel_rate is not None and is_kernel(weight)]
    others = {id(weight) for weight in learning} - {id(weight) for weight in kernels}
    rest = [weight for weight in learning if id(weight) in others]
    groups = [
        {"params": [weight for weight in rest if weight.ndim > 1], "weight_decay": weight_decay},
        {"params": [weight for weight in rest if weight.ndim <= 1], "weight_decay": 0.0},
    ]
    optimizers: list[Optimizer] = [AdamW([group for group in groups if group["params"]], lr=rate, fused=True)]
    if kernels and kernel_rate is not None:
        optimizers.append(Muon(kernels, kernel_rate, weight_decay))
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["highest"] = group["lr"]
    return tuple(optimizers)


def average_of(network: nn.Module, decay: float) -> AveragedModel:
    """Make a moving average of a network's weights; batch statistics are those of the network.

    The decay of the n-th step is min(``decay``, (1 + n) / (10 + n)): early weights are soon forgotten.
    """

    def update(averages: Sequence[Tensor], weights: Sequence[Tensor], count: Tensor | int) -> None:
        number = int(count)
        now = min(decay, (1 + number) / (10 + number))
        torch._foreach_lerp_(list(averages), list(weights), 1 - now)

    return AveragedModel(network, multi_avg_fn=update).eval()


def seed_step(seed: int, step: int, rank: int) -> None:
    """Make what a step draws (dropout) a function of its number: no state of a generator has to be kept."""
    drawn = int(np.random.SeedSequence([seed, step, rank]).generate_state(1)[0])
    random.seed(drawn)
    np.random.seed(drawn)
    torch.manual_seed(drawn)


def use_channels_last(network: nn.Module) -> None:
    """Keep kernels with channels last; what flows through the layers follows them."""
    for module in network.modules():
        if isinstance(module, nn.Conv3d | nn.ConvTranspose3d):
            module.to(memory_format=torch.channels_last_3d)
        elif isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            module.to(memory_format=torch.channels_last)


def made_ahead(make: Callable[[int], Made], steps: range, ahead: int) -> Generator[Made, None, None]:
    """Yield ``make(step)`` of every step in order, with ``ahead`` of them being made in threads meanwhile."""
    if ahead == 0:
        yield from map(make, steps)
        return
    with ThreadPoolExecutor(ahead) as pool:
        waiting = deque(pool.submit(make, step) for step in steps[:ahead])
        for step in steps:
            made = waiting.popleft().result()
            if step + ahead < steps.stop:
                waiting.append(pool.submit(make, step + ahead))
            yield made
