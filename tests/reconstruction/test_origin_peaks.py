"""Peaks of heat maps: to a part of a cell, best first."""

import numpy as np
import torch

from reconstruction.origin.heatmaps import LevelHeatmaps, pixel_from_cell
from reconstruction.origin.peaks import find_peaks, peaks_of


def blob(x, y, mass=1.0, sigma=0.9, shape=(16, 20)):
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    values = np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * sigma**2))
    return torch.from_numpy(mass * values / values.sum())


def test_peak_between_cells():
    cells, masses = peaks_of(blob(7.3, 5.8)[None, None], 1, 3)
    np.testing.assert_allclose(cells[0, 0, 0], [7.3, 5.8], atol=0.02)
    np.testing.assert_allclose(masses[0, 0, 0], 1, atol=0.01)


def test_peaks_come_by_their_mass_and_views_and_levels_stay_apart():
    maps = torch.stack([blob(4, 4, 0.3) + blob(14, 10, 0.6), blob(2, 12, 0.9)])[None]
    cells, masses = peaks_of(maps, 2, 2)
    np.testing.assert_allclose(cells[0, 0], [[14, 10], [4, 4]], atol=0.05)
    np.testing.assert_allclose(masses[0, 0], [0.6, 0.3], rtol=0.05)
    np.testing.assert_allclose(cells[0, 1, 0], [2, 12], atol=0.05)


def test_peak_at_the_border_stays_inside():
    cells, masses = peaks_of(blob(0, 15)[None, None], 1, 2)
    assert 0 <= cells[0, 0, 0, 0] < 1
    assert 14 < cells[0, 0, 0, 1] <= 15
    assert masses[0, 0, 0] > 0.9


def test_cells_lie_in_the_middle_of_their_pixels():
    # The first cell of stride 4 covers pixels 0 to 3.
    assert pixel_from_cell(torch.tensor(0.0), 4) == 1.5


def test_network_gives_probabilities_for_any_image_size():
    network = LevelHeatmaps(5, 4, (4, 8, 8)).eval()
    images = torch.rand(2, 2, 48, 80)
    probabilities = network(images).exp()
    assert probabilities.shape == (2, 5, 12 * 20 + 1)
    torch.testing.assert_close(probabilities.sum(dim=2), torch.ones(2, 5))
    assert find_peaks(network, images.numpy(), 3, 2, 0.0).pixels.shape == (2, 5, 3, 2)


def test_weak_peaks_are_none():
    network = LevelHeatmaps(5, 4, (4, 8)).eval()
    peaks = find_peaks(network, np.zeros((1, 2, 64, 64), np.float32), 2, 1, 0.9)
    assert (peaks.masses == 0).all()
