"""Back-projection: a voxel gets the feature of the pixel that the camera says, and nothing where no pixel is."""

import numpy as np
import pytest
import torch

from drrkit.geometry.presets import preset
from reconstruction.grid import Grid
from reconstruction.networks.backprojection import backproject

SIZE_PX = 96
GRID = Grid.centered([3.0, -4.0, 5.0], (16, 12, 14), 4.0)


def camera(primary_deg=25.0, secondary_deg=10.0):
    return preset("generic").resized(SIZE_PX, SIZE_PX).camera(primary_deg, secondary_deg, 0.0, np.zeros(3))


def matrix(*cameras):
    return torch.tensor(np.stack([GRID.pixel_from_grid(one) for one in cameras]), dtype=torch.float32)


def coordinate_maps(step=1):
    """Features that say where they are: column and row in image pixels."""
    places = torch.arange(0, SIZE_PX, step).float() + (step - 1) / 2
    v, u = torch.meshgrid(places, places, indexing="ij")
    return torch.stack([u, v])[None]


@pytest.mark.parametrize("pixels_per_feature", [1, 2, 4])
def test_a_voxel_gets_the_feature_where_the_camera_projects_it(pixels_per_feature):
    one = camera()
    sampled, inside, _ = backproject(
        coordinate_maps(pixels_per_feature), matrix(one), GRID.shape, pixels_per_feature=pixels_per_feature
    )
    expected = np.moveaxis(one.project(GRID.points_world()), -1, 0)
    assert inside.all()
    np.testing.assert_allclose(sampled[0].numpy(), expected, atol=2e-3)


def test_a_coarse_sample_is_at_the_middle_of_its_voxels():
    one = camera()
    sampled, _, _ = backproject(coordinate_maps(), matrix(one), GRID.shape, voxels_per_sample=2)
    points = GRID.points_world().reshape(8, 2, 6, 2, 7, 2, 3).mean(axis=(1, 3, 5))
    np.testing.assert_allclose(sampled[0].numpy(), np.moveaxis(one.project(points), -1, 0), atol=2e-3)


def test_outside_of_the_image_is_unseen_and_zero():
    narrow = camera().cropped(30, 30, 24, 24)
    sampled, inside, depth = backproject(torch.ones(1, 1, 24, 24), matrix(narrow), GRID.shape)
    u, v = np.moveaxis(narrow.project(GRID.points_world()), -1, 0)
    sees = (u > -0.5) & (u < 23.5) & (v > -0.5) & (v < 23.5)
    assert 0.05 < sees.mean() < 0.95
    np.testing.assert_array_equal(inside[0, 0].numpy() > 0, sees)
    assert not sampled[0, 0].numpy()[~sees].any()
    assert not depth[0, 0].numpy()[~sees].any()


def test_what_lies_behind_the_source_is_unseen():
    one = camera(0.0, 0.0)
    behind = Grid.centered(one.source_world - 100 * one.view_direction_world, (8, 8, 8), 2.0)
    matrices = torch.tensor(behind.pixel_from_grid(one), dtype=torch.float32)[None]
    sampled, inside, depth = backproject(torch.ones(1, 1, SIZE_PX, SIZE_PX), matrices, behind.shape)
    assert not inside.any()
    assert torch.isfinite(sampled).all()
    assert torch.isfinite(depth).all()


def test_depth_is_zero_in_the_middle_and_grows_away_from_the_source():
    one = camera(0.0, 0.0)
    _, _, depth = backproject(torch.ones(1, 1, SIZE_PX, SIZE_PX), matrix(one), GRID.shape)
    expected = (one.depth_mm(GRID.points_world()) - one.depth_mm(GRID.center_world)) / (4.0 * GRID.shape[0] / 2)
    np.testing.assert_allclose(depth[0, 0].numpy(), expected, atol=1e-4)


def test_depth_has_no_unit():
    near, twice = camera(), camera()
    coarse = Grid.centered(GRID.center_world, GRID.shape, 8.0)
    depths = [
        backproject(
            torch.ones(1, 1, SIZE_PX, SIZE_PX),
            torch.tensor(grid.pixel_from_grid(one), dtype=torch.float32)[None],
            grid.shape,
        )[2]
        for grid, one in ((GRID, near), (coarse, twice))
    ]
    np.testing.assert_allclose(depths[0].numpy(), depths[1].numpy(), atol=1e-4)


def test_half_precision_features_are_sampled_at_exact_places():
    # bfloat16 has 8 bits: were the places rounded to it, a ramp would be off by a good part of a pixel.
    ramp = coordinate_maps()
    exact, _, _ = backproject(ramp, matrix(camera()), GRID.shape)
    half, _, _ = backproject((ramp / 16).bfloat16(), matrix(camera()), GRID.shape)
    assert half.dtype == torch.bfloat16
    assert (half.float() * 16 - exact).abs().mean() < 0.12


def test_every_view_has_its_own_camera():
    first, second = camera(0.0, 0.0), camera(90.0, 0.0)
    both, _, _ = backproject(coordinate_maps().expand(2, -1, -1, -1), matrix(first, second), GRID.shape)
    for number, one in enumerate((first, second)):
        alone, _, _ = backproject(coordinate_maps(), matrix(one), GRID.shape)
        torch.testing.assert_close(both[number], alone[0])
