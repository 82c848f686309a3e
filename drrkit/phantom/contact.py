"""Keep neighboring bones apart: where two surfaces come too close, both give way smoothly."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int32
from scipy import sparse
from scipy.spatial import cKDTree

from drrkit.phantom.surface import vertex_normals

Vertices = Float[np.ndarray, "_ 3"]

ROUNDS = 12
REACH_MM = 4.0  # further apart than this, or deeper in each other, surfaces are not looked at
TOLERANCE_MM = 0.03


@dataclass(frozen=True, eq=False)
class Surface:
    """A closed surface that may give way.

    Args:
        vertices: (N, 3) millimeters.
        faces: (M, 3) vertex numbers, counterclockwise from outside.
        averaging: (N, N) sparse weights that replace each vertex's value by its neighborhood's mean.
    """

    vertices: Vertices
    faces: Int32[np.ndarray, "m 3"]
    averaging: sparse.csr_matrix


def separated(first: Surface, second: Surface, gap_mm: float) -> tuple[Vertices, Vertices]:
    """Push two surfaces apart until they are ``gap_mm`` from each other; elsewhere they stay.

    Returns:
        The vertices of both.
    """
    sides = [_Side(first, second), _Side(second, first)]
    if any(len(side.near) == 0 for side in sides):
        return first.vertices, second.vertices
    for _ in range(ROUNDS):
        normals = [vertex_normals(side.vertices, side.faces)[side.near] for side in sides]
        pushes = [
            _push(sides[0].vertices[sides[0].near], normals[0], sides[1].vertices[sides[1].near], normals[1], gap_mm),
            _push(sides[1].vertices[sides[1].near], normals[1], sides[0].vertices[sides[0].near], normals[0], gap_mm),
        ]
        if max(np.abs(push).max() for push in pushes) < TOLERANCE_MM / 2:
            break
        for side, push in zip(sides, pushes, strict=True):
            side.give_way(push)
    return sides[0].vertices, sides[1].vertices


class _Side:
    """One of two surfaces: its moving vertices, and the part near to the other."""

    def __init__(self, surface: Surface, other: Surface) -> None:
        self.vertices, self.averaging = surface.vertices.copy(), surface.averaging
        low = np.maximum(surface.vertices.min(axis=0), other.vertices.min(axis=0)) - REACH_MM
        high = np.minimum(surface.vertices.max(axis=0), other.vertices.max(axis=0)) + REACH_MM
        boxed, theirs = _inside(surface.vertices, low, high), _inside(other.vertices, low, high)
        self.near = boxed[:0]
        if len(boxed) and len(theirs):
            tree = cKDTree(other.vertices[theirs], compact_nodes=False, balanced_tree=False)
            distance, _ = tree.query(surface.vertices[boxed], distance_upper_bound=REACH_MM)
            self.near = boxed[np.isfinite(distance)]
        touched = np.zeros(len(surface.vertices), dtype=bool)
        touched[self.near] = True
        self.faces = surface.faces[touched[surface.faces].any(axis=1)]

    def give_way(self, push: Vertices) -> None:
        """Move the near vertices, and their surroundings with them."""
        whole = np.zeros_like(self.vertices)
        whole[self.near] = push
        spread = self.averaging @ (self.averaging @ whole)
        # What smoothing takes from a peak is given back, so that each round closes most of what is missing.
        peak, left = np.abs(push).max(), np.abs(spread).max()
        if left > 0:
            self.vertices += spread * min(peak / left, 3.0)


def _inside(points: Vertices, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    within = np.ones(len(points), dtype=bool)
    for axis in range(3):
        within &= (points[:, axis] > low[axis]) & (points[:, axis] < high[axis])
    return np.flatnonzero(within)


def _push(vertices: Vertices, normals: Vertices, others: Vertices, other_normals: Vertices, gap_mm: float) -> Vertices:
    """Half of the way that each vertex must give to keep the gap from the other surface."""
    _, nearest = cKDTree(others).query(vertices)
    toward = other_normals[nearest]
    # Only surfaces that face each other may push: past the middle of a thin process, the far side is the nearest.
    facing = (normals * toward).sum(axis=1) < 0.2
    clearance = ((vertices - others[nearest]) * toward).sum(axis=1)
    return 0.5 * np.where(facing, np.clip(gap_mm - clearance, 0, REACH_MM), 0.0)[:, None] * toward
