import numpy as np
import pytest

from drrkit.errors import InputError
from reconstruction.grid import Grid
from reconstruction.mesh import Mesh, mesh_from_margin
from reconstruction.surface_distance import signed_distances_mm

RADIUS_MM = 15.0


@pytest.fixture(scope="module")
def ball():
    grid = Grid.centered((30.0, -12.0, 5.0), (40, 40, 40), 1.0)
    margins = RADIUS_MM - np.linalg.norm(grid.points_world() - grid.center_world, axis=-1)
    return mesh_from_margin((margins / 20).astype(np.float32), grid, True, 0)


def directions(count, seed=0):
    found = np.random.default_rng(seed).normal(size=(count, 3))
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def test_its_own_vertices_and_faces_are_on_a_mesh(ball):
    np.testing.assert_allclose(signed_distances_mm(ball.vertices_world, ball), 0, atol=1e-9)
    middles = ball.vertices_world[ball.faces].mean(axis=1)
    np.testing.assert_allclose(signed_distances_mm(middles, ball), 0, atol=1e-9)


@pytest.mark.parametrize("off_mm", [-6.0, -0.5, 0.7, 4.0])
def test_points_around_a_ball(ball, off_mm):
    points = np.array([30.0, -12.0, 5.0]) + directions(300) * (RADIUS_MM + off_mm)
    np.testing.assert_allclose(signed_distances_mm(points, ball), off_mm, atol=0.05)


def test_corners_of_a_sharp_mesh_know_their_sides():
    corners = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1.0]])
    wedge = Mesh(corners, np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]]))
    assert wedge.volume_mm3 > 0
    points = [[-0.1, -0.1, -0.1], [0.1, 0.1, 0.1], [1.2, 0, 0], [0.5, -0.3, 0.0], [1, 1, 1]]
    expected = [np.sqrt(0.03), -0.1, 0.2, 0.3, 2 / np.sqrt(3)]
    np.testing.assert_allclose(signed_distances_mm(np.array(points), wedge), expected, atol=1e-9)


def test_bad_meshes_and_points(ball):
    with pytest.raises(InputError, match="0 faces"):
        signed_distances_mm(np.zeros((1, 3)), Mesh(np.zeros((0, 3)), np.zeros((0, 3), np.int64)))
    with pytest.raises(InputError, match="finite points"):
        signed_distances_mm(np.full((1, 3), np.nan), ball)
