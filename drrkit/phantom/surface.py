"""What every closed triangle mesh can do: normals, smoothing, and losing its crumples."""

import numpy as np
from jaxtyping import Float, Int32
from numba import njit
from scipy import sparse

Vertices = Float[np.ndarray, "_ 3"]
Faces = Int32[np.ndarray, "_ 3"]

CRUMPLED = -0.1  # cosine between the normals of neighboring faces below which the surface counts as folded back
SMOOTHING_ROUNDS = 30


def vertex_normals(vertices: Vertices, faces: Int32[np.ndarray, "m 3"]) -> Vertices:
    """Return unit outward normals, weighted by the areas of the faces around each vertex."""
    a, b, c = (vertices[faces[:, corner]] for corner in range(3))
    area = np.cross(b - a, c - a)
    total = np.zeros_like(vertices)
    for corner in range(3):
        for axis in range(3):
            total[:, axis] += np.bincount(faces[:, corner], weights=area[:, axis], minlength=len(vertices))
    return total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-12)


def averaging(faces: Int32[np.ndarray, "m 3"]) -> sparse.csr_matrix:
    """Build the weights that smooth values on a mesh: a vertex counts as much as all its neighbors together."""
    count = int(faces.max()) + 1
    first, second = faces.ravel(), np.roll(faces, -1, axis=1).ravel()
    neighbors = sparse.csr_matrix((np.ones(len(first)), (first, second)), shape=(count, count))
    degrees = np.asarray(neighbors.sum(axis=1)).ravel()
    return (0.5 * (sparse.eye(count) + sparse.diags(1 / degrees) @ neighbors)).tocsr()


def neighboring_faces(faces: Faces) -> Int32[np.ndarray, "e 2"]:
    """Return the two faces at every edge of a closed mesh."""
    edges = np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), axis=1)
    order = np.lexsort(edges.T)
    return np.tile(np.arange(len(faces), dtype=np.int32), 3)[order].reshape(-1, 2)


@njit(cache=True)
def fold_cosines(vertices: Vertices, faces: Faces, neighbors: Int32[np.ndarray, "e 2"]) -> Float[np.ndarray, " e"]:
    """Return the cosine between the normals of the two faces at every edge; -1 where the surface folds back."""
    normals = np.empty((len(faces), 3))
    for face in range(len(faces)):
        a, b, c = vertices[faces[face, 0]], vertices[faces[face, 1]], vertices[faces[face, 2]]
        x = (b[1] - a[1]) * (c[2] - a[2]) - (b[2] - a[2]) * (c[1] - a[1])
        y = (b[2] - a[2]) * (c[0] - a[0]) - (b[0] - a[0]) * (c[2] - a[2])
        z = (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
        length = max(np.sqrt(x * x + y * y + z * z), 1e-12)
        normals[face, 0], normals[face, 1], normals[face, 2] = x / length, y / length, z / length
    cosines = np.empty(len(neighbors))
    for edge in range(len(neighbors)):
        one, other = neighbors[edge]
        cosines[edge] = (
            normals[one, 0] * normals[other, 0]
            + normals[one, 1] * normals[other, 1]
            + normals[one, 2] * normals[other, 2]
        )
    return cosines


def uncrumpled(
    vertices: Vertices, faces: Faces, neighbors: Int32[np.ndarray, "e 2"], smoothing: sparse.csr_matrix
) -> Vertices:
    """Smooth a mesh where it folds back on itself, and only there.

    Args:
        vertices: Millimeters.
        faces: Vertex numbers.
        neighbors: Of :func:`neighboring_faces`.
        smoothing: Of :func:`averaging`.
    """
    smoothed = vertices.copy()
    for _ in range(SMOOTHING_ROUNDS):
        folded = fold_cosines(smoothed, faces, neighbors) < CRUMPLED
        if not folded.any():
            break
        touched = np.zeros(len(vertices))
        touched[faces[neighbors[folded].ravel()].ravel()] = 1.0
        around = (smoothing @ (smoothing @ touched)) > 0
        smoothed[around] = smoothing[around] @ smoothed
    return smoothed
