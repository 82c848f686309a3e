"""CycleGAN with pairs: what a pair tells is added to what holds without one.

Where a paired translator learns every habit of the cameras' calibration, and an unpaired one may change what it likes,
the two together keep each other in check (in the spirit of Tripathy et al. 2018, who learn from few pairs and many
single images).
"""

from typing import ClassVar

from pydantic import NonNegativeFloat
from torch import Tensor

from styletransfer.losses import l1_in_field
from styletransfer.methods.cyclegan import CycleGan, CycleGanSettings, Journey
from styletransfer.methods.paired import PairLosses
from styletransfer.scale import Scale
from styletransfer.translator import Learning


class CycleGanPairedSettings(CycleGanSettings):
    """What the method is told.

    Args:
        pairs: Weights of what a pair tells of the way from real to synthetic.
        back: Weight of the mean absolute difference on the way back.
    """

    pairs: PairLosses
    back: NonNegativeFloat


class CycleGanPaired(CycleGan):
    """Two generators, two discriminators, and pairs."""

    Settings = CycleGanPairedSettings
    learning: ClassVar[Learning] = "pairs"

    def __init__(self, settings: CycleGanPairedSettings, scale: Scale) -> None:
        super().__init__(settings, scale)
        self.pairs, self.back = settings.pairs, settings.back

    def generator_terms(self, journey: Journey) -> dict[str, Tensor]:
        """Return the weighted losses of CycleGAN and those of the pairs, by name."""
        terms = super().generator_terms(journey)
        terms |= self.pairs.of(journey.made_synthetic, journey.synthetic, journey.field)
        if self.back:
            terms["back"] = self.back * l1_in_field(journey.made_real, journey.real, journey.field)
        return terms
