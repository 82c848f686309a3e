"""Balls are drawn here by other means than the fit's own formula: sharp spheres on a fine grid, blurred and binned."""

import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial import cKDTree

from drrkit.errors import InputError
from drrkit.volume import Volume
from protocols.beads.ct import find_ct_balls
from protocols.simulation.ct import insert_balls

FINE = 4


def scan(centers_mm, diameter_mm, spacing=(0.8, 0.8, 0.8), seed=0, sharpening=0.0, extra=None, steel_hu=15000.0):
    """A block of 40 x 36 x 44 mm with balls, as a scanner with a point spread that is no Gaussian shows it."""
    rng = np.random.default_rng(seed)
    shape = [round(size / step) for size, step in zip((44, 36, 40), spacing[::-1], strict=True)]
    fine = [step / FINE for step in spacing]
    z, y, x = np.meshgrid(
        *((np.arange(n * FINE) - (FINE - 1) / 2) * s for n, s in zip(shape, fine[::-1], strict=True)), indexing="ij"
    )
    hu = np.full(z.shape, 45.0, np.float32)
    for center in centers_mm:
        hu[(x - center[0]) ** 2 + (y - center[1]) ** 2 + (z - center[2]) ** 2 <= (diameter_mm / 2) ** 2] = steel_hu
    if extra is not None:
        extra(hu, x, y, z)
    sigma = [0.55 / step for step in fine[::-1]]
    soft = ndimage.gaussian_filter(hu, sigma)
    if sharpening:
        soft += sharpening * (soft - ndimage.gaussian_filter(soft, sigma))
    binned = soft.reshape(shape[0], FINE, shape[1], FINE, shape[2], FINE).mean(axis=(1, 3, 5))
    noisy = binned + rng.normal(0, 20, binned.shape)
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = (-100.0, 20.0, 400.0)
    return Volume(np.clip(noisy, -1024, 3071).astype(np.int16), affine)


def placed(count, diameter_mm, seed=0):
    rng = np.random.default_rng(seed)
    centers: list[np.ndarray] = []
    while len(centers) < count:
        center = rng.uniform([5, 5, 5], [35, 31, 39])
        if all(np.linalg.norm(center - other) > 2.5 * diameter_mm for other in centers):
            centers.append(center)
    return np.array(centers)


ORIGIN = np.array([-100.0, 20.0, 400.0])


def errors(balls, centers_mm):
    distances, nearest = cKDTree(centers_mm + ORIGIN).query([ball.center_world for ball in balls])
    assert len(set(nearest)) == len(balls)
    return distances


@pytest.mark.parametrize(
    ("diameter_mm", "spacing", "sharpening", "median_mm"),
    [
        (3.0, (0.8, 0.8, 0.8), 0.0, 0.03),
        (3.0, (0.8, 0.8, 0.8), 0.4, 0.06),
        (2.0, (0.8, 0.8, 0.8), 0.0, 0.05),
        (3.0, (1.0, 1.0, 1.25), 0.0, 0.06),
        (3.0, (0.6, 0.6, 1.5), 0.0, 0.08),
    ],
)
def test_centers_are_found_to_a_fraction_of_a_voxel(diameter_mm, spacing, sharpening, median_mm):
    centers = placed(14, diameter_mm)
    balls = find_ct_balls(scan(centers, diameter_mm, spacing, sharpening=sharpening), diameter_mm, 14)
    assert len(balls) == 14
    distances = errors(balls, centers)
    assert np.median(distances) < median_mm
    assert distances.max() < 3 * median_mm
    sigmas = np.array([ball.sigma_mm for ball in balls])
    assert 0.2 < np.median(distances / sigmas) < 4
    assert all(ball.peak_hu == 3071 for ball in balls)
    assert [ball.center_world[2] for ball in balls] == sorted((b.center_world[2] for b in balls), reverse=True)
    assert all(ball.note == "" for ball in balls)
    assert {round(ball.diameter_mm / diameter_mm, 1) for ball in balls} == {1.0}


def test_a_longer_scale_gives_the_same_centers():
    volume = Volume(np.full((40, 40, 40), 40, np.float32), np.eye(4))
    centers = np.array([[10.2, 20.4, 30.1], [30.3, 10.2, 9.6], [20.0, 31.1, 20.5]])
    for highest_hu in (3071, 31743):
        balls = find_ct_balls(insert_balls(volume, centers, 3.0, highest_hu=highest_hu, noise_hu=15), 3.0)
        distances, _ = cKDTree(centers).query([ball.center_world for ball in balls])
        assert distances.max() < 0.1


def test_bone_contrast_wires_and_screws_are_no_balls():
    def rods(hu, x, y, z):
        hu[np.hypot(x - 6, y - 6) < 0.8] = 15000  # a K-wire through the block
        hu[(np.hypot(x - 20, z - 40) < 2.5) & (y < 30)] = 12000  # a screw
        hu[np.hypot(x - 34, z - 6) < 3] = 900  # a vessel with contrast
        hu[(x - 34) ** 2 + (y - 8) ** 2 + (z - 36) ** 2 < 2.0**2] = 2500  # a bony island, harder than any

    centers = np.array([[20.0, 20.3, 12.0], [30.4, 28.0, 20.2], [14.1, 28.0, 28.7]])
    balls = find_ct_balls(scan(centers, 3.0, extra=rods), 3.0, 3)
    assert len(balls) == 3
    assert errors(balls, centers).max() < 0.1


def test_touching_balls_are_split_and_flagged():
    centers = np.array([[12.0, 12.0, 12.0], [13.9, 14.0, 13.4], [30.0, 20.0, 30.0]])
    balls = find_ct_balls(scan(centers, 3.0), 3.0, 3)
    assert len(balls) == 3
    assert errors(balls, centers).max() < 0.15
    assert sorted(ball.note for ball in balls) == ["", "touches another ball", "touches another ball"]


def test_wrong_counts_and_sizes_are_refused_with_what_was_found():
    centers = placed(6, 3.0)
    volume = scan(centers, 3.0)
    with pytest.raises(InputError, match=r"6 steel balls.*wanted 16 balls of 3 mm"):
        find_ct_balls(volume, 3.0, 16)
    with pytest.raises(InputError, match=r"0 steel balls.*6 too small or too dim.*wanted balls of 8 mm"):
        find_ct_balls(volume, 8.0)
    with pytest.raises(InputError, match=r"no voxel above"):
        find_ct_balls(Volume(np.full((9, 9, 9), 40, np.int16), np.eye(4)), 3.0)
    with pytest.raises(InputError, match=r"diameter_mm"):
        find_ct_balls(volume, 0.1)


def test_an_oblique_left_handed_grid_changes_nothing():
    volume = Volume(np.full((30, 30, 30), 40, np.int16), np.eye(4))
    angle = np.radians(20)
    affine = np.eye(4)
    affine[:3, :3] = [[-np.cos(angle), 0, np.sin(angle)], [0, 0.9, 0], [np.sin(angle), 0, np.cos(angle)]]
    affine[:3, 3] = (5, -80, 33)
    turned = Volume(volume.hu, affine)
    centers = (affine[:3, :3] @ np.array([[10.3, 8.2, 20.6], [22.1, 20.7, 8.4]]).T).T + affine[:3, 3]
    balls = find_ct_balls(insert_balls(turned, centers, 3.0), 3.0, 2)
    distances, nearest = cKDTree(centers).query([ball.center_world for ball in balls])
    assert distances.max() < 0.1
    assert balls[0].center_world[2] > balls[1].center_world[2]
    assert len(set(nearest)) == 2
