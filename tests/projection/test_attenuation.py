"""Hounsfield units become the attenuation of what they are, at any energy."""

import numpy as np
import pytest

from drrkit.errors import InputError
from drrkit.projection import attenuation as attenuation_module
from drrkit.projection.attenuation import (
    attenuation_map,
    attenuation_table,
    cortical_bone_hu,
    linear_attenuation_per_mm,
)
from drrkit.volume import AIR_HU, LEVEL_CODES, Volume

# Mass attenuation in cm2/g by NIST's XCOM (Hubbell & Seltzer, NISTIR 5632, tables 3 and 4).
NIST = [
    ("water", 40.0, 0.2683, 1.0),
    ("water", 60.0, 0.2059, 1.0),
    ("water", 80.0, 0.1837, 1.0),
    ("cortical bone", 40.0, 0.6655, 1.92),
    ("cortical bone", 60.0, 0.3148, 1.92),
    ("cortical bone", 80.0, 0.2229, 1.92),
    ("air", 60.0, 0.1875, 1.205e-3),
]


def volume(values, dtype=np.int16, labels=None) -> Volume:
    hu = np.asarray(values, dtype).reshape(1, 1, -1)
    return Volume(hu, np.eye(4), None if labels is None else np.asarray(labels, np.uint8).reshape(hu.shape))


@pytest.mark.parametrize(("material", "energy_kev", "mass_cm2_g", "density_g_cm3"), NIST)
def test_materials_have_their_tabulated_attenuation(material, energy_kev, mass_cm2_g, density_g_cm3):
    expected_per_mm = mass_cm2_g * density_g_cm3 / 10
    assert linear_attenuation_per_mm(material, energy_kev) == pytest.approx(expected_per_mm, rel=0.005)


@pytest.mark.parametrize("energy_kev", [40.0, 60.0, 100.0])
def test_water_and_bone_are_met_at_their_hounsfield_units(energy_kev):
    bone_hu = cortical_bone_hu()
    table = attenuation_table("full", energy_kev=energy_kev)
    air, water, bone = (linear_attenuation_per_mm(name, energy_kev) for name in ("air", "water", "cortical bone"))
    hu = np.arange(AIR_HU, AIR_HU + table.size)
    np.testing.assert_allclose(np.interp([0, bone_hu], hu, table), [water - air, bone - air], rtol=1e-6)


def test_the_ct_energy_gives_the_hounsfield_units_back():
    hu = np.arange(-1000, 3001)
    attenuation = attenuation_map(volume(hu), "full", energy_kev=70.0, ct_energy_kev=70.0).ravel()
    air, water = (linear_attenuation_per_mm(name, 70.0) for name in ("air", "water"))
    np.testing.assert_allclose(1000 * (attenuation - (water - air)) / (water - air), hu, atol=1e-3)


@pytest.mark.parametrize("energy_kev", [20.0, 60.0, 140.0])
@pytest.mark.parametrize("tissue", ["full", "bone"])
def test_more_hounsfield_units_never_attenuate_less_up_to_metal(tissue, energy_kev):
    table = attenuation_table(tissue, energy_kev=energy_kev)
    assert (np.diff(table) >= 0).all()
    assert (np.diff(table)[3000 - AIR_HU :] > 0).all()


@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_air_and_padding_are_exactly_nothing(dtype):
    attenuation = attenuation_map(volume([-32768, -3024, -2048, -1024, -1001, -1000], dtype), "full")
    assert (attenuation == 0).all()


def test_floats_are_looked_up_between_integers():
    values = np.array([-900.0, -20.5, 0.0, 77.25, 1200.0, 3071.0, 40000.0], np.float32)
    found = attenuation_map(volume(values, np.float32), "full").ravel()
    table = attenuation_table("full")
    np.testing.assert_allclose(found, np.interp(values, np.arange(table.size) + AIR_HU, table), rtol=1e-6)
    whole = np.array([-1000, -3, 0, 149, 2000])
    np.testing.assert_array_equal(
        attenuation_map(volume(whole, np.int16), "bone"), attenuation_map(volume(whole, np.float32), "bone")
    )


@pytest.mark.parametrize("threshold_hu", [150.0, 300.0])
def test_bone_begins_at_the_threshold_with_a_short_ramp(threshold_hu):
    half = attenuation_module.BONE_RAMP_HU / 2
    hu = threshold_hu + np.array([-half - 1, -half, 0, half, half + 200])
    full = attenuation_map(volume(hu), "full").ravel()
    bone = attenuation_map(volume(hu), "bone", bone_threshold_hu=threshold_hu).ravel()
    np.testing.assert_allclose(bone / full, [0, 0, 0.5, 1, 1], atol=1e-6)


def test_vertebrae_are_the_labelled_voxels_and_nothing_else():
    labelled = volume([-200, 50, 400, 900], labels=[0, LEVEL_CODES["L1"], LEVEL_CODES["L2"], 0])
    full = attenuation_map(labelled, "full").ravel()
    np.testing.assert_array_equal(attenuation_map(labelled, "vertebrae").ravel(), full * [0, 1, 1, 0])


def test_bone_stands_out_more_at_lower_energy():
    contrasts = []
    for energy_kev in (40.0, 60.0, 100.0):
        bone, water = attenuation_map(volume([800, 0]), "full", energy_kev=energy_kev).ravel()
        contrasts.append(bone / water)
    assert contrasts == sorted(contrasts, reverse=True)
    assert contrasts[0] > 1.2 * contrasts[-1]


@pytest.mark.parametrize(
    ("tissue", "changes", "said"),
    [
        ("skin", {}, "skin"),
        ("vertebrae", {}, "without labels"),
        ("full", {"energy_kev": 5.0}, "5.0 keV"),
        ("full", {"energy_kev": float("nan")}, "nan keV"),
        ("full", {"ct_energy_kev": 6000.0}, "6000.0 keV"),
        ("bone", {"bone_threshold_hu": float("inf")}, "inf"),
    ],
)
def test_what_cannot_be_looked_up_is_refused(tissue, changes, said):
    with pytest.raises(InputError, match=said):
        attenuation_map(volume([0, 100]), tissue, **changes)


def test_unknown_materials_are_refused():
    with pytest.raises(InputError, match="lead"):
        linear_attenuation_per_mm("lead", 60.0)
