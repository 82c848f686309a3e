"""CUT (Park et al. 2020): unpaired, one generator; a patch of what is made must answer to its own place in the input.

Half of the networks of CycleGAN, and no way back, so that nothing has to be hidden in faint patterns: contrast between
patches asks only that each place of the translated image is most like the same place of the real one, for the
generator's own encoder.
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from jaxtyping import Bool, Float, Int64
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor
from torch.nn import functional

from drrkit.parameters import Parameters
from styletransfer.losses import fooling, patch_contrast, telling_apart
from styletransfer.methods.learned import TRANSLATING, Learned, LearnedSettings
from styletransfer.methods.paired import DiscriminatorSettings
from styletransfer.networks.generator import Generator
from styletransfer.networks.projection import PatchProjection
from styletransfer.scale import Scale
from styletransfer.translator import Batch, Learning

PROJECTION, IS_SYNTHETIC = "projection", "is_synthetic"

Images = Float[Tensor, "b 1 h w"]
Field = Bool[Tensor, "b 1 h w"]


class ContrastSettings(Parameters):
    """The contrast between patches.

    Args:
        weight: For real images and what is made of them.
        identity: For DRRs, seen as if they were real images, and what is made of these; 0 saves nearly half the time.
        patches: Places of an image, drawn anew at each level and step.
        size: Channels in which places are compared.
        temperature: Low values look at the most similar wrong places only.
    """

    weight: PositiveFloat
    identity: NonNegativeFloat
    patches: PositiveInt
    size: PositiveInt
    temperature: PositiveFloat


class CutSettings(LearnedSettings):
    """What the method is told.

    Args:
        adversarial: Weight of the discriminator's verdict.
        contrast: Between patches.
        discriminator: Of the synthetic domain.
    """

    adversarial: PositiveFloat
    contrast: ContrastSettings
    discriminator: DiscriminatorSettings


class Cut(Learned):
    """One generator, one discriminator, contrast between patches."""

    Settings: ClassVar[type[Parameters]] = CutSettings
    learning: ClassVar[Learning] = "unpaired"

    def __init__(self, settings: CutSettings, scale: Scale) -> None:
        generators = {
            TRANSLATING: settings.generator.build(),
            PROJECTION: PatchProjection(settings.generator.widths, settings.contrast.size),
        }
        super().__init__(settings, scale, generators, {IS_SYNTHETIC: settings.discriminator.build()})
        self.contrast, self.adversarial = settings.contrast, settings.adversarial

    def optimize(self, batch: Batch, share: float) -> Mapping[str, Tensor]:
        """Move the discriminator, then the generator with its heads."""
        self.set_rates(share)
        field = batch.field
        real = self.as_real(batch.real, field)
        synthetic = torch.where(field, self.scaled_synthetic(batch.synthetic), 0.0)
        made = torch.where(field, self.run(TRANSLATING, real), 0.0)

        told = telling_apart(self.run(IS_SYNTHETIC, synthetic), self.run(IS_SYNTHETIC, made.detach()), field, field)
        self.step(told, [IS_SYNTHETIC])

        terms = {"adversarial": self.adversarial * fooling(self.run(IS_SYNTHETIC, made), field)}
        terms["contrast"] = self.contrast.weight * self.patch_contrast(real, made, field)
        if self.contrast.identity:
            taken_as_real = self.as_real(batch.synthetic, field)
            kept = torch.where(field, self.run(TRANSLATING, taken_as_real), 0.0)
            terms["identity"] = self.contrast.identity * self.patch_contrast(taken_as_real, kept, field)
        loss = torch.stack(list(terms.values())).sum()
        self.step(loss, self.generators)
        losses = {"loss": loss, **terms, IS_SYNTHETIC: told}
        return {name: term.detach() for name, term in losses.items()}

    def patch_contrast(self, given: Images, made: Images, field: Field) -> Float[Tensor, ""]:
        """Return the mean contrast over the encoder's levels, between an image and its translation.

        Args:
            given: What was translated, in the scale of real images.
            made: Its translation, in the scale of synthetic images.
            field: Where places are drawn.
        """
        with self.fabric.autocast():
            of_made = self.encoder.features(self.as_real(made * self.scale.synthetic_spread, field))
            with torch.no_grad():
                of_given = self.encoder.features(given)
        sizes = [(features.shape[2], features.shape[3]) for features in of_made]
        places, are_inside = zip(*(draw_places(field, size, self.contrast.patches) for size in sizes), strict=True)
        with self.fabric.autocast():
            asked = self.generators[PROJECTION](of_made, places)
            with torch.no_grad():
                answers = self.generators[PROJECTION](of_given, places)
        terms = [
            patch_contrast(question, answer, inside, self.contrast.temperature)
            for question, answer, inside in zip(asked, answers, are_inside, strict=True)
        ]
        return torch.stack(terms).mean()

    @property
    def encoder(self) -> Generator:
        """The generator, for its contracting half."""
        generator = self.generators[TRANSLATING]
        assert isinstance(generator, Generator)
        return generator

    def as_real(self, line_integrals: Images, field: Field) -> Images:
        """Bring line integrals of either domain to the scale in which real images enter; no beam is 0 before that."""
        return self.scaled(torch.where(field, line_integrals, 0.0))


def draw_places(field: Field, size_px: Sequence[int], count: int) -> tuple[Int64[Tensor, "b n"], Bool[Tensor, "b n"]]:
    """Draw different places of each image, out of those that are wholly inside as long as there are any.

    Args:
        field: At full resolution.
        size_px: (height, width) of the features.
        count: How many; fewer if the features have fewer pixels.

    Returns:
        Places as v * width + u, and which of them are inside.
    """
    height, width = size_px
    inside = (functional.adaptive_avg_pool2d(field.float(), (height, width)) == 1).flatten(1)
    # On the processor, so that a seed draws the same places wherever the images are.
    chance = torch.rand(inside.shape[0], height * width).to(inside.device)
    places = (chance + inside.float()).topk(min(count, height * width), dim=1).indices
    return places, inside.gather(1, places)
