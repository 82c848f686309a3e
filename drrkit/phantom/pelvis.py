"""Sacrum and iliac wings: procedural, of one shape, in the size of the individual.

Frame of the sacrum: origin in the middle of its end plate, z along that plate's normal, x left, y back, mm.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Float, Int32
from scipy import sparse
from scipy.spatial.transform import Rotation
from skimage import measure

from drrkit.phantom.shape import Facet
from drrkit.phantom.solids import Field, Points, ellipsoid, polygon, smooth_intersection, smooth_union, strut
from drrkit.phantom.surface import averaging

SACRUM_CELL_MM, ILIUM_CELL_MM = 2.0, 2.5
SACROILIAC_GAP_MM = 2.5
TYPICAL_SACRAL_SLOPE_DEG = 40.0  # the iliac wings are drawn upright and hang on the sacrum at this slope
PLATE_HALF_WIDTH_MM, PLATE_HALF_DEPTH_MM = 25.5, 17.0
FACET_ANGLE_DEG = 50.0
FACET_CENTER_MM = (23.5, 29.0, -4.0)

# Left half of the sacrum from the front: (x, z).
SACRUM_OUTLINE = [
    (-20, -9), (22, -9), (34, -8), (46, -11), (54, -18), (56, -26), (54, -38), (47, -50), (36, -63), (25, -78),
    (15, -92), (8, -98), (-20, -100),
]  # fmt: skip
# Along the sacrum's axis: z, the y of its middle, and half its thickness in the midline and in the lateral mass.
SACRUM_CURVE = np.array([
    (4.0, 0.0, 17.0, 12.0), (-12, 2.5, 16.0, 15.0), (-30, 8.0, 13.0, 14.0), (-50, 15.0, 10.0, 11.0),
    (-70, 18.5, 8.0, 7.5), (-88, 16.0, 6.5, 5.0), (-102, 11.0, 4.5, 4.0),
])  # fmt: skip
FORAMINA_MM = ((20.0, -27.0, 5.0), (18.0, -47.0, 4.5), (16.0, -65.0, 4.0), (14.0, -80.0, 3.5))  # x, z, radius

# The iliac wing's outline in its own plane: along it from the back to the front, and z.
ILIUM_OUTLINE = [
    (0, -36), (12, -8), (36, 20), (72, 34), (106, 28), (136, 2), (142, -10), (134, -26), (128, -44), (130, -70),
    (134, -118), (70, -118), (62, -92), (50, -76), (34, -66), (12, -58), (3, -48),
]  # fmt: skip


@dataclass(frozen=True, eq=False)
class Bone:
    """A closed surface of the surroundings.

    Args:
        vertices: (N, 3) millimeters.
        faces: (M, 3) vertex numbers, counterclockwise from outside.
    """

    vertices: Float[np.ndarray, "n 3"]
    faces: Int32[np.ndarray, "m 3"]


def sacral_facets(size: float) -> Facet:
    """Return the left superior facet of the sacrum, in its frame."""
    angle = np.radians(FACET_ANGLE_DEG)
    axes = np.array([[-np.cos(angle), np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    return Facet(size * np.array(FACET_CENTER_MM), axes)


@lru_cache(maxsize=1)
def sacrum_template() -> Bone:
    """Polygonize the sacrum once a process."""
    return _mirrored_surface(sacrum, (58, -22, -106), (46, 12), SACRUM_CELL_MM)


@lru_cache(maxsize=1)
def sacrum_averaging() -> sparse.csr_matrix:
    """Return the weights that smooth values on the sacrum's mesh."""
    return averaging(sacrum_template().faces)


@lru_cache(maxsize=1)
def iliac_templates() -> tuple[Bone, Bone]:
    """Polygonize the left iliac wing once a process, in the sacrum's frame, and mirror it to the right."""
    x, y, z = np.arange(30, 152, ILIUM_CELL_MM), np.arange(-105, 100, ILIUM_CELL_MM), np.arange(-130, 60, ILIUM_CELL_MM)
    points = np.stack(np.meshgrid(x, y, z, indexing="ij"), axis=-1)
    field = np.pad(ilium(points), 1, constant_values=1.0)
    left = _surface(field, np.array([x[0], y[0], z[0]]) - ILIUM_CELL_MM, ILIUM_CELL_MM)
    right = Bone(left.vertices * [-1, 1, 1], np.ascontiguousarray(left.faces[:, ::-1]))
    return left, right


