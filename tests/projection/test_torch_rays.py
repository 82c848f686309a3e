"""Both torch renderers are differentiable with respect to pose, intrinsics and attenuation, at the identity too."""

import numpy as np
import pytest
import torch

from drrkit.errors import InputError
from drrkit.geometry import rigid
from drrkit.geometry.camera import Camera
from drrkit.projection import diffdrr, nanodrr, siddon, torch_rays

SIZE = (9, 11)
DISTANCE_MM = 900.0


@pytest.fixture(params=[diffdrr, nanodrr], ids=["diffdrr", "nanodrr"])
def library(request):
    return request.param


@pytest.fixture(scope="module")
def scene(smooth_attenuation):
    """Attenuation in float64, ahead of a camera whose pose is the identity, and its intrinsics."""
    attenuation = torch.from_numpy(smooth_attenuation[2:20, 3:24, 4:28]).double()
    world_from_voxel = rigid.exp([0.4, -0.2, 0.7, 0.0, 0.0, 0.0]) @ np.diag([1.0, 1.2, 1.5, 1.0])
    world_from_voxel[:3, 3] = np.array([2.0, -3.0, 600.0]) - world_from_voxel[:3, :3] @ [11.5, 10.0, 8.5]
    intrinsics = np.array([[280.0, 1.0, 5.4], [0.0, 250.0, 3.7], [0.0, 0.0, 1.0]])
    return attenuation, np.linalg.inv(world_from_voxel), torch.from_numpy(intrinsics)


def twisted(twist, pose=None):
    """The pose after a small rigid motion of the camera, by torch's own matrix exponential."""
    x, y, z, *translation = twist
    zero = torch.zeros_like(x)
    rows = [[zero, -z, y, translation[0]], [z, zero, -x, translation[1]], [-y, x, zero, translation[2]], [zero] * 4]
    motion = torch.linalg.matrix_exp(torch.stack([torch.stack(row) for row in rows]))
    return motion if pose is None else motion @ pose


def weights(count=1):
    return torch.from_numpy(np.random.default_rng(0).normal(size=(count, *SIZE)))


TURNED = torch.from_numpy(
    rigid.compose(
        rigid.from_rotation_translation(np.eye(3), [2.0, -3.0, 600.0]),
        rigid.exp([0.5, 1.1, -0.8, 0.0, 0.0, 0.0]),
        rigid.from_rotation_translation(np.eye(3), [-2.0, 3.0, -600.0]),
    )
)


@pytest.mark.parametrize("pose", [None, TURNED], ids=["identity", "turned"])
def test_pose_gradients_match_finite_differences(library, scene, pose):
    attenuation, voxel_from_world, intrinsics = scene

    def loss(twist):
        images = library.line_integrals(
            attenuation, voxel_from_world, twisted(twist, pose)[None], intrinsics, DISTANCE_MM, SIZE
        )
        return (images * weights()).sum()

    twist = torch.zeros(6, dtype=torch.float64, requires_grad=True)
    value = loss(twist)
    value.backward()
    assert torch.isfinite(value)
    assert twist.grad is not None
    assert torch.isfinite(twist.grad).all()
    # So short that hardly a sample crosses into the next voxel, where interpolation has a kink.
    steps = torch.diag(torch.tensor([1e-8] * 3 + [1e-6] * 3, dtype=torch.float64))
    with torch.no_grad():
        differences = torch.stack([(loss(step) - loss(-step)) / (2 * step.sum()) for step in steps])
    assert (twist.grad.abs() > 1e-4).all()
    torch.testing.assert_close(twist.grad, differences, rtol=1e-4, atol=1e-5)


def test_intrinsics_gradients_match_finite_differences(library, scene):
    attenuation, voxel_from_world, intrinsics = scene

    def loss(change, distance_mm):
        pose = torch.eye(4, dtype=torch.float64)[None]
        images = library.line_integrals(attenuation, voxel_from_world, pose, intrinsics + change, distance_mm, SIZE)
        return (images * weights()).sum()

    change = torch.zeros((3, 3), dtype=torch.float64, requires_grad=True)
    distance_mm = torch.tensor(DISTANCE_MM, dtype=torch.float64, requires_grad=True)
    loss(change, distance_mm).backward()
    with torch.no_grad():
        for row, column in [(0, 0), (1, 1), (0, 1), (0, 2), (1, 2)]:
            step = torch.zeros((3, 3), dtype=torch.float64)
            step[row, column] = 1e-5
            difference = (loss(step, distance_mm) - loss(-step, distance_mm)) / 2e-5
            assert change.grad[row, column].item() == pytest.approx(difference.item(), rel=0.01)
    # The detector lies behind the volume: moving it along the rays changes no integral.
    assert abs(distance_mm.grad.item()) < 1e-9


