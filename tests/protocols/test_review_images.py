import base64
import io

import numpy as np
import pytest
from PIL import Image

from drrkit.errors import InputError
from drrkit.geometry.carm import CArm
from protocols.review.images import (
    PAGE_SIZE_PX,
    bone_edges,
    difference_webp,
    drr_gray,
    edges_png,
    outlines,
    page_size,
    reduced,
    thumbnail,
    webp,
    xray_grays,
)

EVERYWHERE = np.ones((256, 256), bool)


def disk(size=256, radius=60.0, center=(127.5, 127.5)):
    rows, columns = np.indices((size, size))
    return np.hypot(rows - center[0], columns - center[1]) < radius


def decoded(text):
    return Image.open(io.BytesIO(base64.b64decode(text)))


def test_large_images_are_reduced_and_small_ones_kept():
    assert page_size(512, 500) == (512, 500)
    assert page_size(1536, 1536) == (PAGE_SIZE_PX, PAGE_SIZE_PX)
    assert page_size(768, 3072) == (192, 768)


def test_reducing_moves_points_as_the_camera_says():
    v, u = np.indices((240, 320))
    spot = np.exp(-((u - 201.0) ** 2 + (v - 77.0) ** 2) / (2 * 9.0**2)).astype(np.float32)
    small = reduced(spot, (120, 160))
    v, u = np.indices(small.shape)
    found = np.array([(u * small).sum(), (v * small).sum()]) / small.sum()
    camera = CArm(1000, 600, 240, 320, (1.0, 1.0)).camera(0, 0)
    wanted = camera.resized(120, 160).pixel_from_camera @ np.linalg.inv(camera.pixel_from_camera) @ [201.0, 77.0, 1.0]
    np.testing.assert_allclose(found, wanted[:2], atol=0.02)


def test_gray_follows_the_line_integrals():
    drr = np.linspace(0, 4, 64 * 64, dtype=np.float32).reshape(64, 64)
    gray = drr_gray(drr, (64, 64), "x").astype(int)
    assert gray[0, 0] == 0
    assert gray.max() == 255
    assert (np.diff(gray.ravel()) >= 0).all()


def test_balls_change_the_image_only_where_they_are():
    rng = np.random.default_rng(0)
    real = (2 + rng.normal(0, 0.05, (256, 256))).astype(np.float32)
    balls = (real + 1.5 * disk(radius=4)).astype(np.float32)
    grays = xray_grays(real, balls, EVERYWHERE, (256, 256), "x")
    assert set(grays) == {"real", "with_balls", "real_local", "with_balls_local"}
    for suffix in ("", "_local"):
        without, with_them = grays[f"real{suffix}"], grays[f"with_balls{suffix}"]
        assert (without == with_them)[~disk(radius=5)].all()
        assert (with_them[disk(radius=3)] == 255).all()
        layer = decoded(difference_webp(without, with_them))
        laid = np.asarray(Image.alpha_composite(Image.fromarray(without).convert("RGBA"), layer).convert("L"), int)
        np.testing.assert_allclose(laid, with_them, atol=25)
        assert (laid == without)[~disk(radius=7)].all()


def test_local_contrast_shows_bone_behind_soft_tissue_without_moving_it():
    columns = np.arange(256)
    tissue = 5 * np.exp(-(((columns - 100) / 110) ** 2))
    real = (tissue + 0.25 * disk(radius=20, center=(128, 180))).astype(np.float32)
    grays = xray_grays(real, real, EVERYWHERE, (256, 256), "x")
    inside, around = (
        disk(radius=15, center=(128, 180)),
        disk(radius=27, center=(128, 180)) & ~disk(radius=22, center=(128, 180)),
    )
    contrast = {name: float(gray[inside].mean()) - gray[around].mean() for name, gray in grays.items()}
    assert contrast["real_local"] > 3 * contrast["real"] > 0
    step = np.diff(grays["real_local"][128, 150:210].astype(int))
    assert abs(int(step.argmax()) + 150 - 160) <= 1
    assert abs(int(step.argmin()) + 150 - 199) <= 1


