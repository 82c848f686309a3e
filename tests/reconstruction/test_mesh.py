"""Meshes are closed, outward, in millimeters of the world, and where the voxels are."""

from pathlib import Path

import numpy as np
import pytest
import trimesh
from scipy.spatial.transform import Rotation

from drrkit.errors import InputError
from drrkit.geometry import rigid
from reconstruction.grid import Grid
from reconstruction.mesh import Mesh, check_format, mesh_from_margin, read_mesh, smoothed, write_mesh

RADIUS_MM = 12.0
BALL_MM3 = 4 / 3 * np.pi * RADIUS_MM**3
CENTER = np.array([31.0, -47.0, -310.0])
ROTATION = Rotation.from_euler("zyx", [20, 30, -40], degrees=True).as_matrix()
GRID = Grid.centered(CENTER + np.array([4.0, 3.0, -5.0]), (30, 32, 36), 1.5, ROTATION)


def ball(grid: Grid = GRID, center=CENTER, radius_mm: float = RADIUS_MM) -> np.ndarray:
    """Positive inside, in -1 to 1 as margins are."""
    distance_mm = np.linalg.norm(grid.points_world() - center, axis=-1)
    return np.tanh((radius_mm - distance_mm) / 2).astype(np.float32)


def body(mesh: Mesh) -> trimesh.Trimesh:
    return trimesh.Trimesh(mesh.vertices_world, mesh.faces, process=False)


@pytest.mark.parametrize("smoothing_steps", [0, 5])
def test_a_ball_on_an_oblique_grid(smoothing_steps):
    mesh = mesh_from_margin(ball(), GRID, True, smoothing_steps)
    assert body(mesh).is_watertight
    assert body(mesh).is_winding_consistent
    assert mesh.volume_mm3 == pytest.approx(BALL_MM3, rel=0.02)
    np.testing.assert_allclose(body(mesh).center_mass, CENTER, atol=0.05)
    np.testing.assert_allclose(np.linalg.norm(mesh.vertices_world - CENTER, axis=1), RADIUS_MM, atol=0.3)
    assert mesh.dropped_mm3 == ()


def test_normals_point_outward_on_left_handed_axes_too():
    for axes in (ROTATION, ROTATION * [1, 1, -1]):
        grid = Grid.centered(CENTER, (24, 24, 24), 1.5, axes)
        mesh = mesh_from_margin(ball(grid), grid, True, 0)
        outward = (body(mesh).face_normals * (body(mesh).triangles_center - CENTER)).sum(axis=1)
        assert outward.min() > 0
        assert mesh.volume_mm3 > 0


def test_what_the_grid_cuts_is_closed_at_its_outer_face():
    grid = Grid.centered(CENTER, (30, 30, 30), 1.0)
    edge = rigid.apply(grid.world_from_grid, [-0.5, 14.5, 14.5])
    mesh = mesh_from_margin(ball(grid, edge), grid, True, 0)
    assert body(mesh).is_watertight
    assert mesh.vertices_world[:, 0].min() == pytest.approx(edge[0], abs=1e-6)
    assert mesh.volume_mm3 == pytest.approx(BALL_MM3 / 2, rel=0.02)


def test_a_full_grid_is_its_box():
    mesh = mesh_from_margin(np.ones(GRID.shape, np.float32), GRID, True, 0)
    assert body(mesh).is_watertight
    assert mesh.volume_mm3 == pytest.approx(np.prod(GRID.shape) * 1.5**3, rel=0.01)


def test_smaller_components_are_dropped_and_told():
    # Two voxels of room are enough to part them.
    far = CENTER + ROTATION @ [0.0, 0.0, 18.0]
    grid = Grid.centered(CENTER, (40, 32, 32), 1.5, ROTATION)
    margins = np.maximum(ball(grid), ball(grid, far, 4.0))
    whole, kept = (mesh_from_margin(margins, grid, largest_only, 0) for largest_only in (False, True))
    assert (body(whole).body_count, body(kept).body_count) == (2, 1)
    assert kept.volume_mm3 == pytest.approx(BALL_MM3, rel=0.02)
    assert kept.dropped_mm3 == pytest.approx((4 / 3 * np.pi * 4.0**3,), rel=0.15)


def test_the_roughest_margins_still_close():
    margins = np.random.default_rng(0).normal(size=(12, 12, 12)).astype(np.float32)
    margins[np.abs(margins) < 0.1] = 0
    grid = Grid.centered(CENTER, margins.shape, 1.0)
    for largest_only in (False, True):
        assert body(mesh_from_margin(margins, grid, largest_only, 0)).is_watertight


def test_nothing_inside_is_no_mesh():
    assert mesh_from_margin(np.full(GRID.shape, -1, np.float32), GRID, True, 0) is None


def test_smoothing_takes_out_stairs_and_keeps_the_volume():
    stairs = mesh_from_margin(np.where(ball() > 0, 1, -1).astype(np.float32), GRID, True, 0)
    smooth = smoothed(stairs, 10)
    errors_mm = [np.abs(np.linalg.norm(mesh.vertices_world - CENTER, axis=1) - RADIUS_MM) for mesh in (stairs, smooth)]
    assert errors_mm[1].mean() < 0.7 * errors_mm[0].mean()
    assert smooth.volume_mm3 == pytest.approx(stairs.volume_mm3, rel=0.02)
    assert smoothed(stairs, 0) is stairs


@pytest.mark.parametrize("suffix", ["stl", "ply"])
def test_files_hold_the_same_closed_surface_in_lps(tmp_path, suffix):
    mesh = mesh_from_margin(ball(), GRID, True, 0)
    path = tmp_path / f"L3.{suffix}"
    write_mesh(path, mesh)
    assert b"SPACE=LPS" in path.read_bytes()[:200]
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    again = read_mesh(path)
    assert body(again).is_watertight
    assert again.volume_mm3 == pytest.approx(mesh.volume_mm3, rel=1e-4)
    np.testing.assert_allclose(again.vertices_world.min(axis=0), mesh.vertices_world.min(axis=0), atol=1e-3)


def test_bad_input():
    with pytest.raises(InputError, match="margins of shape"):
        mesh_from_margin(np.ones((3, 3, 3), np.float32), GRID, True, 0)
    with pytest.raises(InputError, match="NaN"):
        mesh_from_margin(np.full(GRID.shape, np.nan, np.float32), GRID, True, 0)
    with pytest.raises(InputError, match="obj"):
        check_format("obj")
    with pytest.raises(InputError, match="obj"):
        write_mesh(Path("a.obj"), mesh_from_margin(ball(), GRID, True, 0))
