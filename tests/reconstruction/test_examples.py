import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from drrkit.errors import InputError
from drrkit.geometry import rigid
from drrkit.io.store import read_image, write_image
from drrkit.volume import LEVEL_CODES, LUMBAR_LEVELS
from reconstruction.grid import Grid
from reconstruction.learning.examples import Sampling, draw_example, make_batches, noisy_camera
from reconstruction.learning.lookup import codes_on_grid
from reconstruction.loading import (
    load_case,
    load_cases,
    lumbar_center_world,
    read_case_labels,
    read_case_radiographs,
)
from reconstruction.views import prepare_views
from toy_cases import lumbar_spec, vertebra_spec, write_case

STILL = Sampling(
    view_counts={3: 1.0},
    view_choice="spread",
    standard_view_tolerance_deg=20.0,
    origin_jitter_mm=0.0,
    rotation_jitter_deg=0.0,
    camera_rotation_noise_deg=0.0,
    camera_translation_noise_mm=0.0,
    augmentation="none",
)
SHAKEN = STILL.model_copy(update={"origin_jitter_mm": 9.0, "rotation_jitter_deg": 12.0})
LIVELY = SHAKEN.model_copy(update={"view_counts": {1: 0.3, 2: 0.4, 4: 0.3}, "augmentation": "domain-randomization"})


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("cases")


@pytest.fixture(scope="module")
def spine(folder):
    return write_case(folder, "spine", "train")


@pytest.fixture(scope="module")
def loaded(spine):
    return load_case(spine, lumbar_spec(), SHAKEN.margin_mm, "learning")


@pytest.fixture(scope="module")
def alone(folder):
    """One vertebra and nothing else, so that a shadow is its shadow."""
    return write_case(folder, "alone", "train", ("L3",), tilt_deg=20.0)


def triangulated(pixels, matrices) -> np.ndarray:
    """The point, in voxels, nearest in the algebraic sense to where all pixels are seen."""
    rows = [
        row
        for (u, v), matrix in zip(pixels, matrices, strict=True)
        for row in (u * matrix[2] - matrix[0], v * matrix[2] - matrix[1])
    ]
    normalized_rows = [row / np.linalg.norm(row[:3]) for row in rows]
    solution = np.linalg.lstsq(np.array(normalized_rows)[:, :3], -np.array(normalized_rows)[:, 3], rcond=None)
    return solution[0]


def centroid(weights) -> np.ndarray:
    places = np.indices(weights.shape).reshape(weights.ndim, -1)[::-1]
    return places @ weights.ravel().astype(float) / weights.sum()


@pytest.mark.parametrize("seed", range(4))
def test_shadows_meet_where_the_labels_are(alone, seed):
    spec = vertebra_spec()
    loaded = load_case(alone, spec, SHAKEN.margin_mm, "learning")
    example = draw_example(loaded, spec, SHAKEN, np.random.default_rng(seed), 4)
    shadows = [centroid(image[0]) for image in example.images]
    met = triangulated(shadows, example.pixel_from_grid.astype(float))
    assert np.linalg.norm(met - centroid(example.classes)) < 0.35
    # The same with the camera of another view does not meet there: the test can fail.
    wrong = triangulated(shadows, np.roll(example.pixel_from_grid.astype(float), 1, axis=0))
    assert np.linalg.norm(wrong - centroid(example.classes)) > 0.7


def test_an_example_at_rest_is_what_inference_sees(spine, loaded):
    spec = lumbar_spec()
    example = draw_example(loaded, spec, STILL, np.random.default_rng(0))
    radiographs = read_case_radiographs(spine)
    prepared = prepare_views([radiographs[view] for view in example.views], example.grid, spec.window)
    for voxel in ([0, 0, 0, 1], [11, 11, 19, 1]):
        mine, theirs = example.pixel_from_grid @ voxel, prepared.pixel_from_grid @ voxel
        assert np.abs(mine[:, :2] / mine[:, 2:] - theirs[:, :2] / theirs[:, 2:]).max() < 0.6
    np.testing.assert_allclose(example.images.mean(), prepared.images.mean(), rtol=0.02)


