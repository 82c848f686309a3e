"""Fusion: from the features of any number of views to one volume, voxel by voxel.

Every fusion takes the features of all views at every voxel and a mask of the views that see it, and returns one volume
with ``out_channels`` channels. A voxel that no view sees gets finite values, the same in every case.

The conv-GRU is that of the learnt stereo machine (Kar, Haene, Malik, NeurIPS 2017, arXiv 1708.05375), to whose family
X23D belongs. Mean and spread, and attention, are our choices: both are the same in every order of the views.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

# Below the spread of any feature that tells something; keeps the slope of the root finite where all views agree.
_SPREAD_FLOOR = 1e-3
# Far below every score, and still a number in half precision.
_UNSEEN_SCORE = -1e4


class MeanSpread(nn.Module):
    """Mean and standard deviation over the views that see a voxel, and the share of views that see it.

    The spread says how well the views agree, which is what tells a surface from empty space behind it.

    Args:
        channels: Of the features.
    """

    order_free = True

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.out_channels = 2 * channels + 1

    def forward(
        self, features: Float[Tensor, "b v c z y x"], inside: Float[Tensor, "b v 1 z y x"]
    ) -> Float[Tensor, "b out z y x"]:
        """Fuse the views.

        Args:
            features: Of every view at every voxel; finite also where a view does not see the voxel.
            inside: 1 where the view sees the voxel, 0 elsewhere.
        """
        return _mean_spread_share(features, inside / inside.sum(dim=1, keepdim=True).clamp(min=1), inside)


class Attention(nn.Module):
    """Weighted mean and spread: a small network scores each view at each voxel, by its features and the views' mean.

    With equal scores it is :class:`MeanSpread`.

    Args:
        channels: Of the features.
    """

    order_free = True

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.out_channels = 2 * channels + 1
        # A softmax does not see an offset that all scores share, so the last layer has none.
        self.score = nn.Sequential(
            nn.Conv3d(2 * channels, channels, 1), nn.ReLU(), nn.Conv3d(channels, 1, 1, bias=False)
        )

    def forward(
        self, features: Float[Tensor, "b v c z y x"], inside: Float[Tensor, "b v 1 z y x"]
    ) -> Float[Tensor, "b out z y x"]:
        """Fuse the views; see :meth:`MeanSpread.forward`."""
        seen_by = inside.sum(dim=1, keepdim=True).clamp(min=1)
        mean = ((features * inside).sum(dim=1, keepdim=True) / seen_by).expand_as(features)
        scores = self.score(torch.cat([features, mean], dim=2).flatten(0, 1)).unflatten(0, inside.shape[:2])
        # Where nobody sees the voxel the softmax is even; the product with the mask makes all its weights zero.
        weights = torch.where(inside > 0, scores, _UNSEEN_SCORE).softmax(dim=1) * inside
        return _mean_spread_share(features, weights, inside)


class ConvGru(nn.Module):
    """A 3D convolutional gated recurrent unit that takes the views in order; its hidden state is the output.

    Our choice: a voxel's state stays as it is where a view does not see it, and the state has as many channels as the
    features.

    Args:
        channels: Of the features and of the state.
    """

    order_free = False

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.out_channels = channels
        self.gates = nn.Conv3d(2 * channels, 2 * channels, 3, padding=1)
        self.candidate = nn.Conv3d(2 * channels, channels, 3, padding=1)

    def forward(
        self, features: Float[Tensor, "b v c z y x"], inside: Float[Tensor, "b v 1 z y x"]
    ) -> Float[Tensor, "b c z y x"]:
        """Fuse the views in order; see :meth:`MeanSpread.forward`."""
        return self.states(features, inside)[-1]

    def states(
        self, features: Float[Tensor, "b v c z y x"], inside: Float[Tensor, "b v 1 z y x"]
    ) -> list[Float[Tensor, "b c z y x"]]:
        """Return the state after every view, for a loss after every view; the last is the output."""
        state = torch.zeros_like(features[:, 0])
        states = []
        for view, seen in zip(features.unbind(dim=1), inside.unbind(dim=1), strict=True):
            update, reset = self.gates(torch.cat([state, view], dim=1)).sigmoid().chunk(2, dim=1)
            candidate = self.candidate(torch.cat([reset * state, view], dim=1)).tanh()
            state = state + seen * update * (candidate - state)
            states.append(state)
        return states


# name -> constructor(channels of the features) -> module with the call of MeanSpread and ``out_channels``.
FUSIONS: Mapping[str, Callable[[int], nn.Module]] = MappingProxyType(
    {"mean-spread": MeanSpread, "conv-gru": ConvGru, "attention": Attention}
)


def _mean_spread_share(
    features: Float[Tensor, "b v c z y x"],
    weights: Float[Tensor, "b v 1 z y x"],
    inside: Float[Tensor, "b v 1 z y x"],
) -> Float[Tensor, "b out z y x"]:
    # An exported graph has to be the same for any number of views: there the formula as it reads.
    if torch.compiler.is_compiling():
        mean, spread = _mean_and_spread(features, weights)
    else:
        mean, spread = _MeanAndSpread.apply(features, weights)
    return torch.cat([mean, spread, inside.mean(dim=1)], dim=1)


def _mean_and_spread(
    features: Float[Tensor, "b v c z y x"], weights: Float[Tensor, "b v 1 z y x"]
) -> tuple[Float[Tensor, "b c z y x"], Float[Tensor, "b c z y x"]]:
    mean = (features * weights).sum(dim=1)
    variance = ((features - mean.unsqueeze(1)).square() * weights).sum(dim=1)
    return mean, (variance + _SPREAD_FLOOR**2).sqrt() - _SPREAD_FLOOR


class _MeanAndSpread(torch.autograd.Function):
    """The same, and its slope, view by view in few passes over memory: a quarter of a training step was spent here.

    The weights of a voxel add up to 1, or are all 0; so the slope of the variance by the mean is 0.
    """

    @staticmethod
    def forward(ctx: Any, features: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        views = list(zip(features.unbind(dim=1), weights.unbind(dim=1), strict=True))
        mean = torch.zeros_like(views[0][0], memory_format=torch.contiguous_format)
        for feature, weight in views:
            mean.addcmul_(feature, weight)
        root = torch.full_like(mean, _SPREAD_FLOOR**2)
        for feature, weight in views:
            root.addcmul_((feature - mean).square_(), weight)
        root.sqrt_()
        ctx.save_for_backward(features, weights, mean, root)
        return mean, root - _SPREAD_FLOOR

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor, Tensor | None]:
        features, weights, mean, root = ctx.saved_tensors
        by_mean = slopes[0].contiguous()
        by_variance = slopes[1].contiguous() / (2 * root)
        by_features = torch.empty_like(features)
        by_weights = torch.empty_like(weights) if ctx.needs_input_grad[1] else None
        for view, feature in enumerate(features.unbind(dim=1)):
            offset = feature - mean
            if by_weights is not None:
                both = (feature * by_mean).addcmul_(offset.square(), by_variance)
                by_weights[:, view] = both.sum(dim=1, keepdim=True)
            torch.addcmul(by_mean, by_variance, offset, value=2, out=offset)
            torch.mul(offset, weights[:, view], out=by_features[:, view])
        return by_features, by_weights
