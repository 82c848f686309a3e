from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from drrkit.errors import InputError
from drrkit.fluoroscopy.devices import FLAT_PANEL, IMAGE_INTENSIFIER, MACHINES, machine, markdown_table
from drrkit.fluoroscopy.exposure import automatic_exposure, expose, open_field_counts
from drrkit.fluoroscopy.machine import Detector, Machine, Technique
from drrkit.fluoroscopy.solids import Sphere, add_chords, chords_mm
from drrkit.geometry.carm import CArm
from toys import toy_volume

CARM = CArm(1000.0, 600.0, 160, 160, (1.2, 1.2))
CAMERA = CARM.camera(30.0, -10.0, 20.0)
SHAPE = (160, 160)
BALLS = [(0.0, 0.0, 0.0), (25.0, 10.0, -20.0), (-20.0, 15.0, 30.0), (22.0, -25.0, -28.0)]

# Sees every photon with its energy and adds nothing of its own.
IDEAL = Detector(
    csi_mm=3.0, packing=1.0, swank=1.0, blur_fwhm_mm=0.0, glare_fraction=0.0, glare_radius_mm=20.0,
    electronic_noise_kev_mm2=0.0, gain=0.01, bits=16,
)  # fmt: skip
PLAIN = Machine("plain", IDEAL, Technique(80.0, 3.0), scatter_to_primary=0.0, focal_spot_mm=0.0)


def water(mm=200.0):
    return {"water": np.full(SHAPE, mm, np.float32)}


def with_photons(machine, photons):
    return replace(machine, technique=replace(machine.technique, photons_per_mm2=photons))


def local_centroid(image, place, reach=7):
    """Centroid of what is darker than the surroundings around a place."""
    u0, v0 = np.rint(place).astype(int)
    v, u = np.mgrid[v0 - reach : v0 + reach + 1, u0 - reach : u0 + reach + 1]
    part = image[v0 - reach : v0 + reach + 1, u0 - reach : u0 + reach + 1].astype(np.float64)
    ring = np.hypot(u - place[0], v - place[1]) > reach - 1.5
    plane = np.linalg.lstsq(np.column_stack([u[ring], v[ring], np.ones(ring.sum())]), part[ring], rcond=None)[0]
    darkness = np.where(ring, 0, plane[0] * u + plane[1] * v + plane[2] - part)
    return np.array([(u * darkness).sum(), (v * darkness).sum()]) / darkness.sum()


def test_counts_are_whole_and_repeat_with_their_seed():
    setup = automatic_exposure(water(), CAMERA, FLAT_PANEL)
    first, again, other = (expose(water(), CAMERA, setup, seed) for seed in (5, 5, 6))
    assert first.domain == "intensity"
    assert first.camera is CAMERA
    np.testing.assert_array_equal(first.pixels, np.rint(first.pixels))
    assert first.pixels.min() >= 0
    assert first.pixels.max() <= 4095
    np.testing.assert_array_equal(first.pixels, again.pixels)
    assert (first.pixels != other.pixels).mean() > 0.8


def test_quantum_noise_is_that_of_the_photons_absorbed():
    setup = with_photons(PLAIN, 2e5)
    camera = CArm(10_000.0, 6000.0, 160, 160, (1.2, 1.2)).camera(0.0, 0.0)  # so far away that nothing shades
    counts = expose(water(), camera, setup, 1).pixels.astype(np.float64)
    from drrkit.fluoroscopy.beam import transmitted

    energy, square = transmitted(water(), SHAPE, setup.technique.spectrum, IDEAL)
    mean_kev = 2e5 * 1.44 * float(energy[0, 0])  # a pixel
    variance_kev2 = 2e5 * 1.44 * float(square[0, 0])
    to_counts = IDEAL.gain / 1.44
    assert counts.mean() == pytest.approx(to_counts * mean_kev, rel=2e-3)
    assert counts.std() == pytest.approx(to_counts * np.sqrt(variance_kev2), rel=0.03)
    four = expose(water(), camera, with_photons(PLAIN, 8e5), 1).pixels
    assert four.std() / four.mean() == pytest.approx(counts.std() / counts.mean() / 2, rel=0.03)


