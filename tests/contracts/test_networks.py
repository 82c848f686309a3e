"""The contract of every network in ``NETWORKS``; a new one needs a registry line and small settings here."""

import numpy as np
import pytest
import torch

from drrkit.errors import InputError
from drrkit.geometry.carm import CArm
from reconstruction.grid import Grid
from reconstruction.networks import NETWORKS
from reconstruction.networks.fusion import FUSIONS

CLASSES = 3
GRID = (16, 16, 16)
SPACING_MM = 4.0
IMAGE_PX = (48, 32)
ANGLES_DEG = (0.0, 90.0, 40.0, -35.0, 15.0, 70.0)

SMALL_X23D = {
    "image_widths": (4, 8, 8),
    "features": 4,
    "fine_features": 2,
    "volume_widths": (4, 8),
    "fine_width": 4,
}
# name of the case -> name in the registry, settings
CASES = {
    **{f"x23d, {fusion}": ("x23d", {**SMALL_X23D, "fusion": fusion}) for fusion in FUSIONS},
    "kasten": ("kasten", {"voxel_px": 2.0, "enter_width": 4, "volume_widths": (4, 8), "fine_width": 4}),
    "permute-concat": (
        "permute-concat",
        {
            "voxel_px": 2.0,
            "samples_per_voxel": 1,
            "encoder_widths": (4, 8, 8),
            "encoder_strides": (2, 2, 1),
            "encoder_kernel_px": 3,
            "expansion_width": 8,
            "expansion_stages": 2,
            "decoder_widths": (8, 8, 4),
        },
    ),
}


def test_every_registered_network_is_tested():
    assert {name for name, _ in CASES.values()} == set(NETWORKS)


@pytest.fixture(params=CASES, scope="module")
def network(request):
    torch.manual_seed(0)
    name, settings = CASES[request.param]
    return NETWORKS[name](classes=CLASSES, **settings).eval()


def views(count: int, image_px=IMAGE_PX, grid_shape=GRID, batch: int = 1, seed: int = 0):
    """Images (B, V, 1, H, W) of noise, and the cameras of a C-arm about the grid for them."""
    generator = torch.Generator().manual_seed(seed)
    grid = Grid.centered((0.0, 0.0, 0.0), grid_shape, SPACING_MM)
    carm = CArm(1000.0, 800.0, *image_px, (2.5, 2.5))
    matrices = np.stack([grid.pixel_from_grid(carm.camera(angle_deg, 0.0)) for angle_deg in ANGLES_DEG[:count]])
    cameras = torch.from_numpy(matrices).float().expand(batch, -1, -1, -1)
    return torch.rand(batch, count, 1, *image_px, generator=generator), cameras


def predict(network, images, cameras, grid_shape=GRID):
    with torch.no_grad():
        return network(images, cameras, grid_shape)


def roles(network) -> tuple[str, ...]:
    """Which views a network must be given, in order; any if empty."""
    return getattr(network, "view_roles", ())


@pytest.mark.parametrize("count", [2, 3, 6])
def test_a_logit_for_every_class_and_voxel(network, count):
    logits = predict(network, *views(count, batch=2))
    assert logits.shape == (2, CLASSES, *GRID)
    assert logits.isfinite().all()
    assert logits.std() > 0


def test_one_view_is_enough_unless_the_network_names_its_views(network):
    if roles(network):
        with pytest.raises(InputError, match="views"):
            predict(network, *views(1))
    else:
        assert predict(network, *views(1)).isfinite().all()


@pytest.mark.parametrize("image_px", [(32, 64), (64, 48)])
def test_other_image_sizes(network, image_px):
    assert predict(network, *views(2, image_px)).shape == (1, CLASSES, *GRID)


def test_grids_of_other_shapes(network):
    multiple = network.grid_multiple
    shape = (3 * multiple, multiple, 2 * multiple)
    assert predict(network, *views(2, grid_shape=shape), shape).shape == (1, CLASSES, *shape)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_grid_that_cannot_be_halved_is_refused(network, axis):
    assert network.grid_multiple > 1
    shape = list(GRID)
    shape[axis] += network.grid_multiple // 2
    with pytest.raises(InputError, match="grid"):
        predict(network, *views(2), tuple(shape))


def test_every_parameter_learns_from_every_view(network):
    images, cameras = views(2)
    images.requires_grad_()
    network.zero_grad()
    logits = network(images, cameras, GRID)
    (logits * torch.randn(logits.shape, generator=torch.Generator().manual_seed(1))).sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().max() > 1e-4, name  # less is rounding
    assert (images.grad.abs().amax(dim=(2, 3, 4)) > 0).all()


def test_the_same_again(network):
    inputs = views(3)
    assert torch.equal(predict(network, *inputs), predict(network, *inputs))


@pytest.mark.parametrize("training", [False, True])
def test_an_example_does_not_depend_on_its_batch(network, training):
    images, cameras = views(2, batch=2)
    network.train(training)
    together = predict(network, images, cameras)
    alone = torch.cat([predict(network, images[i : i + 1], cameras[i : i + 1]) for i in range(2)])
    network.eval()
    assert torch.allclose(together, alone, atol=1e-4)


def test_order_of_views_where_the_network_says_that_it_is_free(network):
    images, cameras = views(4)
    order = [2, 0, 3, 1]
    same = torch.allclose(
        predict(network, images, cameras), predict(network, images[:, order], cameras[:, order]), atol=1e-4
    )
    assert same == network.order_free


def test_images_matter(network):
    images, cameras = views(2)
    assert not torch.allclose(predict(network, images, cameras), predict(network, images.flip(-1), cameras), atol=1e-4)


def test_cameras_matter_unless_the_network_assumes_them(network):
    images, cameras = views(2)
    moved = cameras.clone()
    moved[:, :, :2] += 5 * moved[:, :, 2:]  # five pixels along both axes
    same = torch.allclose(predict(network, images, cameras), predict(network, images, moved), atol=1e-4)
    assert same == bool(roles(network))


def test_half_precision(network):
    images, cameras = views(2)
    with torch.autocast("cpu", torch.bfloat16):
        half = predict(network, images, cameras)
    whole = predict(network, images, cameras)
    assert (half.float() - whole).abs().mean() < 0.1 * whole.std()
