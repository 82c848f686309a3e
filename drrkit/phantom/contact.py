"""Keep neighboring bones apart: where two surfaces come too close, both give way smoothly."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int32
from scipy import sparse
from scipy.spatial import cKDTree

ROUNDS = 12
REACH_MM = 6.0  # surfaces further apart than this never meet within a phantom's limits


@dataclass(frozen=True, eq=False)
class Surface:
    """A closed surface that may give way.

    Args:
        vertices: (N, 3) millimeters.
        faces: (M, 3) vertex numbers, counterclockwise from outside.
        averaging: (N, N) sparse weights that replace each vertex's value by its neighborhood's mean.
    """

    vertices: Float[np.ndarray, "n 3"]
    faces: Int32[np.ndarray, "m 3"]
    averaging: sparse.csr_matrix


def averaging(faces: Int32[np.ndarray, "m 3"]) -> sparse.csr_matrix:
    """Build the weights that smooth values on a mesh: a vertex counts as much as all its neighbors together."""
    count = int(faces.max()) + 1
    first, second = faces.ravel(), np.roll(faces, -1, axis=1).ravel()
    neighbors = sparse.csr_matrix((np.ones(len(first)), (first, second)), shape=(count, count))
    degrees = np.asarray(neighbors.sum(axis=1)).ravel()
    return (0.5 * (sparse.eye(count) + sparse.diags(1 / degrees) @ neighbors)).tocsr()


def separated(first: Surface, second: Surface, gap_mm: float) -> tuple[Float[np.ndarray, "n 3"], Float[np.ndarray, "m 3"]]:
    """Push two surfaces apart until they are ``gap_mm`` from each other; elsewhere they stay.

    Returns:
        The vertices of both.
    """
    moved = [first.vertices.copy(), second.vertices.copy()]
    for _ in range(ROUNDS):
        normals = [vertex_normals(moved[0], first.faces), vertex_normals(moved[1], second.faces)]
        pushes = [_push(moved[0], normals[0], moved[1], normals[1], gap_mm)]
        pushes.append(_push(moved[1], normals[1], moved[0], normals[0], gap_mm))
        if not any(push.any() for push in pushes):
            break
        for index, surface in enumerate((first, second)):
            spread = surface.averaging @ (surface.averaging @ pushes[index])
            # What smoothing takes from a peak is given back, so that each round closes most of what is missing.
            peak, left = np.abs(pushes[index]).max(), np.abs(spread).max()
            moved[index] += spread * (min(peak / left, 3.0) if left > 0 else 0.0)
    return moved[0], moved[1]


def _push(
    vertices: Float[np.ndarray, "n 3"],
    normals: Float[np.ndarray, "n 3"],
    others: Float[np.ndarray, "m 3"],
    other_normals: Float[np.ndarray, "m 3"],
    gap_mm: float,
) -> Float[np.ndarray, "n 3"]:
    """Half of the way that each vertex must give to keep the gap from the other surface."""
    push = np.zeros_like(vertices)
    low, high = others.min(axis=0) - gap_mm, others.max(axis=0) + gap_mm
    near = np.flatnonzero(((vertices > low) & (vertices < high)).all(axis=1))
    if len(near) == 0:
        return push
    distance, nearest = cKDTree(others).query(vertices[near], distance_upper_bound=REACH_MM)
    found = np.isfinite(distance)
    near, nearest = near[found], nearest[found]
    toward = other_normals[nearest]
    # Only surfaces that face each other may push: past the middle of a thin process, the far side is the nearest.
    facing = (normals[near] * toward).sum(axis=1) < 0.2
    clearance = ((vertices[near] - others[nearest]) * toward).sum(axis=1)
    missing = np.where(facing, np.clip(gap_mm - clearance, 0, REACH_MM), 0.0)
    push[near] = 0.5 * missing[:, None] * toward
    return push


def vertex_normals(vertices: Float[np.ndarray, "n 3"], faces: Int32[np.ndarray, "m 3"]) -> Float[np.ndarray, "n 3"]:
    """Return unit outward normals, weighted by the areas of the faces around each vertex."""
    a, b, c = (vertices[faces[:, corner]] for corner in range(3))
    area = np.cross(b - a, c - a)
    total = np.zeros_like(vertices)
    for corner in range(3):
        for axis in range(3):
            total[:, axis] += np.bincount(faces[:, corner], weights=area[:, axis], minlength=len(vertices))
    return total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-12)
