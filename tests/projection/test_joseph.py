"""The interpolating renderer samples planes of voxel centers, falls off to zero outside, and ends where rays end."""

import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from drrkit.geometry import rigid
from drrkit.geometry.camera import Camera
from drrkit.geometry.carm import CArm
from drrkit.projection.joseph import project

CARM = CArm(1000.0, 600.0, 1, 1, (1.0, 1.0))


def along_y(x, z, source_y, detector_mm) -> Camera:
    """One ray from (x, source_y, z) toward smaller y, of a length in mm."""
    pose = CARM.camera(0.0, 0.0).camera_from_world.copy()
    pose[:3, 3] = -pose[:3, :3] @ [x, source_y, z]
    return Camera(np.array([[10.0, 0, 0], [0, 10.0, 0], [0, 0, 1]]), pose, 1, 1, (detector_mm / 10, detector_mm / 10))


def exact_along_y(attenuation, x, z, source_y, end_y):
    """Integral of what trilinear interpolation with zeros outside gives along y, on a fine grid."""
    padded = np.pad(attenuation.astype(np.float64), 1)
    x, z = x + 1, z + 1
    column = sum(
        (1 - abs(x - i)) * (1 - abs(z - k)) * padded[k, :, i]
        for i in (int(x), int(x) + 1)
        for k in (int(z), int(z) + 1)
        if i < padded.shape[2] and k < padded.shape[0]
    )
    y = np.linspace(end_y, source_y, 400_001)
    return np.trapezoid(np.interp(y, np.arange(-1, attenuation.shape[1] + 1), column, left=0, right=0), y)


@pytest.mark.parametrize(
    ("x", "z", "source_y", "length"),
    [
        (2.0, 1.0, 500.0, 1000.0),
        (2.25, 1.5, 500.0, 1000.0),
        (-0.5, 1.25, 500.0, 1000.0),
        (4.75, 2.9, 500.0, 1000.0),
        (2.25, 1.5, 3.3, 1000.0),
        (2.25, 1.5, 500.0, 497.4),
        (2.25, 1.5, 3.3, 0.25),
        (2.25, 1.5, 4.1, 2.9),
        (2.25, 1.5, -0.4, 800.0),
    ],
    ids=["centers", "between", "left border", "right border", "source inside", "detector inside", "both in one voxel",
         "both inside", "source in the border"],
)  # fmt: skip
def test_a_ray_along_an_axis_integrates_the_interpolation(x, z, source_y, length):
    attenuation = np.random.default_rng(3).random((4, 6, 5), dtype=np.float32)
    found = project(attenuation, np.eye(4), [along_y(x, z, source_y, length)]).item()
    expected = exact_along_y(attenuation, x, z, source_y, source_y - length)
    assert found == pytest.approx(expected, rel=1e-5)


def test_zeros_around_change_nothing(world_from_voxel, camera, smooth_attenuation):
    bare = smooth_attenuation[2:-2, 3:-3, 4:-4]
    padded = np.pad(bare, ((3, 0), (1, 4), (0, 5)))
    shifted = world_from_voxel.copy()
    shifted[:3, 3] -= world_from_voxel[:3, :3] @ [0, 1, 3]
    found = project(bare, np.linalg.inv(world_from_voxel), [camera])
    assert found.max() > 0.1
    np.testing.assert_allclose(project(padded, np.linalg.inv(shifted), [camera]), found, atol=1e-5 * found.max())


def slow_reference(attenuation, voxel_from_world, camera):
    """Joseph's sum, one ray at a time: bilinear samples at the planes of the principal axis, zeros outside."""
    padded = np.pad(attenuation.astype(np.float64), 2)
    v, u = np.mgrid[: camera.height, : camera.width]
    corner, u_step, v_step = camera.detector_frame_world()
    targets_world = (corner + u[..., None] * u_step + v[..., None] * v_step).reshape(-1, 3)
    source = rigid.apply(voxel_from_world, camera.source_world)
    image = []
    for target_world in targets_world:
        ray = rigid.apply(voxel_from_world, target_world) - source
        axis = np.abs(ray).argmax()
        planes = np.arange(attenuation.shape[2 - axis])
        x, y, z = (source + np.outer((planes - source[axis]) / ray[axis], ray)).T
        samples = map_coordinates(padded, np.stack([z, y, x]) + 2, order=1)
        image.append(samples.sum() * np.linalg.norm(target_world - camera.source_world) / abs(ray[axis]))
    return np.array(image).reshape(camera.height, camera.width)


def test_any_view_matches_the_slow_reference(world_from_voxel, camera):
    attenuation = np.random.default_rng(8).random((24, 28, 32), dtype=np.float32)
    small = camera.resized(14, 16)
    voxel_from_world = np.linalg.inv(world_from_voxel)
    expected = slow_reference(attenuation, voxel_from_world, small)
    assert (expected > 5).mean() > 0.05
    found = project(attenuation, voxel_from_world, [small])[0]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_a_single_slice_is_a_tent_one_voxel_to_either_side():
    attenuation = np.ones((1, 9, 9), np.float32)
    for z, share in [(0.0, 1.0), (0.5, 0.5), (-0.75, 0.25), (1.1, 0.0)]:
        assert project(attenuation, np.eye(4), [along_y(4.0, z, 500.0, 1000.0)]).item() == pytest.approx(9 * share)


@pytest.mark.parametrize("shape", [(1, 9, 9), (9, 1, 9), (9, 9, 1), (1, 1, 1)])
def test_thin_volumes_match_the_slow_reference(shape):
    attenuation = np.random.default_rng(4).random(shape, dtype=np.float32)
    center = (np.array(shape[::-1]) - 1) / 2
    for angles in [(0, 0), (30, 40), (90, 5), (45, 0), (0, 88)]:
        camera = CArm(1000.0, 600.0, 9, 9, (2.5, 2.5)).camera(*angles, 0.0, center)
        expected = slow_reference(attenuation, np.eye(4), camera)
        found = project(attenuation, np.eye(4), [camera])[0]
        assert expected.max() > 0.2
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
