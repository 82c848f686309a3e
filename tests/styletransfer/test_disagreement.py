import numpy as np
import pytest
import torch

from drrkit.errors import InputError
from styletransfer.disagreement import Variants, disagreement_map, predicts_error, translate_whole
from styletransfer.methods.baselines import Untranslated
from styletransfer.scale import Scale

SCALE = Scale(1.0, 1.0, 1.0)
NOTHING = {"is_mirrored": False, "offset": 0.0, "gain": 0.0, "shift_px": (0.0, 0.0), "noise": 0.0}


class LeftDarkener(Untranslated):
    """Depends on where in the image it is: left of the middle, half of everything is lost."""

    def synthetic_from_real(self, real):
        result = super().synthetic_from_real(real).clone()
        result[..., : real.shape[-1] // 2] *= 0.5
        return result


class EveryOtherColumn(Untranslated):
    """Leaves a pattern of two pixels behind, as careless upsampling does."""

    def synthetic_from_real(self, real):
        result = super().synthetic_from_real(real).clone()
        result[..., ::2] *= 0.8
        return result


def image(shape=(40, 48), seed=0):
    pixels = 1 + np.random.default_rng(seed).random(shape, dtype=np.float32)
    pixels[:, :5] = 0
    return pixels


def untranslated(kind=Untranslated):
    return kind(kind.Settings(), SCALE)


def test_sizes_that_networks_do_not_take_are_continued():
    seen = []

    class Looker(Untranslated):
        def synthetic_from_real(self, real):
            seen.append(tuple(real.shape))
            return super().synthetic_from_real(real)

    assert np.array_equal(translate_whole(untranslated(Looker), image((41, 47))), image((41, 47)))
    assert seen == [(1, 1, 48, 48)]


def test_the_identity_agrees_with_itself_under_moves_of_the_image():
    moves = Variants(**NOTHING | {"is_mirrored": True, "shift_px": (3.0, 5.0)})
    assert disagreement_map(untranslated(), image(), moves).max() < 1e-6


def test_an_offset_that_passes_through_is_the_disagreement():
    offset = 0.2
    doubt = disagreement_map(untranslated(), image(), Variants(**NOTHING | {"offset": offset}))
    expected = np.std([0, offset, -offset], ddof=1)
    assert np.allclose(doubt[:, 5:], expected, rtol=1e-4)
    assert not doubt[:, :5].any()  # no beam, nothing to doubt


def test_a_gain_doubts_dense_parts_more():
    pixels = image()
    doubt = disagreement_map(untranslated(), pixels, Variants(**NOTHING | {"gain": 0.1}))
    assert np.allclose(doubt, 0.1 * pixels, atol=1e-5)


def test_noise_is_seen_and_the_same_again():
    noisy = Variants(**NOTHING | {"noise": 0.05})
    doubt = disagreement_map(untranslated(), image(), noisy)
    assert 0.01 < doubt[:, 5:].mean() < 0.1
    assert np.array_equal(doubt, disagreement_map(untranslated(), image(), noisy))


def test_mirroring_finds_a_translator_that_depends_on_the_side():
    mirrored = Variants(**NOTHING | {"is_mirrored": True})
    assert disagreement_map(untranslated(LeftDarkener), image(), mirrored)[:, 5:-5].min() > 0.3
    assert not disagreement_map(untranslated(), image(), mirrored).any()


@pytest.mark.parametrize(("shift_px", "found"), [((1.0, 3.0), True), ((2.0, 4.0), False)])
def test_odd_shifts_find_patterns_of_two_pixels(shift_px, found):
    doubt = disagreement_map(untranslated(EveryOtherColumn), image(), Variants(**NOTHING | {"shift_px": shift_px}))
    assert (doubt[8:-8, 12:-8].mean() > 0.05) == found


def test_fractions_of_pixels_change_a_smooth_image_little():
    y, x = np.mgrid[:40, :40]
    smooth = (1.5 + np.sin(x / 6) * np.cos(y / 6)).astype(np.float32)
    doubt = disagreement_map(untranslated(), smooth, Variants(**NOTHING | {"shift_px": (0.5, 0.5)}))
    assert doubt[6:-6, 6:-6].max() < 0.002


def test_translators_that_were_trained_apart_disagree_where_they_differ():
    pixels = image()
    doubt = disagreement_map([untranslated(), untranslated(LeftDarkener)], pixels, Variants(**NOTHING))
    assert not doubt[:, 24:].any()
    assert np.allclose(doubt[:, 5:24], np.std([1, 0.5], ddof=1) * pixels[:, 5:24], rtol=1e-4)


def test_the_way_of_translating_can_be_given():
    doubt = disagreement_map(
        untranslated(), image(), Variants(**NOTHING | {"offset": 0.1}), lambda _, pixels: 0 * pixels
    )
    assert not doubt.any()


def test_the_usual_variants():
    pixels = image()
    doubt = disagreement_map(untranslated(), pixels)
    assert doubt.shape == pixels.shape
    assert doubt.dtype == np.float32
    assert np.isfinite(doubt).all()


def test_a_perfect_map_and_one_that_tells_nothing():
    rng = np.random.default_rng(0)
    errors = [(1 + k) * rng.standard_exponential((64, 64)).astype(np.float32) for k in range(4)]
    perfect = predicts_error([2 * one for one in errors], [-one for one in errors])
    assert perfect.rank_correlation == pytest.approx(1)
    assert perfect.image_rank_correlation == pytest.approx(1)
    assert perfect.error_share == pytest.approx(perfect.best_error_share)
    assert perfect.error_share > 0.3  # of an exponential distribution: 0.33
    blind = predicts_error([rng.random((64, 64)) for _ in errors], errors)
    assert abs(blind.rank_correlation) < 0.05
    assert blind.error_share == pytest.approx(0.1, abs=0.02)


def test_only_the_field_counts():
    doubt, error = np.zeros((16, 16), np.float32), np.zeros((16, 16), np.float32)
    doubt[:8] = error[:8] = np.random.default_rng(0).random((8, 16))
    doubt[8:] = 9
    field = np.zeros((16, 16), bool)
    field[:8] = True
    assert predicts_error([doubt], [error], [field]).rank_correlation == pytest.approx(1)
    assert predicts_error([doubt], [error]).rank_correlation < 0.5
    assert np.isnan(predicts_error([doubt], [error]).image_rank_correlation)


@pytest.mark.parametrize("amounts", [{"offset": -0.1}, {"gain": 1.0}, {"noise": np.nan}, {"shift_px": (np.inf, 0.0)}])
def test_amounts_that_mean_nothing(amounts):
    with pytest.raises(InputError, match="variants"):
        Variants(**amounts)


def test_nothing_to_compare():
    with pytest.raises(InputError, match="variants"):
        disagreement_map(untranslated(), image(), Variants(**NOTHING))
    with pytest.raises(InputError, match="translators"):
        disagreement_map([], image())
    with pytest.raises(InputError, match="image"):
        disagreement_map(untranslated(), image() * np.float32(np.nan))
    with pytest.raises(InputError, match="maps"):
        predicts_error([], [])
    with pytest.raises(InputError, match="map"):
        predicts_error([np.zeros((4, 4))], [np.zeros((4, 5))])


def test_nothing_keeps_gradients():
    assert not torch.from_numpy(disagreement_map(untranslated(), image())).requires_grad
