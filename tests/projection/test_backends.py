"""The contract that every registered backend keeps: rays, frames, ends, zeros."""

import numpy as np
import pytest
from scipy.ndimage import zoom

from drrkit.errors import InputError
from drrkit.geometry import rigid
from drrkit.geometry.camera import Camera
from drrkit.geometry.carm import CArm
from drrkit.projection.renderer import BACKENDS, TORCH_BACKENDS, Prepared, prepare, project, render
from drrkit.volume import Volume

EXACT = "siddon"
SHAPE = (24, 28, 32)


@pytest.fixture(params=BACKENDS)
def backend(request):
    return request.param


def ncc(one, two):
    return np.corrcoef(one.ravel(), two.ravel())[0, 1]


BALL_VOXEL, BALL_RADIUS_MM = np.array([17.3, 12.8, 10.4]), 3.0


@pytest.fixture(scope="module")
def ball(world_from_voxel) -> Prepared:
    """A ball with partial volumes, by eight by eight by eight points a voxel."""
    offsets = (np.arange(8) + 0.5) / 8 - 0.5
    x, y, z = ((np.arange(count)[:, None] + offsets).ravel() for count in SHAPE[::-1])
    linear = world_from_voxel[:3, :3]
    points = [np.subtract.outer(axis, BALL_VOXEL[number]) for number, axis in enumerate((x, y, z))]
    world = [
        linear[row, 0] * points[0] + linear[row, 1] * points[1][:, None] + linear[row, 2] * points[2][:, None, None]
        for row in range(3)
    ]
    inside = world[0] ** 2 + world[1] ** 2 + world[2] ** 2 < BALL_RADIUS_MM**2
    parts = inside.reshape(SHAPE[0], 8, SHAPE[1], 8, SHAPE[2], 8).mean(axis=(1, 3, 5))
    return Prepared(parts.astype(np.float32), np.linalg.inv(world_from_voxel))


def test_a_ball_lands_where_its_center_projects(backend, ball, world_from_voxel, camera):
    """Each pixel is the mean of four by four rays: single rays see the steps of voxels taken as boxes."""
    center_world = rigid.apply(world_from_voxel, BALL_VOXEL)
    left, top = camera.project(center_world).round().astype(int) - 11
    near = camera.cropped(int(top), int(left), 24, 24)
    rays = project(ball, [near.resized(96, 96)], backend=backend)[0].astype(np.float64)
    image = rays.reshape(24, 4, 24, 4).mean(axis=(1, 3))
    v, u = np.indices(image.shape)
    centroid = np.array([(image * u).sum(), (image * v).sum()]) / image.sum()
    np.testing.assert_allclose(centroid + np.array([left, top]), camera.project(center_world), atol=0.1)
    # Mass is kept as well: the ball's volume, magnified onto the detector.
    scale = camera.depth_mm(center_world) / camera.source_to_detector_mm
    volume_mm3 = image.sum() * np.prod(camera.pixel_spacing_mm) * scale**2
    assert volume_mm3 == pytest.approx(4 / 3 * np.pi * BALL_RADIUS_MM**3, rel=0.04)


def test_left_is_left_and_head_is_up(backend):
    """Three markers of different strength in a patient: at the right side, at the head, at the front."""
    hu = np.full((25, 25, 25), -1000, np.int16)
    affine = np.diag([4.0, 4.0, 4.0, 1.0])  # LPS: x to the left, y to the back, z to the head
    affine[:3, 3] = -48.0
    markers = {"right": (2, 12, 12), "head": (12, 12, 22), "front": (12, 2, 12)}
    for x, y, z in markers.values():
        hu[z - 1 : z + 2, y - 1 : y + 2, x - 1 : x + 2] = 1500
    volume = Volume(hu, affine)
    carm = CArm(1000.0, 600.0, 41, 41, (5.0, 5.0))

    def offset_px(primary_deg, secondary_deg, marker):
        """Offset in (u, v) of one marker from the image center."""
        alone = hu.copy()
        for other in set(markers) - {marker}:
            x, y, z = markers[other]
            alone[z - 1 : z + 2, y - 1 : y + 2, x - 1 : x + 2] = -1000
        view = carm.camera(primary_deg, secondary_deg)
        image = render(Volume(alone, volume.world_from_voxel), view, backend=backend, device="cpu").pixels
        v, u = np.indices(image.shape)
        return np.array([(image * u).sum(), (image * v).sum()]) / image.sum() - 20

    # AP, the source behind the patient: the right side on the right, the head up.
    assert offset_px(0, 0, "right")[0] > 8
    assert offset_px(0, 0, "head")[1] < -8
    # The detector at the patient's left, seen from the right: the front on the right.
    assert offset_px(90, 0, "front")[0] > 8
    assert offset_px(90, 0, "head")[1] < -8
    # Seen from the front: the right side on the left.
    assert offset_px(180, 0, "right")[0] < -8
    # The detector tilted to the head, the source below: what is in front appears lower.
    assert offset_px(0, 30, "front")[1] > 4
    assert offset_px(0, -30, "front")[1] < -4


def test_backends_agree_on_smooth_volumes(backend, world_from_voxel, camera, smooth_attenuation):
    finer = zoom(smooth_attenuation, 4, order=1, grid_mode=True, mode="nearest")
    coarse = camera.resized(28, 32)
    voxel_from_finer = np.diag([0.25, 0.25, 0.25, 1.0])
    voxel_from_finer[:3, 3] = -0.375
    prepared = Prepared(finer, np.linalg.inv(world_from_voxel @ voxel_from_finer))
    exact, found = (project(prepared, [coarse], backend=name)[0] for name in (EXACT, backend))
    assert exact.max() > 0.1
    assert ncc(exact, found) > 0.999
    assert found.sum() == pytest.approx(exact.sum(), rel=0.005)


