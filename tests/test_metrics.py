import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from drrkit import metrics
from drrkit.errors import InputError

ALL = [metrics.ncc, metrics.gradient_ncc, metrics.ssim, metrics.psnr]
RANDOM = np.random.default_rng(0)
SHAPE = (24, 30)
IMAGE = ndimage.gaussian_filter(RANDOM.normal(size=SHAPE), 1.5)
OTHER = ndimage.gaussian_filter(RANDOM.normal(size=SHAPE), 1.5)
ROWS, COLUMNS = np.indices(SHAPE).astype(float)
CENTER = np.zeros(SHAPE, dtype=bool)
CENTER[8:16, 9:20] = True

gains = st.floats(0.01, 1000)
offsets = st.floats(-1000, 1000)


# ---- normalized cross-correlation ------------------------------------------------------------------------------------


@given(gains, offsets)
def test_ncc_does_not_see_gain_and_offset(gain, offset):
    assert metrics.ncc(gain * IMAGE + offset, IMAGE) == pytest.approx(1.0)
    assert metrics.ncc(-gain * IMAGE + offset, IMAGE) == pytest.approx(-1.0)
    assert metrics.ncc(gain * OTHER + offset, IMAGE) == pytest.approx(metrics.ncc(IMAGE, OTHER))


def test_ncc_by_hand():
    # Deviations (-1, 0, 1, 0) and (-1, 1, 1, -1): 2 / sqrt(2 * 4).
    assert metrics.ncc([[0, 1], [2, 1]], [[0, 2], [2, 0]]) == pytest.approx(2 / np.sqrt(8))
    assert metrics.ncc(ROWS, COLUMNS) == pytest.approx(0.0)


@pytest.mark.parametrize("constant", [0.0, 1.0, 0.1, -1e6, 1e-9])
def test_a_constant_image_correlates_with_nothing(constant):
    flat = np.full(SHAPE, constant)
    for measure in (metrics.ncc, metrics.gradient_ncc):
        assert measure(flat, IMAGE) == measure(IMAGE, flat) == measure(flat, flat) == 0.0


# ---- gradient correlation --------------------------------------------------------------------------------------------


@given(gains, offsets)
def test_gradient_ncc_does_not_see_gain_offset_and_slope(gain, offset):
    assert metrics.gradient_ncc(gain * IMAGE + offset, IMAGE) == pytest.approx(1.0)
    slope = 3.0 * ROWS - 2.0 * COLUMNS
    assert metrics.gradient_ncc(gain * IMAGE + slope, IMAGE) == pytest.approx(1.0)
    assert metrics.gradient_ncc(-gain * IMAGE, IMAGE) == pytest.approx(-1.0)


def test_slow_shading_hurts_ncc_and_not_the_gradients():
    shaded = IMAGE + 0.01 * (ROWS - 10) ** 2
    assert metrics.ncc(shaded, IMAGE) < 0.5
    assert metrics.gradient_ncc(shaded, IMAGE) > 0.8


def test_gradient_ncc_is_the_mean_over_the_two_directions():
    # Vertical edges agree, horizontal edges are turned over: (1 + -1) / 2.
    first, second = np.sin(COLUMNS) + np.sin(ROWS), np.sin(COLUMNS) - np.sin(ROWS)
    assert metrics.gradient_ncc(first, second) == pytest.approx(0.0, abs=1e-9)
    # Nothing to see in one direction: the other one decides.
    assert metrics.gradient_ncc(np.sin(COLUMNS), 2 * np.sin(COLUMNS)) == pytest.approx(1.0)
    # One image has edges where the other has none: that direction counts, as 0.
    assert metrics.gradient_ncc(np.sin(COLUMNS) + np.sin(ROWS), np.sin(COLUMNS)) == pytest.approx(0.5)


def test_a_shift_lowers_the_gradients_more():
    shifted = ndimage.shift(IMAGE, (1.5, 0), mode="nearest")
    assert metrics.gradient_ncc(shifted, IMAGE) < metrics.ncc(shifted, IMAGE) < 0.95


# ---- structural similarity -------------------------------------------------------------------------------------------


def test_ssim_is_that_of_wang():
    wanted = structural_similarity(
        IMAGE, OTHER, data_range=2.0, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
    )
    assert metrics.ssim(IMAGE, OTHER, data_range=2.0) == pytest.approx(wanted)
    assert metrics.ssim(IMAGE, IMAGE) == pytest.approx(1.0)


def test_ssim_of_constants_is_the_luminance_term():
    first, second, span = 3.0, 4.0, 10.0
    c1 = (0.01 * span) ** 2
    wanted = (2 * first * second + c1) / (first**2 + second**2 + c1)
    flat = np.ones(SHAPE)
    assert metrics.ssim(first * flat, second * flat, data_range=span) == pytest.approx(wanted)
    assert metrics.ssim(first * flat, second * flat, CENTER, data_range=span) == pytest.approx(wanted)


