import numpy as np
import pytest
import torch
from scipy import ndimage

from drrkit.errors import InputError
from drrkit.geometry import rigid
from drrkit.geometry.carm import CArm
from drrkit.radiograph import Radiograph
from reconstruction.grid import Grid
from reconstruction.judging.prediction import network_predictor, predict, upsampled_classes
from reconstruction.model import ViewWindow
from reconstruction.views import PreparedViews


def ball_probabilities(grid, center_world, radius_mm):
    """Class 1 within a ball; the probability falls straight through 0.5 at its surface."""
    distance_mm = np.linalg.norm(grid.points_world() - center_world, axis=-1)
    inside = np.clip(0.5 + (radius_mm - distance_mm) / 20, 0, 1)
    return np.stack([1 - inside, inside]).astype(np.float32)


def points_world(shape, world_from_voxel):
    return Grid(shape, world_from_voxel).points_world()


def turned(angle_deg, shape, spacing_mm, center_world):
    rotation = rigid.exp([*np.radians([angle_deg, angle_deg / 2, -angle_deg]), 0, 0, 0])[:3, :3]
    return Grid.centered(center_world, shape, spacing_mm, rotation)


def test_its_own_grid_gives_back_the_classes():
    grid = Grid.centered((10, -20, 5), (9, 8, 7), 2.0)
    probabilities = np.random.default_rng(0).random((4, 9, 8, 7)).astype(np.float32)
    classes = upsampled_classes(probabilities, grid, grid.shape, grid.world_from_grid)
    np.testing.assert_array_equal(classes, probabilities.argmax(axis=0))


@pytest.mark.parametrize("angle_deg", [0.0, 20.0])
def test_a_ball_keeps_its_size_and_place_at_finer_voxels(angle_deg):
    center_world = np.array([3.3, -8.1, 12.4])
    grid = turned(angle_deg, (24, 20, 22), 2.0, center_world + 1.7)
    # Left-handed and anisotropic, as files may be.
    volume = Grid((60, 50, 40), np.array([[-1.0, 0, 0, 22], [0, 0.9, 0, -30], [0, 0, 0.8, -10], [0, 0, 0, 1]]))
    classes = upsampled_classes(
        ball_probabilities(grid, center_world, 13.0), grid, volume.shape, volume.world_from_grid
    )
    distance_mm = np.linalg.norm(volume.points_world() - center_world, axis=-1)
    assert (classes[distance_mm < 12.8] == 1).all()
    assert (classes[distance_mm > 13.2] == 0).all()


def test_outside_the_grid_is_background_and_its_border_is_half_a_voxel_out():
    grid = Grid.centered((0, 0, 0), (4, 4, 4), 2.0)  # faces at -4 and 4 mm
    probabilities = np.stack([np.zeros(grid.shape), np.ones(grid.shape)]).astype(np.float32)
    volume = Grid.centered((0, 0, 0), (21, 21, 21), 0.5)
    classes = upsampled_classes(probabilities, grid, volume.shape, volume.world_from_grid)
    np.testing.assert_array_equal(classes == 1, (np.abs(volume.points_world()) <= 4).all(axis=-1))


def test_a_volume_beside_the_grid_is_background():
    grid = Grid.centered((0, 0, 0), (4, 4, 4), 2.0)
    probabilities = np.stack([np.zeros(grid.shape), np.ones(grid.shape)]).astype(np.float32)
    volume = Grid.centered((100, 0, 0), (5, 5, 5), 1.0)
    assert not upsampled_classes(probabilities, grid, volume.shape, volume.world_from_grid).any()


