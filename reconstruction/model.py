"""What a trained network is: its description, which travels as JSON beside the weights."""

from dataclasses import dataclass, field
from typing import Any, Literal

Mode = Literal["lumbar", "vertebra"]

MODEL_CONVENTION = "drrkit-reconstructor/1"


@dataclass(frozen=True)
class ViewWindow:
    """The window that every X-ray is brought to before a network sees it, whatever detector it came from.

    Its middle is where the middle of the grid projects, and its pixels have one size there, so that vertebrae look
    equally large on every C-arm.

    Args:
        size_px: (H, W).
        pixel_mm: Size of a pixel, scaled back to the depth of the grid's middle.
    """

    size_px: tuple[int, int]
    pixel_mm: float


@dataclass(frozen=True)
class ModelSpec:
    """Everything that must be known to use the weights; valid when it exists.

    Args:
        network: Name in ``reconstruction.networks.NETWORKS``.
        settings: Keyword arguments of that network (widths, depths, fusion ...).
        mode: ``lumbar`` (one grid over L1 to L5) or ``vertebra`` (a grid around one vertebra).
        classes: Names of classes 1, 2, ...; class 0 is background.
        grid_shape: (Z, Y, X) of the grid.
        grid_spacing_mm: Side of its voxels.
        window: What views are brought to.
        training: What it was trained on and how: free record, for people and for traceability.
    """

    network: str
    settings: dict[str, Any]
    mode: Mode
    classes: tuple[str, ...]
    grid_shape: tuple[int, int, int]
    grid_spacing_mm: float
    window: ViewWindow
    training: dict[str, Any] = field(default_factory=dict)
