"""From X-rays in the world to labels in the world, with a network whose answer is known."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

import hull_network as hull
from drrkit.errors import InputError
from drrkit.radiograph import Radiograph
from reconstruction.reconstruct import reconstruct
from reconstruction.runtime import Runtime, open_runtime


@pytest.fixture(scope="module")
def runtime(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "hull.safetensors"
    with pytest.MonkeyPatch.context() as monkeypatch:
        hull.register(monkeypatch)
        hull.save_hull(path)
        return open_runtime(path, "torch")


def answering(runtime: Runtime, logits) -> Runtime:
    return replace(runtime, predict=lambda images, matrices: logits)


def centroids(result) -> dict[str, np.ndarray]:
    points = result.grid.points_world()
    return {
        level: points[result.labels == number].mean(axis=0)
        for number, level in enumerate(result.classes, start=1)
        if (result.labels == number).any()
    }


@pytest.mark.parametrize("spacing_mm", [3.0, 1.0])
def test_balls_are_where_they_were(runtime, spacing_mm):
    result = reconstruct(hull.radiographs(), runtime, spacing_mm)
    for level, center in centroids(result).items():
        np.testing.assert_allclose(center, hull.BALLS[level], atol=0.8)
    volumes_mm3 = np.bincount(result.labels.ravel())[1:] * np.prod(result.grid.spacing_mm)
    # The hull's edge is a little inside of the ball's, and voxels of 3 mm round off a ball of 9 mm.
    np.testing.assert_allclose(volumes_mm3, 4 / 3 * np.pi * hull.RADIUS_MM**3, rtol=0.25)
    np.testing.assert_allclose(result.grid.spacing_mm, spacing_mm)


def test_a_hull_is_the_same_in_a_mirror_and_what_is_not_is_averaged(runtime):
    plain, mirrored = (reconstruct(hull.radiographs(), runtime, 3.0, mirror=mirror) for mirror in (False, True))
    np.testing.assert_allclose(mirrored.probabilities, plain.probabilities, atol=2e-3)
    np.testing.assert_array_equal(mirrored.labels, plain.labels)
    # A network that sees bone on the right, whatever it is shown, is as sure of the left after the mirror.
    logits = np.zeros((3, *hull.GRID_SHAPE), np.float32)
    logits[1, :, :, 0] = 9.0
    averaged = reconstruct(hull.radiographs(), answering(runtime, logits), 3.0, mirror=True).probabilities
    np.testing.assert_allclose(averaged[..., 0], averaged[..., -1], atol=1e-6)


def test_grid_may_be_placed_and_turned(runtime):
    rotation = Rotation.from_euler("zx", [25, -10], degrees=True).as_matrix()
    center = hull.ISOCENTER + np.array([3.0, -2.0, 1.0])
    result = reconstruct(hull.radiographs(), runtime, 1.5, center, rotation)
    np.testing.assert_allclose(result.network_grid.center_world, center)
    np.testing.assert_allclose(result.grid.world_from_grid[:3, :3] / 1.5, rotation, atol=1e-12)
    for level, found in centroids(result).items():
        np.testing.assert_allclose(found, hull.BALLS[level], atol=1.0)


def test_without_a_center_the_grid_stands_in_the_isocenter(runtime):
    result = reconstruct(hull.radiographs(2), runtime, 3.0)
    np.testing.assert_allclose(result.network_grid.center_world, hull.ISOCENTER, atol=1e-6)


def test_labels_agree_with_probabilities_and_every_step_is_timed(runtime):
    result = reconstruct(hull.radiographs(), runtime, 3.0)
    np.testing.assert_array_equal(result.labels, result.probabilities.argmax(axis=0))
    np.testing.assert_allclose(result.probabilities.sum(axis=0), 1, atol=1e-5)
    steps = dict(result.seconds)
    assert steps.pop("total") == pytest.approx(sum(steps.values()))
    assert set(steps) == {"prepare", "network", "label"}


def test_one_view_needs_a_center(runtime):
    one = hull.radiographs(1)
    with pytest.raises(InputError, match="isocenter"):
        reconstruct(one, runtime, 3.0)
    assert reconstruct(one, runtime, 3.0, hull.ISOCENTER).labels.any()


def test_bad_views(runtime):
    views = hull.radiographs(2)
    with pytest.raises(InputError, match="views"):
        reconstruct({}, runtime, 1.0)
    with pytest.raises(InputError, match=r"view lat.*no camera"):
        reconstruct(views | {"lat": Radiograph(views["lat"].pixels, "line_integral")}, runtime, 1.0)
    with pytest.raises(InputError, match=r"view lat.*intensity"):
        reconstruct(views | {"lat": replace(views["lat"], domain="intensity")}, runtime, 1.0)
    elsewhere = hull.radiograph(hull.camera("lat", hull.ISOCENTER + np.array([0, 0, 400.0])))
    with pytest.raises(InputError, match=r"view lat.*none of the grid"):
        reconstruct(views | {"lat": elsewhere}, runtime, 1.0, hull.ISOCENTER)


def test_bad_places(runtime):
    views = hull.radiographs(2)
    for center in ([0.0, 1.0], [0.0, np.nan, 1.0]):
        with pytest.raises(InputError, match="center"):
            reconstruct(views, runtime, 1.0, center)
    with pytest.raises(InputError, match="spacing"):
        reconstruct(views, runtime, 0.0)
    with pytest.raises(InputError, match="none of the grid"):
        reconstruct(views, runtime, 1.0, hull.ISOCENTER + np.array([0, 0, 1000.0]))


def test_a_model_that_answers_with_another_grid_or_nan(runtime):
    views = hull.radiographs(2)
    with pytest.raises(InputError, match="answer of shape"):
        reconstruct(views, answering(runtime, np.zeros((3, 4, 4, 4), np.float32)), 1.0)
    logits = np.zeros((3, *hull.GRID_SHAPE), np.float32)
    logits[1, 0, 0, 0] = np.nan
    with pytest.raises(InputError, match="NaN"):
        reconstruct(views, answering(runtime, logits), 1.0)


def test_an_empty_answer_is_no_error(runtime):
    logits = np.zeros((3, *hull.GRID_SHAPE), np.float32)
    logits[0] = 5
    result = reconstruct(hull.radiographs(2), answering(runtime, logits), 1.0)
    assert not result.labels.any()
    assert result.margins == {}
