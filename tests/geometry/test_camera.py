"""What a camera promises: P, rays, and that every change of the image is a change of K and pose that fits it."""

import json
import runpy

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skimage.transform import rotate

from drrkit.errors import InputError
from drrkit.geometry import camera as camera_module
from drrkit.geometry import rigid
from drrkit.geometry.camera import Camera
from drrkit.geometry.carm import rotation_from_angles

# As users have it: without the types that the test run checks first.
PlainCamera = runpy.run_path(camera_module.__file__)["Camera"]

POSE = rigid.from_rotation_translation(rotation_from_angles(20.0, 10.0, 5.0), [4.0, -3.0, 600.0])


def intrinsics(fx=2000.0, fy=1600.0, center_u=70.0, center_v=45.0, skew=0.0):
    return np.array([[fx, skew, center_u], [0.0, fy, center_v], [0.0, 0.0, 1.0]])


def a_camera(make=Camera, **changes) -> Camera:
    fields = {
        "pixel_from_camera": intrinsics(),
        "camera_from_world": POSE,
        "height": 96,
        "width": 144,
        "pixel_spacing_mm": (0.625, 0.5),
    }
    return make(**(fields | changes))


@st.composite
def cameras(draw) -> Camera:
    source_to_detector_mm = draw(st.floats(700, 1500))
    row_mm, column_mm = draw(st.floats(0.1, 3)), draw(st.floats(0.1, 3))
    height, width = draw(st.integers(8, 2000)), draw(st.integers(8, 2000))
    mirror = draw(st.sampled_from([1, -1]))
    matrix = intrinsics(
        mirror * source_to_detector_mm / column_mm,
        source_to_detector_mm / row_mm,
        draw(st.floats(-0.2, 1.2)) * width,
        draw(st.floats(-0.2, 1.2)) * height,
    )
    angles = [draw(st.floats(-180, 180)) for _ in range(3)]
    # Points of the tests lie within 100 mm of the origin: always between source and detector.
    translation = [draw(st.floats(-50, 50)), draw(st.floats(-50, 50)), draw(st.floats(300, 650))]
    pose = rigid.from_rotation_translation(rotation_from_angles(*angles), translation)
    return Camera(matrix, pose, height, width, (row_mm, column_mm))


points = st.lists(st.tuples(*[st.floats(-100, 100)] * 3), min_size=1, max_size=4).map(np.array)


# ---- matrices --------------------------------------------------------------------------------------------------------


def test_projection_matrix_is_k_times_r_t():
    camera = a_camera()
    point = np.array([10.0, 20.0, -30.0])
    in_camera = POSE[:3, :3] @ point + POSE[:3, 3]
    u = 2000.0 * in_camera[0] / in_camera[2] + 70.0
    v = 1600.0 * in_camera[1] / in_camera[2] + 45.0
    assert np.allclose(camera.project(point), [u, v])
    homogeneous = camera.pixel_from_world @ [*point, 1.0]
    assert np.allclose(homogeneous[:2] / homogeneous[2], [u, v])
    assert camera.depth_mm(point) == pytest.approx(in_camera[2])


def test_camera_frame_is_x_along_columns_y_down_rows_z_to_the_detector():
    camera = a_camera()
    origin, x_mm, y_mm, z_mm = np.eye(4)[3, :3], *np.eye(3) * 10
    on_axis, right, below = (
        camera.project(rigid.apply(camera.world_from_camera, offset + 50 * z_mm)) for offset in (origin, x_mm, y_mm)
    )
    assert np.allclose(on_axis, [70.0, 45.0])
    assert right[0] > on_axis[0]
    assert right[1] == pytest.approx(on_axis[1])
    assert below[1] > on_axis[1]
    assert np.allclose(camera.source_world, rigid.apply(camera.world_from_camera, origin))
    assert np.allclose(
        camera.view_direction_world, rigid.apply(camera.world_from_camera, z_mm / 10) - camera.source_world
    )


def test_source_to_detector_is_fx_times_column_spacing_and_fy_times_row_spacing():
    camera = a_camera()
    assert camera.source_to_detector_mm == pytest.approx(2000.0 * 0.5)
    assert camera.source_to_detector_mm == pytest.approx(1600.0 * 0.625)


