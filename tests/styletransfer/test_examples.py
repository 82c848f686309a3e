"""Batches as a function of seed, step and rank."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from drrkit.errors import InputError
from styletransfer.examples import LEAST_FIELD, draw_batch
from styletransfer.settings import SamplingSettings
from toy_pairs import toy_pair

DONORS = ("anna", "bert", "carl")
PAIRS = [toy_pair(donor, number, (48, 64)) for donor in DONORS for number in range(4)]


def sampling(batch=4, patch_px=(16, 32), mirror=True, augmentation="none", turn_deg=0.0, zoom=0.0) -> SamplingSettings:
    return SamplingSettings(
        batch=batch, patch_px=patch_px, mirror=mirror, turn_deg=turn_deg, zoom=zoom, augmentation=augmentation
    )


def source_of(patch: np.ndarray, kind: str, pairs=PAIRS):
    """Find from which pair, from where, and whether mirrored, a patch was cut."""
    for pair in pairs:
        image = getattr(pair, kind)
        for mirrored in (False, True):
            wanted = patch[:, ::-1] if mirrored else patch
            windows = np.lib.stride_tricks.sliding_window_view(image, patch.shape)
            found = np.argwhere((windows == wanted).all(axis=(2, 3)))
            if len(found):
                return pair, tuple(found[0]), mirrored
    raise AssertionError("a patch of no pair")


def same(first, second) -> bool:
    return all(torch.equal(getattr(first, name), getattr(second, name)) for name in ("real", "synthetic", "field"))


@pytest.mark.parametrize("learning", ["pairs", "unpaired", "nothing"])
@pytest.mark.parametrize("augmentation", ["none", "photometric"])
def test_the_same_arguments_give_the_same_bits(learning, augmentation):
    told = sampling(augmentation=augmentation)
    batch = draw_batch(PAIRS, told, learning, seed=5, step=3)
    assert same(batch, draw_batch(PAIRS, told, learning, seed=5, step=3))
    assert not same(batch, draw_batch(PAIRS, told, learning, seed=5, step=4))
    assert not same(batch, draw_batch(PAIRS, told, learning, seed=6, step=3))
    for image in (batch.real, batch.synthetic, batch.field):
        assert image.shape == (4, 1, 16, 32)
        assert image.is_contiguous()
    assert (batch.real.dtype, batch.synthetic.dtype, batch.field.dtype) == (torch.float32, torch.float32, torch.bool)
    assert not batch.real[~batch.field].any()


def test_processes_share_a_batch():
    whole = draw_batch(PAIRS, sampling(), "unpaired", 5, 3)
    halves = [draw_batch(PAIRS, sampling(), "unpaired", 5, 3, rank, 2) for rank in (0, 1)]
    for name in ("real", "synthetic", "field"):
        assert torch.equal(getattr(whole, name), torch.cat([getattr(half, name) for half in halves]))


def test_all_three_images_of_a_pair_are_cut_and_mirrored_alike():
    mirrors, corners = [], set()
    for step in range(12):
        batch = draw_batch(PAIRS, sampling(), "pairs", 1, step)
        for real, synthetic, field in zip(batch.real, batch.synthetic, batch.field, strict=True):
            pair, corner, mirrored = source_of(real[0].numpy(), "real")
            assert source_of(synthetic[0].numpy(), "synthetic") == (pair, corner, mirrored)
            cut = pair.field[corner[0] : corner[0] + 16, corner[1] : corner[1] + 32]
            np.testing.assert_array_equal(field[0].numpy(), cut[:, ::-1] if mirrored else cut)
            mirrors.append(mirrored)
            corners.add(corner)
    assert 10 < sum(mirrors) < 38
    assert len(corners) > 20
    straight = draw_batch(PAIRS, sampling(mirror=False), "pairs", 1, 0)
    assert not any(source_of(real[0].numpy(), "real")[2] for real in straight.real)


def test_every_pair_once_in_a_turn():
    told = sampling(batch=4, mirror=False)
    for turn in range(2):
        seen = [
            source_of(real[0].numpy(), "real")[0].pair_id
            for step in range(3 * turn, 3 * turn + 3)
            for real in draw_batch(PAIRS, told, "pairs", 1, step).real
        ]
        assert sorted(seen) == sorted(pair.pair_id for pair in PAIRS)


def test_unpaired_images_are_of_other_donors():
    met = set()
    for step in range(8):
        batch = draw_batch(PAIRS, sampling(), "unpaired", 1, step)
        for real, synthetic in zip(batch.real, batch.synthetic, strict=True):
            of_real, of_synthetic = source_of(real[0].numpy(), "real"), source_of(synthetic[0].numpy(), "synthetic")
            assert of_real[0].donor_id != of_synthetic[0].donor_id
            met.add((of_real[0].donor_id, of_synthetic[0].donor_id))
    assert len(met) == 6


def test_of_one_donor_unpaired_images_are_of_other_views_and_one_pair_is_enough():
    for step in range(6):
        batch = draw_batch(PAIRS[:4], sampling(), "unpaired", 1, step)
        for real, synthetic in zip(batch.real, batch.synthetic, strict=True):
            assert source_of(real[0].numpy(), "real")[0] != source_of(synthetic[0].numpy(), "synthetic")[0]
    assert draw_batch(PAIRS[:1], sampling(), "unpaired", 1, 0).real.shape == (4, 1, 16, 32)


def test_whole_images_are_padded_below_and_to_the_right():
    pairs = [toy_pair("anna", number, (40, 60)) for number in range(2)]
    batch = draw_batch(pairs, sampling(batch=2, patch_px=None, mirror=False), "pairs", 1, 0)
    assert batch.real.shape == (2, 1, 48, 64)
    assert not batch.field[..., 40:, :].any()
    assert not batch.field[..., 60:].any()
    assert not batch.synthetic[..., 40:, :].any()
    assert {batch.real[number, 0, :40, :60].numpy().tobytes() for number in range(2)} == {
        pair.real.tobytes() for pair in pairs
    }


def test_patches_show_the_field():
    """Of a narrow field in a corner, every patch shows a good part; of a sliver, the most that was met."""
    pair = toy_pair("anna", 0, (64, 64))
    field = np.zeros((64, 64), bool)
    field[:24, :24] = True
    narrow = replace(pair, field=field)
    shown = [
        float(draw_batch([narrow], sampling(batch=1, patch_px=(16, 16)), "pairs", 1, step).field.float().mean())
        for step in range(40)
    ]
    assert min(shown) >= LEAST_FIELD
    sliver = replace(pair, field=field & (np.indices((64, 64))[1] < 1))
    shown = [float(draw_batch([sliver], sampling(patch_px=(16, 16)), "pairs", 1, 0).field.float().mean())]
    assert 0 < shown[0] < LEAST_FIELD


def test_only_the_real_image_is_augmented():
    plain = draw_batch(PAIRS, sampling(batch=12), "pairs", 1, 0)
    changed = draw_batch(PAIRS, sampling(batch=12, augmentation="photometric"), "pairs", 1, 0)
    assert torch.equal(plain.synthetic, changed.synthetic)
    assert torch.equal(plain.field, changed.field)
    apart = (plain.real != changed.real).flatten(1).any(1)
    assert apart.sum() > 8


@pytest.mark.parametrize(
    ("pairs", "told", "processes", "words"),
    [
        ([], sampling(), 1, "none"),
        (PAIRS, sampling(batch=3), 2, "multiple of the processes"),
        (PAIRS, sampling(patch_px=(24, 32)), 1, "multiples of 16"),
        ([*PAIRS, toy_pair("dora", 0, (64, 64))], sampling(batch=13, patch_px=None), 1, "48 x 64 and 64 x 64"),
    ],
)
def test_bad_input(pairs, told, processes, words):
    with pytest.raises(InputError, match=words):
        draw_batch(pairs, told, "pairs", 1, 0, 0, processes)


def _smooth_pair():
    """Two images that say the same of every place, and a beam that missed a corner."""
    v, u = np.mgrid[:64, :64].astype(np.float32)
    synthetic = np.exp(-((u - 40) ** 2 + (v - 24) ** 2) / 60).astype(np.float32)
    field = (u + v) > 30
    real = np.where(field, 2 + 3 * synthetic, 0).astype(np.float32)
    return replace(toy_pair("anna", 0, (64, 64)), real=real, synthetic=synthetic, field=field)


def test_turned_and_zoomed_images_of_a_pair_stay_on_each_other():
    told = sampling(batch=4, patch_px=None, mirror=False, turn_deg=20.0, zoom=0.2)
    pair = _smooth_pair()
    batch = draw_batch([pair], told, "pairs", 1, 0)
    inside = batch.field
    assert float((batch.real - (2 + 3 * batch.synthetic))[inside].abs().max()) < 1e-4
    assert not batch.real[~inside].any()
    # Not where it was, and not four times the same way.
    tops = {int(image.argmax()) for image in batch.synthetic}
    assert len(tops) > 1


def test_a_half_turn_about_the_middle_is_exact():
    told = sampling(batch=1, patch_px=None, mirror=False, turn_deg=180.0)
    pair = _smooth_pair()
    turns = [draw_batch([pair], told, "pairs", 1, step).synthetic[0, 0].numpy() for step in range(40)]
    tip = (24, 40)
    middle = 31.5
    for image in turns:
        v, u = np.unravel_index(int(image.argmax()), image.shape)
        # It stays as far from the middle as it was, to the grid's half pixel.
        assert abs(np.hypot(v - middle, u - middle) - np.hypot(tip[0] - middle, tip[1] - middle)) < 1.0
