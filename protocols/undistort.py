"""The distortion of an image intensifier: pincushion from its curved input screen, an S-shape from magnetic fields.

Coordinates q are pixels from the center, divided by a radius (half the image). With r = |q| a point goes to

    turned by (s1 r^2 + s2 r^4) of ( q (1 + k1 r^2 + k2 r^4) )  +  d r^2 + 2 q (q . d).

The k are the pincushion, the s turn the image by an angle that grows with the radius: the S-shape (Liu, Rudin and
Bednarek, Med. Phys. 26 (1999) 1802). The d move the pincushion's center off the image's center (the decentering of
Brown 1971, "Close-range camera calibration"). The pincushion belongs to the tube and is shared by a session; the
earth's field pulls anew at each angle, so s1 and d may differ between exposures. Shift, rotation and scale of the
whole image are missing on purpose: principal point, pose and focal length of the camera take them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Float32, Num
from scipy.ndimage import map_coordinates

from drrkit.errors import InputError
from drrkit.geometry.rigid import ArrayLike

TERMS = ("pincushion_r2", "pincushion_r4", "decentering_u", "decentering_v", "twist_r2", "twist_r4")

_INVERSE_STEPS = 30
_INVERSE_TOLERANCE_PX = 1e-9


@dataclass(frozen=True)
class Distortion:
    """Where an intensifier puts what a flat detector would show elsewhere; valid when it exists.

    Args:
        center_px: (u, v) of the image's center.
        radius_px: Half the image: where the terms' numbers hold.
        pincushion_r2: k1; positive stretches the edge outward.
        pincushion_r4: k2.
        decentering_u: d_u.
        decentering_v: d_v.
        twist_r2: s1 in radians; positive turns the edge from u toward v.
        twist_r4: s2 in radians.

    Raises:
        InputError: Numbers that are not finite, no radius, or terms so large that the image would fold over.
    """

    center_px: tuple[float, float]
    radius_px: float
    pincushion_r2: float = 0.0
    pincushion_r4: float = 0.0
    decentering_u: float = 0.0
    decentering_v: float = 0.0
    twist_r2: float = 0.0
    twist_r4: float = 0.0

    def __post_init__(self) -> None:
        numbers = np.array([*self.center_px, self.radius_px, *self.terms])
        if len(self.center_px) != 2 or not np.isfinite(numbers).all() or self.radius_px <= 0:
            raise InputError("distortion", numbers.tolist(), "a center, a positive radius and six finite terms")
        edge = np.linspace(0, 2 * np.pi, 24, endpoint=False)
        ring = np.stack([np.cos(edge), np.sin(edge)], axis=-1)
        # Out to the corners of a square image.
        stretches = [np.linalg.det(bend_gradients(ring * radius, self.terms)[0]).min() for radius in (0.5, 1.0, 1.42)]
        if min(stretches) <= 0.05:
            terms = dict(zip(TERMS, self.terms.tolist(), strict=True))
            raise InputError("distortion", terms, "terms so small that the image is not folded over")

    @property
    def terms(self) -> Float[np.ndarray, " 6"]:
        """The six terms in the order of ``TERMS``."""
        return np.array([getattr(self, name) for name in TERMS])

    def distorted_from_ideal(self, points_px: ArrayLike) -> Float[np.ndarray, "*batch 2"]:
        """Move points (u, v) of shape (..., 2) of a flat image to where the intensifier shows them."""
        points = np.asarray(points_px, dtype=np.float64)
        q = (points - self.center_px) / self.radius_px
        return bend(q, self.terms) * self.radius_px + self.center_px

    def ideal_from_distorted(self, points_px: ArrayLike) -> Float[np.ndarray, "*batch 2"]:
        """Move points (u, v) of shape (..., 2) of the image as it was taken to where a flat detector had shown them.

        The inverse of :meth:`distorted_from_ideal` to 1e-9 px, by Newton steps.

        Raises:
            InputError: A point outside what the model can invert, far beyond the image.
        """
        points = np.asarray(points_px, dtype=np.float64)
        wanted = (points - self.center_px) / self.radius_px
        q = wanted.copy()
        terms = self.terms
        for _ in range(_INVERSE_STEPS):
            missing = wanted - bend(q, terms)
            if not (np.abs(missing) * self.radius_px > _INVERSE_TOLERANCE_PX).any():
                return q * self.radius_px + self.center_px
            # Short steps keep far points from leaping over the fold.
            step = np.linalg.solve(bend_gradients(q, terms)[0], missing[..., None])[..., 0]
            length = np.linalg.norm(step, axis=-1, keepdims=True)
            q = q + step * np.minimum(1.0, 0.5 / np.maximum(length, 1e-12))
        worst = points.reshape(-1, 2)[np.abs(missing).reshape(-1, 2).max(axis=1).argmax()]
        raise InputError("distorted point", worst.tolist(), "a point on the image (the model cannot be inverted there)")

    def to_record(self) -> dict[str, Any]:
        """Return the record of calibration.json."""
        terms = dict(zip(TERMS, self.terms.tolist(), strict=True))
        return {"center_px": [float(value) for value in self.center_px], "radius_px": float(self.radius_px), **terms}

    @classmethod
    def from_record(cls, record: Mapping[str, Any], where: str = "distortion record") -> "Distortion":
        """Build a distortion from its record.

        Raises:
            InputError: A field that is missing, unknown or unusable; the message starts with ``where``.
        """
        wanted = {"center_px", "radius_px", *TERMS}
        if set(record) != wanted:
            raise InputError(where, f"the fields {', '.join(sorted(record))}", ", ".join(sorted(wanted)))
        try:
            center_u, center_v = (float(value) for value in record["center_px"])
            numbers = {name: float(record[name]) for name in wanted - {"center_px"}}
        except (TypeError, ValueError) as error:
            raise InputError(where, f"a field that is not numeric ({error})", "numbers") from error
        return cls(center_px=(center_u, center_v), **numbers)


def undistort_image(
    pixels: Num[np.ndarray, "h w"], distortion: Distortion | None, order: int = 3
) -> Float32[np.ndarray, "h w"]:
    """Resample an image to what a flat detector would have shown; None leaves it as it is.

    Args:
        pixels: Image as it was taken.
        distortion: Of the exposure.
        order: 3 for cubic splines, 1 for linear interpolation, which is about five times as fast but blurs a little.

    Returns:
        An image of the same size; beyond the original's border its edge pixels are repeated.
    """
    image = np.asarray(pixels, dtype=np.float32)
    if distortion is None:
        return image.copy()
    height, width = image.shape
    # The map is smooth: exact on every 8th pixel, and linear between them to below 0.01 px.
    rows, columns = (np.arange(0, size + 8, 8, dtype=np.float64) for size in (height, width))
    v, u = np.meshgrid(rows, columns, indexing="ij")
    coarse = distortion.distorted_from_ideal(np.stack([u, v], axis=-1)).astype(np.float32)
    source = _refine(_refine(coarse, height, 0), width, 1)
    return map_coordinates(image, [source[..., 1], source[..., 0]], order=order, mode="nearest", output=np.float32)


def bend(q: Float[np.ndarray, "*batch 2"], terms: Float[np.ndarray, "*#batch 6"]) -> Float[np.ndarray, "*batch 2"]:
    """Move relative coordinates; ``terms`` are in the order of ``TERMS``, one row for all points or one for each."""
    k1, k2, du, dv, s1, s2 = np.moveaxis(np.asarray(terms), -1, 0)
    qu, qv = q[..., 0], q[..., 1]
    square = qu**2 + qv**2
    growth, angle = 1 + k1 * square + k2 * square**2, s1 * square + s2 * square**2
    cosine, sine = growth * np.cos(angle), growth * np.sin(angle)
    along = 2 * (qu * du + qv * dv)
    u = cosine * qu - sine * qv + du * square + qu * along
    v = sine * qu + cosine * qv + dv * square + qv * along
    return np.stack([u, v], axis=-1)


def bend_gradients(
    q: Float[np.ndarray, "*batch 2"], terms: Float[np.ndarray, "*#batch 6"]
) -> tuple[Float[np.ndarray, "*batch 2 2"], Float[np.ndarray, "*batch 2 6"]]:
    """Derivatives of :func:`bend` to q and to the terms."""
    k1, k2, du, dv, s1, s2 = np.moveaxis(np.asarray(terms), -1, 0)
    qu, qv = q[..., 0], q[..., 1]
    square = qu**2 + qv**2
    growth, angle = 1 + k1 * square + k2 * square**2, s1 * square + s2 * square**2
    growth_slope, angle_slope = 2 * k1 + 4 * k2 * square, 2 * s1 + 4 * s2 * square
    cosine, sine = np.cos(angle), np.sin(angle)
    turned_u, turned_v = cosine * qu - sine * qv, sine * qu + cosine * qv
    # How the turned and stretched point moves with r^2 / 2.
    slope_u = growth_slope * turned_u - growth * angle_slope * turned_v
    slope_v = growth_slope * turned_v + growth * angle_slope * turned_u
    along = 2 * (qu * du + qv * dv)
    uu = growth * cosine + slope_u * qu + 4 * du * qu + along
    uv = -growth * sine + slope_u * qv + 2 * du * qv + 2 * dv * qu
    vu = growth * sine + slope_v * qu + 2 * dv * qu + 2 * du * qv
    vv = growth * cosine + slope_v * qv + 4 * dv * qv + along
    by_point = np.stack([np.stack([uu, uv], axis=-1), np.stack([vu, vv], axis=-1)], axis=-2)
    twist_u, twist_v = -growth * turned_v, growth * turned_u
    first = [turned_u, turned_u * square, square + 2 * qu**2, 2 * qu * qv, twist_u, twist_u * square]
    second = [turned_v, turned_v * square, 2 * qu * qv, square + 2 * qv**2, twist_v, twist_v * square]
    scale = np.stack([square, square, np.ones_like(square), np.ones_like(square), square, square], axis=-1)
    by_terms = np.stack([np.stack(first, axis=-1) * scale, np.stack(second, axis=-1) * scale], axis=-2)
    return by_point, by_terms


def _refine(grid: Float32[np.ndarray, "r c 2"], size: int, axis: int) -> Float32[np.ndarray, "r2 c2 2"]:
    index = np.arange(size)
    low, share = index // 8, (index % 8 / 8).astype(np.float32)
    share = share.reshape((-1, 1, 1) if axis == 0 else (1, -1, 1))
    return np.take(grid, low, axis) * (1 - share) + np.take(grid, low + 1, axis) * share