def test_classes_are_those_of_interpolated_probabilities():
    grid = turned(25.0, (7, 6, 8), 2.0, (0, 0, 0))
    # Large parts of one class, so that cells where all corners agree are there as well.
    probabilities = ndimage.gaussian_filter(np.random.default_rng(1).random((3, *grid.shape)), (0, 1.5, 1.5, 1.5))
    volume = Grid.centered((0.3, 0, 0), (17, 13, 11), 0.7)
    places = rigid.apply(grid.grid_from_world, volume.points_world())[..., ::-1]
    inside = ((places >= -0.5) & (places <= np.array(grid.shape) - 0.5)).all(axis=-1)
    sampled = [
        ndimage.map_coordinates(part, places.reshape(-1, 3).T, order=1, mode="nearest") for part in probabilities
    ]
    expected = np.where(inside, np.argmax(sampled, axis=0).reshape(volume.shape), 0)
    classes = upsampled_classes(probabilities.astype(np.float32), grid, volume.shape, volume.world_from_grid)
    np.testing.assert_array_equal(classes, expected)


def test_fewer_bits_say_nearly_the_same():
    class Blur(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Conv3d(1, 2, 3, padding=1)

        def forward(self, images, pixel_from_grid, grid_shape):
            return self.layer(images.mean(dim=(1, 2))[:, None, None].expand(1, 1, *grid_shape))

    torch.manual_seed(0)
    network = Blur().eval()
    grid = Grid.centered((0, 0, 0), (6, 8, 8), 2.0)
    camera = CArm(1000.0, 700.0, 40, 40, (2.0, 2.0)).camera(0.0, 0.0, 0.0, (0, 0, 0))
    pixels = np.random.default_rng(0).random((40, 40)).astype(np.float32)
    views = [Radiograph(pixels, "line_integral", camera)]
    exact, coarse = (
        network_predictor(network, ViewWindow((8, 8), 2.0), name)(views, grid) for name in ("fp32", "bf16")
    )
    assert 0 < np.abs(exact - coarse).max() < 0.01


def test_probabilities_must_be_on_the_grid():
    grid = Grid.centered((0, 0, 0), (4, 4, 4), 2.0)
    with pytest.raises(InputError, match="probabilities"):
        upsampled_classes(np.zeros((2, 4, 4, 5), np.float32), grid, (3, 3, 3), np.eye(4))


class Flat(torch.nn.Module):
    """Answers with one logit for each class; remembers what it was given."""

    def __init__(self, *logits):
        super().__init__()
        self.logits = torch.nn.Parameter(torch.tensor(logits))

    def forward(self, images, pixel_from_grid, grid_shape):
        self.seen = images, pixel_from_grid
        return self.logits[None, :, None, None, None].expand(1, -1, *grid_shape)


def test_predict_gives_probabilities():
    grid = Grid.centered((0, 0, 0), (2, 3, 4), 2.0)
    views = PreparedViews(np.ones((2, 1, 5, 6), np.float32), np.zeros((2, 3, 4), np.float32), ())
    probabilities = predict(Flat(0.0, float(np.log(3.0))), views, grid)
    assert probabilities.shape == (2, 2, 3, 4)
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities[1], 0.75, rtol=1e-6)


def test_predict_refuses_nonsense():
    grid = Grid.centered((0, 0, 0), (2, 3, 4), 2.0)
    views = PreparedViews(np.ones((1, 1, 5, 6), np.float32), np.zeros((1, 3, 4), np.float32), ())
    with pytest.raises(InputError, match="finite logits"):
        predict(Flat(0.0, float("nan")), views, grid)


def test_network_predictor_prepares_the_views():
    camera = CArm(1000.0, 600.0, 32, 32, (4.0, 4.0)).camera(0.0, 0.0, 0.0, (0.0, 0.0, 0.0))
    radiograph = Radiograph(np.ones((32, 32), np.float32), "line_integral", camera)
    network, grid = Flat(0.0, 0.0), Grid.centered((0, 0, 0), (8, 8, 8), 4.0)
    network_predictor(network, ViewWindow((12, 16), 4.0))([radiograph, radiograph], grid)
    images, matrices = network.seen
    assert images.shape == (1, 2, 1, 12, 16)
    # The middle of the grid is in the middle of the window, to half a pixel.
    u, v, depth = matrices[0, 0] @ torch.tensor([3.5, 3.5, 3.5, 1.0])
    assert [float(u / depth), float(v / depth)] == pytest.approx([7.5, 5.5], abs=0.51)
