"""All translators by name."""

from collections.abc import Mapping
from types import MappingProxyType

from styletransfer.methods.baselines import Clahe, FourierAdaptation, HistogramMatching, Untranslated
from styletransfer.methods.cut import Cut
from styletransfer.methods.cyclegan import CycleGan
from styletransfer.methods.cyclegan_paired import CycleGanPaired
from styletransfer.methods.paired import Paired
from styletransfer.translator import Translator

TRANSLATORS: Mapping[str, type[Translator]] = MappingProxyType(
    {
        "none": Untranslated,
        "histogram": HistogramMatching,
        "clahe": Clahe,
        "fourier": FourierAdaptation,
        "paired": Paired,
        "cyclegan": CycleGan,
        "cyclegan-paired": CycleGanPaired,
        "cut": Cut,
    }
)
