"""How far points are from a surface: signed distances to a triangle mesh."""

import numpy as np
from jaxtyping import Float
from scipy.spatial import cKDTree

from drrkit.errors import InputError
from reconstruction.mesh import Mesh

# Triangles around a point that are looked at exactly; those of marching cubes are all of about one size.
_CANDIDATES = 24
_POINTS_AT_ONCE = 2000
# Faces that share the nearest corner are equally near up to rounding.
_TIE_MM = 1e-9


def signed_distances_mm(points_world: Float[np.ndarray, "n 3"], mesh: Mesh) -> Float[np.ndarray, " n"]:
    """Measure points against a closed mesh: positive outside of it, negative inside.

    Args:
        points_world: World millimeters.
        mesh: With triangles of about one size.

    Raises:
        InputError: A mesh without faces, or points that are not finite.
    """
    points = np.asarray(points_world, np.float64)
    if not len(mesh.faces) or not np.isfinite(points).all():
        raise InputError("surface error", f"{len(mesh.faces)} faces, {len(points)} points", "a mesh and finite points")
    corners = np.asarray(mesh.vertices_world, np.float64)[mesh.faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    lengths = np.linalg.norm(normals, axis=1)
    corners, normals = corners[lengths > 0], normals[lengths > 0] / lengths[lengths > 0, None]
    tree = cKDTree(corners.mean(axis=1))
    count = min(_CANDIDATES, len(corners))
    parts = []
    for first in range(0, len(points), _POINTS_AT_ONCE):
        part = points[first : first + _POINTS_AT_ONCE]
        near = tree.query(part, k=count)[1].reshape(len(part), count)
        parts.append(_nearest(part, corners[near], normals[near]))
    return np.concatenate(parts) if parts else np.zeros(0)


def _nearest(
    points: Float[np.ndarray, "n 3"], corners: Float[np.ndarray, "n k 3 3"], normals: Float[np.ndarray, "n k 3"]
) -> Float[np.ndarray, " n"]:
    offsets = points[:, None] - corners[:, :, 0]
    heights = (offsets * normals).sum(axis=-1)
    distances = np.full(heights.shape, np.inf)
    over = np.ones(heights.shape, bool)
    for start in range(3):
        one, other = corners[:, :, start], corners[:, :, (start + 1) % 3]
        edge, from_one = other - one, points[:, None] - one
        share = np.clip((from_one * edge).sum(axis=-1) / np.maximum((edge**2).sum(axis=-1), 1e-18), 0, 1)
        distances = np.minimum(distances, np.linalg.norm(from_one - share[..., None] * edge, axis=-1))
        over &= (np.cross(edge, from_one) * normals).sum(axis=-1) >= 0
    distances = np.where(over, np.abs(heights), distances)
    least = distances.min(axis=1)
    # At an edge or a corner, the face that is seen least from the side knows on which side a point is.
    tied = distances <= least[:, None] + _TIE_MM
    decisive = np.where(tied, np.abs(heights), -1.0).argmax(axis=1)
    sides = heights[np.arange(len(points)), decisive]
    return np.where(sides < 0, -least, least)