def test_noise_is_blurred_by_the_scintillator_but_not_by_the_focal_spot():
    def neighbors(machine):
        pixels = expose(water(), CAMERA, with_photons(machine, 2e5), 3).pixels
        rest = pixels - pixels.mean()
        return (rest[:, 1:] * rest[:, :-1]).mean() / rest.var()

    flat = replace(PLAIN, detector=replace(IDEAL, is_flat_fielded=True))
    blurred = replace(flat, detector=replace(flat.detector, blur_fwhm_mm=2.0))
    assert abs(neighbors(replace(flat, focal_spot_mm=3.0))) < 0.05
    assert neighbors(blurred) > 0.3


def test_electronic_noise_stays_in_the_dark():
    dark = replace(PLAIN, detector=replace(IDEAL, electronic_noise_kev_mm2=6000.0, offset=100.0))
    pixels = expose(water(), CAMERA, with_photons(dark, 0.001), 1).pixels
    assert pixels.mean() == pytest.approx(100.0, abs=0.5)
    # 0.2 mm are binned to 1.2 mm, so a sixth; and counts are whole, which adds a twelfth.
    assert pixels.std() == pytest.approx(np.hypot(0.01 * 6000 / 6, np.sqrt(1 / 12)), rel=0.03)


@pytest.mark.parametrize("base", [FLAT_PANEL, IMAGE_INTENSIFIER])
def test_flat_fielding_makes_the_open_field_even(base):
    wide = CArm(1000.0, 600.0, 160, 160, (2.0, 2.0)).camera(0.0, 0.0)
    quiet = replace(base.detector, glare_fraction=0.0, bits=16, is_flat_fielded=True)
    base = with_photons(replace(base, detector=quiet), 2e5)
    raw = replace(base, detector=replace(quiet, is_flat_fielded=False))
    inside = np.hypot(*(np.mgrid[:160, :160] - 79.5)) < 70
    even, uneven = (expose(water(0.0), wide, setup, 1).pixels[inside] for setup in (base, raw))
    assert even.std() / even.mean() < 0.01
    assert uneven.std() / uneven.mean() > 0.03


def test_the_open_field_has_the_counts_it_is_told():
    setup = with_photons(PLAIN, 5e4)
    middle = expose(water(0.0), CAMERA, setup, 1).pixels[60:100, 60:100].mean()
    assert middle == pytest.approx(open_field_counts(setup), rel=5e-3)
    assert expose(water(0.0), CAMERA, with_photons(PLAIN, 1e8), 1).pixels.min() == 65535  # clipped, not wrapped


@pytest.mark.parametrize("name", sorted(MACHINES))
@pytest.mark.parametrize("thickness_mm", [150.0, 300.0])
def test_automatic_exposure_hits_its_target(name, thickness_mm):
    setup = automatic_exposure(water(thickness_mm), CAMERA, machine(name), target_fraction=0.2)
    pixels = expose(water(thickness_mm), CAMERA, setup, 1).pixels
    v, u = np.mgrid[:160, :160] - 79.5
    median = np.median(pixels[np.hypot(u, v) < 40])
    # Glare, lost beyond the image's border, is not in the estimate.
    assert median == pytest.approx(0.2 * 4095, rel=0.12)
    limited = automatic_exposure(water(thickness_mm), CAMERA, machine(name), most_photons_per_mm2=1000.0)
    assert limited.technique.photons_per_mm2 == 1000.0
    assert setup.technique.kvp == machine(name).technique.kvp


@pytest.mark.parametrize("base", [FLAT_PANEL, IMAGE_INTENSIFIER])
def test_balls_lie_where_camera_and_distortion_put_them(base):
    paths = add_chords(water(150.0), chords_mm([Sphere(center, 2.0) for center in BALLS], CAMERA))
    # Many photons and a fine scale: this is about places, not about noise.
    base = replace(base, detector=replace(base.detector, bits=16, gain=1e-4))
    setup = automatic_exposure(paths, CAMERA, base)
    distortion = base.distortion(CAMERA, [0.2, 0.8, -0.5])
    pixels = expose(paths, CAMERA, setup, 1, distortion=distortion).pixels
    for center in BALLS:
        place = distortion.distorted_from_ideal(CAMERA.project(center))
        np.testing.assert_allclose(local_centroid(pixels, place), place, atol=0.05)
    moved = np.linalg.norm(distortion.distorted_from_ideal(CAMERA.project(BALLS)) - CAMERA.project(BALLS), axis=1)
    assert (moved.max() > 1) == (base.optics is not None)


