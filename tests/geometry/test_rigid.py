import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.linalg import expm

from drrkit.errors import InputError
from drrkit.geometry import rigid


def twists(largest_rad: float, largest_mm: float = 1000.0):
    parts = arrays(np.float64, 3, elements=st.floats(-1, 1))

    def bounded(pair):
        rotation, translation = pair
        return np.concatenate([rotation / max(1.0, np.linalg.norm(rotation)) * largest_rad, translation * largest_mm])

    return st.tuples(parts, parts).map(bounded)


def generator(twist):
    """The 4x4 matrix whose exponential the twist stands for."""
    (x, y, z), translation = twist[:3], twist[3:]
    matrix = np.zeros((4, 4))
    matrix[:3, :3] = [[0, -z, y], [z, 0, -x], [-y, x, 0]]
    matrix[:3, 3] = translation
    return matrix


@given(twists(3.0), twists(3.0))
def test_compose_cancels_inner_frames(first, second):
    a_from_b, b_from_c = rigid.exp(first), rigid.exp(second)
    a_from_c = rigid.compose(a_from_b, b_from_c)
    point_c = np.array([10.0, -20.0, 30.0])
    assert np.allclose(rigid.apply(a_from_c, point_c), rigid.apply(a_from_b, rigid.apply(b_from_c, point_c)), atol=1e-9)
    assert np.allclose(rigid.compose(rigid.invert(a_from_b), a_from_c), b_from_c, atol=1e-9)


def test_compose_of_nothing_is_the_identity():
    assert np.array_equal(rigid.compose(), np.eye(4))


def test_apply_keeps_leading_axes():
    a_from_b = rigid.from_rotation_translation(np.diag([-1.0, -1.0, 1.0]), [1.0, 2.0, 3.0])
    points = np.arange(30.0).reshape(2, 5, 3)
    moved = rigid.apply(a_from_b, points)
    assert moved.shape == (2, 5, 3)
    assert np.allclose(moved[1, 4], [-27 + 1, -28 + 2, 29 + 3])


@given(twists(3.1))
def test_exp_is_the_matrix_exponential(twist):
    assert np.allclose(rigid.exp(twist), expm(generator(twist)), atol=1e-9)


@given(twists(3.1))
def test_log_inverts_exp(twist):
    assert np.allclose(rigid.log(rigid.exp(twist)), twist, rtol=1e-9, atol=1e-8)


@pytest.mark.parametrize("angle_rad", [0.0, 1e-300, 1e-12, 1e-8, 0.99e-4, 1.01e-4, 1e-2])
def test_exp_and_log_are_exact_near_the_identity(angle_rad):
    # A meter of translation: at the identity a closed form divides zero by zero, just beside it digits are lost.
    twist = np.array([0.0, angle_rad * 0.6, angle_rad * 0.8, 1000.0, -500.0, 200.0])
    transform = rigid.exp(twist)
    assert np.allclose(transform, expm(generator(twist)), rtol=0, atol=1e-9)
    assert np.allclose(rigid.log(transform), twist, rtol=1e-6, atol=1e-9)
    assert np.allclose(rigid.log(transform)[:3], twist[:3], rtol=1e-6, atol=1e-15)


def test_log_of_the_identity_is_zero():
    assert np.array_equal(rigid.log(np.eye(4)), np.zeros(6))


def test_a_screw_moves_along_its_axis():
    # Rotation about z and a translation along z do not mix.
    transform = rigid.exp([0.0, 0.0, np.pi / 2, 0.0, 0.0, 7.0])
    assert np.allclose(rigid.apply(transform, [1.0, 0.0, 0.0]), [0.0, 1.0, 7.0])


@pytest.mark.parametrize("angle_deg", [0.0, 1e-6, 30.0, 179.9])
def test_geodesic_error_is_in_degrees_and_millimeters(angle_deg):
    start = rigid.exp([0.4, -0.2, 1.0, 10.0, 20.0, 30.0])
    turn = rigid.exp(np.radians([0.0, angle_deg, 0.0, 0.0, 0.0, 0.0]))
    moved = start.copy()
    moved[:3, :3] = start[:3, :3] @ turn[:3, :3]
    moved[:3, 3] += [3.0, 0.0, 4.0]
    assert rigid.geodesic_error(start, moved) == pytest.approx((angle_deg, 5.0), abs=1e-9)
    assert rigid.geodesic_error(moved, start) == pytest.approx((angle_deg, 5.0), abs=1e-9)


def test_check_rigid_returns_a_fresh_array():
    transform = np.eye(4)
    assert rigid.check_rigid(transform, "pose") is not transform
    rounded = np.round(rigid.exp([0.3, 0.2, 0.1, 100.0, 0.0, 0.0]), 6)
    assert np.array_equal(rigid.check_rigid(rounded, "pose"), rounded)


def changed(row, column, value):
    matrix = np.eye(4)
    matrix[row, column] = value
    return matrix


@pytest.mark.parametrize(
    ("transform", "words"),
    [
        (np.eye(3), "4x4"),
        (changed(0, 3, np.nan), "NaN"),
        (changed(0, 0, np.inf), "NaN or infinite"),
        (changed(3, 0, 0.1), "last row"),
        (changed(0, 0, 1.001), "orthonormal"),
        (changed(0, 1, 0.001), "orthonormal"),
        (changed(0, 0, -1.0), "reflected"),
    ],
)
def test_check_rigid_says_what_is_wrong(transform, words):
    with pytest.raises(InputError, match=words) as raised:
        rigid.check_rigid(transform, "my pose")
    assert str(raised.value).startswith("my pose: ")
