"""Balls are drawn here as chords on fine pixels, behind scatter, blur and photon noise, over toy bones."""

from dataclasses import dataclass, field

import numpy as np
import pytest
from scipy import ndimage
from scipy.optimize import linear_sum_assignment

from drrkit.errors import InputError
from drrkit.radiograph import Radiograph
from protocols.beads.xray import XrayBalls, find_xray_balls

SIZE, FINE = 320, 3
STEEL_PER_MM = 0.55


def placed(count, apart_px, rng, margin_px=25.0, size=SIZE):
    centers: list[np.ndarray] = []
    while len(centers) < count:
        center = rng.uniform(margin_px, size - 1 - margin_px, 2)
        if all(np.hypot(*(center - other)) > apart_px for other in centers):
            centers.append(center)
    return np.array(centers)


def chords(centers, radius_px, size=SIZE):
    """Length of steel in each pixel, in ball diameters."""
    image = np.zeros((size, size))
    steps = (np.arange(FINE) + 0.5) / FINE - 0.5
    for center in centers:
        low = np.maximum(np.floor(center - radius_px - 2).astype(int), 0)
        high = np.minimum(np.ceil(center + radius_px + 3).astype(int), size)
        u, v = ((np.arange(a, b)[:, None] + steps).ravel() for a, b in zip(low, high, strict=True))
        square = 1 - ((u[None] - center[0]) ** 2 + (v[:, None] - center[1]) ** 2) / radius_px**2
        fine = np.sqrt(np.maximum(square, 0)).reshape(len(v) // FINE, FINE, len(u) // FINE, FINE)
        image[low[1] : high[1], low[0] : high[0]] += fine.mean(axis=(1, 3))
    return image


@dataclass
class Scene:
    """One image and where its balls are."""

    seed: int = 0
    radius_px: float = 5.0
    count: int = 14
    photons: float = 20000.0
    scatter: float = 1.0
    motion_px: tuple[float, float] = (0.0, 0.0)
    collimated: bool = False
    round_field: bool = False
    wires: bool = False
    gas: bool = False
    centers: np.ndarray | None = None
    extra: np.ndarray = field(default_factory=lambda: np.zeros((SIZE, SIZE)))

    def counts(self):
        rng = np.random.default_rng(self.seed)
        if self.centers is None:
            self.centers = placed(self.count, 4.5 * self.radius_px, rng)
        v, u = np.mgrid[:SIZE, :SIZE].astype(float)
        rough = ndimage.gaussian_filter(rng.standard_normal((SIZE, SIZE)), 8)
        body = 2.0 + 0.8 * np.sin(u / 90) + 0.08 * rough / rough.std()
        for row in range(30, SIZE, 75):  # vertebrae with cortical rims, and their transverse processes
            inside = (np.abs(u - 160) < 42) & (np.abs(v - row - 25) < 27)
            body += 0.35 * inside + 0.25 * (inside & ~ndimage.binary_erosion(inside, iterations=4))
            body += 0.3 * (np.hypot((u - 160) / 70, (v - row - 15) / 7) < 1)
        body = ndimage.gaussian_filter(body, 2.0)
        path = body + self.extra + 3 * STEEL_PER_MM * chords(self.centers, self.radius_px)
        if self.wires:
            through = self.centers[0]
            distance = np.abs((u - through[0]) * 0.6 - (v - through[1]) * 0.8)
            path += 0.9 * np.sqrt(np.maximum(1 - (distance / 3) ** 2, 0))
            path += 2.0 * ((np.abs(u - 250) < 7 + 2 * (v % 6 < 3)) & (np.abs(v - 60) < 40))
        if self.gas:
            for center in placed(6, 30, rng):
                path -= 0.5 * np.sqrt(np.maximum(1 - (np.hypot(u - center[0], v - center[1]) / 8) ** 2, 0))
        primary = np.exp(-path)
        image = primary + self.scatter * ndimage.gaussian_filter(primary, 25)
        if self.collimated:
            open_field = (u + 0.1 * v > 40) & (u + 0.1 * v < 310) & (v - 0.1 * u > 5) & (v - 0.1 * u < 270)
            image *= 0.02 + 0.98 * open_field
        if self.round_field:
            image *= 0.002 + (np.hypot(u - 159.5, v - 159.5) < 150)
        image = ndimage.gaussian_filter(image, 0.7)
        if any(self.motion_px):
            steps = np.linspace(-0.5, 0.5, 13)
            shifts = [(t * self.motion_px[1], t * self.motion_px[0]) for t in steps]
            image = np.mean([ndimage.shift(image, s, order=1, mode="nearest") for s in shifts], axis=0)
        return rng.poisson(image / np.median(image) * self.photons).astype(np.float64)

    def radiograph(self, domain="intensity", sign=1.0):
        counts = self.counts()
        if domain == "line_integral":
            counts = -np.log(np.maximum(counts, 1) / counts.max())
        if domain == "display":
            logs = np.log(np.maximum(counts, 1))
            low, high = np.percentile(logs, [0.5, 99.5])
            counts = sign * np.round(255 * np.clip((logs - low) / (high - low), 0, 1) ** 0.8)
        return Radiograph(counts.astype(np.float32), domain)

    def found(self, **options) -> XrayBalls:
        return find_xray_balls(self.radiograph(**options), (0.75 * self.radius_px, 1.4 * self.radius_px))


def matched(balls: XrayBalls, centers, radius_px):
    """Vectors from the truth and the sigmas of the balls that were found, and how many detections are false."""
    steps = balls.centers_px[:, None] - centers[None]
    distances = np.hypot(steps[..., 0], steps[..., 1])
    rows, columns = linear_sum_assignment(np.minimum(distances, radius_px))
    good = distances[rows, columns] < 0.6 * radius_px
    rows, columns = rows[good], columns[good]
    return steps[rows, columns], balls.sigmas_px[rows], len(balls.centers_px) - int(good.sum()), columns


@pytest.mark.parametrize(
    ("radius_px", "photons", "scatter", "median_px"),
    [(3.2, 20000, 1.0, 0.1), (5.0, 20000, 1.0, 0.1), (5.0, 600, 2.0, 0.15), (9.0, 20000, 1.0, 0.15)],
)
def test_centers_are_found_to_a_fraction_of_a_pixel_and_know_how_well(radius_px, photons, scatter, median_px):
    steps, sigmas = [], []
    for seed in range(3):
        scene = Scene(seed=seed, radius_px=radius_px, photons=photons, scatter=scatter, count=12)
        balls = scene.found()
        step, sigma, false, _ = matched(balls, scene.centers, radius_px)
        assert len(step) >= 11
        assert false <= 2
        assert not balls.saturated
        assert np.median(balls.radii_px) == pytest.approx(radius_px, rel=0.15)
        steps.append(step)
        sigmas.append(sigma)
    steps, sigmas = np.concatenate(steps), np.concatenate(sigmas)
    assert np.median(np.hypot(*steps.T)) < median_px
    normalized = np.abs(steps / sigmas[:, None])
    assert 0.25 < np.median(normalized) < 1.2
    assert np.percentile(normalized, 90) < 3


@pytest.mark.parametrize("trouble", ["collimated", "round_field", "wires", "gas"])
def test_edges_wires_and_gas_hide_no_balls_and_are_none(trouble):
    found = wanted = 0
    for seed in range(2):
        scene = Scene(seed=seed, **{trouble: True})
        balls = scene.found()
        u, v = scene.centers.T
        clear = np.ones(len(u), dtype=bool)
        if trouble == "collimated":
            inner = (u + 0.1 * v > 48) & (u + 0.1 * v < 302) & (v - 0.1 * u > 13) & (v - 0.1 * u < 262)
            outer = (u + 0.1 * v > 32) & (u + 0.1 * v < 318) & (v - 0.1 * u > -3) & (v - 0.1 * u < 278)
            clear = inner | ~outer
        if trouble == "round_field":
            clear = np.hypot(u - 159.5, v - 159.5) < 142
        if trouble == "wires":
            clear = (np.abs(u - 250) > 18) | (np.abs(v - 60) > 48)
        _, _, false, hits = matched(balls, scene.centers, scene.radius_px)
        assert false <= 6
        found += clear[hits].sum()
        wanted += clear.sum()
    assert found >= 0.95 * wanted


@pytest.mark.parametrize("apart", [0.9, 1.3, 1.8, 2.4])
def test_overlapping_balls_are_split_or_less_sure(apart):
    rng = np.random.default_rng(5)
    centers = placed(10, 30, rng)
    angle = rng.uniform(0, 2 * np.pi, 3)
    twins = centers[:3] + apart * 5.0 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    scene = Scene(seed=5, centers=np.concatenate([centers, twins]))
    step, sigma, false, hits = matched(scene.found(), scene.centers, 5.0)
    assert len(hits) >= 12
    assert false <= 2
    twin = (hits < 3) | (hits >= 10)
    assert np.median(np.hypot(*step[twin].T)) < 0.4
    assert (np.hypot(*step.T) < 6 * sigma).all()
    if apart < 2:
        assert np.median(sigma[twin]) > 1.2 * np.median(sigma[~twin])


def test_motion_shows_in_the_sigmas():
    still, moved = Scene(seed=3), Scene(seed=3, motion_px=(6.0, 4.0))
    calm, blurred = still.found(), moved.found()
    _, sigma_still, _, _ = matched(calm, still.centers, 5.0)
    step, sigma_moved, _, _ = matched(blurred, moved.centers, 5.0)
    assert len(step) == 14
    assert np.median(sigma_moved) > 5 * np.median(sigma_still)
    assert np.median(sigma_moved) == pytest.approx(0.15 * np.hypot(6, 4), rel=0.4)


@pytest.mark.parametrize(("domain", "sign"), [("line_integral", 1.0), ("display", 1.0), ("display", -1.0)])
def test_every_domain_gives_the_same_balls(domain, sign):
    scene = Scene(seed=4)
    step, _, false, _ = matched(scene.found(domain=domain, sign=sign), scene.centers, 5.0)
    # What a display window cuts off is not there: one ball lies in the darkest half percent.
    assert len(step) >= (13 if domain == "display" else 14)
    assert false <= 2
    assert np.median(np.hypot(*step.T)) < 0.12


def test_large_pixels_and_wide_ranges_are_searched_too():
    scene = Scene(seed=6, radius_px=12.0, count=8)
    balls = find_xray_balls(scene.radiograph(), (4.0, 16.0))
    step, _, false, _ = matched(balls, scene.centers, 12.0)
    assert len(step) == 8
    assert false <= 8
    assert np.median(np.hypot(*step.T)) < 0.2


def test_black_and_white_images_are_told():
    scene = Scene(seed=1)
    counts = scene.counts()
    assert not find_xray_balls(Radiograph(counts.astype(np.float32), "intensity"), (4, 7)).saturated
    white = np.minimum(counts, np.percentile(counts, 30))
    black = np.maximum(counts, np.percentile(counts, 70))
    for pixels in (white, black, np.zeros_like(counts)):
        assert find_xray_balls(Radiograph(pixels.astype(np.float32), "intensity"), (4, 7)).saturated


def test_an_image_without_balls_has_next_to_none():
    scene = Scene(seed=2, centers=np.zeros((0, 2)))
    assert len(scene.found().centers_px) <= 8


@pytest.mark.parametrize("radius_px", [(5.0, 4.0), (0.5, 4.0), (4.0, 90.0)])
def test_impossible_radii_are_refused(radius_px):
    with pytest.raises(InputError, match="radius_px"):
        find_xray_balls(Radiograph(np.zeros((200, 200), np.float32), "intensity"), radius_px)