def test_an_intensifiers_field_is_round_and_dimmer_at_its_rim():
    setup = automatic_exposure(water(), CAMERA, IMAGE_INTENSIFIER)
    pixels = expose(water(), CAMERA, setup, 1).pixels
    assert pixels[:15, :15].max() < 60
    assert pixels[80, 10:20].mean() < 0.9 * pixels[75:85, 75:85].mean()


def test_motion_blurs_along_its_direction_and_moves_nothing():
    paths = add_chords(water(150.0), chords_mm([Sphere(BALLS[0], 2.0)], CAMERA))
    setup = with_photons(replace(PLAIN, detector=replace(IDEAL, gain=1e-4)), 5e9 * 0.1)
    still, moved = (expose(paths, CAMERA, setup, 1, motion_px=motion).pixels for motion in ((0.0, 0.0), (6.0, 0.0)))
    u, v = np.rint(CAMERA.project(BALLS[0])).astype(int)
    half = np.median(moved) - 0.5 * (np.median(moved) - moved[v, u])
    wide, high = np.count_nonzero(moved[v] < half), np.count_nonzero(moved[:, u] < half)
    assert wide >= high + 1
    assert moved.min() > still.min()
    np.testing.assert_allclose(local_centroid(moved, (u, v), 10), CAMERA.project(BALLS[0]), atol=0.05)


def test_thicker_is_darker_and_steel_is_darkest():
    setup = automatic_exposure(water(), CAMERA, FLAT_PANEL)
    thin, thick = (expose(water(mm), CAMERA, setup, 1).pixels.mean() for mm in (180.0, 220.0))
    assert thin > 1.3 * thick
    paths = add_chords(water(), chords_mm([Sphere(BALLS[0], 6.0)], CAMERA))
    u, v = np.rint(CAMERA.project(BALLS[0])).astype(int)
    # Only scatter is left behind 12 mm of steel.
    assert 0.1 < expose(paths, CAMERA, setup, 1).pixels[v, u] / (0.25 * 4095) < 0.5


def test_a_wall_of_steel_is_black():
    wall = {"steel": np.full(SHAPE, 10_000.0, np.float32)}
    assert expose(wall, CAMERA, FLAT_PANEL, 1).pixels.mean() == pytest.approx(FLAT_PANEL.detector.offset, abs=1)


def test_the_page_shows_the_machines_as_they_are_and_its_example_runs():
    page = (Path(__file__).parents[2] / "docs" / "fluoroscopy.md").read_text()
    assert markdown_table() in page
    names = {"volume": toy_volume(), "cameras": [CARM.camera(0.0, 0.0, isocenter_world=toy_volume().center_world)]}
    exec(page.split("```python\n")[1].split("```")[0], names)
    pixels = names["radiograph"].pixels
    assert pixels.shape == SHAPE
    assert np.median(pixels[40:120, 40:120]) > 300


def test_machines_are_complete_and_named():
    for name, setup in MACHINES.items():
        assert machine(name) is setup
        assert "simulated" in setup.name
        assert len(setup.source) > 100
    assert MACHINES["flat-panel"] is FLAT_PANEL
    with pytest.raises(InputError):
        machine("x-ray specs")


@pytest.mark.parametrize(
    "make",
    [
        lambda: expose(water(), CAMERA, FLAT_PANEL, -1),
        lambda: expose(water(), CAMERA, FLAT_PANEL, 1, motion_px=(np.nan, 0.0)),
        lambda: expose({"water": np.zeros((3, 4), np.float32)}, CAMERA, FLAT_PANEL, 1),
        lambda: automatic_exposure(water(), CAMERA, FLAT_PANEL, target_fraction=0.0),
        lambda: automatic_exposure(water(), CAMERA, FLAT_PANEL, field_fraction=2.0),
        lambda: automatic_exposure({"water": np.zeros((3, 4), np.float32)}, CAMERA, FLAT_PANEL),
    ],
)
def test_impossible_exposures_are_refused(make):
    with pytest.raises(InputError):
        make()
