"""An X-ray image, real or rendered, that knows its camera and what its pixels mean."""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from jaxtyping import Float32

from drrkit.errors import InputError
from drrkit.geometry.camera import Camera

ImageDomain = Literal["intensity", "line_integral", "display"]


@dataclass(frozen=True, eq=False)
class Radiograph:
    """An X-ray image; valid when it exists.

    Args:
        pixels: (H, W) float32.
        domain: ``intensity`` (counts), ``line_integral`` (-log I/I0, dimensionless), or ``display`` (windowed).
        camera: The view, or None where it is not known.

    Raises:
        InputError: Not two-dimensional float32, values that are not finite, or a size other than the camera's.
    """

    pixels: Float32[np.ndarray, "h w"]
    domain: ImageDomain
    camera: Camera | None = None

    def __post_init__(self) -> None:
        if self.pixels.ndim != 2 or self.pixels.dtype != np.float32:
            raise InputError("radiograph", f"{self.pixels.dtype} pixels of shape {self.pixels.shape}", "float32 (H, W)")
        if self.domain not in get_args(ImageDomain):
            raise InputError("radiograph domain", self.domain, " or ".join(get_args(ImageDomain)))
        if not np.isfinite(self.pixels).all():
            raise InputError("radiograph", "NaN or infinite pixels", "finite pixels")
        if self.camera is not None and self.pixels.shape != (self.camera.height, self.camera.width):
            raise InputError(
                "radiograph", f"shape {self.pixels.shape}", f"the camera's {(self.camera.height, self.camera.width)}"
            )

    def flipped_horizontally(self) -> "Radiograph":
        """Mirror image and camera together, for example to show a view as radiologists do."""
        camera = None if self.camera is None else self.camera.flipped_horizontally()
        return Radiograph(np.ascontiguousarray(self.pixels[:, ::-1]), self.domain, camera)
