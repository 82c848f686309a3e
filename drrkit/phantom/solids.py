"""Implicit solids, and how to blend them: negative inside, about a distance in millimeters near the surface.

Points are arrays of shape (..., 3). The forms are those of Quilez, "Distance functions" and "Smooth minimum".
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

Field = Float[np.ndarray, "*points"]
Points = Float[np.ndarray, "*points 3"]


def smooth_union(fields: Sequence[Field], fillet_mm: float) -> Field:
    """Join solids with a fillet where they meet (polynomial smooth minimum)."""
    joined = fields[0]
    for field in fields[1:]:
        joined = np.minimum(joined, field) - _fillet(joined - field, fillet_mm)
    return joined


def smooth_intersection(first: Field, second: Field, rounding_mm: float) -> Field:
    """Cut one solid with another and round the edge."""
    return np.maximum(first, second) + _fillet(first - second, rounding_mm)


def ellipsoid(points: Points, center: ArrayLike, radii_mm: ArrayLike, axes: ArrayLike | None = None) -> Field:
    """Return the field of an ellipsoid; ``axes`` holds its three directions as rows (default x, y, z)."""
    local = points - np.asarray(center)
    if axes is not None:
        local = local @ np.asarray(axes).T
    return _scaled(local, np.asarray(radii_mm, dtype=np.float64))


def strut(
    points: Points, start: ArrayLike, end: ArrayLike, up: ArrayLike, start_radii_mm: ArrayLike, end_radii_mm: ArrayLike
) -> Field:
    """Return the field of a bar with elliptic section and round ends.

    Args:
        points: Where to evaluate.
        start: First end of its axis.
        end: Other end of its axis.
        up: Direction of the section's second radius (made orthogonal to the axis).
        start_radii_mm: (across, up) half sizes of the section at the start.
        end_radii_mm: The same at the end; between them the section tapers.
    """
    start, end = np.asarray(start, dtype=np.float64), np.asarray(end, dtype=np.float64)
    length_mm = float(np.linalg.norm(end - start))
    axis = (end - start) / length_mm
    upward = np.asarray(up, dtype=np.float64)
    upward = upward - (upward @ axis) * axis
    upward /= np.linalg.norm(upward)
    across = np.cross(axis, upward)
    local = points - start
    along = np.clip(local @ axis, 0, length_mm)
    taper = (along / length_mm)[..., None]
    radii = (1 - taper) * np.asarray(start_radii_mm) + taper * np.asarray(end_radii_mm)
    section = np.stack([local @ across, local @ upward, local @ axis - along], axis=-1)
    return _scaled(section, np.concatenate([radii, radii.min(axis=-1, keepdims=True)], axis=-1))


def polygon(first: Field, second: Field, corners: ArrayLike, rounding_mm: float) -> Field:
    """Return the signed distance to a simple polygon in the plane of two coordinates, its corners rounded outwards."""
    corners = np.asarray(corners, dtype=np.float64)
    point = np.stack([first, second], axis=-1)
    squared = np.full(first.shape, np.inf)
    inside = np.zeros(first.shape, dtype=bool)
    for corner, following in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        edge, offset = following - corner, point - corner
        along = np.clip(offset @ edge / (edge @ edge), 0, 1)
        squared = np.minimum(squared, ((offset - along[..., None] * edge) ** 2).sum(axis=-1))
        straddles = (corner[1] > second) != (following[1] > second)
        with np.errstate(divide="ignore", invalid="ignore"):
            crossing = corner[0] + (second - corner[1]) * edge[0] / edge[1]
        inside ^= straddles & (first < crossing)
    return np.where(inside, -1.0, 1.0) * np.sqrt(squared) - rounding_mm


def _fillet(difference: Field, radius_mm: float) -> Field:
    overlap = np.maximum(radius_mm - np.abs(difference), 0.0)
    return overlap**2 / (4 * radius_mm)


def _scaled(local: Points, radii: Points) -> Field:
    """Distance to an axis-aligned ellipsoid to first order: exact on the surface, and never zero elsewhere."""
    scaled = np.linalg.norm(local / radii, axis=-1)
    gradient = np.linalg.norm(local / radii**2, axis=-1)
    return np.where(gradient > 1e-9, scaled * (scaled - 1) / np.maximum(gradient, 1e-9), -radii.min(axis=-1))
