"""Networks without calibration: which way their planes lie, what they ignore, and what their settings must be."""

import numpy as np
import pytest
import torch

from drrkit.errors import InputError
from drrkit.geometry import rigid
from drrkit.geometry.carm import CArm
from drrkit.projection.renderer import render
from drrkit.volume import Volume
from reconstruction.grid import Grid
from reconstruction.networks.kasten import Kasten, replicated
from reconstruction.networks.permute_concat import PermuteConcat
from reconstruction.networks.planes import planes_of_views

SHAPE = (24, 16, 20)
SPACING_MM = 4.0
PIXEL_MM = 2.0  # at the isocenter
VOXEL_PX = SPACING_MM / PIXEL_MM
# Far from the middle along every axis, each by another amount: (z, y, x).
BOX = (19, 4, 13)
CARM = CArm(1500.0, 1200.0, 60, 56, (1.25 * PIXEL_MM, 1.25 * PIXEL_MM))
KASTEN = {"voxel_px": VOXEL_PX, "enter_width": 4, "volume_widths": (4, 8), "fine_width": 4}
PERMUTE = {
    "voxel_px": VOXEL_PX,
    "samples_per_voxel": 2,
    "encoder_widths": (4, 8, 8),
    "encoder_strides": (2, 2, 2),
    "encoder_kernel_px": 5,
    "expansion_width": 8,
    "expansion_stages": 2,
    "decoder_widths": (8, 8, 4),
}


def box_views(primary_deg=(0.0, 90.0)) -> torch.Tensor:
    """Views (1, V, 1, H, W) of a small dense box at ``BOX`` of a grid along the patient's axes about the isocenter."""
    grid = Grid.centered((0.0, 0.0, 0.0), SHAPE, SPACING_MM)
    hu = np.full(SHAPE, -1000, np.int16)
    hu[BOX] = 2000
    cameras = [CARM.camera(angle_deg, 0.0) for angle_deg in primary_deg]
    images = render(Volume(hu, grid.world_from_grid), cameras, tissue="full", backend="siddon")
    return torch.stack([torch.from_numpy(image.pixels.copy()) for image in images])[None, :, None]


def brightest(volume: torch.Tensor) -> tuple[int, ...]:
    return tuple(int(index) for index in np.unravel_index(int(volume.argmax()), volume.shape))


def test_replicated_ap_and_lateral_meet_where_the_box_is():
    ap, lateral = planes_of_views(box_views(), SHAPE, VOXEL_PX)
    assert brightest(ap[0, 0]) == (BOX[0], BOX[2])
    assert brightest(lateral[0, 0]) == (BOX[0], BOX[1])
    volume = replicated(ap, lateral)[0]
    assert volume.shape == (2, *SHAPE)
    assert brightest(volume[0] * volume[1]) == BOX
    assert torch.equal(volume[0, :, 0], volume[0, :, -1])
    assert torch.equal(volume[1, :, :, 0], volume[1, :, :, -1])


def test_views_from_the_other_sides_are_right_after_a_flip():
    views = box_views((180.0, -90.0))
    ap, lateral = planes_of_views(views, SHAPE, VOXEL_PX)
    assert brightest(ap[0, 0]) != (BOX[0], BOX[2])
    assert brightest(lateral[0, 0]) != (BOX[0], BOX[1])
    ap, lateral = planes_of_views(views.flip(-1), SHAPE, VOXEL_PX)
    assert brightest(replicated(ap, lateral)[0].prod(dim=0)) == BOX


def test_the_calibrated_back_projection_agrees_in_the_middle():
    # Where rays are along the axes, what is assumed and what is calibrated are the same.
    grid = Grid.centered((0.0, 0.0, 0.0), SHAPE, SPACING_MM)
    matrix = grid.pixel_from_grid(CARM.camera(0.0, 0.0))
    middle = (SHAPE[1] - 1) / 2
    for x, z in ((0, 0), (13, 19)):
        u, v, depth_mm = matrix @ [x, middle, z, 1.0]
        assert u / depth_mm == pytest.approx((CARM.width - 1) / 2 - (x - (SHAPE[2] - 1) / 2) * VOXEL_PX)
        assert v / depth_mm == pytest.approx((CARM.height - 1) / 2 - (z - (SHAPE[0] - 1) / 2) * VOXEL_PX)


