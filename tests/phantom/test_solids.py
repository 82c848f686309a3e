import numpy as np
import pytest

from drrkit.phantom.solids import ellipsoid, polygon, smooth_intersection, smooth_union, strut


def test_sphere_is_a_signed_distance():
    points = np.array([[3.0, 0, 0], [0, 5, 0], [0, 0, 9], [0, 0, 0]])
    np.testing.assert_allclose(ellipsoid(points, (0, 0, 0), (5, 5, 5)), [-2, 0, 4, -5])


def test_turned_ellipsoid_follows_its_axes():
    quarter = [[0, 1, 0], [-1, 0, 0], [0, 0, 1]]
    on_surface = np.array([[0, 8.0, 0], [3.0, 0, 0], [0, 0, 2.0]])
    np.testing.assert_allclose(ellipsoid(on_surface, (0, 0, 0), (8, 3, 2), quarter), 0, atol=1e-12)


def test_strut_tapers_between_its_ends():
    # Along x; "up" is z, so "across" is y. Half way the section is 3 x 6.
    surface = np.array([[5, 3.0, 0], [5, 0, 6.0], [0, 2.0, 0], [10, 0, 8.0]])
    field = strut(surface, (0, 0, 0), (10, 0, 0), (0.5, 0, 1), (2, 4), (4, 8))
    np.testing.assert_allclose(field, 0, atol=1e-12)


@pytest.mark.parametrize(("point", "distance"), [((1.0, 1.0), -1.0), ((3.0, 1.0), 1.0), ((3.0, 3.0), np.sqrt(2))])
def test_polygon_distance(point, distance):
    square = [(0, 0), (2, 0), (2, 2), (0, 2)]
    first, second = np.array([point[0]]), np.array([point[1]])
    np.testing.assert_allclose(polygon(first, second, square, 0.0), distance)
    np.testing.assert_allclose(polygon(first, second, square[::-1], 0.25), distance - 0.25)


def test_union_fills_a_fillet_and_intersection_rounds_an_edge():
    touching = np.zeros(1)
    np.testing.assert_allclose(smooth_union([touching, touching], 4.0), -1.0)
    np.testing.assert_allclose(smooth_intersection(touching, touching, 4.0), 1.0)
    far, near = np.array([9.0]), np.array([-2.0])
    np.testing.assert_allclose(smooth_union([far, near], 4.0), -2.0)
    np.testing.assert_allclose(smooth_intersection(far, near, 4.0), 9.0)
