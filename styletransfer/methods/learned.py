"""What all translators that learn have in common: networks, optimizers, the average that translates, the state."""

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from pydantic import PositiveInt
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Adam, Optimizer

from drrkit.errors import InputError
from drrkit.learning.optimization import average_of, make_optimizers, set_learning_rate, use_channels_last
from drrkit.learning.weights import check_state
from drrkit.parameters import Parameters
from styletransfer.networks.blocks import Normalization
from styletransfer.networks.generator import Generator
from styletransfer.scale import Scale
from styletransfer.settings import OptimizerSettings
from styletransfer.translator import Translator

# As of the least-squares GANs of CycleGAN and pix2pix: less momentum than usual.
_DISCRIMINATOR_BETAS = (0.5, 0.999)
TRANSLATING = "synthetic_from_real"


class GeneratorSettings(Parameters):
    """Of :class:`styletransfer.networks.generator.Generator`."""

    widths: tuple[PositiveInt, ...]
    normalization: Normalization

    def build(self) -> Generator:
        """Make one, with fresh weights."""
        return Generator(self.widths, self.normalization)


class LearnedSettings(Parameters):
    """What every method that learns is told."""

    generator: GeneratorSettings
    optimizer: OptimizerSettings
    channels_last: bool


class Learned(Translator):
    """A translator with networks.

    Args:
        settings: Of the method.
        scale: How line integrals are scaled.
        generators: By name; ``synthetic_from_real`` is the one that translates. Parts of generators (projection heads)
            learn with them.
        discriminators: By name.
    """

    Settings: ClassVar[type[Parameters]] = LearnedSettings

    def __init__(
        self,
        settings: LearnedSettings,
        scale: Scale,
        generators: Mapping[str, nn.Module],
        discriminators: Mapping[str, nn.Module],
    ) -> None:
        super().__init__(settings, scale)
        self.told = settings
        self.generators = dict(generators)
        self.discriminators = dict(discriminators)
        if settings.channels_last:
            for network in self._networks.values():
                use_channels_last(network)
        self.average = average_of(self.generators[TRANSLATING], settings.optimizer.ema_decay)
        self.optimizers: dict[str, tuple[Optimizer, ...]] = {}
        self.is_settled = False
        self.fabric: Any = None

    @property
    def _networks(self) -> dict[str, nn.Module]:
        return {**self.generators, **self.discriminators}

    @property
    def reach_px(self) -> int:
        """How far from a pixel what decides on it may lie."""
        return self._translating.reach_px

    @property
    def _translating(self) -> Generator:
        generator = self.average.module
        assert isinstance(generator, Generator)
        return generator

    def set_up(self, fabric: Any) -> None:
        """Move networks to the fabric's device and make their optimizers."""
        told = self.told.optimizer
        self.fabric = fabric
        for network in (*self._networks.values(), self.average):
            network.to(fabric.device)
        for name, network in self.generators.items():
            self.optimizers[name] = make_optimizers(
                network, told.learning_rate, told.kernel_learning_rate, told.weight_decay
            )
        for name, network in self.discriminators.items():
            adam = Adam(network.parameters(), lr=told.discriminator_learning_rate, betas=_DISCRIMINATOR_BETAS)
            adam.param_groups[0]["highest"] = told.discriminator_learning_rate
            self.optimizers[name] = (adam,)

    def to(self, device: torch.device | str) -> "Learned":
        """Move the generator that translates."""
        self.average.to(device)
        return self

    def set_rates(self, share: float) -> None:
        """Begin a step: the learning rates, and all networks in training mode."""
        for optimizers in self.optimizers.values():
            set_learning_rate(optimizers, share)
        for network in self._networks.values():
            network.train()
            if self.is_settled:
                for module in network.modules():
                    if isinstance(module, nn.BatchNorm2d):
                        module.eval()

    def settle(self) -> None:
        """Keep the statistics of batch normalization as they are.

        In a step they are those of the batch, in use the same for every image; a network that learned with the first
        alone makes images too dark or too bright with the second.
        """
        self.is_settled = True

    def scaled(self, real: Float[Tensor, "b 1 h w"]) -> Float[Tensor, "b 1 h w"]:
        """Bring real line integrals to the scale of networks."""
        return self._laid_out((real - self.scale.real_center) / self.scale.real_spread)

    def scaled_synthetic(self, synthetic: Float[Tensor, "b 1 h w"]) -> Float[Tensor, "b 1 h w"]:
        """Bring synthetic line integrals to the scale of networks."""
        return self._laid_out(synthetic / self.scale.synthetic_spread)

    def _laid_out(self, images: Tensor) -> Tensor:
        return images.contiguous(memory_format=torch.channels_last) if self.told.channels_last else images

    def run(self, name: str, images: Tensor) -> Tensor:
        """Run a network by name in the precision of the training; the result is float32."""
        with self.fabric.autocast():
            return self._networks[name](images).float()

    def step(self, loss: Float[Tensor, ""], names: Iterable[str]) -> None:
        """Move some networks against the gradient of a loss; the gradients of all others are dropped."""
        names = tuple(names)
        self.fabric.backward(loss)
        for name in names:
            parameters = list(self._networks[name].parameters())
            self._share_gradients(parameters)
            nn.utils.clip_grad_norm_(parameters, self.told.optimizer.gradient_clip)
            for optimizer in self.optimizers[name]:
                optimizer.step()
        for network in self._networks.values():
            network.zero_grad(set_to_none=True)
        if TRANSLATING in names:
            self.average.update_parameters(self.generators[TRANSLATING])

    def _share_gradients(self, parameters: list[nn.Parameter]) -> None:
        """Average gradients over processes. By hand: a step runs several networks several times, which DDP forbids."""
        if self.fabric.world_size == 1:
            return
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        flat = self.fabric.all_reduce(torch.cat([gradient.flatten() for gradient in gradients]), reduce_op="mean")
        for gradient, mean in zip(gradients, flat.split([gradient.numel() for gradient in gradients]), strict=True):
            gradient.copy_(mean.view_as(gradient))

    @torch.no_grad()
    def synthetic_from_real(self, real: Float[Tensor, "b 1 h w"]) -> Float[Tensor, "b 1 h w"]:
        """Translate with the averaged generator."""
        generator = self._translating.eval()
        height, width = real.shape[-2:]
        below, right = -height % generator.multiple_px, -width % generator.multiple_px
        padded = functional.pad(self.scaled(real), (0, right, 0, below), mode="replicate")
        made = generator(padded)[..., :height, :width].float() * self.scale.synthetic_spread
        return torch.where(real == 0, 0.0, made.clamp(min=0))

    def weights(self) -> dict[str, Tensor]:
        """Return the averaged generator."""
        return {f"generator.{name}": tensor for name, tensor in self._translating.state_dict().items()}

    def load_weights(self, weights: Mapping[str, Tensor]) -> None:
        """Take over what :meth:`weights` returned."""
        strange = next((name for name in weights if not name.startswith("generator.")), None)
        if strange is not None:
            raise InputError("translator", f"a tensor {strange}", "tensors of a generator")
        state = {name.removeprefix("generator."): tensor for name, tensor in weights.items()}
        check_state(state, self._translating, "translator")
        self._translating.load_state_dict(state)
        self.generators[TRANSLATING].load_state_dict(state)

    def state(self) -> dict[str, Any]:
        """Return networks, average and optimizers."""
        return {
            "is_settled": self.is_settled,
            "networks": {name: network.state_dict() for name, network in self._networks.items()},
            "average": self.average.state_dict(),
            "optimizers": {
                name: [optimizer.state_dict() for optimizer in optimizers]
                for name, optimizers in self.optimizers.items()
            },
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take over what :meth:`state` returned; after :meth:`set_up`."""
        self.is_settled = bool(state["is_settled"])
        for name, network in self._networks.items():
            network.load_state_dict(state["networks"][name])
        self.average.load_state_dict(state["average"])
        for name, optimizers in self.optimizers.items():
            for optimizer, own in zip(optimizers, state["optimizers"][name], strict=True):
                optimizer.load_state_dict(own)
