"""What a trained translator is: its description, which travels as JSON beside the weights."""

from dataclasses import dataclass, field
from typing import Any

from styletransfer.scale import Scale

MODEL_CONVENTION = "drrkit-translator/1"


@dataclass(frozen=True)
class TranslatorSpec:
    """Everything that must be known to use the weights.

    Args:
        method: Name in ``styletransfer.registry.TRANSLATORS``.
        settings: What the method was told, as its ``Settings`` dumps it.
        scale: How line integrals were scaled.
        isocenter_pixel_mm: Size of the training images' pixels, scaled back to the middle of the patient: the size at
            which the translator knows anatomy. Lowest and highest.
        training: What it was trained on and how: free record, for people and for traceability.
    """

    method: str
    settings: dict[str, Any]
    scale: Scale
    isocenter_pixel_mm: tuple[float, float]
    training: dict[str, Any] = field(default_factory=dict)