def test_points_behind_the_source_project_to_nan():
    camera = a_camera()
    behind = camera.source_world - 5 * camera.view_direction_world
    ahead = camera.source_world + 5 * camera.view_direction_world
    pixels = camera.project(np.stack([behind, ahead, camera.source_world]))
    assert np.isnan(pixels[0]).all()
    assert np.allclose(pixels[1], [70.0, 45.0])
    assert np.isnan(pixels[2]).all()


def test_leading_axes_are_kept():
    camera = a_camera()
    grid = np.random.default_rng(1).uniform(-50, 50, (2, 3, 3))
    assert camera.project(grid).shape == (2, 3, 2)
    assert camera.depth_mm(grid).shape == (2, 3)
    assert camera.rays(camera.project(grid)).shape == (2, 3, 3)
    assert np.allclose(camera.project(grid)[1, 2], camera.project(grid[1, 2]))


@given(cameras(), points)
def test_rays_go_back_through_the_points(camera, world):
    directions = camera.rays(camera.project(world))
    away = world - camera.source_world
    assert np.allclose(directions, away / np.linalg.norm(away, axis=1, keepdims=True), atol=1e-9)


@given(cameras(), st.floats(-100, 3000), st.floats(-100, 3000))
def test_detector_frame_says_where_a_pixel_lies(camera, u, v):
    corner, u_step, v_step = camera.detector_frame_world()
    place = corner + u * u_step + v * v_step
    assert np.allclose(camera.project(place), [u, v], atol=1e-6)
    assert camera.depth_mm(place) == pytest.approx(camera.source_to_detector_mm, rel=1e-9)
    assert np.linalg.norm(u_step) == pytest.approx(camera.pixel_spacing_mm[1], rel=1e-9)
    assert np.linalg.norm(v_step) == pytest.approx(camera.pixel_spacing_mm[0], rel=1e-9)


# ---- the image changes, the camera follows ---------------------------------------------------------------------------

# Each: how the camera changes, and where a pixel (u, v) of an H x W image goes.
CHANGES = {
    "crop": (lambda c: c.cropped(3, 5, 4, 6), lambda u, v, h, w: (u - 5, v - 3)),
    "pad": (lambda c: c.cropped(-7, -2, c.height + 9, c.width + 4), lambda u, v, h, w: (u + 2, v + 7)),
    "double": (
        lambda c: c.resized(2 * c.height, 2 * c.width),
        lambda u, v, h, w: (2 * u + 0.5, 2 * v + 0.5),
    ),
    "resize": (
        lambda c: c.resized(5, 7),
        lambda u, v, h, w: ((u + 0.5) * 7 / w - 0.5, (v + 0.5) * 5 / h - 0.5),
    ),
    "flip horizontally": (lambda c: c.flipped_horizontally(), lambda u, v, h, w: (w - 1 - u, v)),
    "flip vertically": (lambda c: c.flipped_vertically(), lambda u, v, h, w: (u, h - 1 - v)),
    "rot90": (lambda c: c.rotated90(), lambda u, v, h, w: (v, w - 1 - u)),
    "rot90 back": (lambda c: c.rotated90(-1), lambda u, v, h, w: (h - 1 - v, u)),
    "half turn": (lambda c: c.rotated90(2), lambda u, v, h, w: (w - 1 - u, h - 1 - v)),
    "rotate 90": (
        lambda c: c.rotated(90.0),
        lambda u, v, h, w: ((w - 1) / 2 - (v - (h - 1) / 2), (h - 1) / 2 + (u - (w - 1) / 2)),
    ),
    "flip and turn": (
        lambda c: c.flipped_horizontally().rotated90().flipped_vertically(),
        # First (w-1-u, v), then a quarter turn to (v, u), then a flip of the w rows.
        lambda u, v, h, w: (v, w - 1 - u),
    ),
}


@pytest.mark.parametrize("name", CHANGES)
@given(camera=cameras(), world=points)
def test_projection_follows_the_image(name, camera, world):
    change, move = CHANGES[name]
    after = change(camera)
    u, v = camera.project(world).T
    wanted = np.stack(move(u, v, camera.height, camera.width), axis=-1)
    assert np.allclose(after.project(world), wanted, rtol=1e-9, atol=1e-6)