def test_outside_a_round_field_stays_black_and_does_not_glow():
    rng = np.random.default_rng(0)
    field = disk(radius=110)
    # Behind the rim nearly nothing arrives, which is a large line integral.
    real = (np.where(field, 2, 6) + rng.normal(0, 0.05, field.shape)).astype(np.float32)
    grays = xray_grays(real, real, field, field.shape, "x")
    local = grays["real_local"]
    assert (grays["real"][~disk(radius=112)] == 0).all()
    assert grays["real"][disk(radius=108)].std() > 30
    assert (local[~disk(radius=112)] == 0).all()
    rim = disk(radius=108) & ~disk(radius=98)
    assert abs(local[rim].mean() - local[disk(radius=60)].mean()) < 12


def test_pixels_that_are_no_numbers_are_refused():
    broken = np.ones((16, 16), np.float32)
    broken[3, 4] = np.nan
    with pytest.raises(InputError, match=r"a\.tif: found NaN"):
        drr_gray(broken, (16, 16), "a.tif")
    with pytest.raises(InputError, match=r"a\.tif: found NaN"):
        xray_grays(np.ones((16, 16), np.float32), broken, np.ones((16, 16), bool), (16, 16), "a.tif")


def test_edges_lie_on_the_border_of_the_bone():
    thickness = np.sqrt(np.maximum(60.0**2 - np.hypot(*(np.indices((256, 256)) - 127.5)) ** 2, 0)).astype(np.float32)
    edges = bone_edges(thickness / 20, EVERYWHERE, (256, 256))
    radii = np.hypot(*(np.argwhere(edges) - 127.5).T)
    assert 250 < len(radii) < 600
    assert (np.abs(radii - 60) < 3).mean() > 0.95
    angles = np.arctan2(*(np.argwhere(edges) - 127.5).T)
    assert np.histogram(angles, bins=16)[0].min() > 5


def test_specks_and_empty_images_have_no_edges():
    for drr in (np.zeros((256, 256), np.float32), disk(radius=2.5).astype(np.float32)):
        assert not bone_edges(drr, EVERYWHERE, (256, 256)).any()


def test_the_rim_of_the_field_is_no_edge():
    drr = disk(radius=100).astype(np.float32) + disk(radius=60)
    edges = bone_edges(drr * disk(radius=80), disk(512, radius=159, center=(255.5, 255.5)), (256, 256))
    radii = np.hypot(*(np.argwhere(edges) - 127.5).T)
    assert len(radii) > 250
    assert (np.abs(radii - 60) < 3).all()


def test_edges_are_encoded_with_nothing_beside_them():
    edges = disk(radius=60) & ~disk(radius=58)
    image = decoded(edges_png(edges)).convert("RGBA")
    np.testing.assert_array_equal(np.asarray(image)[..., 3] > 0, edges)
    assert len(np.unique(np.asarray(image)[edges], axis=0)) == 1


def test_outlines_follow_the_mask_on_the_reduced_image():
    (polygon,) = outlines(disk(radius=60), (128, 128))
    points = np.reshape(polygon, (-1, 2))
    radii = np.hypot(*(points - 63.5).T)
    np.testing.assert_allclose(radii, 30, atol=0.7)
    assert len(points) < 80
    assert tuple(points[0]) == tuple(points[-1])
    assert outlines(np.zeros((64, 64), bool), (64, 64)) == []


def test_encoded_images_are_what_was_given():
    rng = np.random.default_rng(0)
    gray = (120 + 60 * np.sin(np.indices((128, 128)).sum(axis=0) / 9) + rng.normal(0, 3, (128, 128))).astype(np.uint8)
    image = decoded(webp(gray))
    assert image.format == "WEBP"
    assert np.abs(np.asarray(image.convert("L"), int) - gray).mean() < 4
    assert max(decoded(thumbnail(np.zeros((700, 350), np.uint8))).size) == 72
