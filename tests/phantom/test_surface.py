import numpy as np
import pytest
from skimage import measure

from drrkit.phantom.contact import Surface, separated
from drrkit.phantom.surface import averaging, fold_cosines, neighboring_faces, uncrumpled, vertex_normals


@pytest.fixture(scope="module")
def ball():
    """A ball of 10 mm about the origin."""
    axis = np.arange(-13, 14, 1.0) + 0.37  # off the grid, where marching cubes makes no degenerate triangles
    field = np.sqrt(sum(a**2 for a in np.meshgrid(axis, axis, axis, indexing="ij"))) - 10
    vertices, faces, _, _ = measure.marching_cubes(field, 0.0)
    return vertices.astype(np.float64) + axis[0], faces.astype(np.int32)


def test_normals_of_a_ball_point_outwards(ball):
    vertices, faces = ball
    outward = vertices / np.linalg.norm(vertices, axis=1, keepdims=True)
    assert ((vertex_normals(vertices, faces) * outward).sum(axis=1) > 0.97).all()


def test_averaging_keeps_constants_and_smooths(ball):
    vertices, faces = ball
    weights = averaging(faces)
    np.testing.assert_allclose(weights @ np.ones(len(vertices)), 1.0)
    noise = np.random.default_rng(0).standard_normal(len(vertices))
    assert (weights @ noise).std() < 0.7 * noise.std()


def test_every_edge_has_two_faces_that_share_it(ball):
    _, faces = ball
    pairs = neighboring_faces(faces)
    assert len(pairs) == len(faces) * 3 // 2
    assert all(len(set(faces[a]) & set(faces[b])) == 2 for a, b in pairs)


def test_a_crumple_is_smoothed_and_the_rest_stays(ball):
    vertices, faces = ball
    pairs, crumpled = neighboring_faces(faces), vertices.copy()
    crumpled[0] *= 0.7  # pressed in and pulled aside, past its neighbors
    crumpled[0] += [0, 5.0, 0]
    assert fold_cosines(crumpled, faces, pairs).min() < -0.5
    mended = uncrumpled(crumpled, faces, pairs, averaging(faces))
    assert fold_cosines(mended, faces, pairs).min() > -0.2
    far = np.linalg.norm(vertices - vertices[0], axis=1) > 8
    np.testing.assert_array_equal(mended[far], vertices[far])


@pytest.mark.parametrize("apart_mm", [18.5, 20.3])
def test_contact_opens_a_gap_and_leaves_the_far_side(ball, apart_mm):
    vertices, faces = ball
    first, second = (Surface(vertices + np.array([x, 0, 0]), faces, averaging(faces)) for x in (0.0, apart_mm))
    left, right = separated(first, second, gap_mm=1.0)
    span = np.linalg.norm(left[:, None] - right[None], axis=2)
    assert span.min() > 0.9
    assert left[:, 0].max() < right[:, 0].min() + 0.3
    np.testing.assert_array_equal(left[vertices[:, 0] < 0], vertices[vertices[:, 0] < 0])


def test_surfaces_far_apart_stay(ball):
    vertices, faces = ball
    first, second = (Surface(vertices + np.array([x, 0, 0]), faces, averaging(faces)) for x in (0.0, 40.0))
    left, right = separated(first, second, gap_mm=1.0)
    np.testing.assert_array_equal(left, first.vertices)
    np.testing.assert_array_equal(right, second.vertices)
