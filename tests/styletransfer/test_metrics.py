import numpy as np
import pytest
from scipy import ndimage

from drrkit.errors import InputError
from styletransfer.metrics import DATA_RANGE, KID_REASON, score_pair


def vertebra(side=64):
    y, x = np.mgrid[:side, :side] - side / 2
    return (2.0 * np.exp(-((np.hypot(x, y) - 15) ** 2) / 8)).astype(np.float32)


def field(side=64):
    return np.ones((side, side), bool)


def test_a_perfect_translation():
    score = score_pair(vertebra(), vertebra(), field(), 0.8)
    assert score["psnr_db"] == np.inf
    assert score["ssim"] == score["gradient_ncc"] == pytest.approx(1)
    zero = ("mae", "bone_edge_shift_mm", "edge_p95_mm", "edges_lost", "edges_invented")
    assert all(score[name] == 0 for name in zero)
    assert set(score) == {"psnr_db", "ssim", "gradient_ncc", *zero}


def test_an_offset_costs_decibels_by_the_common_range_and_moves_nothing():
    offset = 0.2
    score = score_pair(vertebra() + offset, vertebra(), field(), 0.8)
    assert score["mae"] == pytest.approx(offset, rel=1e-4)
    assert score["psnr_db"] == pytest.approx(20 * np.log10(DATA_RANGE / offset), rel=1e-4)
    assert score["gradient_ncc"] == pytest.approx(1)
    assert score["bone_edge_shift_mm"] == pytest.approx(0, abs=1e-3)


def test_the_range_does_not_depend_on_the_image():
    error = np.random.default_rng(0).normal(0, 0.1, (64, 64))
    decibels = [
        score_pair((gain * vertebra() + error).astype(np.float32), gain * vertebra(), field(), 0.8)["psnr_db"]
        for gain in (1, 2)
    ]
    assert decibels[0] == pytest.approx(decibels[1], abs=1e-3)


def test_moved_bone_shows_in_millimeters():
    moved = ndimage.zoom(vertebra(96), 1.0)[16:80, 16:80]
    grown = ndimage.affine_transform(vertebra(), np.eye(2) * 15 / 17, 32 - 32 * 15 / 17, order=3)
    score = score_pair(grown, vertebra(), field(), 0.5)
    assert score["bone_edge_shift_mm"] == pytest.approx(1.0, rel=0.15)
    assert score_pair(moved, vertebra(), field(), 0.5)["bone_edge_shift_mm"] < 0.01


def test_only_the_field_counts():
    inside = field()
    inside[:, 50:] = False
    broken = vertebra()
    broken[:, 50:] = 9
    score = score_pair(broken, vertebra(), inside, 0.8)
    assert score["mae"] == 0
    assert score["psnr_db"] == np.inf
    assert score["edges_invented"] == 0


def test_input_that_does_not_fit():
    with pytest.raises(InputError):
        score_pair(vertebra(), vertebra(32), field(), 0.8)


def test_why_there_is_no_kid():
    assert "weights" in KID_REASON
