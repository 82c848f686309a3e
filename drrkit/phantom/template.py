"""The template mesh: one watertight surface, a region for every vertex, and a linear map from named points.

Every vertebra of every phantom has these faces, so vertex number 1234 lies on the same anatomical spot in all.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Float, Int32, UInt8
from scipy import sparse
from scipy.spatial import cKDTree
from skimage import measure

from drrkit.phantom import anatomy
from drrkit.phantom.named_points import named_points, stacked
from drrkit.phantom.shape import VertebraShape
from drrkit.phantom.surface import averaging, neighboring_faces

CELL_MM = 1.6
KERNEL_MM = 6.0  # below this distance the spline of the named points is smooth, above it nearly biharmonic


@dataclass(frozen=True, eq=False)
class Template:
    """The mesh that all vertebrae share.

    Args:
        vertices: (N, 3) millimeters in the frame of the vertebra.
        faces: (M, 3) vertex numbers, counterclockwise from outside.
        regions: (N,) codes of ``REGION_CODES``.
        basis: (N, K) weights: those of the named points in each vertex.
        rim: (N, 2) how much a vertex belongs to the upper and to the lower rim of the body, 0 to 1.
        nearest: The vertex nearest to each named point.
    """

    vertices: Float[np.ndarray, "n 3"]
    faces: Int32[np.ndarray, "m 3"]
    regions: UInt8[np.ndarray, " n"]
    basis: Float[np.ndarray, "n k"]
    rim: Float[np.ndarray, "n 2"]
    nearest: dict[str, int]

    def surface(self, anchors: Float[np.ndarray, "k 3"]) -> Float[np.ndarray, "n 3"]:
        """Carry the vertices to where the named points lie: ``basis @ anchors``."""
        # Not through BLAS: its threads are slower here, and their number would change the last bits.
        return np.einsum("nk,dk->nd", self.basis, np.ascontiguousarray(anchors.T))


@lru_cache(maxsize=1)
def template() -> Template:
    """Build the template once a process (under two seconds)."""
    vertices, faces = _surface()
    half = vertices * np.where(vertices[:, :1] < 0, [-1.0, 1, 1], 1.0)
    points = named_points(VertebraShape())
    anchors = stacked(points)
    _, nearest = cKDTree(vertices).query(anchors)
    made = Template(
        vertices,
        faces,
        anatomy.template_regions(half),
        _spline_basis(vertices, anchors),
        _rim(vertices),
        {name: int(vertex) for name, vertex in zip(points, nearest, strict=True)},
    )
    for array in (made.vertices, made.faces, made.regions, made.basis, made.rim):
        array.setflags(write=False)
    return made


@lru_cache(maxsize=1)
def template_averaging() -> sparse.csr_matrix:
    """Return the weights that smooth values on the template's mesh."""
    return averaging(template().faces)


@lru_cache(maxsize=1)
def template_neighbors() -> Int32[np.ndarray, "e 2"]:
    """Return the two faces at every edge of the template."""
    return neighboring_faces(template().faces)


def landmarks(vertices: Float[np.ndarray, "n 3"]) -> dict[str, Float[np.ndarray, " 3"]]:
    """Read the seven landmarks off any mesh that corresponds to the template.

    End plates and tips are vertices; a pedicle's landmark is the middle of its narrowest section.
    """
    return {name: vertices[list(numbers)].mean(axis=0) for name, numbers in landmark_vertices().items()}


@lru_cache(maxsize=1)
def landmark_vertices() -> dict[str, tuple[int, ...]]:
    """Return the numbers of the vertices whose mean is each landmark."""
    nearest = template().nearest
    section = ("pedicle_medial", "pedicle_lateral", "pedicle_upper", "pedicle_lower")
    return {
        "upper_end_plate": (nearest["upper_end_plate"],),
        "lower_end_plate": (nearest["lower_end_plate"],),
        "left_pedicle": tuple(nearest[f"left_{point}"] for point in section),
        "right_pedicle": tuple(nearest[f"right_{point}"] for point in section),
        "left_transverse_tip": (nearest["left_transverse_tip"],),
        "right_transverse_tip": (nearest["right_transverse_tip"],),
        "spinous_tip": (nearest["spinous_tip"],),
    }


