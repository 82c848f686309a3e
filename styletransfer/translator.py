"""The contract of every translator: how it learns, how it turns real images into synthetic-looking ones, all its state.

A new one: a file in ``styletransfer/methods`` with a class that keeps this contract, and a line in
``styletransfer/registry.py``; the contract tests find it there.

Images are line integrals as float tensors (B, 1, H, W). Pixels that no beam reached are exactly 0 in a real image.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from drrkit.parameters import Parameters
from styletransfer.scale import Scale

Learning = Literal["pairs", "unpaired", "nothing"]


@dataclass(frozen=True, eq=False)
class Batch:
    """Images of one step.

    Args:
        real: What a C-arm saw, as line integrals; 0 outside of ``field``.
        synthetic: DRRs. A translator that learns from pairs gets those of the same cameras as ``real``; one that learns
            unpaired gets those of other donors or views.
        field: Where the beam fell on the detector in ``real``.
    """

    real: Float[Tensor, "b 1 h w"]
    synthetic: Float[Tensor, "b 1 h w"]
    field: Bool[Tensor, "b 1 h w"]


class Translator(ABC):
    """One way to make real images look synthetic.

    Args:
        settings: Of the class's own ``Settings``.
        scale: How line integrals are scaled for networks.
    """

    Settings: ClassVar[type[Parameters]]
    """Strict model of what ``params.yaml`` says of the method."""
    learning: ClassVar[Learning]
    """What it learns from. ``nothing``: it only notes statistics of the images that it is shown (a baseline)."""

    def __init__(self, settings: Parameters, scale: Scale) -> None:
        self.settings = settings
        self.scale = scale

    @property
    @abstractmethod
    def reach_px(self) -> int | None:
        """How far from a pixel what decides on it may lie; None if the whole image decides."""

    @abstractmethod
    def optimize(self, batch: Batch, share: float) -> Mapping[str, Tensor]:
        """Learn from one batch, by one step of every optimizer.

        Args:
            batch: Images on the translator's device.
            share: Of every optimizer's highest learning rate, 0 to 1.

        Returns:
            Losses by name, detached scalars, the one that sums them up under ``loss``. A baseline: an empty mapping.
        """

    def settle(self) -> None:  # noqa: B027 (most have nothing to settle)
        """Stop to follow the batches: networks go on learning just as they will translate. Called once by the loop."""

    @abstractmethod
    def synthetic_from_real(self, real: Float[Tensor, "b 1 h w"]) -> Float[Tensor, "b 1 h w"]:
        """Translate, without gradients and the same every time.

        Args:
            real: Line integrals of any height and width that are multiples of 8.

        Returns:
            Line integrals of the same shape, none below 0; 0 where ``real`` is exactly 0 (no beam, or open beam).
        """

    @abstractmethod
    def weights(self) -> dict[str, Tensor]:
        """Return what translating needs, and nothing else; it is what ``model.safetensors`` holds."""

    @abstractmethod
    def load_weights(self, weights: Mapping[str, Tensor]) -> None:
        """Take over what :meth:`weights` returned.

        Raises:
            InputError: Weights of another kind or size.
        """

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """Return everything that a killed training needs to go on to the bit: networks, averages, optimizers, pools.

        Tensors, numbers, strings, lists and dictionaries only.
        """

    @abstractmethod
    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take over what :meth:`state` returned."""

    def set_up(self, fabric: Any) -> None:  # noqa: B027 (a baseline has nothing to set up)
        """Move networks and optimizers to the device, precision and processes of a fabric, before the first step.

        Args:
            fabric: ``lightning_fabric.Fabric``, from the door that opens it.
        """

    def to(self, device: torch.device | str) -> "Translator":
        """Move what translating needs to a device."""
        return self
