"""Points out of peaks: exact without noise, and not moved by views that show something else."""

import numpy as np
import pytest

from drrkit.geometry.presets import preset
from reconstruction.origin.triangulation import triangulate

POINT = np.array([14.0, -22.0, 31.0])
NEIGHBOR = POINT + np.array([0, 0, 35])
ANGLES = ((0, 0), (90, 0), (-45, 5), (30, -10))
LIMITS = {"sigma_px": 2.0, "outlier_share": 0.05, "gate_sigmas": 3.0}


def cameras_at(angles):
    return [preset("generic").camera(*pair) for pair in angles]


def peaks_at(cameras, point=POINT):
    return np.stack([camera.project(point) for camera in cameras])[:, None]


@pytest.mark.parametrize("count", [2, 3, 4])
def test_peaks_without_noise_give_the_point(count):
    cameras = cameras_at(ANGLES[:count])
    found = triangulate(cameras, peaks_at(cameras), np.full((count, 1), 0.8), **LIMITS)
    np.testing.assert_allclose(found.point_world, POINT, atol=1e-6)
    assert found.used.all()


def test_mirrored_view_counts_like_any_other():
    cameras = cameras_at(ANGLES[:2])
    cameras[1] = cameras[1].flipped_horizontally()
    found = triangulate(cameras, peaks_at(cameras), np.ones((2, 1)), **LIMITS)
    np.testing.assert_allclose(found.point_world, POINT, atol=1e-6)


def test_view_of_the_neighbor_is_an_outlier():
    cameras = cameras_at(ANGLES)
    pixels = peaks_at(cameras)
    pixels[1] = peaks_at(cameras, NEIGHBOR)[1]
    found = triangulate(cameras, pixels, np.full((4, 1), 0.8), **LIMITS)
    np.testing.assert_allclose(found.point_world, POINT, atol=1e-6)
    assert found.used.tolist() == [True, False, True, True]
    assert found.residual_px[1] > 30


def test_second_peak_is_taken_where_the_others_agree_with_it():
    cameras = cameras_at(ANGLES[:3])
    right, wrong = peaks_at(cameras), peaks_at(cameras, NEIGHBOR)
    pixels = np.concatenate([right, right], axis=1)
    pixels[0] = wrong[0, 0], right[0, 0]
    masses = np.array([[0.6, 0.4], [0.9, 0.0], [0.9, 0.0]])
    found = triangulate(cameras, pixels, masses, **LIMITS)
    np.testing.assert_allclose(found.point_world, POINT, atol=1e-6)
    assert found.used.all()


def test_covariance_is_long_where_no_view_looks_across():
    # Two views 20 degrees either side of AP see the depth, along y, worst.
    cameras = cameras_at(((-20, 0), (20, 0)))
    found = triangulate(cameras, peaks_at(cameras), np.ones((2, 1)), **LIMITS)
    sigma_mm = np.sqrt(np.diag(found.covariance_mm2))
    assert sigma_mm[1] > 2 * sigma_mm[0] > 0
    # Two pixels of 0.48 mm in both views.
    assert 0.5 < sigma_mm[0] < 1.2


def test_covariance_tells_the_scatter_of_noisy_points():
    cameras, rng = cameras_at(ANGLES), np.random.default_rng(1)
    pixels = peaks_at(cameras)
    found = [
        triangulate(cameras, pixels + rng.normal(0, 1, pixels.shape), np.ones((4, 1)), 1.0, 0.01, 6.0)
        for _ in range(200)
    ]
    scatter = np.std([one.point_world for one in found], axis=0)
    np.testing.assert_allclose(scatter, np.sqrt(np.diag(found[0].covariance_mm2)), rtol=0.2)


@pytest.mark.parametrize("angles", [((0, 0),), ((0, 0), (3, 0)), ((90, 0), (-90, 0))])
def test_one_direction_gives_no_point(angles):
    cameras = cameras_at(angles)
    assert triangulate(cameras, peaks_at(cameras), np.ones((len(angles), 1)), **LIMITS) is None


def test_two_views_that_contradict_each_other_give_no_point():
    cameras = cameras_at(ANGLES[:2])
    pixels = peaks_at(cameras)
    pixels[1] = peaks_at(cameras, NEIGHBOR)[1]
    assert triangulate(cameras, pixels, np.ones((2, 1)), **LIMITS) is None