def sacrum(points: Points) -> Field:
    """Return the sacrum's field; ``points`` have x >= 0."""
    x, y, z = points[..., 0], points[..., 1], points[..., 2]
    heights = SACRUM_CURVE[::-1, 0]
    middle, medial, lateral = (np.interp(z, heights, SACRUM_CURVE[::-1, column]) for column in (1, 2, 3))
    aside = np.clip((x - 14) / 12, 0, 1)
    sheet = middle + 0.22 * np.maximum(x - 20, 0)
    thickness = medial * (1 - aside) + lateral * aside
    mass = smooth_intersection(polygon(x, z, SACRUM_OUTLINE, 0.0), np.abs(y - sheet) * 0.95 - thickness, 6.0)
    plate = ((x / PLATE_HALF_WIDTH_MM) ** 2.3 + (np.abs(y) / PLATE_HALF_DEPTH_MM) ** 2.3) ** (1 / 2.3)
    promontory = smooth_intersection((plate - 1) * PLATE_HALF_DEPTH_MM, np.abs(z + 13) - 13, 2.0)
    mass = smooth_union([mass, promontory], 8.0)
    back = strut(points, (0, 23, -10), (0, 28, -72), (0, 1, 0), (20, 11), (10, 6))
    crest = strut(points, (0, 33, -14), (0, 33, -66), (0, 1, 0), (3.5, 7), (3, 4))
    process = strut(points, (21, 19, -16), (25.6, 27.4, -1), (0.77, 0.64, 0), (4.5, 8), (3.6, 7.2))
    bone = smooth_union([smooth_union([mass, back], 6.0), crest, process], 5.0)
    canal = strut(points, (0, 22.5, 8), (0, 28, -78), (0, 1, 0), (14, 6.5), (5, 2.5))
    carved = smooth_intersection(bone, -canal, 2.0)
    for foramen_x, foramen_z, radius in FORAMINA_MM:
        hole = np.hypot(x - foramen_x - 0.1 * (y - 10), z - foramen_z) - radius
        carved = smooth_intersection(carved, -hole, 2.5)
    return carved


def ilium(points: Points) -> Field:
    """Return the left iliac wing's field, cut below the hip's roof and kept off the sacrum."""
    upright = points @ Rotation.from_euler("x", TYPICAL_SACRAL_SLOPE_DEG, degrees=True).as_matrix().T
    x, y, z = upright[..., 0], upright[..., 1], upright[..., 2]
    along = (x - 44) * 0.6 - (y - 58) * 0.8
    across = (x - 44) * 0.8 + (y - 58) * 0.6
    # The wing flares outwards above, and is hollow inside.
    sheet = 0.32 * (z + 40) + 5 * np.cos((along - 70) / 45) - 4
    crest = np.exp(-((polygon(along, z, ILIUM_OUTLINE, 0.0) / 9) ** 2))
    joint = np.exp(-(((along - 22) / 24) ** 2)) * np.exp(-(((z + 38) / 22) ** 2))
    hip = np.clip((-z - 60) / 35, 0, 1)
    thickness = 2.6 + 2.6 * crest + 6.0 * joint + 11.0 * hip
    wing = smooth_intersection(polygon(along, z, ILIUM_OUTLINE, 0.0), np.abs(across - sheet) * 0.95 - thickness, 5.0)
    hip_bone = smooth_union([wing, ellipsoid(upright, (98, -14, -96), (26, 28, 24))], 8.0)
    return smooth_intersection(hip_bone, SACROILIAC_GAP_MM - sacrum(points), 1.5)


def _mirrored_surface(solid, corner: tuple[float, float, float], upper: tuple[float, float], cell_mm: float) -> Bone:  # type: ignore[no-untyped-def]
    x, y, z = (
        np.arange(0, corner[0] + 6, cell_mm),
        np.arange(corner[1], upper[0], cell_mm),
        np.arange(corner[2], upper[1], cell_mm),
    )
    points = np.stack(np.meshgrid(x, y, z, indexing="ij"), axis=-1)
    half = solid(points)
    return _surface(np.concatenate([half[:0:-1], half]), np.array([-x[-1], y[0], z[0]]), cell_mm)


def _surface(field: Float[np.ndarray, "x y z"], origin: Float[np.ndarray, " 3"], cell_mm: float) -> Bone:
    vertices, faces, _, _ = measure.marching_cubes(field.astype(np.float32), 0.0, spacing=(cell_mm,) * 3)
    return Bone(vertices.astype(np.float64) + origin, np.ascontiguousarray(faces, dtype=np.int32))
