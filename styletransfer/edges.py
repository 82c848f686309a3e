"""By how many millimeters bone edges of a translated image lie beside those of the paired DRR.

Every edge point of the reference looks along its own normal for the edge in the translated image that matches it best.
A translator must not move bone: what it moves, the reconstruction triangulates to the wrong place.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from numpy.lib.stride_tricks import sliding_window_view
from scipy import ndimage

from drrkit.errors import InputError

Image = Float[np.ndarray, "h w"]
Mask = Bool[np.ndarray, "h w"]
Gradient = Float[np.ndarray, "2 h w"]
Points = Float[np.ndarray, "2 n"]

# Edges are those of bone seen at this scale: thinner than a cortex with its shadow (2 to 3 mm), wider than a pixel, so
# that images of 0.4 and of 1.2 mm a pixel have the same edges.
SMOOTHING_MM = 1.0
# Narrower derivatives of a Gaussian are no longer told apart by direction.
LEAST_SMOOTHING_PX = 0.8
# Edges count from this part of the reference's strong ones, and those are its own 95th percentile: soft or thin bone,
# another view or another energy change the contrast of all edges alike, and the same bone must stay in the count.
STRONG_PERCENTILE = 95.0
STRONG_PART = 0.25
# An edge in the other image may be so much fainter than the one that looks for it; below, it is gone.
FADED_PART = 0.25
# Profiles along the normal are compared over so far to both sides: two cortices of a pedicle, not the next vertebra.
CONTEXT_MM = 3.0
# Cosine between the two profiles of like edges. Measured on DRRs of another view: at 0.7, one edge in three still finds
# something alike within the limit; more would lose edges to blur and noise.
LEAST_LIKENESS = 0.7
# Of two edges that match as well, the nearer one is meant: cosine that is lost on the way to the limit.
DISTANCE_COST = 0.2
# Beyond this, a displaced edge and another edge cannot be told apart: endplates of one disc lie 8 mm apart.
LIMIT_MM = 5.0
# Of interpolation in float32.
_ROUNDING = 1e-5


@dataclass(frozen=True)
class EdgeShift:
    """How far edges lie from where they belong.

    Args:
        median_mm: Median of the distances of edges that were found, along their normals, by length.
        p95_mm: 95th percentile of them. Both are the limit of the search if none was found.
            A rigid shift shows along each edge's normal alone: of many directions, the 95th percentile is the shift.
        found_share: Share of the length of the reference's edges that has a counterpart.
        lost_share: Share that has none: it vanished, or moved beyond the limit.
        invented_share: Share of the length of the translated image's edges, as strong as those that count in the
            reference, that has no counterpart there.
    """

    median_mm: float
    p95_mm: float
    found_share: float
    lost_share: float
    invented_share: float


@dataclass(frozen=True, eq=False)
class Edges:
    """Edge points of one image.

    Args:
        points: Whole pixels (row, column).
        normals: Unit vectors (row, column), towards larger line integrals.
        strength: Of the gradient, in line integral a millimeter.
        length: Of edge that each point stands for, in pixels.
    """

    points: Points
    normals: Points
    strength: Float[np.ndarray, " n"]
    length: Float[np.ndarray, " n"]


def bone_edge_shift_mm(
    translated: Image, reference: Image, field: Mask, mm_per_px: float, limit_mm: float = LIMIT_MM
) -> EdgeShift:
    """Measure how far the edges of a translated image lie from those of the paired DRR.

    Args:
        translated: (H, W) line integrals.
        reference: (H, W) DRR of the same camera.
        field: (H, W) where the beam fell; its border is no edge.
        mm_per_px: Size of a pixel, scaled back to the middle of the patient.
        limit_mm: How far edges are looked for, to both sides.

    Raises:
        InputError: Images that do not fit together, NaN, a size that is not positive, or a reference without edges.
    """
    if not 0 < mm_per_px < np.inf or not 0 < limit_mm < np.inf:
        raise InputError("mm_per_px and limit_mm", (mm_per_px, limit_mm), "positive lengths")
    if translated.ndim != 2 or not translated.shape == reference.shape == field.shape:
        found = f"shapes {translated.shape}, {reference.shape} and {field.shape}"
        raise InputError("translated, reference and field", found, "three (H, W) arrays of one size")
    if not (np.isfinite(translated).all() and np.isfinite(reference).all()):
        raise InputError("translated and reference", "NaN or infinite pixels", "finite line integrals")
    inside = _inside(field, mm_per_px)
    translated_gradient, reference_gradient = (_gradient(one, inside, mm_per_px) for one in (translated, reference))
    candidates = find_edges(reference_gradient, 0.0)
    if candidates.strength.size == 0:
        raise InputError("reference", "no edge inside the field", "a DRR that shows bone")
    least = STRONG_PART * float(np.percentile(candidates.strength, STRONG_PERCENTILE))
    wanted, seen = find_edges(reference_gradient, least), find_edges(translated_gradient, least)
    distance_mm = match(wanted, reference_gradient, translated_gradient, mm_per_px, limit_mm)
    found = np.isfinite(distance_mm)
    lost_share = float(wanted.length[~found].sum() / wanted.length.sum())
    unknown = ~np.isfinite(match(seen, translated_gradient, reference_gradient, mm_per_px, limit_mm))
    median_mm, p95_mm = _percentiles(np.abs(distance_mm[found]), wanted.length[found], (50.0, 95.0), limit_mm)
    invented_share = float(seen.length[unknown].sum() / seen.length.sum()) if seen.length.size else 0.0
    return EdgeShift(median_mm, p95_mm, 1.0 - lost_share, lost_share, invented_share)


def find_edges(gradient: Gradient, least: float) -> Edges:
    """Find pixels whose gradient is larger than that of both neighbors along it, and larger than ``least``."""
    strength = np.hypot(*gradient)
    inner = np.zeros(strength.shape, bool)
    inner[1:-1, 1:-1] = True
    rows, columns = np.nonzero(inner & (strength > least))
    at = strength[rows, columns]
    normals = gradient[:, rows, columns] / at
    # One step until the next row or column, whichever comes first: a point for each row or column that an edge crosses.
    steps = normals / np.abs(normals).max(axis=0)
    ahead, behind = (
        ndimage.map_coordinates(strength, np.stack([rows, columns]) + sign * steps, order=1) for sign in (1, -1)
    )
    top = (at > ahead) & (at >= behind)
    points, normals = np.stack([rows, columns])[:, top].astype(np.float32), normals[:, top]
    # Once more as :func:`match` looks at it, so that every edge finds itself.
    top[top] = kept = _is_summit(*_profile(gradient, points, normals, 1).T)
    points, normals = points[:, kept], normals[:, kept]
    return Edges(points, normals, at[top], 1 / np.abs(normals).max(axis=0))


def match(
    edges: Edges, own: Gradient, other: Gradient, mm_per_px: float, limit_mm: float = LIMIT_MM
) -> Float[np.ndarray, " n"]:
    """Find for each edge point the edge in another image that matches best along the normal.

    Candidates are maxima of the gradient along the normal that are not much fainter than the point's own. The one is
    taken around which the profile of the gradient resembles the point's own most. Both maxima are refined by parabolas.

    Args:
        edges: Of the one image.
        own: Gradient of that image.
        other: Gradient of the other.
        mm_per_px: Size of a pixel.
        limit_mm: How far to look.

    Returns:
        (N,) signed distance along the normal in mm; NaN where nothing matches.
    """
    context, limit = max(1, round(CONTEXT_MM / mm_per_px)), max(1, int(np.ceil(limit_mm / mm_per_px)))
    own_profile = _profile(own, edges.points, edges.normals, context)
    other_profile = _profile(other, edges.points, edges.normals, limit + context)
    windows = sliding_window_view(other_profile, 2 * context + 1, axis=1)
    norms = np.linalg.norm(own_profile, axis=1)[:, None] * np.sqrt(np.einsum("nlc,nlc->nl", windows, windows))
    likeness = np.einsum("nlc,nc->nl", windows, own_profile) / np.maximum(norms, np.finfo(np.float32).tiny)
    lags = np.arange(-limit, limit + 1)
    middle = other_profile[:, context : context + lags.size]
    before, after = other_profile[:, context - 1 : -context - 1], other_profile[:, context + 1 :][:, : lags.size]
    is_edge = _is_summit(before, middle, after) & (middle >= FADED_PART * edges.strength[:, None])
    position = lags + _summit(before, middle, after) - _summit(*own_profile[:, context - 1 : context + 2].T)[:, None]
    distance = np.abs(position) * mm_per_px / limit_mm
    is_edge &= (likeness >= LEAST_LIKENESS) & (distance <= 1)
    score = np.where(is_edge, likeness - DISTANCE_COST * distance, -np.inf)
    best = score.argmax(axis=1)
    chosen = np.arange(len(score)), best
    return np.where(is_edge[chosen], position[chosen] * mm_per_px, np.nan)


def _inside(field: Mask, mm_per_px: float) -> Mask:
    """Pixels whose gradient does not feel the step at the border of the field."""
    if field.all():
        return field
    reach_px = 3 * _smoothing_px(mm_per_px) + 1
    inside: Mask = ndimage.distance_transform_edt(field) > reach_px
    return inside


def _smoothing_px(mm_per_px: float) -> float:
    return max(SMOOTHING_MM / mm_per_px, LEAST_SMOOTHING_PX)


def _gradient(image: Image, inside: Mask, mm_per_px: float) -> Gradient:
    sigma = _smoothing_px(mm_per_px)
    pixels = np.asarray(image, np.float32)
    orders = ((1, 0), (0, 1))
    derivatives = [ndimage.gaussian_filter(pixels, sigma, order, mode="nearest", truncate=3.0) for order in orders]
    gradient: Gradient = np.stack(derivatives) * (inside / np.float32(mm_per_px))
    return gradient


def _profile(gradient: Gradient, points: Points, normals: Points, reach: int) -> Float[np.ndarray, "n s"]:
    """Gradient along normals, at whole pixels to both sides; 0 outside of the image."""
    steps = np.arange(-reach, reach + 1, dtype=np.float32)
    places = points[:, :, None] + normals[:, :, None] * steps
    # Quadratic: linear interpolation pulls summits to whole pixels, and a shift of half a pixel would read 8 % small.
    sampled = [ndimage.map_coordinates(one, places, order=2, mode="constant") for one in gradient]
    profile: Float[np.ndarray, "n s"] = sum(one * normal[:, None] for one, normal in zip(sampled, normals, strict=True))
    return profile


def _is_summit(before: np.ndarray, middle: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Whether the middle one of three samples is largest; of two that are equal but for rounding, either may be."""
    largest: np.ndarray = middle * (1 + _ROUNDING) >= np.maximum(before, after)
    return largest


def _summit(before: np.ndarray, middle: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Where the parabola through three samples has its summit, from the middle one, -0.5 to 0.5."""
    curvature = 2 * middle - before - after
    offset = np.divide(after - before, 2 * curvature, out=np.zeros_like(middle), where=curvature > 0)
    summit: np.ndarray = offset.clip(-0.5, 0.5)
    return summit


def _percentiles(
    values: Float[np.ndarray, " n"], weights: Float[np.ndarray, " n"], percents: tuple[float, ...], if_none: float
) -> list[float]:
    """Percentiles of weighted values."""
    if values.size == 0:
        return [if_none] * len(percents)
    order = np.argsort(values)
    share = np.cumsum(weights[order]) - weights[order] / 2
    return [float(np.interp(percent / 100, share / weights.sum(), values[order])) for percent in percents]
