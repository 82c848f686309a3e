"""Finer labels lie where the network's voxels say, and no two classes share a point."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from drrkit.errors import InputError
from drrkit.geometry import rigid
from reconstruction.grid import Grid
from reconstruction.mesh import mesh_from_margin
from reconstruction.upsampling import finer, grid_of, labels_of, margins_on

CENTER = np.array([31.0, -47.0, -310.0])
ROTATION = Rotation.from_euler("zyx", [20, 30, -40], degrees=True).as_matrix()
GRID = Grid.centered(CENTER, (24, 16, 18), 2.0, ROTATION)
RADIUS_MM = 9.0
# Along the grid's third axis; they touch each other.
CENTERS = [CENTER + ROTATION @ [1.0, 0.0, 8.0], CENTER + ROTATION @ [1.0, 0.0, -8.0]]


def two_balls(grid: Grid = GRID) -> np.ndarray:
    points = grid.points_world()
    scores = [np.zeros(grid.shape)]
    scores += [RADIUS_MM - np.linalg.norm(points - center, axis=-1) for center in CENTERS]
    powers = np.exp(scores)
    return (powers / powers.sum(axis=0)).astype(np.float32)


@pytest.mark.parametrize("spacing_mm", [1.0, 0.7, 2.0])
def test_finer_labels_keep_places_and_volumes(spacing_mm):
    fine = finer(GRID, spacing_mm)
    np.testing.assert_allclose(fine.spacing_mm, spacing_mm)
    margins = margins_on(two_balls(), GRID, fine)
    labels = labels_of(margins, fine.shape)
    points = fine.points_world()
    for number, center in enumerate(CENTERS, start=1):
        inside = labels == number
        np.testing.assert_allclose(points[inside].mean(axis=0), center, atol=0.3)
        assert inside.sum() * spacing_mm**3 == pytest.approx(4 / 3 * np.pi * RADIUS_MM**3, rel=0.08)


def test_the_same_grid_gives_the_network_s_own_answer():
    probabilities = two_balls()
    margins = margins_on(probabilities, GRID, finer(GRID, 2.0))
    np.testing.assert_array_equal(labels_of(margins, GRID.shape), probabilities.argmax(axis=0))


def test_a_box_interpolates_as_the_whole_does():
    fine = finer(GRID, 0.9)
    probabilities = two_balls()
    margin = margins_on(probabilities, GRID, fine)[2]
    points = rigid.apply(GRID.grid_from_world, grid_of(margin, fine).points_world())[..., ::-1]
    from scipy.ndimage import map_coordinates

    coarse = probabilities[2] - np.delete(probabilities, 2, axis=0).max(axis=0)
    wanted = map_coordinates(coarse, np.moveaxis(points, -1, 0), order=1, mode="nearest")
    np.testing.assert_allclose(margin.values, wanted, atol=1e-5)


def test_the_box_holds_all_of_a_class():
    # Noise reaches every corner of the grid; whatever wins anywhere must lie in its box.
    rng = np.random.default_rng(2)
    grid = Grid.centered(CENTER, (5, 6, 7), 2.0)
    probabilities = rng.dirichlet([1, 1, 1], grid.shape).astype(np.float32).transpose(3, 0, 1, 2).copy()
    fine = finer(grid, 0.5)
    margins = margins_on(probabilities, grid, fine)
    won = sum(int((margin.values > 0).sum()) for margin in margins.values())
    # No two margins are positive at one voxel, so nothing is counted twice or overwritten.
    assert won == np.count_nonzero(labels_of(margins, fine.shape))
    assert won > 0


def test_neighboring_meshes_do_not_overlap():
    fine = finer(GRID, 1.0)
    margins = margins_on(two_balls(), GRID, fine)
    first, second = (mesh_from_margin(margins[n].values, grid_of(margins[n], fine), True, 0) for n in (1, 2))
    # Between the balls their common plane; seen along the line of centers none reaches beyond it.
    along = [(mesh.vertices_world - CENTER) @ ROTATION[:, 2] for mesh in (first, second)]
    assert along[0].min() > -0.05
    assert along[1].max() < 0.05


def test_a_class_that_wins_nowhere_has_no_margin():
    probabilities = two_balls()
    probabilities[2] = 0
    assert set(margins_on(probabilities, GRID, GRID)) == {1}


def test_bad_spacing():
    for spacing_mm in (0.0, -1.0, float("nan")):
        with pytest.raises(InputError, match="spacing"):
            finer(GRID, spacing_mm)
