"""Pictures of surfaces without a graphics card: triangles to pixels with a depth buffer, light and soft shadow."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from jaxtyping import Float, Int
from scipy import ndimage

from drrkit.errors import InputError

# Samples along each side of a pixel, averaged in the end: smooth edges.
_SAMPLES = 2
# Directions of light in the frame of the picture (right, up, towards the viewer), and how much each gives.
_LIGHTS = (((-0.45, 0.65, 0.75), 0.62), ((0.75, 0.1, 0.55), 0.22))
_AMBIENT = 0.30
_GLOSS, _SHININESS = 0.16, 24.0
# Crevices are darker: this far around a pixel, and this much for each millimeter that it lies behind them.
_CREVICE_MM, _CREVICE_PER_MM, _DARKEST = 3.5, 0.055, 0.5
# Pixels of a triangle that are tried at once in each direction; larger ones are split by the caller's resolution.
_WIDEST_PX = 48


@dataclass(frozen=True, eq=False)
class Stand:
    """Where one looks from, and what is seen: a parallel projection.

    Args:
        picture_from_world: (3, 3) rows right, up and towards the viewer.
        low_mm: (2,) lower left corner in the frame of the picture.
        high_mm: (2,) upper right corner.
        pixels_per_mm: Resolution.
    """

    picture_from_world: Float[np.ndarray, "3 3"]
    low_mm: Float[np.ndarray, " 2"]
    high_mm: Float[np.ndarray, " 2"]
    pixels_per_mm: float

    @classmethod
    def around(
        cls,
        points_world: Float[np.ndarray, "n 3"],
        azimuth_deg: float,
        elevation_deg: float,
        margin_mm: float,
        pixels_per_mm: float,
    ) -> Self:
        """Look at points from a side.

        Args:
            points_world: (N, 3) LPS mm that shall all be in the picture.
            azimuth_deg: 0 from behind, 90 from the patient's left, 180 from the front.
            elevation_deg: How far above.
            margin_mm: Around the points.
            pixels_per_mm: Resolution.
        """
        azimuth, elevation = np.radians([azimuth_deg, elevation_deg])
        flat = np.array([np.sin(azimuth), np.cos(azimuth), 0.0])
        towards = flat * np.cos(elevation) + np.array([0.0, 0.0, np.sin(elevation)])
        right = np.cross([0.0, 0.0, 1.0], flat)
        picture_from_world = np.stack([right, np.cross(towards, right), towards])
        seen = points_world @ picture_from_world[:2].T
        return cls(picture_from_world, seen.min(axis=0) - margin_mm, seen.max(axis=0) + margin_mm, pixels_per_mm)

    @property
    def size_px(self) -> tuple[int, int]:
        """(H, W) of the picture."""
        width, height = np.ceil((self.high_mm - self.low_mm) * self.pixels_per_mm).astype(int)
        return int(height), int(width)


def painted(
    vertices_world: Float[np.ndarray, "n 3"],
    faces: Int[np.ndarray, "m 3"],
    colors: Float[np.ndarray, "n 3"],
    stand: Stand,
) -> Float[np.ndarray, "h w 4"]:
    """Paint a surface.

    Args:
        vertices_world: (N, 3) LPS mm.
        faces: (M, 3) counterclockwise from outside.
        colors: (N, 3) red, green, blue of each vertex, 0 to 1.
        stand: Where one looks from.

    Returns:
        RGBA, 0 to 1; nothing is where alpha is 0.

    Raises:
        InputError: A triangle that is far larger than a pixel.
    """
    rows, columns = (size * _SAMPLES for size in stand.size_px)
    scale = stand.pixels_per_mm * _SAMPLES
    seen = vertices_world @ stand.picture_from_world.T
    x, y = (seen[:, 0] - stand.low_mm[0]) * scale - 0.5, (stand.high_mm[1] - seen[:, 1]) * scale - 0.5
    depth, face, weights = _nearest(np.stack([x, y, seen[:, 2]], axis=1), faces, rows, columns)
    hit = face >= 0
    corners = faces[face[hit]]
    part = weights[hit][..., None]
    normals = (_normals(seen, faces)[corners] * part).sum(axis=1)
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)
    color = (colors[corners] * part).sum(axis=1)
    picture = np.zeros((rows, columns, 4))
    light = _light(normals)[:, None] * _open(depth, hit, scale)[hit][:, None]
    picture[hit, :3] = np.clip(color * light + _shine(normals)[:, None], 0, 1)
    picture[hit, 3] = 1.0
    return _averaged(picture)


def _nearest(
    points: Float[np.ndarray, "n 3"], faces: Int[np.ndarray, "m 3"], rows: int, columns: int
) -> tuple[Float[np.ndarray, "rows columns"], Int[np.ndarray, "rows columns"], Float[np.ndarray, "rows columns 3"]]:
    """Find what each sample sees: depth, face (-1 for none), and the weights of that face's corners."""
    corners = points[faces]
    flat = corners[..., :2]
    area = _cross(flat[:, 1] - flat[:, 0], flat[:, 2] - flat[:, 0])
    # y runs down, so that counterclockwise from outside is negative: others look away.
    front = np.flatnonzero(area < -1e-9)
    flat, area, heights = flat[front], area[front], corners[front, :, 2]
    start = np.ceil(flat.min(axis=1)).astype(int)
    extent = np.floor(flat.max(axis=1)).astype(int) - start + 1
    if len(extent) and extent.max() > _WIDEST_PX:
        raise InputError("surface", f"a triangle of {extent.max()} samples", f"triangles of at most {_WIDEST_PX}")
    found = []
    for down in range(int(extent[:, 1].max(initial=0))):
        for along in range(int(extent[:, 0].max(initial=0))):
            tried = np.flatnonzero((extent[:, 0] > along) & (extent[:, 1] > down))
            sample = start[tried] + (along, down)
            a, b, c = (flat[tried, corner] - sample for corner in range(3))
            parts = np.stack([_cross(b, c), _cross(c, a), _cross(a, b)], axis=1) / area[tried, None]
            inside = (parts >= -1e-9).all(axis=1) & ((sample >= 0) & (sample < (columns, rows))).all(axis=1)
            chosen = tried[inside]
            place = sample[inside, 1] * columns + sample[inside, 0]
            found.append((place, (parts[inside] * heights[chosen]).sum(axis=1), front[chosen], parts[inside]))
    depth, face = np.full(rows * columns, -np.inf), np.full(rows * columns, -1)
    weights = np.zeros((rows * columns, 3))
    if found:
        place, height, number, part = (np.concatenate(values) for values in zip(*found, strict=True))
        order = np.argsort(height, kind="stable")
        # Of several values for one sample the last one stays: the nearest to the viewer.
        depth[place[order]], face[place[order]], weights[place[order]] = height[order], number[order], part[order]
    return depth.reshape(rows, columns), face.reshape(rows, columns), weights.reshape(rows, columns, 3)


