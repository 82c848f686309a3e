from itertools import pairwise

import numpy as np
import pytest

from drrkit.errors import InputError
from drrkit.geometry.camera import Camera
from drrkit.geometry.presets import PRESETS
from drrkit.radiograph import Radiograph
from reconstruction.grid import Grid
from reconstruction.model import ViewWindow
from reconstruction.views import mirrored_views, normalized, prepare_views

CENTER = np.array([12.0, -7.0, -310.0])
GRID = Grid.centered(CENTER, (24, 16, 16), 4.0)
WINDOW = ViewWindow((96, 80), 1.5)
BALL_MM = 6.0
OFFSET_MM = np.array([10.0, -8.0, 17.0])
CHANGES = {
    "as it is": lambda camera: camera,
    "mirrored": Camera.flipped_horizontally,
    "on its head": Camera.flipped_vertically,
    "on its side": lambda camera: camera.rotated90(1),
    "mirrored and on its side": lambda camera: camera.rotated90(3).flipped_horizontally(),
    "rolled by 20 degrees": lambda camera: camera.rotated(20.0),
}


def small_camera(name: str = "siemens-cios-spin", size_px: int = 640, primary_deg: float = 35.0) -> Camera:
    return PRESETS[name].camera(primary_deg, 12.0, 0.0, CENTER + np.array([9.0, 4.0, -6.0])).resized(size_px, size_px)


def ball_image(camera: Camera, center_world, radius_mm: float = BALL_MM) -> Radiograph:
    """Chords of the rays through a ball: its exact line integrals."""
    v, u = np.mgrid[: camera.height, : camera.width]
    directions = camera.rays(np.stack([u, v], axis=-1))
    to_center = np.asarray(center_world) - camera.source_world
    nearest = np.linalg.norm(np.cross(directions, to_center), axis=-1)
    chords = 2 * np.sqrt(np.clip(radius_mm**2 - nearest**2, 0, None))
    return Radiograph(chords.astype(np.float32), "line_integral", camera)


def centroid(pixels) -> np.ndarray:
    v, u = np.indices(pixels.shape)
    return np.array([(u * pixels).sum(), (v * pixels).sum()]) / pixels.sum()


def ball_centroid(camera: Camera, point) -> np.ndarray:
    """Where the centroid of a ball's shadow is; an ellipse is a little off the projection of its center."""
    fine = camera.resized(4 * camera.height, 4 * camera.width)
    return (centroid(ball_image(fine, point).pixels) - 1.5) / 4


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("size_px", [256, 1024])
def test_a_ball_appears_where_the_windows_camera_projects_it(name, size_px):
    point = CENTER + OFFSET_MM
    camera = small_camera(name, size_px)
    prepared = prepare_views([ball_image(camera, point)], GRID, WINDOW)
    assert prepared.images.shape == (1, 1, 96, 80)
    window = prepared.cameras[0]
    assert (window.height, window.width) == WINDOW.size_px
    assert centroid(prepared.images[0, 0]) == pytest.approx(ball_centroid(window, point), abs=0.05)
    assert centroid(prepared.images[0, 0]) == pytest.approx(window.project(point), abs=0.1)


@pytest.mark.parametrize("change", CHANGES)
def test_turned_and_mirrored_images_come_upright(change):
    point = CENTER + OFFSET_MM
    camera = CHANGES[change](small_camera())
    prepared = prepare_views([ball_image(camera, point)], GRID, WINDOW)
    window = prepared.cameras[0]
    assert centroid(prepared.images[0, 0]) == pytest.approx(ball_centroid(window, point), abs=0.05)
    assert not window.is_mirrored
    (_, foot), (_, head) = window.project(np.stack([CENTER, CENTER + 20.0 * np.eye(3)[2]]))
    assert head < foot - 10
    if change != "rolled by 20 degrees":
        plain = prepare_views([ball_image(small_camera(), point)], GRID, WINDOW)
        assert window.project(point) == pytest.approx(plain.cameras[0].project(point), abs=0.75)


def test_the_window_has_its_pixel_size_and_its_middle_at_the_grids_middle():
    for size_px in (300, 777):
        prepared = prepare_views([ball_image(small_camera(size_px=size_px), CENTER)], GRID, WINDOW)
        camera = prepared.cameras[0]
        middle = camera.project(CENTER)
        assert np.abs(middle - [39.5, 47.5]).max() <= 0.51
        pixel_mm = camera.depth_mm(CENTER) / np.abs(np.diag(camera.pixel_from_camera)[:2])
        assert pixel_mm == pytest.approx([1.5, 1.5], rel=0.01)


def test_the_matrices_project_voxels():
    grid = Grid.centered(CENTER, (5, 7, 9), 3.0, np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0])
    radiographs = [ball_image(small_camera(primary_deg=angle), CENTER) for angle in (0.0, 90.0)]
    prepared = prepare_views(radiographs, grid, WINDOW)
    voxel = np.array([2.0, 6.0, 1.0, 1.0])
    point = (grid.world_from_grid @ voxel)[:3]
    for matrix, camera in zip(prepared.pixel_from_grid, prepared.cameras, strict=True):
        u, v, depth_mm = matrix @ voxel
        assert depth_mm == pytest.approx(camera.depth_mm(point), rel=1e-5)
        assert [u / depth_mm, v / depth_mm] == pytest.approx(camera.project(point), abs=1e-3)