def test_classes_are_the_nearest_labels(spine, loaded):
    example = draw_example(loaded, lumbar_spec(), SHAKEN, np.random.default_rng(3))
    labels = read_case_labels(spine)
    voxels = np.rint(rigid.apply(labels.voxel_from_world, example.grid.points_world())).astype(int)
    codes = np.zeros(example.grid.shape, int)
    inside = ((voxels >= 0) & (voxels < labels.shape[::-1])).all(axis=-1)
    x, y, z = voxels[inside].T
    codes[inside] = labels.labels[z, y, x]
    for number, level in enumerate(LUMBAR_LEVELS, start=1):
        # Points in the middle between two voxels may fall to either side.
        wrong = ((example.classes == number) != (codes == LEVEL_CODES[level])).sum()
        assert wrong <= 0.01 * (codes == LEVEL_CODES[level]).sum()
        assert (example.classes == number).any()


def test_the_grid_is_where_the_spine_is(spine, loaded):
    labels = read_case_labels(spine)
    center = lumbar_center_world(labels)
    assert loaded.lumbar_center_world == pytest.approx(center)
    assert draw_example(loaded, lumbar_spec(), STILL, np.random.default_rng(1)).grid.center_world == pytest.approx(
        center
    )
    centers = np.array(
        [
            draw_example(loaded, lumbar_spec(), SHAKEN, np.random.default_rng(seed), 1).grid.center_world - center
            for seed in range(60)
        ]
    )
    assert 6 < np.abs(centers).max() <= 9
    assert np.abs(centers.mean(axis=0)).max() < 2.5


def test_a_vertebra_alone_is_one_class(spine):
    loaded = load_case(spine, vertebra_spec(), 0.0, "learning")
    levels = set()
    for seed in range(12):
        example = draw_example(loaded, vertebra_spec(), STILL, np.random.default_rng(seed), 2)
        levels.add(example.level)
        assert set(np.unique(example.classes)) == {0, 1}
        assert example.grid.center_world == pytest.approx(loaded.level_centers_world[example.level])
        volume = (read_case_labels(spine).level_mask(example.level)).sum() * 4.0**3
        assert (example.classes.sum() * 5.0**3) == pytest.approx(volume, rel=0.1)
    assert len(levels) >= 4


def test_batches_are_a_function_of_seed_and_step(loaded):
    spec = lumbar_spec()
    cases = [loaded, loaded, loaded]
    once, again = (make_batches(cases, spec, LIVELY, 2, 5) for _ in range(2))
    again(0, 0)
    for step in (3, 0, 7):
        one, other = once(step, 0), again(step, 0)
        assert torch.equal(one.images, other.images)
        assert torch.equal(one.pixel_from_grid, other.pixel_from_grid)
        assert torch.equal(one.classes, other.classes)
    assert not torch.equal(once(3, 0).classes, once(4, 0).classes)
    assert not torch.equal(once(3, 0).classes, make_batches(cases, spec, LIVELY, 2, 6)(3, 0).classes)
    assert {once(step, 0).images.shape[1] for step in range(12)} == {1, 2, 4}


def test_processes_share_one_batch(loaded):
    spec = lumbar_spec()
    whole = make_batches([loaded], spec, LIVELY, 4, 1)(2, 0)
    shared = make_batches([loaded], spec, LIVELY, 4, 1, processes=2)
    parts = [shared(2, rank) for rank in range(2)]
    assert torch.equal(whole.images, torch.cat([part.images for part in parts]))
    assert torch.equal(whole.classes, torch.cat([part.classes for part in parts]))
    assert (whole.images.dtype, whole.pixel_from_grid.dtype, whole.classes.dtype) == (
        torch.float32,
        torch.float32,
        torch.uint8,
    )


def test_every_case_is_seen_equally_often(loaded):
    centers = [loaded.lumbar_center_world + 0.01 * number for number in range(5)]
    others = [replace(loaded, lumbar_center_world=center) for center in centers]
    batches = make_batches(others, lumbar_spec(), STILL.model_copy(update={"view_counts": {1: 1}}), 1, 0)
    seen = [tuple(batches(step, 0).pixel_from_grid[0, 0].flatten().tolist()) for step in range(10)]
    assert len(set(seen[:5])) == 5


def test_camera_noise_is_an_error_of_the_camera_alone(loaded):
    rng = np.random.default_rng(0)
    camera, center = loaded.cameras[0], loaded.lumbar_center_world
    assert noisy_camera(camera, center, 0.0, 0.0, rng) is camera
    turned = [noisy_camera(camera, center, 2.0, 0.0, rng) for _ in range(200)]
    assert all(np.allclose(other.project(center), camera.project(center)) for other in turned)
    angles = [rigid.geodesic_error(other.camera_from_world, camera.camera_from_world)[0] for other in turned]
    assert np.sqrt(np.mean(np.square(angles)) / 3) == pytest.approx(2.0, rel=0.15)
    shifted = [noisy_camera(camera, center, 0.0, 3.0, rng).source_world - camera.source_world for _ in range(200)]
    assert np.std(shifted) == pytest.approx(3.0, rel=0.15)


