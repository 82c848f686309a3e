import numpy as np
import pytest

from drrkit.errors import InputError
from drrkit.fluoroscopy.beam import transmitted
from drrkit.fluoroscopy.devices import FLAT_PANEL
from drrkit.fluoroscopy.materials import attenuation_per_mm, material_fractions, path_lengths_mm
from drrkit.fluoroscopy.spectrum import monoenergetic
from drrkit.fluoroscopy.trunk import extend_trunk
from drrkit.projection.attenuation import cortical_bone_hu, linear_attenuation_per_mm
from drrkit.projection.renderer import render
from drrkit.volume import Volume
from toys import CARM, toy_volume

CAMERA = CARM.camera(25.0, 10.0, isocenter_world=toy_volume().center_world)


@pytest.mark.parametrize("bone_hu", [700, 3000])
@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_one_energy_gives_the_renderers_line_integrals_back(bone_hu, dtype):
    toy = toy_volume(bone_hu)
    hu = toy.hu.astype(dtype)
    hu[:, :3] = -750  # lung
    hu[:, :, :2] = -3024  # a scanner's padding
    volume = Volume(hu, toy.world_from_voxel)
    paths = {name: lengths[0] for name, lengths in path_lengths_mm(material_fractions(volume), [CAMERA]).items()}
    size = (CAMERA.height, CAMERA.width)
    energy, _ = transmitted(paths, size, monoenergetic(60.0), FLAT_PANEL.detector)
    nothing = {"water": np.zeros(size, np.float32)}
    open_field, _ = transmitted(nothing, size, monoenergetic(60.0), FLAT_PANEL.detector)
    expected = render(volume, CAMERA, tissue="full", energy_kev=60.0, backend="siddon").pixels
    assert expected.max() > 0.8
    np.testing.assert_allclose(-np.log(energy / open_field), expected, atol=2e-5)


def test_fractions_are_those_of_the_mixture():
    solid = cortical_bone_hu()
    hu = np.array([-3024, -1000, -500, 0, solid / 2, solid], np.float32).reshape(6, 1, 1)
    prepared = material_fractions(Volume(hu, np.eye(4))).prepared
    # One column along z; the renderers cut to what is not zero: -500 HU and up for water, above 0 HU for bone.
    np.testing.assert_allclose(prepared["water"].attenuation[:3, 0, 0], [0.5, 1, 0.5], atol=1e-6)
    np.testing.assert_allclose(prepared["cortical bone"].attenuation[:2, 0, 0], [0.5, 1], atol=1e-6)


def test_path_lengths_are_millimeters():
    volume = Volume(np.zeros((10, 10, 10), np.int16), np.diag([2.0, 2.0, 2.0, 1.0]))
    camera = CARM.camera(0.0, 0.0, isocenter_world=volume.center_world)
    water = path_lengths_mm(material_fractions(volume), [camera, camera])["water"]
    assert water.shape == (2, camera.height, camera.width)
    assert water.max() == pytest.approx(20.0, rel=1e-3)


def test_steel_and_plastic_attenuate_as_tabulated():
    # NIST's XCOM and tables: iron 1.205 cm2/g and PMMA 0.1924 cm2/g at 60 keV; CsI above and below iodine's edge.
    assert attenuation_per_mm("steel", np.array([60.0]))[0] == pytest.approx(1.24 * 8.0 / 10, rel=0.05)
    assert attenuation_per_mm("pmma", np.array([60.0]))[0] == pytest.approx(0.1924 * 1.19 / 10, rel=0.03)
    below, above = attenuation_per_mm("cesium iodide", np.array([33.0, 37.0]))
    assert above > 3 * below
    order = ["water", "pmma", "cortical bone", "titanium", "steel"]
    values = [attenuation_per_mm(name, np.array([50.0]))[0] for name in order[2:]]
    assert values == sorted(values)


def test_tissue_is_counted_from_air():
    water = attenuation_per_mm("water", np.array([60.0]))[0]
    expected = linear_attenuation_per_mm("water", 60.0) - linear_attenuation_per_mm("air", 60.0)
    assert water == pytest.approx(expected, rel=1e-12)
    assert attenuation_per_mm("air", np.array([60.0]))[0] == 0


@pytest.mark.parametrize(("material", "energy_kev"), [("kryptonite", 60.0), ("steel", 2.0), ("water", 900.0)])
def test_unknown_materials_and_energies_are_refused(material, energy_kev):
    with pytest.raises(InputError):
        attenuation_per_mm(material, np.array([energy_kev]))


def test_a_trunk_goes_on_as_soft_tissue_and_stays_where_it_was():
    toy = toy_volume()
    hu = np.full((12, 30, 30), -1000, np.int16)
    hu[:, 4:26, 4:26] = 30
    hu[:, 10:15, 10:15] = 800  # bone and bowel gas reach the ends
    hu[:, 18:22, 18:22] = -900
    labels = (hu == 800).astype(np.uint8) * 20
    volume = Volume(hu, toy.world_from_voxel, labels)
    longer = extend_trunk(volume, 20.0)
    assert longer.shape == (22, 30, 30)
    np.testing.assert_array_equal(longer.hu[5:17], hu)
    np.testing.assert_array_equal(longer.labels[5:17], labels)
    np.testing.assert_allclose(longer.level_centroid_world("L1"), volume.level_centroid_world("L1"))
    for end in (longer.hu[0], longer.hu[-1]):
        assert end.max() <= 60
        assert end[18:22, 18:22].min() >= -150
        assert end[:3].max() == -1000
    assert extend_trunk(volume, 0.0) is volume
    with pytest.raises(InputError):
        extend_trunk(volume, -1.0)
