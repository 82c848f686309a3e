import numpy as np
import pytest

from drrkit.errors import InputError
from protocols.undistort import Distortion, bend, bend_gradients, undistort_image

STRONG = Distortion((511.5, 511.5), 512.0, 0.06, 0.01, 0.002, -0.003, 0.03, -0.005)


def grid_points(size=1024, step=93):
    return np.stack(np.meshgrid(np.arange(0, size, step), np.arange(0, size, step)), axis=-1).astype(float)


def test_no_terms_move_nothing():
    points = grid_points()
    np.testing.assert_array_equal(Distortion((511.5, 511.5), 512.0).distorted_from_ideal(points), points)


def test_pincushion_stretches_the_edge_outward_by_tens_of_pixels():
    moved = Distortion((511.5, 511.5), 512.0, pincushion_r2=0.06).distorted_from_ideal([511.5 + 512.0, 511.5])
    np.testing.assert_allclose(moved, [511.5 + 512.0 * 1.06, 511.5])


def test_twist_turns_the_edge_from_u_toward_v():
    moved = Distortion((511.5, 511.5), 512.0, twist_r2=0.03).distorted_from_ideal([511.5 + 512.0, 511.5])
    np.testing.assert_allclose(moved, [511.5 + 512.0 * np.cos(0.03), 511.5 + 512.0 * np.sin(0.03)])


def test_decentering_is_a_pincushion_about_another_center():
    shift = np.array([0.004, -0.003])
    points = grid_points()
    about_other = Distortion(tuple(511.5 + 512 * shift), 512.0, 0.05).distorted_from_ideal(points)
    decentered = Distortion((511.5, 511.5), 512.0, 0.05, 0.0, *(-0.05 * shift)).distorted_from_ideal(points)
    # The same but for a shift of second order.
    np.testing.assert_allclose(about_other, decentered, atol=0.01)


def test_inverse_is_exact_over_the_whole_image():
    points = grid_points()
    np.testing.assert_allclose(STRONG.ideal_from_distorted(STRONG.distorted_from_ideal(points)), points, atol=1e-7)
    np.testing.assert_allclose(STRONG.distorted_from_ideal(STRONG.ideal_from_distorted(points)), points, atol=1e-7)


def test_gradients_are_those_of_the_bending():
    rng = np.random.default_rng(0)
    q, terms, step = rng.uniform(-1, 1, (7, 2)), rng.normal(0, 0.1, (7, 6)), 1e-6
    by_point, by_terms = bend_gradients(q, terms)
    for axis in range(2):
        low, high = q.copy(), q.copy()
        low[:, axis] -= step
        high[:, axis] += step
        np.testing.assert_allclose(by_point[..., axis], (bend(high, terms) - bend(low, terms)) / (2 * step), atol=1e-8)
    for term in range(6):
        low, high = terms.copy(), terms.copy()
        low[:, term] -= step
        high[:, term] += step
        np.testing.assert_allclose(by_terms[..., term], (bend(q, high) - bend(q, low)) / (2 * step), atol=1e-8)


@pytest.mark.parametrize("order", [1, 3])
def test_undistorted_image_shows_each_dot_where_a_flat_detector_would(order):
    distortion = Distortion((127.5, 111.5), 120.0, 0.06, 0.0, 0.002, 0.001, 0.03)
    ideal = np.array([[40.0, 60.0], [128.0, 110.0], [200.0, 170.0]])
    v, u = np.mgrid[:224, :256]
    pixels = np.zeros((224, 256), np.float32)
    for dot_u, dot_v in distortion.distorted_from_ideal(ideal):
        pixels += np.exp(-((u - dot_u) ** 2 + (v - dot_v) ** 2) / (2 * 2.5**2))
    flat = undistort_image(pixels, distortion, order)
    for dot_u, dot_v in ideal:
        window = flat[int(dot_v) - 8 : int(dot_v) + 9, int(dot_u) - 8 : int(dot_u) + 9]
        rows, columns = np.mgrid[-8:9, -8:9]
        offset = np.array([(columns * window).sum(), (rows * window).sum()]) / window.sum()
        found = np.array([int(dot_u), int(dot_v)]) + offset
        # The dots are stretched a little, hence not 0.01.
        np.testing.assert_allclose(found, (dot_u, dot_v), atol=0.05)


def test_flat_panels_are_left_alone():
    pixels = np.random.default_rng(1).uniform(size=(5, 7)).astype(np.float32)
    np.testing.assert_array_equal(undistort_image(pixels, None), pixels)


def test_record_round_trip():
    assert Distortion.from_record(STRONG.to_record()) == STRONG


def test_impossible_distortions_are_refused():
    with pytest.raises(InputError, match="folded"):
        Distortion((0.0, 0.0), 512.0, pincushion_r2=-0.6)
    with pytest.raises(InputError, match="finite"):
        Distortion((0.0, 0.0), 0.0)
    with pytest.raises(InputError, match="shot 7: found the fields"):
        Distortion.from_record({"center_px": [0, 0]}, "shot 7")
    with pytest.raises(InputError, match="cannot be inverted"):
        Distortion((0.0, 0.0), 512.0, pincushion_r2=-0.15).ideal_from_distorted([5000.0, 0.0])