def _cross(first: Float[np.ndarray, "n 2"], second: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, " n"]:
    return np.asarray(first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0])


def _normals(points: Float[np.ndarray, "n 3"], faces: Int[np.ndarray, "m 3"]) -> Float[np.ndarray, "n 3"]:
    """Outward normals of vertices, faces weighed by area."""
    corners = points[faces]
    across = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals = np.stack(
        [np.bincount(faces.ravel(), np.repeat(across[:, axis], 3), minlength=len(points)) for axis in range(3)], axis=1
    )
    return np.asarray(normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9))


def _light(normals: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, " n"]:
    light = np.full(len(normals), _AMBIENT)
    for direction, strength in _LIGHTS:
        # Wrapped around the edge of the shade, as on a matt surface: no side is black.
        facing = normals @ (np.array(direction) / np.linalg.norm(direction))
        light += strength * np.clip(0.75 * facing + 0.25, 0, None)
    return light


def _shine(normals: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, " n"]:
    direction = np.array(_LIGHTS[0][0]) / np.linalg.norm(_LIGHTS[0][0])
    half = (direction + np.array([0.0, 0.0, 1.0])) / np.linalg.norm(direction + np.array([0.0, 0.0, 1.0]))
    return np.asarray(_GLOSS * np.clip(normals @ half, 0, None) ** _SHININESS)


def _open(
    depth: Float[np.ndarray, "rows columns"], hit: np.ndarray, samples_per_mm: float
) -> Float[np.ndarray, "rows columns"]:
    """Say how much of the light around reaches a sample: less where its neighbors lie before it."""
    sigma = _CREVICE_MM * samples_per_mm
    share = ndimage.gaussian_filter(hit.astype(np.float32), sigma)
    around = ndimage.gaussian_filter(np.where(hit, depth, 0).astype(np.float32), sigma) / np.maximum(share, 1e-6)
    behind_mm = np.where(hit, around - np.where(hit, depth, 0), 0)
    return np.clip(1 - _CREVICE_PER_MM * behind_mm, _DARKEST, 1.06)


def _averaged(picture: Float[np.ndarray, "rows columns 4"]) -> Float[np.ndarray, "h w 4"]:
    rows, columns, _ = picture.shape
    blocks = picture.reshape(rows // _SAMPLES, _SAMPLES, columns // _SAMPLES, _SAMPLES, 4)
    alpha = blocks[..., 3].mean(axis=(1, 3))
    color = (blocks[..., :3] * blocks[..., 3:]).mean(axis=(1, 3)) / np.maximum(alpha, 1e-9)[..., None]
    return np.concatenate([color, alpha[..., None]], axis=2)