def test_a_mirrored_voxel_falls_on_the_mirrored_pixel():
    grid = Grid.centered(CENTER, (5, 7, 9), 3.0)
    radiographs = [ball_image(small_camera(primary_deg=angle), CENTER + OFFSET_MM) for angle in (0.0, 40.0)]
    prepared = prepare_views(radiographs, grid, WINDOW)
    mirrored = mirrored_views(prepared, grid.shape[2])
    columns = WINDOW.size_px[1]
    voxel, opposite = np.array([2.0, 6.0, 1.0, 1.0]), np.array([6.0, 6.0, 1.0, 1.0])
    for matrix, other in zip(prepared.pixel_from_grid, mirrored.pixel_from_grid, strict=True):
        u, v, depth_mm = matrix @ voxel
        assert other @ opposite == pytest.approx([(columns - 1) * depth_mm - u, v, depth_mm], rel=1e-4)
    np.testing.assert_array_equal(mirrored.images[..., 0], prepared.images[..., -1])
    twice = mirrored_views(mirrored, grid.shape[2])
    np.testing.assert_array_equal(twice.images, prepared.images)
    np.testing.assert_allclose(twice.pixel_from_grid, prepared.pixel_from_grid, rtol=1e-5, atol=1e-2)
    assert [camera.is_mirrored for camera in mirrored.cameras] != [camera.is_mirrored for camera in prepared.cameras]


def test_a_window_that_is_the_image_stays_as_it_is():
    spacing_mm = 1.5 * 1000 / 600
    k = [[1000 / spacing_mm, 0, 39.5], [0, 1000 / spacing_mm, 47.5], [0, 0, 1]]
    pose = np.array([[1.0, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 600], [0, 0, 0, 1]])
    pose[:3, 3] -= pose[:3, :3] @ CENTER
    camera = Camera(np.array(k), pose, 96, 80, (spacing_mm, spacing_mm))
    pixels = np.random.default_rng(1).uniform(1, 2, (96, 80)).astype(np.float32)
    prepared = prepare_views([Radiograph(pixels, "line_integral", camera)], GRID, WINDOW)
    assert prepared.cameras[0].allclose(camera)
    np.testing.assert_allclose(prepared.images[0, 0], normalized(pixels), atol=1e-6)


def test_what_the_detector_does_not_show_is_zero():
    camera = small_camera().cropped(0, 0, 640, 330)
    pixels = np.full((640, 330), 2.0, np.float32)
    image = prepare_views([Radiograph(pixels, "line_integral", camera)], GRID, WINDOW).images[0, 0]
    assert (np.isclose(image, 1, atol=1e-5) | (image == 0)).all()
    assert 0.1 < (image == 0).mean() < 0.9


def test_one_scale_whatever_the_surroundings():
    rng = np.random.default_rng(2)
    bone = np.zeros((200, 200), np.float32)
    bone[50:150, 60:120] = rng.uniform(0.5, 3.0, (100, 60))
    image = normalized(bone)
    assert 0.98 < image.max() < 1.02
    assert (image == 0)[bone == 0].all()
    padded = normalized(np.pad(bone, 300))
    np.testing.assert_array_equal(padded[300:500, 300:500], image)
    for gain in (0.01, 40.0):
        np.testing.assert_allclose(normalized(np.float32(gain) * bone), image, rtol=1e-4)
    metal = bone.copy()
    metal[:3, :3] = 60.0
    assert 0.8 < normalized(metal)[100, 80] / image[100, 80] < 1.2
    tissue = normalized(bone + np.float32(4.0))
    assert 0.5 < tissue.min() < tissue.max() < 1.05


def test_pixels_outside_of_the_field_neither_count_nor_stay():
    pixels = np.full((20, 20), 2.0, np.float32)
    pixels[:, 10:] = 100.0
    field = np.zeros((20, 20), bool)
    field[:, :10] = True
    image = normalized(pixels, field)
    assert (image[:, :10] == 1).all()
    assert (image[:, 10:] == 0).all()


def test_an_image_of_nothing_stays_nothing():
    assert not normalized(np.zeros((9, 9), np.float32)).any()
    assert not normalized(np.ones((9, 9), np.float32), np.zeros((9, 9), bool)).any()


def test_bigger_balls_cast_bigger_shadows():
    sizes = [
        (prepare_views([ball_image(small_camera(), CENTER, radius)], GRID, WINDOW).images > 0.02).sum()
        for radius in (3.0, 6.0, 12.0)
    ]
    assert all(2.5 < larger / smaller < 4.5 for smaller, larger in pairwise(sizes))


@pytest.mark.parametrize(
    ("radiographs", "message"),
    [
        ([], "at least one radiograph"),
        ([Radiograph(np.zeros((4, 4), np.float32), "line_integral")], "no camera"),
        ([Radiograph(np.zeros((640, 640), np.float32), "display", small_camera())], "line integrals"),
        ([ball_image(small_camera().cropped(0, 0, 640, 60), CENTER)], "none of the grid"),
        (
            [
                ball_image(
                    PRESETS["siemens-cios-spin"].camera(0, 0, 0, CENTER - 900 * np.eye(3)[1]).resized(64, 64), CENTER
                )
            ],
            "grid",
        ),
    ],
)
def test_bad_views(radiographs, message):
    with pytest.raises(InputError, match=message):
        prepare_views(radiographs, GRID, WINDOW)