def test_the_attenuation_gradient_is_the_adjoint(library, scene):
    attenuation, voxel_from_world, intrinsics = scene
    pose = torch.eye(4, dtype=torch.float64)[None]
    leaf = attenuation.clone().requires_grad_()
    images = library.line_integrals(leaf, voxel_from_world, pose, intrinsics, DISTANCE_MM, SIZE)
    (images * weights()).sum().backward()
    assert leaf.grad is not None
    other = torch.rand(attenuation.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    projected = library.line_integrals(other, voxel_from_world, pose, intrinsics, DISTANCE_MM, SIZE)
    torch.testing.assert_close((leaf.grad * other).sum(), (projected * weights()).sum())


def test_bands_change_neither_images_nor_gradients(library, scene, monkeypatch):
    attenuation, voxel_from_world, intrinsics = scene
    poses = torch.stack([torch.eye(4, dtype=torch.float64), TURNED]).requires_grad_()

    def images_and_gradient():
        poses.grad = None
        images = library.line_integrals(attenuation, voxel_from_world, poses, intrinsics, DISTANCE_MM, SIZE)
        (images * weights(2)).sum().backward()
        return images.detach(), poses.grad

    whole = images_and_gradient()
    counts = []
    sampled = torch.nn.functional.grid_sample

    def count_samples(*volume_and_grid, **options):
        counts.append([*volume_and_grid, options.get("grid")][-1 if "grid" in options else 1].shape[:-1].numel())
        return sampled(*volume_and_grid, **options)

    samples = torch_rays.samples_along(attenuation.shape)
    monkeypatch.setattr(torch_rays, "CPU_SAMPLES_AT_ONCE", 14 * samples)
    for module in ("diffdrr.renderers.grid_sample", "nanodrr.drr.backends.F.grid_sample"):
        monkeypatch.setattr(module, count_samples)
    banded = images_and_gradient()
    assert max(counts) <= 14 * samples
    assert len(counts) >= 2 * 99 // 14
    torch.testing.assert_close(banded, whole)


def test_each_pose_may_have_its_own_intrinsics(library, scene):
    attenuation, voxel_from_world, intrinsics = scene
    other = intrinsics.clone()
    other[0, 2] += 1.5
    poses = torch.stack([torch.eye(4, dtype=torch.float64), TURNED])
    both = library.line_integrals(
        attenuation, voxel_from_world, poses, torch.stack([intrinsics, other]), torch.tensor([900.0, 800.0]), SIZE
    )
    for number, (matrix, distance_mm) in enumerate([(intrinsics, 900.0), (other, 800.0)]):
        alone = library.line_integrals(
            attenuation, voxel_from_world, poses[number : number + 1], matrix, distance_mm, SIZE
        )
        torch.testing.assert_close(both[number], alone[0], rtol=1e-4, atol=1e-6)


def test_tensors_and_cameras_are_the_same_view(library, scene):
    attenuation, voxel_from_world, intrinsics = scene
    spacing_mm = (DISTANCE_MM / 250.0, DISTANCE_MM / 280.0)
    camera = Camera(intrinsics.numpy(), TURNED.numpy(), *SIZE, spacing_mm)
    by_tensors = library.line_integrals(attenuation, voxel_from_world, TURNED[None], intrinsics, DISTANCE_MM, SIZE)
    array = attenuation.float().numpy()
    by_camera = library.project(array, voxel_from_world, [camera], "cpu")
    np.testing.assert_allclose(by_camera, by_tensors.numpy(), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(
        by_camera, siddon.project(array, voxel_from_world, [camera]), atol=0.05 * by_camera.max()
    )


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
def test_a_gpu_makes_the_same_images_and_gradients(library, scene):
    attenuation, voxel_from_world, intrinsics = scene
    results = []
    for device in ("cpu", "cuda"):
        pose = torch.stack([torch.eye(4, dtype=torch.float64), TURNED]).to(device).requires_grad_()
        images = library.line_integrals(
            attenuation.float().to(device), voxel_from_world, pose, intrinsics.to(device), DISTANCE_MM, SIZE
        )
        (images * weights(2).to(images)).sum().backward()
        results.append((images.detach().cpu(), pose.grad.cpu()))
    torch.testing.assert_close(results[1][0], results[0][0], rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(results[1][1], results[0][1], rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("device", ["gpu", "cuda:77", "magic:0"])
def test_devices_that_are_not_here_are_refused(device):
    with pytest.raises(InputError, match=device):
        torch_rays.check_device(device)