def test_planes_are_the_turned_images_where_a_voxel_is_a_pixel():
    images = torch.rand(2, 2, 1, 12, 8)
    ap, lateral = planes_of_views(images, (12, 8, 8), 1.0)
    assert torch.allclose(ap, images[:, 0].flip(-1, -2))
    assert torch.allclose(lateral, images[:, 1].flip(-1, -2))


def test_samples_are_means_over_their_area_and_zero_outside():
    images = torch.rand(1, 2, 1, 12, 8)
    ap, _ = planes_of_views(images, (8, 4, 4), 2.0)
    means = torch.nn.functional.avg_pool2d(images[:, 0], 2).flip(-1, -2)
    assert torch.allclose(ap[..., 1:-1, :], means)
    assert (ap[..., [0, -1], :] == 0).all()


def test_fine_samples_keep_what_the_image_shows_finer_than_the_grid():
    images = torch.rand(1, 2, 1, 12, 8)
    ap, lateral = planes_of_views(images, (6, 4, 4), 2.0, samples_per_voxel=2)
    assert torch.allclose(ap, images[:, 0].flip(-1, -2))
    assert lateral.shape == (1, 1, 12, 8)


@pytest.fixture(params=["kasten", "permute-concat"])
def network(request):
    torch.manual_seed(0)
    return (Kasten(2, **KASTEN) if request.param == "kasten" else PermuteConcat(2, **PERMUTE)).eval()


def test_cameras_and_further_views_are_ignored(network):
    images = torch.rand(1, 3, 1, 40, 40)
    with torch.no_grad():
        logits = network(images, torch.rand(1, 3, 3, 4), (16, 16, 16))
        other = network(images[:, :2], torch.rand(1, 2, 3, 4), (16, 16, 16))
    assert torch.equal(logits, other)


def test_an_ap_is_not_a_lateral(network):
    images = torch.rand(1, 2, 1, 40, 40)
    cameras = torch.rand(1, 2, 3, 4)
    with torch.no_grad():
        logits, swapped = (network(views, cameras, (16, 16, 16)) for views in (images, images.flip(1)))
    assert not torch.allclose(logits, swapped, atol=1e-3)


def test_one_view_is_not_enough(network):
    with pytest.raises(InputError, match=r"views: found 1 of them; wanted two"):
        network(torch.rand(1, 1, 1, 40, 40), torch.rand(1, 1, 3, 4), (16, 16, 16))


def test_a_few_steps_learn_where_the_box_is(network):
    views = box_views()
    views = views / views.amax(dim=(2, 3, 4), keepdim=True)
    shape = (24, 16, 24)
    target = torch.zeros(1, *shape, dtype=torch.long)
    target[0, BOX[0] - 1 : BOX[0] + 2, BOX[1] - 1 : BOX[1] + 2, BOX[2] + 1 : BOX[2] + 4] = 1  # x: 2 more each side
    weights = torch.tensor([0.01, 1.0])
    optimizer = torch.optim.AdamW(network.train().parameters(), lr=0.02)
    for _ in range(25):
        loss = torch.nn.functional.cross_entropy(network(views, rigid_matrices(), shape), target, weight=weights)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    score = network(views, rigid_matrices(), shape).softmax(1)[0, 1]
    assert target[0][brightest(score)] == 1
    assert loss.item() < 0.2


def rigid_matrices() -> torch.Tensor:
    return torch.from_numpy(rigid.from_rotation_translation(np.eye(3), np.zeros(3))[:3]).float().expand(1, 2, 3, 4)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"encoder_strides": (2, 2)}, "3 encoder_widths and 2 encoder_strides"),
        ({"samples_per_voxel": 3}, "3 samples a voxel"),
        ({"samples_per_voxel": 16}, "16 samples a voxel"),
        ({"decoder_widths": (4,)}, "1 decoder_widths"),
    ],
)
def test_settings_that_do_not_fit_together(changed, message):
    with pytest.raises(InputError, match=message):
        PermuteConcat(2, **{**PERMUTE, **changed})
