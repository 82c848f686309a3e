"""Muon: steps of kernels along the orthogonal matrix that is nearest to their momentum.

K. Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024, with Nesterov momentum and the
quintic Newton-Schulz iteration of that text. All directions of a kernel learn about equally fast, however small their
gradient; on two processor cores this is what makes minutes of training enough (docs/reconstruction.md). torch has Muon
for matrices; here a kernel of any number of axes is the matrix from its inputs and taps to its outputs.
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

# Coefficients of the quintic and number of iterations of the source; singular values end between 0.7 and 1.2.
_QUINTIC = (3.4445, -4.7750, 2.0315)
_ITERATIONS = 5
_MOMENTUM = 0.95


class Muon(Optimizer):
    """Muon for kernels of convolutions.

    Args:
        kernels: Weights with two axes or more; the first one is the matrix's rows.
        lr: Learning rate: the root mean square of a step's singular values.
        weight_decay: Decoupled, as in AdamW.
    """

    def __init__(self, kernels: Iterable[nn.Parameter], lr: float, weight_decay: float) -> None:
        super().__init__(kernels, {"lr": lr, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Change every kernel that has a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for kernel in group["params"]:
                if kernel.grad is None:
                    continue
                state = self.state[kernel]
                if not state:
                    state["momentum"] = torch.zeros_like(kernel)
                momentum = state["momentum"].lerp_(kernel.grad, 1 - _MOMENTUM)
                step = orthogonalized(kernel.grad.lerp(momentum, _MOMENTUM))
                kernel.mul_(1 - group["lr"] * group["weight_decay"])
                kernel.add_(step, alpha=-group["lr"])
        return loss


def orthogonalized(kernel: Tensor) -> Tensor:
    """Return the orthogonal matrix nearest to a kernel seen as a matrix (rows = first axis), in the kernel's shape.

    Tall matrices are scaled up, so that a step changes what a layer puts out equally, whatever the layer's shape.
    """
    matrix = kernel.flatten(1)
    tall = matrix.shape[0] > matrix.shape[1]
    a, b, c = _QUINTIC
    x = (matrix.T if tall else matrix).bfloat16()
    x = x / (x.norm() + 1e-7)
    for _ in range(_ITERATIONS):
        square = x @ x.T
        x = a * x + (b * square + c * square @ square) @ x
    matrix = (x.T if tall else x).to(kernel.dtype)
    return matrix.reshape(kernel.shape) * max(1.0, matrix.shape[0] / matrix.shape[1]) ** 0.5


def is_kernel(weight: Tensor) -> bool:
    """Whether a weight is for Muon: a kernel of several taps between several channels.

    First layers of one channel and 1 x 1 heads are left to AdamW, as the source says of inputs and outputs.
    """
    return weight.ndim >= 4 and weight.shape[1] > 1 and weight[0, 0].numel() > 1