# Bone has edges as sharp as voxels, where boxes and interpolation differ.
@pytest.mark.parametrize(("tissue", "at_least"), [("full", 0.999), ("bone", 0.997)])
@pytest.mark.parametrize("angles", [(0, 0), (90, 0), (40, -15)])
def test_backends_agree_on_a_real_ct(backend, real_prepared, tissue, at_least, angles):
    prepared, center = real_prepared(tissue)
    camera = CArm(1020.0, 700.0, 40, 40, (10.0, 10.0)).camera(*angles, isocenter_world=center)
    exact, found = (project(prepared, [camera], backend=name)[0] for name in (EXACT, backend))
    assert exact.max() > 1
    assert ncc(exact, found) > at_least


@pytest.fixture(scope="module")
def real_prepared(real_ct):
    prepared = {tissue: prepare(real_ct, tissue) for tissue in ("full", "bone")}
    return lambda tissue: (prepared[tissue], real_ct.center_world)


def test_batches_are_their_views_in_order(backend, smooth_attenuation):
    views = [CArm(1000.0, 700.0, 12, 15, (4.0, 4.0)).camera(angle, 3.0) for angle in (0, 50, 110)]
    prepared = _about_origin(smooth_attenuation)
    batch = project(prepared, views, backend=backend)
    assert batch.shape == (3, 12, 15)
    assert batch.dtype == np.float32
    assert len({image.tobytes() for image in batch}) == 3
    for view, image in zip(views, batch, strict=True):
        np.testing.assert_allclose(project(prepared, [view], backend=backend)[0], image, atol=1e-5)


def test_a_source_inside_sees_only_what_lies_ahead(backend):
    uniform = _about_origin(np.full(SHAPE, 0.01, np.float32))
    camera = _looking_along_x(source_x_mm=4.0, source_to_detector_mm=500.0)
    # 16 voxels of 1 mm reach from the origin to the side; interpolation blurs the side, not what it adds up to.
    assert project(uniform, [camera], backend=backend)[0, 0, 0] == pytest.approx(0.01 * (16 - 4), rel=0.01)


def test_rays_end_at_the_detector(backend):
    uniform = _about_origin(np.full(SHAPE, 0.01, np.float32))
    camera = _looking_along_x(source_x_mm=-500.0, source_to_detector_mm=507.0)
    assert project(uniform, [camera], backend=backend)[0, 0, 0] == pytest.approx(0.01 * (16 + 7), rel=0.01)


@pytest.mark.parametrize("where", ["behind the source", "behind the detector", "beside the beam", "no voxel"])
def test_nothing_in_the_beam_is_exactly_zero(backend, where):
    values = np.full(SHAPE, 0.0 if where == "no voxel" else 0.02, np.float32)
    carm = CArm(1000.0, 700.0, 9, 9, (2.0, 2.0))
    isocenter = {
        "behind the source": (0.0, -900.0, 0.0),
        "behind the detector": (0.0, 500.0, 0.0),
        "beside the beam": (100.0, 0.0, 0.0),
        "no voxel": (0.0, 0.0, 0.0),
    }[where]
    images = project(_about_origin(values), [carm.camera(0.0, 0.0, 0.0, isocenter)], backend=backend)
    np.testing.assert_array_equal(images, 0)


def test_attenuation_doubles_the_image(backend, smooth_attenuation):
    view = CArm(1000.0, 700.0, 12, 15, (4.0, 4.0)).camera(20.0, 3.0)
    once, twice = (
        project(_about_origin(factor * smooth_attenuation), [view], backend=backend) for factor in (1.0, 2.0)
    )
    np.testing.assert_allclose(twice, 2 * once, rtol=1e-5)


def test_a_mirrored_camera_makes_the_mirrored_image(backend, smooth_attenuation):
    view = CArm(1000.0, 700.0, 12, 15, (4.0, 4.0), (4.0, 6.5)).camera(20.0, 3.0, 30.0)
    prepared = _about_origin(smooth_attenuation)
    straight, mirrored, turned = (
        project(prepared, [camera], backend=backend)[0]
        for camera in (view, view.flipped_horizontally(), view.rotated90())
    )
    np.testing.assert_allclose(mirrored, straight[:, ::-1], atol=1e-5)
    np.testing.assert_allclose(turned, np.rot90(straight), atol=1e-5)


def test_every_backend_has_a_door_of_its_own(backend):
    name, device = BACKENDS[backend].__name__.removeprefix("_"), "cpu"
    assert name == backend
    assert (backend in TORCH_BACKENDS) == (backend in ("diffdrr", "nanodrr"))
    with pytest.raises(InputError, match="device"):
        project(_about_origin(np.zeros(SHAPE, np.float32)), [_looking_along_x(-500, 900)], backend=backend, device="x")
    images = project(
        _about_origin(np.ones(SHAPE, np.float32)), [_looking_along_x(-500, 900)], backend=backend, device=device
    )
    assert images.item() > 0


def _about_origin(attenuation) -> Prepared:
    """Voxels of 1 mm about the world's origin."""
    affine = np.eye(4)
    affine[:3, 3] = (np.array(attenuation.shape[::-1]) - 1) / 2
    return Prepared(np.ascontiguousarray(attenuation, np.float32), affine)


def _looking_along_x(source_x_mm: float, source_to_detector_mm: float) -> Camera:
    """One ray along +x through the origin."""
    rotation = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]])
    pose = rigid.from_rotation_translation(rotation, -rotation @ [source_x_mm, 0.0, 0.0])
    intrinsics = np.array([[source_to_detector_mm, 0, 0], [0, source_to_detector_mm, 0], [0, 0, 1.0]])
    return Camera(intrinsics, pose, 1, 1, (1.0, 1.0))
