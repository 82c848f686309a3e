import numpy as np
import pytest
from skimage import measure

from drrkit.phantom.voxelize import coverage, winding


def box_mesh(low, high):
    corners = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)], dtype=np.float64)
    vertices = np.asarray(low) + corners * (np.asarray(high) - np.asarray(low))
    faces = [
        (0, 1, 3), (0, 3, 2), (4, 6, 7), (4, 7, 5), (0, 4, 5), (0, 5, 1),
        (2, 3, 7), (2, 7, 6), (0, 2, 6), (0, 6, 4), (1, 5, 7), (1, 7, 3),
    ]  # fmt: skip
    return vertices, np.array(faces, dtype=np.int32)


def test_a_box_covers_its_exact_share():
    # Voxel (2, 2, 2) spans 1.5 to 2.5; the box ends at z = 2.2 and fills half of it along x.
    vertices, faces = box_mesh((0.5, 0.5, 0.5), (2.0, 3.5, 2.2))
    covered = coverage(vertices, faces, np.eye(4), (6, 6, 6))
    whole = np.zeros((6, 6, 6), dtype=np.float32)
    whole[covered.box] = covered.share
    assert whole[1, 1, 1] == pytest.approx(1.0, abs=1e-6)
    assert whole[2, 2, 1] == pytest.approx(0.7, abs=1e-6)
    assert whole[2, 2, 2] == pytest.approx(0.35, abs=1e-6)
    assert whole.sum() == pytest.approx(1.5 * 3.0 * 1.7, abs=1e-5)


def test_columns_through_edges_and_corners_leave_no_streaks():
    # Rays run through voxel quarters: here they meet edges, corners and diagonals of the faces exactly.
    vertices, faces = box_mesh((0.25, 0.25, 0.25), (4.25, 4.25, 4.25))
    _, turns = winding(vertices, faces, np.eye(4), (8, 8, 8))
    assert turns.min() >= -1e-6
    assert turns.max() <= 1 + 1e-6
    assert turns.sum() == pytest.approx(64.0, rel=1e-5)


def test_a_ball_keeps_its_volume_on_any_grid():
    axis = np.arange(-13, 14, 1.0)
    field = np.sqrt(sum(a**2 for a in np.meshgrid(axis, axis, axis, indexing="ij"))) - 10
    vertices, faces, _, _ = measure.marching_cubes(field, 0.0)
    vertices = vertices.astype(np.float64) - 13
    a, b, c = (vertices[faces[:, corner]] for corner in range(3))
    volume = (a * np.cross(b, c)).sum() / 6
    for spacing_mm in (0.7, 2.0):
        voxel_from_world = np.diag([1 / spacing_mm] * 3 + [1.0])
        voxel_from_world[:3, 3] = 13.3 / spacing_mm
        covered = coverage(vertices, faces.astype(np.int32), voxel_from_world, (40, 40, 40))
        assert covered.share.sum() * spacing_mm**3 == pytest.approx(volume, rel=2e-3)


def test_what_leaves_the_grid_is_cut_off():
    vertices, faces = box_mesh((-5.0, -5.0, -5.0), (1.5, 1.5, 1.5))
    covered = coverage(vertices, faces, np.eye(4), (4, 4, 4))
    whole = np.zeros((4, 4, 4), dtype=np.float32)
    whole[covered.box] = covered.share
    np.testing.assert_allclose(whole[:2, :2, :2], 1.0, atol=1e-6)
    assert whole.sum() == pytest.approx(8.0, abs=1e-5)
    beyond = coverage(vertices - 20, faces, np.eye(4), (4, 4, 4))
    assert beyond.share.size == 0


def test_a_surface_turned_inside_out_winds_backwards():
    vertices, faces = box_mesh((0.5, 0.5, 0.5), (2.5, 2.5, 2.5))
    _, turns = winding(vertices, faces[:, ::-1].copy(), np.eye(4), (5, 5, 5))
    assert turns.min() == pytest.approx(-1.0, abs=1e-6)
