import numpy as np
import pytest
from pydantic import ValidationError

from drrkit.errors import InputError
from drrkit.geometry import rigid
from drrkit.io import volumefile
from drrkit.io.ct import read_volume
from drrkit.io.store import content_sha256, read_cameras, read_image
from drrkit.phantom import POPULATIONS, make_phantom, sample_parameters
from drrkit.projection.renderer import render
from drrkit.volume import LUMBAR_LEVELS, Volume
from reconstruction.cases import read_cases, write_cases
from reconstruction.sets.spines import GroupParameters, SpinesParameters, make_spines, with_thick_slices

GROUP = {
    "name": "few",
    "split": "train",
    "population": "adults",
    "first_seed": 5,
    "count": 1,
    "spacing_mm": 3.0,
    "thick_slices": 0.0,
    "bone_threshold_hu": (150.0, 150.0),
    "regions": True,
    "carm": {"preset": "generic", "panel_mm": 409.6, "size_px": 64},
    "jitter": {"angle_deg": 5.0, "roll_deg": 3.0, "isocenter_mm": 10.0},
}


def parameters(*groups: dict, workers: int = 1) -> SpinesParameters:
    return SpinesParameters.model_validate(
        {
            "views": "ap-lateral",
            "energy_kev": 60,
            "label_margin_mm": 6.0,
            "workers": workers,
            "groups": [GROUP | group for group in groups],
        }
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("spines")
    wanted = parameters({}, {"name": "harder", "split": "test", "population": "shifted", "first_seed": 9}, workers=2)
    cases = make_spines(wanted, folder)
    write_cases(folder / "cases.json", cases)
    return folder, read_cases(folder)


@pytest.fixture(scope="module")
def phantom():
    return make_phantom(sample_parameters(GROUP["first_seed"]), GROUP["spacing_mm"])


def test_a_case_of_every_individual_with_all_its_files(made):
    _, cases = made
    assert [(case.case_id, case.split, case.population) for case in cases] == [
        ("few-0005", "train", "adults"),
        ("harder-0009", "test", "shifted"),
    ]
    for case in cases:
        assert case.levels == LUMBAR_LEVELS
        assert set(read_cameras(case.cameras)) == set(case.views) == {"ap-00", "lat-left"}
        assert all(case.image(view).is_file() for view in case.views)


def test_labels_are_cut_but_stay_in_place(made, phantom):
    _, cases = made
    labels = read_volume(cases[0].labels, cases[0].labels, "verse")
    assert labels.hu.size < 0.3 * phantom.volume.hu.size
    for level in LUMBAR_LEVELS:
        assert np.count_nonzero(labels.level_mask(level)) == np.count_nonzero(phantom.volume.level_mask(level))
        apart = labels.level_centroid_world(level) - phantom.volume.level_centroid_world(level)
        assert np.abs(apart).max() < 1e-3
    regions, grid = volumefile.read(cases[0].regions)
    assert grid.shape == labels.shape
    assert np.isin(regions[labels.level_mask("L3")], range(1, 7)).all()


def test_images_are_those_of_the_phantom_and_see_the_labels(made, phantom):
    _, cases = made
    cameras = read_cameras(cases[0].cameras)
    for view in cases[0].views:
        pixels = read_image(cases[0].image(view))
        assert pixels.shape == (64, 64)
        again = render(phantom.volume, cameras[view], tissue="bone", bone_threshold_hu=150, backend="siddon").pixels
        assert np.allclose(pixels, again, atol=1e-4)
        for level in LUMBAR_LEVELS:
            u, v = np.round(cameras[view].project(phantom.volume.level_centroid_world(level))).astype(int)
            assert pixels[v, u] > 0.2


def test_the_number_of_workers_changes_nothing(made, tmp_path):
    folder, _ = made  # made by two
    make_spines(parameters({}), tmp_path)
    assert content_sha256(tmp_path / "few-0005") == content_sha256(folder / "few-0005")


def test_a_view_that_cuts_a_vertebra_off_is_refused(tmp_path):
    small = {"carm": {"preset": "generic", "panel_mm": 150.0, "size_px": 64}}
    with pytest.raises(InputError, match=r"seed 5, view ap-00.*% of L"):
        make_spines(parameters(small), tmp_path)
    assert not (tmp_path / "few-0005" / "images").exists()


@pytest.mark.parametrize(
    ("groups", "words"),
    [
        ([{}, {"name": "other", "first_seed": 4, "count": 2}], "seed 5 in two groups"),
        ([{}, {"first_seed": 6}], "the group few twice"),
        ([{"population": "children"}], "population children"),
        ([{"bone_threshold_hu": (200, 100)}], "lower one first"),
        ([{"name": "../up"}], "name"),
        ([{"thick_slices": 1.5}], "thick_slices"),
    ],
)
def test_groups_that_cannot_be_are_refused(groups, words):
    with pytest.raises(ValidationError, match=words):
        parameters(*groups)


def test_scans_vary_as_asked(made, tmp_path):
    folder, _ = made
    changed = {"thick_slices": 1.0, "bone_threshold_hu": (250.0, 250.0)}
    make_spines(parameters(changed), tmp_path)
    usual, other = (read_image(path / "few-0005/images/ap-00.tif") for path in (folder, tmp_path))
    assert 0.2 * usual.sum() < other.sum() < 0.9 * usual.sum()
    for name in ("labels.nii.gz", "cameras.json"):
        assert content_sha256(tmp_path / "few-0005" / name) == content_sha256(folder / "few-0005" / name)


def test_thick_slices_lie_between_the_thin_ones():
    hu = np.arange(5, dtype=np.int16)[:, None, None] * np.ones((5, 2, 3), np.int16) * 10
    affine = np.diag([1.0, 2.0, 3.0, 1.0])
    affine[:3, 3] = 7.0, 8.0, 9.0
    thick = with_thick_slices(Volume(hu, affine))
    assert thick.shape == (2, 2, 3)
    assert thick.spacing_mm == pytest.approx((1.0, 2.0, 6.0))
    assert thick.hu[:, 0, 0].tolist() == [5, 25]
    assert rigid.apply(thick.world_from_voxel, [0, 0, 0]) == pytest.approx([7.0, 8.0, 10.5])
    with pytest.raises(InputError, match="one slice"):
        with_thick_slices(Volume(hu[:1], affine))


def test_every_population_can_be_asked_for():
    for name in POPULATIONS:
        assert GroupParameters.model_validate(GROUP | {"population": name}).population == name
