from dataclasses import replace

import numpy as np
import pytest

from drrkit.errors import InputError
from drrkit.geometry.viewsets import view_set
from drrkit.phantom import POPULATIONS, make_spine, sample_parameters
from drrkit.phantom.anatomy import REGION_CODES
from drrkit.phantom.voxelize import coverage
from drrkit.radiograph import Radiograph
from drrkit.volume import LEVEL_CODES
from evaluation_cases import CARM, SPEC, toy_case
from reconstruction.grid import Grid
from reconstruction.judging.evaluation import UNION
from reconstruction.learning.lookup import codes_on_grid
from reconstruction.loading import levels_center_world
from reconstruction.metrics import prepare_truth
from reconstruction.studies.hard_regions import REGION_COLUMNS, region_table, surface_errors, write_mean_vertebra
from reconstruction.studies.individuals import individual_of, true_vertebrae
from reconstruction.studies.pictures import write_hard_regions
from reconstruction.studies.settings import HardRegionParameters

LEVELS, SPACING_MM = ("L3", "L4"), 1.5
PARAMETERS = HardRegionParameters(cases=1, sessions=1, views=2, mesh_spacing_mm=1.5, smoothing_steps=1)
NETWORK = replace(SPEC, grid_shape=(80, 80, 80), grid_spacing_mm=1.5)


@pytest.fixture(scope="module")
def phantom():
    """Labels of two vertebrae of an individual, painted from the mesh, and the case that shows them."""
    spine = make_spine(sample_parameters(7, POPULATIONS["adults"]))
    vertices = {level: spine.vertebrae[level].vertices_world for level in LEVELS}
    middle = np.concatenate(list(vertices.values())).mean(axis=0)
    grid = Grid.centered(middle, (80, 90, 90), SPACING_MM)
    codes = np.zeros(grid.shape, np.uint8)
    for level in LEVELS:
        covered = coverage(vertices[level], spine.vertebrae[level].faces, grid.grid_from_world, grid.shape)
        codes[covered.box][covered.share > 0.5] = LEVEL_CODES[level]
    truths = {level: prepare_truth(codes == LEVEL_CODES[level], (SPACING_MM,) * 3) for level in LEVELS}
    truths[UNION] = prepare_truth(codes > 0, (SPACING_MM,) * 3)
    center = levels_center_world(codes, grid.world_from_grid, LEVELS)
    cameras = view_set("ap-lateral").cameras(CARM, center)
    pixels = np.full((32, 32), 0.5, np.float32)
    case = toy_case("adults-0007")
    shown = replace(
        case,
        case=replace(case.case, levels=LEVELS, views=tuple(cameras)),
        radiographs={name: Radiograph(pixels, "line_integral", camera) for name, camera in cameras.items()},
        shape=codes.shape,
        world_from_voxel=grid.world_from_grid,
        truths=truths,
        lumbar_center_world=center,
    )
    return shown, codes


def looked_up(codes, world_from_voxel, up_mm=0.0, without=()):
    moved = world_from_voxel.copy()
    moved[2, 3] += up_mm

    def predictor(radiographs, grid):
        found = codes_on_grid(codes, moved, grid)
        wanted = [0, *(0 if level in without else LEVEL_CODES[level] for level in NETWORK.classes)]
        classes = [found == code if code or not number else found < 0 for number, code in enumerate(wanted)]
        classes[0] = ~np.logical_or.reduce(classes[1:])
        return np.stack(classes).astype(np.float32)

    return predictor


@pytest.fixture(scope="module")
def right(phantom):
    shown, codes = phantom
    return surface_errors(looked_up(codes, shown.world_from_voxel), [shown], NETWORK, PARAMETERS, 20)


def test_a_right_answer_is_off_by_less_than_its_voxels(right):
    assert set(right) == set(LEVELS)
    for of in right.values():
        assert np.abs(of.signed_mm).mean() < 0.5
        assert abs(of.signed_mm.mean()) < 0.3
        assert of.missed == 0


def test_an_answer_that_is_too_high_is_too_large_above_and_too_small_below(phantom):
    shown, codes = phantom
    high = surface_errors(looked_up(codes, shown.world_from_voxel, 3.0), [shown], NETWORK, PARAMETERS, 20)["L3"]
    body = high.regions == REGION_CODES["body"]
    middle = body & (np.hypot(*high.vertices[:, :2].T) < 8)
    top, bottom = middle & (high.vertices[:, 2] > 5), middle & (high.vertices[:, 2] < -5)
    assert np.median(high.signed_mm[0, top]) == pytest.approx(3, abs=0.6)
    assert np.median(high.signed_mm[0, bottom]) == pytest.approx(-3, abs=0.6)


def test_missed_levels_are_counted_and_not_averaged(phantom, right, tmp_path):
    shown, codes = phantom
    errors = surface_errors(looked_up(codes, shown.world_from_voxel, without=("L4",)), [shown], NETWORK, PARAMETERS, 20)
    table = region_table(errors, "drr")
    assert tuple(table.columns) == REGION_COLUMNS
    assert set(table["region"]) == {"whole", *REGION_CODES}
    lost = table[table["level"] == "L4"]
    assert (lost["missed"] == 1).all()
    assert lost["mean_abs_mm"].isna().all()
    found = table[(table["level"] == "L3")]
    assert (found["p95_mm"] > found["mean_abs_mm"]).all()
    write_mean_vertebra(tmp_path / "mean.npz", {"drr": right, "translated": errors})
    with np.load(tmp_path / "mean.npz") as arrays:
        assert arrays["vertices_L3"].shape == (len(arrays["regions"]), 3)
        assert arrays["faces"].max() == len(arrays["regions"]) - 1
        assert (arrays["error_mm_L3"] >= np.abs(arrays["signed_mm_L3"]) - 1e-5).all()
        assert np.isnan(arrays["translated_error_mm_L4"]).all()
        assert arrays["region_names"][REGION_CODES["spinous"] - 1] == "spinous"
    write_hard_regions(tmp_path / "hard.png", errors, "toys")
    assert (tmp_path / "hard.png").stat().st_size > 10_000


def test_names_tell_individuals(phantom):
    assert individual_of("adults-3001", "adults") == ("adults", 3001)
    assert individual_of("phantom-shifted-7101", "flat-panel") == ("shifted", 7101)
    assert individual_of("train-varied-1101", "varied") == ("varied", 1101)
    assert individual_of("specimen-12", "")[1] is None
    assert individual_of("donor", "adults")[1] is None
    shown, _ = phantom
    assert true_vertebrae(replace(shown, case=replace(shown.case, donor_id="knee", population=""))) == {}


def test_bad_input(phantom):
    shown, codes = phantom
    other = replace(shown, case=replace(shown.case, donor_id="adults-0008"))
    with pytest.raises(InputError, match="off the phantom adults-0008"):
        true_vertebrae(other)
    predictor = looked_up(codes, shown.world_from_voxel)
    person = replace(shown, case=replace(shown.case, donor_id="knee", population=""))
    with pytest.raises(InputError, match="at least one phantom"):
        surface_errors(predictor, [person], NETWORK, PARAMETERS, 20)
    with pytest.raises(InputError, match="vertebra mode"):
        surface_errors(predictor, [shown], replace(NETWORK, mode="vertebra"), PARAMETERS, 20)