def test_a_turn_about_the_middle_leaves_the_windows_where_they_are(loaded):
    noisy = STILL.model_copy(update={"camera_rotation_noise_deg": 1.0})
    clean = draw_example(loaded, lumbar_spec(), STILL, np.random.default_rng(2))
    moved = draw_example(loaded, lumbar_spec(), noisy, np.random.default_rng(2))
    assert clean.views == moved.views
    np.testing.assert_array_equal(clean.images, moved.images)
    assert not np.allclose(clean.pixel_from_grid, moved.pixel_from_grid)


def test_nothing_is_read_of_test_donors_while_learning(tmp_path, spine):
    secret = write_case(tmp_path, "secret", "test")
    shutil.rmtree(tmp_path / "secret")
    with pytest.raises(InputError, match="test split"):
        load_case(secret, lumbar_spec(), 0.0, "learning")
    with pytest.raises(InputError, match="secret"):
        load_case(secret, lumbar_spec(), 0.0, "evaluation")  # for evaluation its files are opened, and are gone
    learning = [case for case in (spine, secret) if case.split != "test"]
    batches = make_batches(load_cases(learning, lumbar_spec(), 20.0, "learning"), lumbar_spec(), LIVELY, 2, 0)
    weights = torch.zeros(6, requires_grad=True)
    for step in range(3):
        batch = batches(step, 0)
        logits = (weights * batch.images.mean()).expand(batch.classes.numel(), 6)
        torch.nn.functional.cross_entropy(logits, batch.classes.flatten().long()).backward()
    assert weights.grad.abs().sum() > 0
    evaluated = load_case(replace(spine, split="test"), lumbar_spec(), 0.0, "evaluation")
    assert evaluated.codes.any()


def test_bad_cases(spine, loaded, alone):
    with pytest.raises(InputError, match="no whole L1, L2, L4, L5"):
        load_case(alone, lumbar_spec(), 0.0, "learning")
    load_case(alone, lumbar_spec(), 0.0, "evaluation")
    with pytest.raises(InputError, match="wanted labels of T12"):
        load_case(replace(spine, levels=("T12", "L1")), vertebra_spec(), 0.0, "learning")
    with pytest.raises(InputError, match="no camera pa"):
        load_case(replace(spine, views=("pa",)), lumbar_spec(), 0.0, "learning")
    with pytest.raises(InputError, match="at least one"):
        make_batches([], lumbar_spec(), STILL, 1, 0)
    with pytest.raises(InputError, match="3 examples for 2 processes"):
        make_batches([loaded], lumbar_spec(), STILL, 3, 0, processes=2)
    with pytest.raises(InputError, match="9 of them"):
        draw_example(loaded, lumbar_spec(), STILL, np.random.default_rng(0), 9)
    with pytest.raises(ValueError, match="numbers of views"):
        Sampling(**{**STILL.model_dump(), "view_counts": {0: 1.0}})


def test_images_of_another_size_than_their_cameras(tmp_path, folder, spine):
    shutil.copytree(folder / "spine", tmp_path / "spine")
    case = replace(spine, images=tmp_path / "spine" / "images")
    write_image(case.image("ap-00"), read_image(case.image("ap-00"))[:-1])
    with pytest.raises(InputError, match="79 x 80 pixels"):
        read_case_radiographs(case)


def test_lookup_outside_is_background():
    codes = np.full((3, 4, 5), 7, np.uint8)
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    assert (codes_on_grid(codes, affine, Grid((3, 4, 5), affine)) == 7).all()
    for turn in (np.eye(3), rigid.exp([0.01, 0.02, -0.01, 0, 0, 0])[:3, :3]):
        around = codes_on_grid(codes, affine, Grid.centered([4.0, 3.0, 2.0], (30, 30, 30), 1.0, turn))
        assert (around == 7).sum() == pytest.approx(3 * 4 * 5 * 8, rel=0.01)
        far = codes_on_grid(codes, affine, Grid.centered([4000.0, 3.0, 2.0], (4, 4, 4), 1.0, turn))
        assert not far.any()