@pytest.mark.parametrize("name", CHANGES)
@given(camera=cameras())
def test_nothing_physical_moves_when_the_image_changes(name, camera):
    after = CHANGES[name][0](camera)
    assert np.allclose(after.source_world, camera.source_world, atol=1e-7)
    assert np.allclose(after.view_direction_world, camera.view_direction_world, atol=1e-9)
    assert after.source_to_detector_mm == pytest.approx(camera.source_to_detector_mm, rel=1e-9)


@given(cameras(), st.floats(-360, 360), points)
def test_rotation_turns_clockwise_about_the_image_center(camera, angle_deg, world):
    # Square pixels and back again: a turned grid of oblong pixels is not a grid of oblong pixels.
    camera = camera.resized(
        round(camera.height * camera.pixel_spacing_mm[0] * 4) + 1,
        round(camera.width * camera.pixel_spacing_mm[1] * 4) + 1,
    )
    center = np.array([(camera.width - 1) / 2, (camera.height - 1) / 2])
    cosine, sine = np.cos(np.radians(angle_deg)), np.sin(np.radians(angle_deg))
    offset = camera.project(world) - center
    wanted = center + offset @ np.array([[cosine, sine], [-sine, cosine]])
    assert np.allclose(camera.rotated(angle_deg).project(world), wanted, rtol=1e-9, atol=1e-6)


def test_a_point_right_of_the_center_turns_down():
    camera = a_camera(pixel_from_camera=intrinsics(2000.0, 2000.0, 71.5, 47.5), pixel_spacing_mm=(0.5, 0.5))
    right = camera.source_world + camera.rays([101.5, 47.5]) * 500
    assert np.allclose(camera.rotated(90.0).project(right), [71.5, 77.5])
    assert np.allclose(camera.rotated(-90.0).project(right), [71.5, 17.5])


@given(cameras())
def test_two_flips_and_four_quarter_turns_are_nothing(camera):
    assert camera.flipped_horizontally().flipped_horizontally().allclose(camera)
    assert camera.flipped_vertically().flipped_vertically().allclose(camera)
    assert camera.rotated90().rotated90(3).allclose(camera)
    assert camera.rotated90(2).allclose(camera.flipped_horizontally().flipped_vertically())
    assert camera.cropped(2, 1, 4, 3).cropped(-2, -1, camera.height, camera.width).allclose(camera)


@given(cameras())
def test_a_mirror_is_a_negative_fx_and_fy_stays_positive(camera):
    for flipped in (camera.flipped_horizontally(), camera.flipped_vertically()):
        assert flipped.is_mirrored != camera.is_mirrored
        assert flipped.pixel_from_camera[1, 1] > 0
        assert np.linalg.det(flipped.camera_from_world) == pytest.approx(1.0)
    for turned in (camera.rotated90(), camera.rotated(33.0), camera.rotated(-150.0)):
        assert turned.is_mirrored == camera.is_mirrored
        assert turned.pixel_from_camera[1, 1] > 0
        assert turned.pixel_from_camera[1, 0] == 0


def test_spacing_follows_size_and_turns():
    camera = a_camera()
    assert camera.resized(48, 288).pixel_spacing_mm == pytest.approx((1.25, 0.25))
    assert camera.rotated90().pixel_spacing_mm == pytest.approx((0.5, 0.625))
    assert camera.flipped_vertically().pixel_spacing_mm == pytest.approx((0.625, 0.5))
    assert camera.cropped(1, 1, 5, 5).pixel_spacing_mm == pytest.approx((0.625, 0.5))
    # A sheared grid: neighboring pixels of a column are 0.625 mm apart across the rows, however slanted.
    assert camera.warped([[1.0, 0.3, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]], 96, 144).pixel_spacing_mm == (
        pytest.approx((0.625, 0.5))
    )


@pytest.mark.parametrize(
    "warp",
    [np.eye(2), [[1, 0, 0], [2, 0, 0], [0, 0, 1]], [[1, 0, 0], [0, 1, 0], [0, 0.001, 1]], np.full((3, 3), np.nan)],
)
def test_warps_must_be_affine_and_invertible(warp):
    with pytest.raises(InputError, match="affine"):
        a_camera().warped(warp, 10, 10)


# ---- against what NumPy does to an image -----------------------------------------------------------------------------

