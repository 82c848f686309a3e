"""Networks by name. A network maps images and cameras to logits; it knows no file, no donor and no millimeter."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Protocol

from jaxtyping import Float
from torch import Tensor, nn

from reconstruction.networks.kasten import Kasten
from reconstruction.networks.permute_concat import PermuteConcat
from reconstruction.networks.x23d import X23D


class ReconstructionNetwork(Protocol):
    """The contract of every network; the contract tests run over all of ``NETWORKS``."""

    def __call__(
        self,
        images: Float[Tensor, "b v 1 h w"],
        pixel_from_grid: Float[Tensor, "b v 3 4"],
        grid_shape: tuple[int, int, int],
    ) -> Float[Tensor, "b c z y x"]:
        """Return logits of every class in every voxel of the grid.

        Args:
            images: Normalized views, any number of them; as ``reconstruction.views`` prepares them.
            pixel_from_grid: Homogeneous pixels from voxel (x, y, z, 1). Networks without calibration ignore it.
            grid_shape: (Z, Y, X); multiples of ``grid_multiple``.
        """
        ...


# name -> constructor(classes=number of classes with background, **settings) -> nn.Module with the contract's call.
NETWORKS: Mapping[str, Callable[..., nn.Module]] = MappingProxyType(
    {
        "x23d": X23D,
        "kasten": Kasten,
        "permute-concat": PermuteConcat,
    }
)
