import numpy as np
import pytest

from drrkit.errors import InputError
from drrkit.fluoroscopy.materials import attenuation_per_mm
from drrkit.fluoroscopy.spectrum import Spectrum, monoenergetic, tube_spectrum

# Mass energy-absorption of air in cm2/g by keV: NIST, Hubbell & Seltzer, NISTIR 5632, table 4.
AIR_KEV = [10, 15, 20, 30, 40, 50, 60, 80, 100, 150]
AIR_CM2_G = [4.742, 1.334, 0.5389, 0.1537, 0.06833, 0.04098, 0.03041, 0.02407, 0.02325, 0.02496]


def half_value_layer_mm(spectrum):
    """Aluminum that halves the air kerma."""
    import xraydb

    absorbed = np.exp(np.interp(np.log(spectrum.energies_kev), np.log(AIR_KEV), np.log(AIR_CM2_G)))
    kerma = spectrum.fluence * spectrum.energies_kev * absorbed
    aluminum = xraydb.mu_elam("Al", 1000 * spectrum.energies_kev) * 2.699 / 10
    layers = np.linspace(0, 15, 1501)
    passed = np.exp(-np.outer(layers, aluminum)) @ kerma / kerma.sum()
    return float(np.interp(-0.5, -passed, layers))


@pytest.mark.parametrize(
    ("kvp", "aluminum_mm", "copper_mm"), [(70, 2.5, 0.0), (80, 3.0, 0.0), (80, 3.0, 0.1), (110, 4.0, 0.3)]
)
def test_bins_keep_the_half_value_layer_and_mean_energy_of_spekpy(kvp, aluminum_mm, copper_mm):
    import spekpy

    tube = spekpy.Spek(kvp=kvp, th=12, dk=0.5).filter("Al", aluminum_mm)
    if copper_mm:
        tube.filter("Cu", copper_mm)
    spectrum = tube_spectrum(kvp, aluminum_mm, copper_mm, 12)
    assert half_value_layer_mm(spectrum) == pytest.approx(tube.get_hvl1(), rel=0.02)
    assert spectrum.mean_energy_kev == pytest.approx(tube.get_emean(), abs=0.05)
    assert 15 <= len(spectrum.energies_kev) <= 30


def test_the_standard_beam_rqa5_has_its_half_value_layer():
    # IEC 61267: 70 kV behind 21 mm of aluminum besides the tube's own 2.5 mm; 6.8 mm (2005), 7.1 mm (1994).
    assert half_value_layer_mm(tube_spectrum(70, 23.5)) == pytest.approx(6.8, abs=0.3)


def test_few_bins_attenuate_like_many():
    few, many = tube_spectrum(80, 3.0), tube_spectrum(80, 3.0, bins=120)
    for material, thickness_mm in (("water", 250), ("cortical bone", 30), ("steel", 3)):
        integrals = [
            -np.log(beam.fluence @ np.exp(-thickness_mm * attenuation_per_mm(material, beam.energies_kev)))
            for beam in (few, many)
        ]
        assert integrals[0] == pytest.approx(integrals[1], rel=0.01)


def test_filters_and_voltage_harden_the_beam():
    soft = tube_spectrum(80, 3.0).mean_energy_kev
    assert tube_spectrum(80, 6.0).mean_energy_kev > soft
    assert tube_spectrum(80, 3.0, 0.2).mean_energy_kev > soft
    assert tube_spectrum(100, 3.0).mean_energy_kev > soft
    assert tube_spectrum(80, 3.0).energies_kev.max() <= 80


def test_equal_beams_are_computed_once():
    assert tube_spectrum(80, 3.0) is tube_spectrum(80, 3.0)
    assert monoenergetic(60).mean_energy_kev == 60


@pytest.mark.parametrize(
    "make",
    [
        lambda: tube_spectrum(200, 3.0),
        lambda: tube_spectrum(80, -1.0),
        lambda: tube_spectrum(80, 3.0, 9.0),
        lambda: tube_spectrum(80, 3.0, 0.0, 60.0),
        lambda: tube_spectrum(float("nan"), 3.0),
        lambda: Spectrum(np.array([50.0, 40.0]), np.array([0.5, 0.5])),
        lambda: Spectrum(np.array([40.0, 50.0]), np.array([0.5, 0.6])),
        lambda: Spectrum(np.array([40.0]), np.array([0.5, 0.5])),
    ],
)
def test_impossible_beams_are_refused(make):
    with pytest.raises(InputError):
        make()