POINT = a_camera().source_world + a_camera().rays([81.3, 52.6]) * 600


def dot_image(camera: Camera) -> np.ndarray:
    """A round blot where POINT projects to."""
    u, v = camera.project(POINT)
    columns, rows = np.meshgrid(np.arange(camera.width), np.arange(camera.height))
    return np.exp(-((columns - u) ** 2 + (rows - v) ** 2) / (2 * 3.0**2))


def centroid(image: np.ndarray) -> np.ndarray:
    rows, columns = np.indices(image.shape)
    return np.array([(columns * image).sum(), (rows * image).sum()]) / image.sum()


def block_mean(image: np.ndarray, factor: int) -> np.ndarray:
    height, width = image.shape
    return image.reshape(height // factor, factor, width // factor, factor).mean(axis=(1, 3))


@pytest.mark.parametrize(
    ("change_image", "change_camera"),
    [
        (lambda i: i[20:90, 30:140], lambda c: c.cropped(20, 30, 70, 110)),
        (lambda i: np.pad(i, ((4, 6), (8, 2))), lambda c: c.cropped(-4, -8, 106, 154)),
        (lambda i: block_mean(i, 4), lambda c: c.resized(24, 36)),
        (lambda i: i.repeat(3, axis=0).repeat(2, axis=1), lambda c: c.resized(288, 288)),
        (np.fliplr, lambda c: c.flipped_horizontally()),
        (np.flipud, lambda c: c.flipped_vertically()),
        (np.rot90, lambda c: c.rotated90()),
        (lambda i: np.rot90(i, -1), lambda c: c.rotated90(-1)),
        (lambda i: np.rot90(np.fliplr(i)[10:, :130], 3), lambda c: (
            c.flipped_horizontally().cropped(10, 0, 86, 130).rotated90(3)
        )),
    ],
)  # fmt: skip
def test_camera_agrees_with_numpy(change_image, change_camera):
    camera = a_camera()
    image, after = change_image(dot_image(camera)), change_camera(camera)
    assert image.shape == (after.height, after.width)
    assert np.allclose(centroid(image), after.project(POINT), atol=1e-4)


@pytest.mark.parametrize("angle_deg", [10.0, -35.0])
def test_camera_agrees_with_a_rotated_image(angle_deg):
    camera = a_camera(pixel_from_camera=intrinsics(1600.0, 1600.0), pixel_spacing_mm=(0.625, 0.625))
    # scikit-image turns counterclockwise, about the same center.
    image = rotate(dot_image(camera), -angle_deg, order=3)
    assert np.allclose(centroid(image), camera.rotated(angle_deg).project(POINT), atol=0.01)


def test_detector_center_is_half_of_size_minus_one():
    # The middle of the image stays the middle under every change that keeps the detector's area.
    camera = a_camera()
    middle = camera.source_world + camera.rays([(144 - 1) / 2, (96 - 1) / 2]) * 700
    for same in (camera.resized(48, 36), camera.rotated90(), camera.flipped_horizontally(), camera.rotated(180.0)):
        assert np.allclose(same.project(middle), [(same.width - 1) / 2, (same.height - 1) / 2])


# ---- a valid camera or an error --------------------------------------------------------------------------------------

REFLECTED = POSE @ np.diag([-1.0, 1.0, 1.0, 1.0])
SCALED = POSE @ np.diag([2.0, 2.0, 2.0, 1.0])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"camera_from_world": REFLECTED}, "reflected"),
        ({"camera_from_world": SCALED}, "orthonormal"),
        ({"camera_from_world": np.full((4, 4), np.nan)}, "NaN"),
        ({"camera_from_world": POSE[:3]}, "4x4"),
        ({"pixel_from_camera": np.eye(4)}, "3 x 3"),
        ({"pixel_from_camera": intrinsics(fx=np.nan)}, "NaN"),
        ({"pixel_from_camera": intrinsics(fx=np.inf)}, "infinite"),
        ({"pixel_from_camera": intrinsics(fx=0.0)}, "fx not 0"),
        ({"pixel_from_camera": intrinsics(fy=-1600.0)}, "z points to the detector"),
        ({"pixel_from_camera": intrinsics(fx=-2000.0, fy=-1600.0)}, "xreg"),
        ({"pixel_from_camera": np.diag([-2000.0, -1600.0, -1.0])}, "fx, skew, cx"),
        ({"pixel_from_camera": intrinsics().T}, "fx, skew, cx"),
        ({"pixel_spacing_mm": (0.5, 0.625)}, r"order \[row, column\]"),
        ({"pixel_spacing_mm": (0.0, 0.5)}, "positive"),
        ({"pixel_spacing_mm": (0.625, -0.5)}, "positive"),
        ({"pixel_spacing_mm": (np.nan, 0.5)}, "positive"),
        ({"pixel_spacing_mm": (0.5,)}, "row then column"),
        ({"pixel_spacing_mm": 0.5}, "row then column"),
        ({"width": 3.7}, "whole numbers"),
        ({"height": np.nan}, "whole numbers"),
        ({"height": 0}, "at least 1 x 1"),
        ({"width": -3}, "at least 1 x 1"),
    ],
)
def test_impossible_cameras_are_refused(changes, words):
    with pytest.raises(InputError, match=words):
        a_camera(PlainCamera, **changes)


