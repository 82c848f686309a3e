"""A grid shows what it says: panels in their order, one gray scale for translated and synthetic, gray for no error."""

import numpy as np
import pytest

from drrkit.errors import InputError
from styletransfer.grids import LONGEST_SIDE_PX, GridRow, image_grid

FIELD = np.ones((32, 24), bool)


def ramp(height=32, width=24, top=4.0):
    return np.linspace(0, top, height * width, dtype=np.float32).reshape(height, width)


def panels(grid, width=24, gap=4):
    return [grid[:, start : start + width] for start in range(0, grid.shape[1], width + gap)]


def test_a_perfect_translation_shows_the_drr_twice_and_middle_gray():
    real, translated, synthetic, difference = panels(image_grid([GridRow(ramp(top=9.0), ramp(), ramp(), FIELD)]))
    np.testing.assert_array_equal(translated, synthetic)
    np.testing.assert_array_equal(real, synthetic)
    assert set(np.unique(difference)) == {128}
    assert (synthetic[0, 0], synthetic[-1, -1]) == (0, 255)


def test_what_is_too_dense_is_brighter_and_outside_the_field_nothing_is_told():
    field = FIELD.copy()
    field[:, :12] = False
    row = GridRow(ramp(), ramp() + np.float32(1), ramp(), field)
    _, translated, synthetic, difference = panels(image_grid([row]))
    assert (translated.astype(int) >= synthetic).all()
    assert set(np.unique(difference[:, :12])) == {128}
    # A quarter of the DRR's range of 4.
    assert difference[:, 12:] == pytest.approx(128 + 32, abs=1)


def test_rows_of_other_sizes_stand_below_each_other():
    large = ramp(2 * LONGEST_SIDE_PX, LONGEST_SIDE_PX)
    rows = [GridRow(ramp(), ramp(), ramp(), FIELD), GridRow(large, large, large, large >= 0)]
    grid = image_grid(rows)
    assert grid.shape == (32 + 4 + LONGEST_SIDE_PX, 4 * LONGEST_SIDE_PX // 2 + 3 * 4)
    assert grid.dtype == np.uint8


def test_an_empty_drr_and_an_empty_field_make_a_picture_too():
    nothing = np.zeros((32, 24), np.float32)
    assert image_grid([GridRow(nothing, nothing, nothing, ~FIELD)]).shape == (32, 108)


def test_nothing_and_what_does_not_fit_are_refused():
    with pytest.raises(InputError, match="no pairs"):
        image_grid([])
    with pytest.raises(InputError, match="one size"):
        image_grid([GridRow(ramp(), ramp(32, 32), ramp(), FIELD)])
