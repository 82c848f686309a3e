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

Made = TypeVar("Made")


def learning_rate(step: int, steps: int, warmup_steps: int, highest: float) -> float:
    """Return the learning rate of a step: a straight rise, then half a cosine down to 0 (Loshchilov & Hutter 2017)."""
    if step < warmup_steps:
        return highest * (step + 1) / warmup_steps
    return highest * 0.5 * (1 + math.cos(math.pi * (step - warmup_steps) / max(1, steps - warmup_steps)))


def set_learning_rate(optimizer: Optimizer, rate: float) -> None:
    """Use a learning rate in the next step."""
    for group in optimizer.param_groups:
        group["lr"] = rate


def make_optimizer(network: nn.Module, rate: float, weight_decay: float) -> Optimizer:
    """Make AdamW over the weights that learn; biases and norms, which are vectors, do not decay."""
    learning = [parameter for parameter in network.parameters() if parameter.requires_grad]
    groups = [
        {"params": [parameter for parameter in learning if parameter.ndim > 1], "weight_decay": weight_decay},
        {"params": [parameter for parameter in learning if parameter.ndim <= 1], "weight_decay": 0.0},
    ]
    return AdamW([group for group in groups if group["params"]], lr=rate, fused=True)


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