def test_a_calibration_may_leave_the_focal_lengths_a_little_apart():
    camera = a_camera(pixel_from_camera=intrinsics(fx=2020.0))
    assert camera.source_to_detector_mm == pytest.approx(1005.0)


def test_a_camera_cannot_be_changed_behind_its_back():
    matrix = intrinsics()
    camera = a_camera(pixel_from_camera=matrix)
    matrix[0, 0] = 1.0
    assert camera.pixel_from_camera[0, 0] == 2000.0
    with pytest.raises(ValueError, match="read-only"):
        camera.pixel_from_camera[0, 0] = 1.0
    with pytest.raises(ValueError, match="read-only"):
        camera.camera_from_world[0, 0] = 1.0


# ---- records ---------------------------------------------------------------------------------------------------------


@given(cameras())
def test_records_survive_json_text(camera):
    again = Camera.from_record(json.loads(json.dumps(camera.to_record("ap-00"))))
    assert again.allclose(camera, 1e-12)
    assert camera.to_record("ap-00")["id"] == "ap-00"


def test_a_record_is_written_as_the_contract_says():
    record = a_camera().to_record("lat")
    assert list(record) == ["id", "K", "camera_from_world", "height", "width", "pixel_spacing_mm"]
    assert record["K"][0] == [2000.0, 0.0, 70.0]
    assert np.allclose(record["camera_from_world"], POSE)
    assert (record["height"], record["width"], record["pixel_spacing_mm"]) == (96, 144, [0.625, 0.5])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"K": None}, "no K"),
        ({"K": "focal"}, "not numeric"),
        ({"K": [[1.0, 2.0], [3.0]]}, "not numeric"),
        ({"K": np.eye(4).tolist()}, "K: found shape"),
        ({"height": "many"}, "whole numbers"),
        ({"height": 96.5}, "whole numbers"),
        ({"width": float("nan")}, "whole numbers"),
        ({"pixel_spacing_mm": 0.5}, "row then column"),
        ({"pixel_spacing_mm": [0.5, 0.5, 0.5]}, "row then column"),
        ({"camera_from_world": POSE[:3].tolist()}, "4x4"),
        ({"camera_from_world": REFLECTED.tolist()}, "camera_from_world: found a reflected"),
    ],
)
def test_bad_records_say_where(change, words):
    record = a_camera().to_record("lat") | change
    record = {name: value for name, value in record.items() if value is not None}
    with pytest.raises(InputError, match=words) as raised:
        Camera.from_record(record, "cameras.json, lat")
    assert str(raised.value).startswith("cameras.json, lat")


def test_allclose_sees_every_field():
    camera = a_camera()
    shifted = rigid.compose(POSE, rigid.exp([0.0, 0.0, 0.0, 0.01, 0.0, 0.0]))
    others = [
        a_camera(pixel_from_camera=intrinsics(center_u=70.01)),
        a_camera(camera_from_world=shifted),
        a_camera(height=97),
        a_camera(width=143),
        a_camera(pixel_spacing_mm=(0.626, 0.5)),
    ]
    assert camera.allclose(a_camera())
    assert not any(camera.allclose(other) for other in others)
    assert camera.allclose(others[1], tolerance=0.02)
