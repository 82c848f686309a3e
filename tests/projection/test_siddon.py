"""The exact renderer gives every voxel its chord, from any side, at any affine."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drrkit.geometry import rigid
from drrkit.geometry.camera import Camera
from drrkit.geometry.carm import CArm
from drrkit.projection.siddon import project


def chords_mm(box_from_world, source, targets, lowest, highest):
    """Lengths in mm inside an axis-aligned box of another frame, by slabs; the source and the targets end the rays."""
    start, ends = rigid.apply(box_from_world, source), rigid.apply(box_from_world, targets)
    with np.errstate(divide="ignore"):
        crossings = (np.stack([lowest, highest])[:, None] - start) / (ends - start)
    entry = crossings.min(axis=0).max(axis=-1).clip(0, 1)
    exit_ = crossings.max(axis=0).min(axis=-1).clip(0, 1)
    return (exit_ - entry).clip(0) * np.linalg.norm(targets - source, axis=-1)


def targets_world(camera):
    v, u = np.mgrid[: camera.height, : camera.width]
    corner, u_step, v_step = camera.detector_frame_world()
    return (corner + u[..., None] * u_step + v[..., None] * v_step).reshape(-1, 3)


def slow_reference(attenuation, voxel_from_world, camera):
    """Siddon as published, one ray at a time, in float64: sort all crossings, look up the middle of each piece."""
    counts = np.array(attenuation.shape[::-1])
    source = rigid.apply(voxel_from_world, camera.source_world)
    image = []
    for target_world in targets_world(camera):
        ray = rigid.apply(voxel_from_world, target_world) - source
        crossings = [np.array([0.0, 1.0])]
        for axis in range(3):
            if ray[axis] != 0:
                crossings.append((np.arange(counts[axis] + 1) - 0.5 - source[axis]) / ray[axis])
        alphas = np.sort(np.concatenate(crossings).clip(0, 1))
        middles = source + np.outer((alphas[1:] + alphas[:-1]) / 2, ray)
        indices = np.floor(middles + 0.5).astype(int)
        inside = ((indices >= 0) & (indices < counts)).all(axis=1)
        x, y, z = indices[inside].T
        pieces = np.diff(alphas)[inside] * np.linalg.norm(target_world - camera.source_world)
        image.append((attenuation[z, y, x].astype(np.float64) * pieces).sum())
    return np.array(image).reshape(camera.height, camera.width)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1))
def test_any_volume_and_any_view_match_the_slow_reference(seed):
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(1, 12, 3))
    attenuation = rng.random(shape, dtype=np.float32) * (rng.random(shape) < 0.7)
    world_from_voxel = rigid.exp(rng.normal(size=6)) @ np.diag([*rng.uniform(0.4, 3, 3), 1])
    if rng.random() < 0.5:
        world_from_voxel[:3, 0] *= -1
    center = rigid.apply(world_from_voxel, (np.array(shape[::-1]) - 1) / 2)
    # Some sources lie in the volume, and some detectors too.
    distance_mm, detector_mm = rng.choice([1.0, 60.0, 500.0]), rng.choice([5.0, 60.0, 900.0])
    pose = rigid.exp([*rng.normal(size=3), 0, 0, 0])
    pose[:3, 3] = [*rng.normal(size=2), distance_mm] - pose[:3, :3] @ center
    spacing_mm = detector_mm / distance_mm * 15 / 9
    focal = detector_mm / spacing_mm
    intrinsics = np.array([[rng.choice([-1, 1]) * focal, rng.normal(), 4.2], [0, focal, 3.1], [0, 0, 1]])
    camera = Camera(intrinsics, pose, 8, 9, (spacing_mm, spacing_mm))
    voxel_from_world = np.linalg.inv(world_from_voxel)
    expected = slow_reference(attenuation, voxel_from_world, camera)
    found = project(attenuation, voxel_from_world, [camera])[0]
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-7 * expected.max() + 1e-12)


def test_one_voxel_casts_its_chord(world_from_voxel, camera):
    attenuation = np.zeros((24, 28, 32), np.float32)
    attenuation[9, 17, 20] = 1
    voxel = np.array([20, 17, 9])
    voxel_from_world = np.linalg.inv(world_from_voxel)
    detail = _close_up(camera, rigid.apply(world_from_voxel, voxel))
    found = project(attenuation, voxel_from_world, [detail])[0]
    expected = chords_mm(voxel_from_world, detail.source_world, targets_world(detail), voxel - 0.5, voxel + 0.5)
    assert (expected > 0).sum() > 50
    np.testing.assert_allclose(found.ravel(), expected, atol=2e-6)


def test_a_homogeneous_box_casts_its_thickness(world_from_voxel, camera):
    attenuation = np.full((24, 28, 32), 0.02, np.float32)
    voxel_from_world = np.linalg.inv(world_from_voxel)
    found = project(attenuation, voxel_from_world, [camera])[0]
    lowest, highest = np.full(3, -0.5), np.array([31.5, 27.5, 23.5])
    expected = 0.02 * chords_mm(voxel_from_world, camera.source_world, targets_world(camera), lowest, highest)
    assert (expected > 0.2).mean() > 0.05
    np.testing.assert_allclose(found.ravel(), expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(("primary_deg", "secondary_deg"), [(0, 0), (90, 0), (180, 0), (-90, 0), (0, 90), (0, -90)])
def test_rays_along_an_axis_read_one_row_of_voxels(primary_deg, secondary_deg):
    attenuation = np.random.default_rng(2).random((5, 7, 9), dtype=np.float32)
    carm = CArm(1000.0, 600.0, 3, 3, (1.0, 1.0))
    camera = carm.camera(primary_deg, secondary_deg, 0.0, (4.0, 3.0, 2.0))
    central = project(attenuation, np.eye(4), [camera])[0][1, 1]
    rows = {(0, 0): attenuation[2, :, 4], (90, 0): attenuation[2, 3, :], (0, 90): attenuation[:, 3, 4]}
    expected = rows[(abs(primary_deg) % 180, abs(secondary_deg))].sum()
    assert central == pytest.approx(expected, rel=1e-6)


def test_rays_in_a_face_are_counted_once():
    attenuation = np.zeros((4, 4, 4), np.float32)
    attenuation[:, :, :2], attenuation[:, :, 2:] = 1, 3
    face = CArm(1000.0, 600.0, 1, 1, (1.0, 1.0)).camera(0.0, 0.0, 0.0, (1.5, 1.5, 1.5))
    assert project(attenuation, np.eye(4), [face])[0].item() == pytest.approx(4 * 3)
    right_side = CArm(1000.0, 600.0, 1, 1, (1.0, 1.0)).camera(0.0, 0.0, 0.0, (3.5, 0.5, 0.5))
    assert project(attenuation, np.eye(4), [right_side])[0].item() == 0


def test_integrals_are_linear(world_from_voxel, camera, smooth_attenuation):
    other = np.random.default_rng(1).random(smooth_attenuation.shape, dtype=np.float32)
    voxel_from_world = np.linalg.inv(world_from_voxel)
    one, two, both = (
        project(volume, voxel_from_world, [camera])[0]
        for volume in (smooth_attenuation, other, 2 * smooth_attenuation - other)
    )
    np.testing.assert_allclose(both, 2 * one - two, atol=2e-5 * np.abs(two).max())


def test_strided_volumes_are_read_as_they_are_indexed(smooth_attenuation):
    camera = CArm(1000.0, 700.0, 20, 20, (2.0, 2.0)).camera(20.0, 5.0, 0.0, (16.0, 14.0, 12.0))
    turned = smooth_attenuation[:, ::-1].transpose(2, 1, 0)
    assert not turned.flags.c_contiguous
    np.testing.assert_array_equal(
        project(turned, np.eye(4), [camera]), project(np.ascontiguousarray(turned), np.eye(4), [camera])
    )


def _close_up(camera: Camera, point_world) -> Camera:
    """The same source, with fine pixels about a point."""
    u, v = camera.project(point_world)
    zoom = 12
    warp = np.array([[zoom, 0, 20 - zoom * u], [0, zoom, 20 - zoom * v], [0, 0, 1]])
    return camera.warped(warp, 41, 41)
