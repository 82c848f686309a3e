"""Learned from pairs: the DRR of the same camera says pixel by pixel what a real image should become.

After pix2pix (Isola et al. 2017): a pixel loss and an adversarial one, and between them gradients at several scales and
the edges of bone, because edges are what a reconstruction looks at. With an ``adversarial`` weight of 0 there is no
discriminator, and nothing that could ask for bone that no pair shows.
"""

from collections.abc import Mapping
from typing import ClassVar

import torch
from pydantic import NonNegativeFloat, PositiveInt
from torch import Tensor

from drrkit.parameters import Parameters
from styletransfer import losses
from styletransfer.methods.learned import TRANSLATING, Learned, LearnedSettings
from styletransfer.networks.discriminator import Normalization, PatchDiscriminator
from styletransfer.scale import Scale
from styletransfer.translator import Batch, Learning


class DiscriminatorSettings(Parameters):
    """Of :class:`styletransfer.networks.discriminator.PatchDiscriminator`."""

    widths: tuple[PositiveInt, ...]
    normalization: Normalization

    def build(self, channels: int = 1) -> PatchDiscriminator:
        """Make one, with fresh weights."""
        return PatchDiscriminator(self.widths, self.normalization, channels)


class PairLosses(Parameters):
    """Weights of what a pair tells.

    Args:
        pixels: Of the mean absolute difference.
        gradients: Of the difference of gradients.
        bone_edges: Of the edges of the DRR's bones.
        scales: Dyadic scales of gradients and edges.
    """

    pixels: NonNegativeFloat
    gradients: NonNegativeFloat
    bone_edges: NonNegativeFloat
    scales: PositiveInt

    def of(self, translated: Tensor, synthetic: Tensor, field: Tensor) -> dict[str, Tensor]:
        """Return the weighted losses by name; those of weight 0 are left out."""
        terms = {}
        if self.pixels:
            terms["pixels"] = self.pixels * losses.l1_in_field(translated, synthetic, field)
        if self.gradients:
            terms["gradients"] = self.gradients * losses.multiscale_gradient(translated, synthetic, field, self.scales)
        if self.bone_edges:
            terms["bone_edges"] = self.bone_edges * losses.bone_edge(translated, synthetic, field, self.scales)
        return terms


class PairedSettings(LearnedSettings):
    """What the method is told.

    Args:
        pairs: Weights of what a pair tells.
        adversarial: Weight of the discriminator's verdict; 0 for no discriminator.
        discriminator: It judges an image beside the real one that it was made of.
    """

    pairs: PairLosses
    adversarial: NonNegativeFloat
    discriminator: DiscriminatorSettings


class Paired(Learned):
    """L1, gradients, bone edges, and a discriminator where wanted."""

    Settings = PairedSettings
    learning: ClassVar[Learning] = "pairs"

    def __init__(self, settings: PairedSettings, scale: Scale) -> None:
        judges = {"is_pair": settings.discriminator.build(channels=2)} if settings.adversarial else {}
        super().__init__(settings, scale, {TRANSLATING: settings.generator.build()}, judges)
        self.pairs, self.adversarial = settings.pairs, settings.adversarial

    def optimize(self, batch: Batch, share: float) -> Mapping[str, Tensor]:
        """Move the generator toward the DRRs, then the discriminator toward telling them apart."""
        self.set_rates(share)
        real, synthetic = self.scaled(batch.real), self.scaled_synthetic(batch.synthetic)
        made = self.run(TRANSLATING, real)
        terms = self.pairs.of(made, synthetic, batch.field)
        if self.adversarial:
            verdict = self.run("is_pair", torch.cat([real, made], dim=1))
            terms["adversarial"] = self.adversarial * losses.fooling(verdict, batch.field)
        loss = torch.stack(list(terms.values())).sum()
        self.step(loss, [TRANSLATING])
        if self.adversarial:
            of_true = self.run("is_pair", torch.cat([real, synthetic], dim=1))
            of_made = self.run("is_pair", torch.cat([real, made.detach()], dim=1))
            terms["discriminator"] = losses.telling_apart(of_true, of_made, batch.field, batch.field)
            self.step(terms["discriminator"], ["is_pair"])
        return {"loss": loss.detach(), **{name: term.detach() for name, term in terms.items()}}
