"""What no measure says: asymmetry, unevenness and spurs, drawn for one vertebra."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from drrkit.phantom.named_points import stacked
from drrkit.phantom.shape import Facet, Point

ASYMMETRY_MM, ASYMMETRY_RANGE_MM = 0.8, 18.0  # of named points; neighbors within the range move together
TROPISM_DEG, FACET_SHIFT_MM = 3.5, 0.6  # left and right joints differ
UNEVENNESS_MM, WAVES = 0.22, 24
SPURS_PER_PLATE = 4


def uneven_facets(facets: Mapping[str, Facet], individuality: float, rng: np.random.Generator) -> dict[str, Facet]:
    """Turn and shift each joint surface a little on its own."""
    drawn = {}
    for side, facet in facets.items():
        deviation = individuality * np.clip(rng.standard_normal(4), -2, 2)
        turn = Rotation.from_euler("z", TROPISM_DEG * deviation[0], degrees=True).as_matrix()
        drawn[side] = Facet(facet.center + FACET_SHIFT_MM * deviation[1:], facet.axes @ turn.T)
    return drawn


def asymmetric(points: Mapping[str, Point], individuality: float, rng: np.random.Generator) -> Float[np.ndarray, "k 3"]:
    """Move named points by a smooth random field; joints stay, for their neighbors count on them."""
    places = stacked(points)
    squared = ((places[:, None] - places[None]) ** 2).sum(axis=-1)
    covariance = np.exp(-squared / (2 * ASYMMETRY_RANGE_MM**2)) + 1e-6 * np.eye(len(places))
    field = np.linalg.cholesky(covariance) @ np.clip(rng.standard_normal(places.shape), -2.5, 2.5)
    joint = np.array(["_superior_" in name or "_inferior_" in name for name in points])
    # What the joints' own displacement says about the rest is taken off: near a joint the field fades out smoothly.
    field -= covariance[:, joint] @ np.linalg.solve(covariance[np.ix_(joint, joint)], field[joint])
    return places + individuality * ASYMMETRY_MM * field


def unevenness(
    vertices: Float[np.ndarray, "n 3"], individuality: float, rng: np.random.Generator
) -> Float[np.ndarray, "n 3"]:
    """Return small random waves of the surface, 12 to 40 mm long."""
    lengths_mm = rng.uniform(12.0, 40.0, WAVES)
    directions = rng.standard_normal((WAVES, 3))
    waves = 2 * np.pi * directions / np.linalg.norm(directions, axis=1, keepdims=True) / lengths_mm[:, None]
    phases = rng.uniform(0, 2 * np.pi, WAVES)
    amplitudes = rng.standard_normal((WAVES, 3)) * np.sqrt(2 / WAVES)
    return individuality * UNEVENNESS_MM * np.sin(vertices @ waves.T + phases) @ amplitudes


def spurs(
    vertices: Float[np.ndarray, "n 3"], rim: Float[np.ndarray, "n 2"], reach_mm: float, rng: np.random.Generator
) -> Float[np.ndarray, "n 3"]:
    """Return the outgrowth of osteophytes: random lobes around the rims of the end plates.

    Args:
        vertices: Template vertices in the frame of the vertebra.
        rim: How much each vertex belongs to the upper and to the lower rim, 0 to 1.
        reach_mm: Reach of the largest lobe.
        rng: The vertebra's stream.
    """
    angle = np.arctan2(vertices[:, 0], -vertices[:, 1])  # 0 in front, a quarter turn at the sides
    outward = np.column_stack([np.sin(angle), -np.cos(angle), np.zeros(len(angle))])
    growth = np.zeros_like(vertices)
    for plate in range(2):
        centers = rng.uniform(-np.pi / 2, np.pi / 2, SPURS_PER_PLATE)
        widths = rng.uniform(0.25, 0.6, SPURS_PER_PLATE)
        heights = rng.uniform(0, 1, SPURS_PER_PLATE)
        grown = np.flatnonzero(rim[:, plate] > 1e-3)
        # No lobe reaches around the back, so angles need no wrapping there.
        away = angle[grown, None] - centers
        lobes = (heights * np.exp(-((away / widths) ** 2))).max(axis=1)
        growth[grown] += reach_mm * (rim[grown, plate] * lobes)[:, None] * outward[grown]
    return growth
