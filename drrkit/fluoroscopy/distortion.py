"""How an image intensifier bends an image, simulated: pincushion, S-distortion, shift, and a round field of view.

Pincushion comes from the curved input screen: magnification grows with the radius. The electrons that carry the image
are also turned by the axial part of the earth's magnetic field, more at the rim than at the center (the S), and pushed
sideways by the rest of it, so both change as the C-arm turns (Liu, Rudin & Bednarek, Med. Phys. 26 (1999) 1802;
Wang & Blackburn, RadioGraphics 20 (2000) 1471). "Ideal" pixels are the camera's, "distorted" ones those of the image.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32
from scipy import ndimage

from drrkit.errors import InputError
from drrkit.geometry.rigid import ArrayLike

# Newton's steps on the radius at most; real intensifiers need four.
_NEWTON_STEPS = 30


@dataclass(frozen=True)
class DetectorDistortion:
    """Distortion of one exposure; valid when it exists. Without arguments beyond the first two it is the identity.

    With r the distance from the center in units of ``radius_px``, an ideal point goes to r (1 + k1 r^2 + k2 r^4), then
    turns by ``rotation_deg + s_deg r^2`` (clockwise on a screen), then moves by ``shift_px``.

    Args:
        center_px: (u, v) of the electron optics' axis.
        radius_px: Radius of the field of view, in distorted pixels.
        pincushion: (k1, k2).
        s_deg: How much further the rim turns than the center.
        rotation_deg: How far the center turns.
        shift_px: (u, v) shift of the whole image.
        is_round: Whether the field of view is round: nothing is seen beyond the radius.

    Raises:
        InputError: A radius that is not positive, numbers that are not finite, or a distortion that folds the image.
    """

    center_px: tuple[float, float]
    radius_px: float
    pincushion: tuple[float, float] = (0.0, 0.0)
    s_deg: float = 0.0
    rotation_deg: float = 0.0
    shift_px: tuple[float, float] = (0.0, 0.0)
    is_round: bool = False

    def __post_init__(self) -> None:
        numbers = [*self.center_px, self.radius_px, *self.pincushion, self.s_deg, self.rotation_deg, *self.shift_px]
        if not np.isfinite(numbers).all() or not self.radius_px > 0:
            raise InputError("distortion", numbers, "finite numbers and a positive radius")
        # Corners of a square image around the round field lie at 1.42 radii; leave room for the shift.
        radius = np.linspace(0, 1.6, 161)
        if not (self._growth(radius) > 0.1).all():
            raise InputError("distortion pincushion", self.pincushion, "coefficients that do not fold the image")

    @property
    def is_identity(self) -> bool:
        """Whether nothing moves."""
        return not any([*self.pincushion, self.s_deg, self.rotation_deg, *self.shift_px])

    def distorted_from_ideal(self, points_px: ArrayLike) -> Float[np.ndarray, "*batch 2"]:
        """Map ideal pixels (u, v) of shape (..., 2) to where the image shows them."""
        offset = (np.asarray(points_px, np.float64) - self.center_px) / self.radius_px
        square = (offset**2).sum(axis=-1, keepdims=True)
        first, second = self.pincushion
        bent = _turned(offset * (1 + first * square + second * square**2), self._angle_rad(square))
        return bent * self.radius_px + self.center_px + self.shift_px

    def ideal_from_distorted(self, points_px: ArrayLike) -> Float[np.ndarray, "*batch 2"]:
        """Map pixels (u, v) of the image, shape (..., 2), back to the ideal ones; exact to rounding."""
        offset = (np.asarray(points_px, np.float64) - self.center_px - self.shift_px) / self.radius_px
        bent_radius = np.linalg.norm(offset, axis=-1, keepdims=True)
        radius = bent_radius.copy()
        first, second = self.pincushion
        for _ in range(_NEWTON_STEPS):
            excess = radius * (1 + first * radius**2 + second * radius**4) - bent_radius
            radius -= excess / self._growth(radius)
            if np.abs(excess).max(initial=0) < 1e-9:
                break  # the step just made squares this: it is exact now
        scale = np.divide(radius, bent_radius, out=np.ones_like(radius), where=bent_radius > 0)
        return _turned(offset * scale, -self._angle_rad(radius**2)) * self.radius_px + self.center_px

    def warp(self, image: Float32[np.ndarray, "h w"], *, is_light: bool = False) -> Float32[np.ndarray, "h w"]:
        """Distort an image; beyond the ideal image its border goes on. The round field is not cut here.

        Args:
            image: (H, W) ideal image.
            is_light: Whether a total is spread: then what is stretched over more area gets dimmer, and nothing gets
                below zero where the interpolation overshoots.
        """
        if self.is_identity:
            return image.copy()
        ideal = self._ideal_grid(*image.shape)
        # Cubic: bilinear would blur and would make the noise softer half-way between pixels than on them.
        warped = ndimage.map_coordinates(image, [ideal[..., 1], ideal[..., 0]], np.float32, order=3, mode="nearest")
        return np.maximum(warped, 0) * _area(ideal) if is_light else warped

    def brightness(self, height: int, width: int) -> Float32[np.ndarray, "h w"]:
        """How much light a pixel of the image gets: the area of the ideal image that it shows, in pixels."""
        return _area(self._ideal_grid(height, width))

    def field(self, height: int, width: int) -> Float32[np.ndarray, "h w"]:
        """Share of every pixel that lies in the field of view, with an edge one pixel soft."""
        if not self.is_round:
            return np.ones((height, width), np.float32)
        u, v = np.arange(width) - self.center_px[0], np.arange(height)[:, None] - self.center_px[1]
        return np.clip(self.radius_px - np.hypot(u, v) + 0.5, 0, 1).astype(np.float32)

    def _ideal_grid(self, height: int, width: int) -> Float[np.ndarray, "h w 2"]:
        u, v = np.meshgrid(np.arange(width, dtype=np.float64), np.arange(height, dtype=np.float64))
        return self.ideal_from_distorted(np.stack([u, v], axis=-1))

    def _angle_rad(self, square: np.ndarray) -> np.ndarray:
        return np.radians(self.rotation_deg + self.s_deg * square)

    def _growth(self, radius: np.ndarray) -> np.ndarray:
        """Derivative of the bent radius by the ideal one."""
        first, second = self.pincushion
        return 1 + 3 * first * radius**2 + 5 * second * radius**4


def _area(ideal: np.ndarray) -> np.ndarray:
    """Area of each cell of a warped grid, in pixels."""
    down, right = np.gradient(ideal, axis=(0, 1))
    return (right[..., 0] * down[..., 1] - right[..., 1] * down[..., 0]).astype(np.float32)


def _turned(offset: np.ndarray, angle_rad: np.ndarray) -> np.ndarray:
    cosine, sine = np.cos(angle_rad[..., 0]), np.sin(angle_rad[..., 0])
    u, v = offset[..., 0], offset[..., 1]
    return np.stack([cosine * u - sine * v, sine * u + cosine * v], axis=-1)
