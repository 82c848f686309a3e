from dataclasses import replace

import numpy as np
import pytest

from drrkit.errors import InputError
from drrkit.fluoroscopy import beam
from drrkit.fluoroscopy.devices import FLAT_PANEL, IMAGE_INTENSIFIER
from drrkit.fluoroscopy.machine import Collimator, Machine, Technique
from drrkit.geometry.carm import CArm

CARM = CArm(1000.0, 600.0, 96, 120, (3.0, 3.0))
CAMERA = CARM.camera(0.0, 0.0)
SHAPE = (96, 120)


def slab(**paths_mm):
    return {name.replace("_", " "): np.full(SHAPE, length, np.float32) for name, length in paths_mm.items()}


def test_beams_harden_in_the_patient():
    detector, spectrum = FLAT_PANEL.detector, FLAT_PANEL.technique.spectrum
    energy = [beam.transmitted(slab(water=mm), SHAPE, spectrum, detector)[0][0, 0] for mm in (0, 100, 200, 300)]
    losses = -np.diff(np.log(energy))
    assert (np.diff(losses) < 0).all()
    mean_kev = [
        square[0, 0] / energy[0, 0]
        for energy, square in (beam.transmitted(slab(water=mm), SHAPE, spectrum, detector) for mm in (0, 300))
    ]
    assert mean_kev[1] > mean_kev[0] + 3


def test_transmission_is_the_sum_over_all_energies():
    from drrkit.fluoroscopy.materials import attenuation_per_mm

    detector, spectrum = FLAT_PANEL.detector, FLAT_PANEL.technique.spectrum
    energy, square = beam.transmitted(slab(water=150, cortical_bone=20, steel=1), SHAPE, spectrum, detector)
    kev = spectrum.energies_kev
    integral = sum(
        mm * attenuation_per_mm(name, kev) for name, mm in (("water", 150), ("cortical bone", 20), ("steel", 1))
    )
    caught = 1 - np.exp(-attenuation_per_mm("cesium iodide", kev) * detector.csi_mm * detector.packing)
    photons = spectrum.fluence * caught * np.exp(-integral)
    np.testing.assert_allclose(energy, photons @ kev, rtol=1e-5)
    np.testing.assert_allclose(square, photons @ kev**2, rtol=1e-5)


@pytest.mark.parametrize("machine", [FLAT_PANEL, IMAGE_INTENSIFIER])
def test_the_scatter_behind_20_cm_of_water_is_as_told(machine):
    wide = CArm(1000.0, 600.0, 100, 100, (6.0, 6.0)).camera(0.0, 0.0)
    water = {"water": np.full((100, 100), 200, np.float32)}
    sharp = replace(machine, focal_spot_mm=0.0)
    # Without the heel and the cosine law, which the definition does not know, the middle has the ratio itself.
    spectrum = machine.technique.spectrum
    primary, _ = beam.transmitted(water, (100, 100), spectrum, machine.detector)
    open_field, _ = beam.transmitted({"water": 0 * water["water"]}, (100, 100), spectrum, machine.detector)
    scattered = beam.scatter(primary, primary / open_field, sharp, 6.0)
    assert scattered[50, 50] / primary[50, 50] == pytest.approx(machine.scatter_to_primary, rel=0.01)
    assert (
        beam.absorbed(water, wide, sharp).energy[50, 50]
        > beam.absorbed(water, wide, replace(sharp, scatter_to_primary=0.0)).energy[50, 50]
    )


def test_air_scatters_nothing_and_thick_patients_scatter_more():
    machine = FLAT_PANEL
    ratios = []
    for mm in (0, 100, 250):
        primary, _ = beam.transmitted(slab(water=mm), SHAPE, machine.technique.spectrum, machine.detector)
        open_field, _ = beam.transmitted(slab(water=0), SHAPE, machine.technique.spectrum, machine.detector)
        ratios.append((beam.scatter(primary, primary / open_field, machine, 3.0) / primary)[48, 60])
    assert ratios[0] == pytest.approx(0.0, abs=1e-6)
    assert 0.1 < ratios[1] < ratios[2]


