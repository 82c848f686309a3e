import time

import numpy as np
import pytest
from scipy import ndimage

from drrkit.errors import InputError
from styletransfer.edges import LIMIT_MM, bone_edge_shift_mm

FIELD_MM = 100.0


def spine(mm_per_px=0.8, move_mm=(0.0, 0.0), grow_mm=0.0):
    """Discs of bone with a dense rim, drawn exactly at any place: normals point in every direction."""
    side = round(FIELD_MM / mm_per_px)
    y, x = (np.mgrid[:side, :side] + 0.5) * mm_per_px
    pixels = np.zeros((side, side))
    for row, column, radius in ((26, 30, 14), (28, 70, 11), (70, 34, 12), (70, 72, 16)):
        distance = np.hypot(y - row - move_mm[0], x - column - move_mm[1]) - radius - grow_mm
        pixels += 0.8 / (1 + np.exp(distance / 0.4)) + 0.5 * np.exp(-((distance + 1.2) ** 2) / 0.9)
    return pixels.astype(np.float32)


def everywhere(pixels):
    return np.ones(pixels.shape, bool)


def measured(translated, reference, mm_per_px=0.8):
    return bone_edge_shift_mm(translated, reference, everywhere(reference), mm_per_px)


def test_identity():
    shift = measured(spine(), spine())
    assert shift.median_mm == shift.p95_mm == shift.lost_share == shift.invented_share == 0
    assert shift.found_share == 1


@pytest.mark.parametrize("mm_per_px", [0.4, 0.8, 1.2])
@pytest.mark.parametrize("shift_mm", [0.5, 1.0, 2.0])
def test_bone_that_grew_is_measured_in_millimeters(mm_per_px, shift_mm):
    shift = measured(spine(mm_per_px, grow_mm=shift_mm), spine(mm_per_px), mm_per_px)
    assert shift.median_mm == pytest.approx(shift_mm, rel=0.1)
    assert shift.p95_mm == pytest.approx(shift_mm, abs=0.3)
    assert shift.lost_share < 0.02
    assert shift.invented_share < 0.02


@pytest.mark.parametrize("shift_mm", [0.5, 1.0, 2.0])
def test_a_rigid_shift_shows_along_the_normals(shift_mm):
    pixels = spine()
    moved = ndimage.shift(pixels, (0.6 * shift_mm / 0.8, -0.8 * shift_mm / 0.8), order=3, mode="nearest")
    shift = measured(moved, pixels)
    # The normals of a circle: |cos| has the median sqrt(1/2), and its 95th percentile is all but 1.
    assert shift.median_mm == pytest.approx(shift_mm * np.sqrt(0.5), rel=0.1)
    assert shift.p95_mm == pytest.approx(shift_mm, rel=0.1)
    assert shift.lost_share < 0.02


def test_blur_noise_and_another_contrast_move_little():
    pixels = spine()
    noise = np.random.default_rng(0).normal(0, 0.03, pixels.shape)
    for changed in (ndimage.gaussian_filter(pixels, 1.0), pixels + noise, 0.6 * pixels + 0.3):
        shift = measured(changed.astype(np.float32), pixels)
        assert shift.median_mm < 0.1
        assert shift.lost_share < 0.02
        assert shift.invented_share < 0.02


def test_noise_does_not_hide_a_shift():
    noise = np.random.default_rng(0).normal(0, 0.03, spine().shape)
    shift = measured((spine(grow_mm=1.0) + noise).astype(np.float32), spine())
    assert shift.median_mm == pytest.approx(1.0, rel=0.1)


def test_lost_and_invented_bone():
    half = spine()
    half[half.shape[0] // 2 :] = 0
    lost, invented = measured(half, spine()), measured(spine(), half)
    # By circumference, 28 of 53 are below.
    assert lost.lost_share == pytest.approx(28 / 53, abs=0.05)
    assert lost.found_share == pytest.approx(1 - lost.lost_share)
    assert lost.invented_share < 0.05
    assert invented.invented_share == pytest.approx(28 / 53, abs=0.05)
    assert invented.lost_share < 0.05
    assert lost.median_mm < 0.05


def test_edges_of_the_other_direction_are_no_counterparts():
    x = np.mgrid[:64, :64][1]
    step = (x > 32).astype(np.float32)
    assert measured(1 - step, step).lost_share == 1


def test_nothing_found_is_the_limit_and_not_nothing():
    shift = measured(np.zeros_like(spine()), spine())
    assert shift.median_mm == shift.p95_mm == LIMIT_MM
    assert shift.lost_share == 1
    assert shift.invented_share == 0


def test_beyond_the_limit_is_lost():
    x = np.mgrid[:64, :96][1]
    near, far = ((x > at).astype(np.float32) for at in (35, 55))
    assert measured(far, near).lost_share == 1
    assert bone_edge_shift_mm(far, near, everywhere(near), 0.8, limit_mm=20.0).median_mm == pytest.approx(16, rel=0.02)


def test_the_border_of_the_field_is_no_edge():
    reference = spine() + 1
    rows, columns = np.mgrid[: reference.shape[0], : reference.shape[1]] - 62
    field = np.hypot(rows, columns) < 50
    shift = bone_edge_shift_mm(np.where(field, reference, 0), reference, field, 0.8)
    assert max(shift.lost_share, shift.invented_share, shift.median_mm) < 0.005
    without_field = measured(np.where(field, reference, 0).astype(np.float32), reference)
    assert without_field.invented_share > 0.1


def test_fast_enough_for_every_pair():
    pixels = ndimage.zoom(spine(), 320 / 125, order=1)
    start = time.process_time()
    measured(pixels, pixels)
    assert time.process_time() - start < 1.0


def test_input_that_does_not_fit():
    pixels = spine()
    with pytest.raises(InputError, match="mm_per_px"):
        bone_edge_shift_mm(pixels, pixels, everywhere(pixels), 0.0)
    with pytest.raises(InputError, match="shapes"):
        bone_edge_shift_mm(pixels[1:], pixels, everywhere(pixels), 0.8)
    with pytest.raises(InputError, match="NaN"):
        bone_edge_shift_mm(pixels * np.float32(np.nan), pixels, everywhere(pixels), 0.8)
    with pytest.raises(InputError, match="no edge"):
        bone_edge_shift_mm(pixels, np.ones_like(pixels), everywhere(pixels), 0.8)
