"""Tiles part an image, keep the pooling grid and the memory's bound, and nothing shows where they met."""

import numpy as np
import pytest
import torch

from drrkit.errors import InputError
from styletransfer.tiling import GRID_PX, PIXELS_AT_ONCE, choose_tile_px, halo_px, tiles_of, translate_image
from toy_translator import ToyTranslator, WholeImageTranslator


def image(size_px, seed=0):
    pixels = np.random.default_rng(seed).uniform(0.1, 3, size_px).astype(np.float32)
    pixels[:6, :10] = 0
    return pixels


def whole(translator, pixels):
    return translator.synthetic_from_real(torch.from_numpy(pixels)[None, None])[0, 0].numpy()


def test_the_toy_reaches_as_far_as_it_says():
    toy = ToyTranslator()
    pixels = image((96, 96))
    touched = pixels.copy()
    touched[48, 48] += 1
    far = np.argwhere(np.abs(whole(toy, pixels) - whole(toy, touched)) > 0) - 48
    assert 3 < np.abs(far).max() <= toy.reach_px


@pytest.mark.parametrize("size_px", [(96, 96), (128, 160), (104, 72)])
@pytest.mark.parametrize("tile_px", [(32, 32), (64, 32), (96, 160)])
def test_tiles_make_the_whole_image(size_px, tile_px):
    toy, pixels = ToyTranslator(), image(size_px)
    wanted = whole(toy, pixels)
    assert np.ptp(wanted) > 0.1
    made = translate_image(toy, pixels, tile_px)
    np.testing.assert_allclose(made, wanted, atol=1e-5 * wanted.max())
    assert made.dtype == np.float32


def test_without_a_halo_the_seams_would_show(monkeypatch):
    toy, pixels = ToyTranslator(), image((96, 96))
    monkeypatch.setattr(ToyTranslator, "reach_px", 0)
    assert np.abs(translate_image(toy, pixels, (32, 32)) - whole(toy, pixels)).max() > 1e-2


@pytest.mark.parametrize("size_px", [(33, 47), (96, 90), (7, 101), (1, 1)])
def test_odd_sizes(size_px):
    toy = ToyTranslator()
    pixels = np.random.default_rng(1).uniform(0.1, 3, size_px).astype(np.float32)
    made = translate_image(toy, pixels)
    assert made.shape == size_px
    padded = np.pad(pixels, [(0, -side % 8) for side in size_px], mode="edge")
    np.testing.assert_allclose(made, whole(toy, padded)[: size_px[0], : size_px[1]], atol=1e-5)


def test_pixels_without_a_beam_stay_zero_and_nothing_is_below():
    pixels = image((64, 64))
    made = translate_image(ToyTranslator(), pixels, (32, 32))
    assert not made[pixels == 0].any()
    assert made.min() >= 0
    assert made[pixels != 0].any()


def test_who_looks_at_the_whole_image_gets_it_whole():
    toy, pixels = WholeImageTranslator(), image((64, 96))
    np.testing.assert_array_equal(translate_image(toy, pixels, (32, 32)), whole(toy, pixels))


def test_half_precision_is_near():
    toy, pixels = ToyTranslator(), image((64, 64))
    half, single = translate_image(toy, pixels, precision="bf16"), translate_image(toy, pixels)
    assert not np.array_equal(half, single)
    assert np.abs(half - single).mean() < 0.02 * single.mean()


@pytest.mark.parametrize("size_px", [(32, 40), (1024, 1024), (2048, 2048), (1536, 1536), (2880, 2881 + 7)])
@pytest.mark.parametrize("reach_px", [0, 1, 32, 100, 190])
def test_tiles_part_the_image_and_fit_into_memory(size_px, reach_px):
    tile_px = choose_tile_px(size_px, reach_px)
    tiles = list(tiles_of(size_px, tile_px, reach_px))
    seen = np.zeros(size_px, np.uint8)
    for tile in tiles:
        top, left, bottom, right = tile.kept
        seen[top:bottom, left:right] += 1
        assert tile.area_px <= PIXELS_AT_ONCE
        assert all(corner % GRID_PX == 0 for corner in (*tile.read[:2], *tile.kept[:2]))
        # Where the image goes on, the halo covers the reach.
        assert top - tile.read[0] >= min(reach_px, top)
        assert tile.read[2] - bottom >= min(reach_px, size_px[0] - bottom)
        assert tile.inner[0].stop - tile.inner[0].start == bottom - top
    assert (seen == 1).all()
    assert sum(tile.area_px for tile in tiles) < 3.2 * np.prod(size_px)
    if np.prod(size_px) <= PIXELS_AT_ONCE:
        assert len(tiles) == 1


def test_a_wide_reach_still_gives_sensible_tiles():
    tiles = list(tiles_of((2048, 2048), choose_tile_px((2048, 2048), 500), 500))
    assert sum(tile.area_px for tile in tiles) <= 4 * 2048**2
    assert [halo_px(reach) for reach in (0, 1, 32, 33)] == [0, 32, 32, 64]


@pytest.mark.parametrize("tile_px", [(0, 32), (40, 64)])
def test_tiles_off_the_grid_are_refused(tile_px):
    with pytest.raises(InputError, match="multiples of 32"):
        translate_image(ToyTranslator(), image((96, 96)), tile_px)


def test_images_that_are_none():
    with pytest.raises(InputError, match="finite"):
        translate_image(ToyTranslator(), np.full((32, 32), np.nan, np.float32))
    broken = ToyTranslator()
    broken.network.head.bias.data.fill_(float("nan"))
    with pytest.raises(InputError, match="translated image"):
        translate_image(broken, image((32, 32)))
