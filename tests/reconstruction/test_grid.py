import numpy as np
import pytest

from drrkit.errors import InputError
from drrkit.geometry import rigid
from drrkit.geometry.carm import CArm
from drrkit.volume import Volume
from reconstruction.grid import Grid

CENTER = np.array([12.0, -30.5, 400.0])
TURN = rigid.exp([0.2, -0.1, 0.4, 0, 0, 0])[:3, :3]


@pytest.mark.parametrize("rotation", [None, TURN])
@pytest.mark.parametrize("shape", [(4, 6, 8), (5, 3, 1)])
def test_a_centered_grid_is_centered(shape, rotation):
    grid = Grid.centered(CENTER, shape, 1.5, rotation)
    assert grid.center_world == pytest.approx(CENTER)
    assert grid.points_world().reshape(-1, 3).mean(axis=0) == pytest.approx(CENTER)
    assert grid.spacing_mm == pytest.approx((1.5, 1.5, 1.5))
    assert grid.points_world().shape == (*shape, 3)


def test_axes_go_where_the_rotation_says():
    grid = Grid.centered(CENTER, (4, 6, 8), 2.0, TURN)
    points = grid.points_world()
    for axis, steps in enumerate((points[0, 0, 1], points[0, 1, 0], points[1, 0, 0])):
        assert steps - points[0, 0, 0] == pytest.approx(2.0 * TURN[:, axis])
    assert grid.grid_from_world @ grid.world_from_grid == pytest.approx(np.eye(4))


def test_a_grid_of_a_volume_has_its_points():
    affine = np.diag([0.5, 0.7, 3.0, 1.0])
    affine[:3, 3] = CENTER
    volume = Volume(np.zeros((3, 4, 5), np.int16), affine)
    grid = Grid(volume.shape, volume.world_from_voxel)
    assert grid.center_world == pytest.approx(volume.center_world)
    assert grid.points_world()[2, 3, 4] == pytest.approx(rigid.apply(affine, [4, 3, 2]))


def test_voxels_project_as_their_points_do():
    grid = Grid.centered(CENTER, (4, 6, 8), 2.0, TURN)
    camera = CArm(1000.0, 600.0, 64, 48, (3.0, 3.0)).camera(30.0, 10.0, 5.0, CENTER)
    homogeneous = grid.pixel_from_grid(camera) @ [7, 2, 1, 1]
    point = grid.points_world()[1, 2, 7]
    assert homogeneous[:2] / homogeneous[2] == pytest.approx(camera.project(point))
    assert homogeneous[2] == pytest.approx(camera.depth_mm(point))


def test_a_grid_does_not_change():
    affine = np.eye(4)
    grid = Grid((1, 2, 3), affine)
    affine[0, 3] = 9.0
    assert grid.world_from_grid[0, 3] == 0
    with pytest.raises(ValueError, match="read-only"):
        grid.world_from_grid[0, 3] = 1.0


@pytest.mark.parametrize(
    ("shape", "affine"),
    [
        ((0, 2, 3), np.eye(4)),
        ((2, 3), np.eye(4)),
        ((1, 2, 3), np.zeros((4, 4))),
        ((1, 2, 3), np.eye(3)),
        ((1, 2, 3), np.eye(4) + np.eye(4, k=1)),
    ],
)
def test_no_grid(shape, affine):
    with pytest.raises(InputError):
        Grid(shape, affine)