def test_ssim_takes_its_range_from_the_reference_in_the_mask():
    assert metrics.ssim(OTHER, IMAGE) == metrics.ssim(OTHER, IMAGE, data_range=float(np.ptp(IMAGE)))
    assert metrics.ssim(OTHER, IMAGE, CENTER) == metrics.ssim(
        OTHER, IMAGE, CENTER, data_range=float(np.ptp(IMAGE[CENTER]))
    )


def test_ssim_needs_a_whole_window():
    with pytest.raises(InputError, match="10 x 30 pixels; wanted at least 11"):
        metrics.ssim(IMAGE[:10], OTHER[:10])
    assert metrics.ssim(IMAGE[:11], OTHER[:11], data_range=1.0) < 1


# ---- peak signal-to-noise ratio --------------------------------------------------------------------------------------


def test_psnr_by_hand():
    reference = np.where(COLUMNS < 15, 0.0, 10.0)
    assert metrics.psnr(reference + 0.1, reference) == pytest.approx(40.0)  # 20 log10(10 / 0.1)
    assert metrics.psnr(reference + 0.1, reference, data_range=1.0) == pytest.approx(20.0)
    assert metrics.psnr(IMAGE, OTHER, data_range=3.0) == pytest.approx(
        peak_signal_noise_ratio(OTHER, IMAGE, data_range=3.0)
    )


def test_identical_images_have_no_noise():
    assert metrics.psnr(IMAGE, IMAGE) == float("inf")


@pytest.mark.parametrize("measure", [metrics.ssim, metrics.psnr])
@pytest.mark.parametrize("data_range", [None, 0.0, -1.0, float("nan"), float("inf")])
def test_a_range_is_needed(measure, data_range):
    with pytest.raises(InputError, match="data_range"):
        measure(IMAGE, np.ones(SHAPE), data_range=data_range)


# ---- all of them -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("measure", ALL)
def test_outside_the_mask_nothing_counts(measure):
    # Six pixels away from the mask: beyond the reach of every window.
    far = ~ndimage.binary_dilation(CENTER, np.ones((3, 3)), iterations=6)
    spoiled = np.where(far, 1e3, IMAGE)
    assert far.any()
    assert measure(spoiled, OTHER, CENTER) == pytest.approx(measure(IMAGE, OTHER, CENTER), rel=1e-9)
    assert measure(spoiled, OTHER) != pytest.approx(measure(IMAGE, OTHER), rel=1e-2)


@pytest.mark.parametrize("measure", [metrics.ncc, metrics.gradient_ncc, metrics.psnr])
def test_a_mask_is_a_crop(measure):
    crop = (slice(8, 16), slice(9, 20))
    assert measure(IMAGE, OTHER, CENTER) == pytest.approx(measure(IMAGE[crop], OTHER[crop]))


@pytest.mark.parametrize("measure", ALL)
def test_more_noise_is_less_alike(measure):
    noise = RANDOM.normal(size=SHAPE) * IMAGE.std()
    scores = [measure(IMAGE + amount * noise, IMAGE) for amount in (0.0, 0.1, 0.5, 2.0)]
    assert scores == sorted(scores, reverse=True)
    assert len(set(scores)) == 4


@pytest.mark.parametrize("measure", ALL)
def test_other_types_of_pixels_are_fine(measure):
    bytes_of = lambda image: np.clip(128 + 300 * image, 0, 255).astype(np.uint8)  # noqa: E731
    small, large = bytes_of(IMAGE), bytes_of(OTHER)
    assert measure(small, large) == pytest.approx(measure(small.astype(float), large.astype(float)))
    assert isinstance(measure(IMAGE.astype(np.float32), OTHER.astype(np.float32)), float)


@pytest.mark.parametrize("measure", ALL)
@pytest.mark.parametrize(
    ("image", "mask", "words"),
    [
        (IMAGE[:-1], None, "one size"),
        (IMAGE[None], None, r"\(H, W\)"),
        (np.where(CENTER, IMAGE, np.nan), CENTER, "NaN"),
        (IMAGE, np.zeros(SHAPE, dtype=bool), "no pixel"),
        (IMAGE, CENTER[:-1], "bool of the images' shape"),
        (IMAGE, CENTER.astype(float), "float64"),
    ],
)
def test_what_does_not_fit_is_refused(measure, image, mask, words):
    with pytest.raises(InputError, match=words):
        measure(image, IMAGE, mask)


def test_gradients_need_neighbors():
    stripe = np.zeros(SHAPE, dtype=bool)
    stripe[5:7] = True
    with pytest.raises(InputError, match="3 x 3"):
        metrics.gradient_ncc(IMAGE, OTHER, stripe)
    with pytest.raises(InputError, match="3 x 3"):
        metrics.gradient_ncc(IMAGE[:2], OTHER[:2])