def test_the_open_field_is_its_own_reference():
    machine = replace(FLAT_PANEL, focal_spot_mm=0.0)
    open_field = beam.absorbed(slab(water=0), CAMERA, machine).energy
    assert open_field[47:49, 59:61].mean() == pytest.approx(beam.open_field_energy(machine), rel=1e-3)
    twice = replace(machine, technique=replace(machine.technique, photons_per_mm2=2e5))
    assert beam.open_field_energy(twice) == pytest.approx(2 * beam.open_field_energy(machine))


def test_the_heel_darkens_the_anodes_side_as_spekpy_says():
    import spekpy

    camera = CArm(1000.0, 600.0, 301, 301, (1.0, 1.0)).camera(0.0, 0.0)
    machine = Machine("test", FLAT_PANEL.detector, Technique(80.0, 3.0, anode_deg=12.0), anode_direction=(0.0, -1.0))
    shading = beam.shading(camera, machine)[:, 150]
    middle = spekpy.Spek(kvp=80, th=12, dk=1, z=100).filter("Al", 3).get_flu()
    for offset_mm in (-150, -75, 75, 150):
        # SpekPy's fluence through a plane across the ray; obliquity makes it less on the detector.
        tube = spekpy.Spek(kvp=80, th=12, dk=1, x=offset_mm / 10, z=100).filter("Al", 3)
        expected = tube.get_flu() / middle * 1000 / np.hypot(1000, offset_mm)
        assert shading[150 + offset_mm] == pytest.approx(expected, rel=0.02), offset_mm
    assert shading[0] < 0.8 < 0.95 < shading[300]


def test_blades_leave_the_opening_and_a_leak():
    collimator = Collimator("rectangle", (120.0, 60.0), (30.0, -15.0), leak=0.01)
    opening = beam.opening(CAMERA, collimator)
    assert opening[48 - 5, 60 + 10] == 1
    assert opening[90, 60] == pytest.approx(0.01)
    assert ((opening - 0.01) / 0.99).sum() * 9 == pytest.approx(120 * 60, rel=0.03)
    turned = beam.opening(CAMERA, replace(collimator, rotation_deg=90.0, center_mm=(0.0, 0.0)))
    upright = beam.opening(CAMERA, replace(collimator, size_mm=(60.0, 120.0), center_mm=(0.0, 0.0)))
    np.testing.assert_allclose(turned, upright, atol=1e-5)
    iris = beam.opening(CAMERA, Collimator("iris", (150.0, 150.0), leak=0.0))
    assert iris.sum() * 9 == pytest.approx(np.pi * 75**2, rel=0.01)
    np.testing.assert_array_equal(beam.opening(CAMERA, Collimator()), 1)


def test_scatter_reaches_behind_the_blades():
    machine = replace(FLAT_PANEL, collimator=Collimator("rectangle", (120.0, 120.0), leak=0.0))
    energy = beam.absorbed(slab(water=200), CAMERA, machine).energy
    assert 0 < energy[48, 2] < 0.2 * energy[48, 60]


@pytest.mark.parametrize(
    "paths",
    [
        {"water": np.zeros((3, 3), np.float32)},
        {"water": np.full(SHAPE, np.nan, np.float32)},
        {"ether": np.ones(SHAPE, np.float32)},
    ],
)
def test_impossible_paths_are_refused(paths):
    with pytest.raises(InputError):
        beam.absorbed(paths, CAMERA, FLAT_PANEL)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Collimator("hexagon"),
        lambda: Collimator("iris", (-5.0, 5.0)),
        lambda: Collimator(leak=2.0),
        lambda: Technique(photons_per_mm2=-1.0),
        lambda: Technique(kvp=500.0),
        lambda: Technique(copper_mm=-0.1),
        lambda: replace(FLAT_PANEL, anode_direction=(1.0, 1.0)),
        lambda: replace(FLAT_PANEL, scatter_to_primary=float("nan")),
        lambda: replace(FLAT_PANEL.detector, bits=99),
        lambda: replace(FLAT_PANEL.detector, csi_mm=0.0),
    ],
)
def test_impossible_machines_are_refused(make):
    with pytest.raises(InputError):
        make()
