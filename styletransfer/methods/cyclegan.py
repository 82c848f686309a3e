"""CycleGAN (Zhu et al. 2017): learned from real images and DRRs of other people, without pairs.

Two generators and two discriminators, in the order of the paper: a least-squares game in either domain, images that
come back from the other domain as they were, and images of the wanted domain that are left as they are. Outside of the
field of the real image everything is laid blank, in DRRs as well: a field's edge tells no discriminator where an image
is from, and no generator has to invent one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Bool, Float
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat
from torch import Tensor

from drrkit.parameters import Parameters
from styletransfer.losses import fooling, l1_in_field, telling_apart
from styletransfer.methods.learned import TRANSLATING, Learned, LearnedSettings
from styletransfer.methods.paired import DiscriminatorSettings
from styletransfer.methods.pool import ImagePool
from styletransfer.scale import Scale
from styletransfer.translator import Batch, Learning

BACK = "real_from_synthetic"
IS_SYNTHETIC, IS_REAL = "is_synthetic", "is_real"

Images = Float[Tensor, "b 1 h w"]


class CycleLosses(Parameters):
    """Weights of what holds without pairs.

    Args:
        adversarial: Of the verdicts of both discriminators.
        cycle_real: Of real images that come back. A clean DRR does not tell which soft tissue there was: where this
            weighs much, generators learn to hide it in faint patterns (Chu et al. 2017).
        cycle_synthetic: Of DRRs that come back: bone must survive the way through the real domain.
        identity: Of DRRs, seen as if they were real images, that should stay as they are; and the reverse. 0 saves a
            third of the time.
    """

    adversarial: PositiveFloat
    cycle_real: NonNegativeFloat
    cycle_synthetic: NonNegativeFloat
    identity: NonNegativeFloat


class CycleGanSettings(LearnedSettings):
    """What the method is told.

    Args:
        cycle: Weights of the losses.
        discriminator: Of both domains.
        pool: How many made images each discriminator is shown again later.
    """

    cycle: CycleLosses
    discriminator: DiscriminatorSettings
    pool: NonNegativeInt


@dataclass(frozen=True, eq=False)
class Journey:
    """The images of a step in the scale of networks, blank outside of the field.

    Args:
        real: As given.
        synthetic: As given.
        made_synthetic: What became of ``real``.
        made_real: What became of ``synthetic``.
        field: Where anything counts.
    """

    real: Images
    synthetic: Images
    made_synthetic: Images
    made_real: Images
    field: Bool[Tensor, "b 1 h w"]


class CycleGan(Learned):
    """Two generators, two discriminators, no pairs."""

    Settings: ClassVar[type[Parameters]] = CycleGanSettings
    learning: ClassVar[Learning] = "unpaired"

    def __init__(self, settings: CycleGanSettings, scale: Scale) -> None:
        generators = {name: settings.generator.build() for name in (TRANSLATING, BACK)}
        discriminators = {name: settings.discriminator.build() for name in (IS_SYNTHETIC, IS_REAL)}
        super().__init__(settings, scale, generators, discriminators)
        self.cycle = settings.cycle
        self.pools = {name: ImagePool(settings.pool) for name in discriminators}

    def optimize(self, batch: Batch, share: float) -> Mapping[str, Tensor]:
        """Move both generators, then both discriminators."""
        self.set_rates(share)
        journey = self.travel(batch)
        terms = self.generator_terms(journey)
        loss = torch.stack(list(terms.values())).sum()
        self.step(loss, self.generators)
        terms |= self.discriminator_terms(journey)
        self.step(terms[IS_SYNTHETIC] + terms[IS_REAL], self.discriminators)
        return {"loss": loss.detach(), **{name: term.detach() for name, term in terms.items()}}

    def travel(self, batch: Batch) -> Journey:
        """Send the images of a batch into the other domain."""
        field = batch.field
        real = self.as_real(batch.real, field)
        synthetic = torch.where(field, self.scaled_synthetic(batch.synthetic), 0.0)
        made_synthetic = torch.where(field, self.run(TRANSLATING, real), 0.0)
        made_real = self.blank_outside(self.run(BACK, synthetic), field)
        return Journey(real, synthetic, made_synthetic, made_real, field)

    def generator_terms(self, journey: Journey) -> dict[str, Tensor]:
        """Return the weighted losses of the generators by name; those of weight 0 are not computed."""
        weights, field = self.cycle, journey.field
        verdicts = fooling(self.run(IS_SYNTHETIC, journey.made_synthetic), field) + fooling(
            self.run(IS_REAL, journey.made_real), field
        )
        terms = {"adversarial": weights.adversarial * verdicts}
        if weights.cycle_real:
            returned = self.run(BACK, journey.made_synthetic)
            terms["cycle_real"] = weights.cycle_real * l1_in_field(returned, journey.real, field)
        if weights.cycle_synthetic:
            returned = self.run(TRANSLATING, journey.made_real)
            terms["cycle_synthetic"] = weights.cycle_synthetic * l1_in_field(returned, journey.synthetic, field)
        if weights.identity:
            same_synthetic = self.run(TRANSLATING, self.as_real(self.unscaled(journey.synthetic), field))
            same_real = self.run(BACK, self.scaled_synthetic(self.unscaled_real(journey.real)))
            kept = l1_in_field(same_synthetic, journey.synthetic, field) + l1_in_field(same_real, journey.real, field)
            terms["identity"] = weights.identity * kept
        return terms

    def discriminator_terms(self, journey: Journey) -> dict[str, Tensor]:
        """Return the loss of each discriminator, which sees made images out of its pool."""
        terms = {}
        for name, true, made in (
            (IS_SYNTHETIC, journey.synthetic, journey.made_synthetic),
            (IS_REAL, journey.real, journey.made_real),
        ):
            # An older image has another field: it goes with it.
            shown, field = self.pools[name].exchange(torch.cat([made, journey.field.float()], dim=1)).chunk(2, dim=1)
            terms[name] = telling_apart(self.run(name, true), self.run(name, shown), journey.field, field)
        return terms

    def as_real(self, line_integrals: Images, field: Bool[Tensor, "b 1 h w"]) -> Images:
        """Bring line integrals of either domain to the scale in which real images enter; no beam is 0 before that."""
        return self.scaled(torch.where(field, line_integrals, 0.0))

    def blank_outside(self, real: Images, field: Bool[Tensor, "b 1 h w"]) -> Images:
        """Lay a made real image blank where there is no beam, as it is in one that was taken."""
        return torch.where(field, real, -self.scale.real_center / self.scale.real_spread)

    def unscaled(self, synthetic: Images) -> Images:
        """Return line integrals of a scaled synthetic image."""
        return synthetic * self.scale.synthetic_spread

    def unscaled_real(self, real: Images) -> Images:
        """Return line integrals of a scaled real image."""
        return real * self.scale.real_spread + self.scale.real_center

    def state(self) -> dict[str, Any]:
        """Return networks, average, optimizers and pools."""
        return {**super().state(), "pools": {name: pool.state() for name, pool in self.pools.items()}}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take over what :meth:`state` returned; after :meth:`set_up`."""
        super().load_state(state)
        for name, pool in self.pools.items():
            pool.load_state(state["pools"][name], self.fabric.device)