def _rim(vertices: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 2"]:
    """Weigh vertices by their closeness to the front and side edges of the end plates, where spurs grow."""
    x, y, z = vertices.T
    radius = np.hypot(x / anatomy.HALF_WIDTH_MM, y / anatomy.HALF_DEPTH_MM)
    outer = np.clip((radius - 0.75) / 0.2, 0, 1) * np.clip((10 - y) / 8, 0, 1)
    height = np.stack([z, -z], axis=1) - (anatomy.HALF_HEIGHT_MM - 1.0)
    return outer[:, None] * np.exp(-((height / 3.0) ** 2))


def _surface() -> tuple[Float[np.ndarray, "n 3"], Int32[np.ndarray, "m 3"]]:
    """Polygonize the template and even out its triangles without leaving the surface."""
    x, y, z = np.arange(0, 54, CELL_MM), np.arange(-24, 76, CELL_MM), np.arange(-38, 32, CELL_MM)
    points = np.stack(np.meshgrid(x, y, z, indexing="ij"), axis=-1)
    half = anatomy.template_field(anatomy.template_parts(points))
    field = np.concatenate([half[:0:-1], half])
    vertices, faces, _, _ = measure.marching_cubes(field.astype(np.float32), 0.0, spacing=(CELL_MM,) * 3)
    vertices = vertices.astype(np.float64) + np.array([-x[-1], y[0], z[0]])
    faces = np.ascontiguousarray(faces, dtype=np.int32)
    for _ in range(8):
        vertices = _projected(_relaxed(vertices, faces))
    return vertices, faces


def _relaxed(vertices: Float[np.ndarray, "n 3"], faces: Int32[np.ndarray, "m 3"]) -> Float[np.ndarray, "n 3"]:
    """Move every vertex half the way to the mean of its neighbors."""
    total, count = np.zeros_like(vertices), np.zeros(len(vertices))
    for first, second in ((0, 1), (1, 2), (2, 0)):
        # Each edge belongs to two faces that run it in opposite directions, so this counts each neighbor once.
        np.add.at(total, faces[:, first], vertices[faces[:, second]])
        np.add.at(count, faces[:, first], 1)
    return 0.5 * vertices + 0.5 * total / count[:, None]


def _projected(vertices: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
    """Take one Newton step back to the surface."""
    value = _field(vertices)
    gradient = np.stack(
        [(_field(vertices + step) - _field(vertices - step)) / 0.02 for step in 0.01 * np.eye(3)], axis=-1
    )
    step = (value / np.maximum((gradient**2).sum(axis=-1), 0.25))[:, None] * gradient
    return vertices - np.clip(step, -CELL_MM / 2, CELL_MM / 2)


def _field(points: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, " n"]:
    return anatomy.template_field(anatomy.template_parts(np.abs(points * [1, 0, 0]) + points * [0, 1, 1]))


def _spline_basis(vertices: Float[np.ndarray, "n 3"], anchors: Float[np.ndarray, "k 3"]) -> Float[np.ndarray, "n k"]:
    """Weights of the multiquadric spline (with an affine part) that carries the anchors exactly (Hardy 1971)."""
    count = len(anchors)
    system = np.zeros((count + 4, count + 4))
    system[:count, :count] = _kernel(anchors, anchors)
    system[:count, count:] = np.column_stack([np.ones(count), anchors])
    system[count:, :count] = system[:count, count:].T
    rows = np.column_stack([_kernel(vertices, anchors), np.ones(len(vertices)), vertices])
    return rows @ np.linalg.inv(system)[:, :count]


def _kernel(points: Float[np.ndarray, "n 3"], anchors: Float[np.ndarray, "k 3"]) -> Float[np.ndarray, "n k"]:
    squared = ((points[:, None] - anchors[None]) ** 2).sum(axis=-1)
    return -np.sqrt(squared + KERNEL_MM**2)
