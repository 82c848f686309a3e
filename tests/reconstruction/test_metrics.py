import numpy as np
import pytest

from drrkit.errors import InputError
from drrkit.phantom.anatomy import REGION_CODES
from reconstruction import metrics

ISOTROPIC = (1.0, 1.0, 1.0)


def ball(radius_mm, shape=(64, 64, 64), center_mm=None, spacing_mm=ISOTROPIC):
    center_mm = (np.array(shape) - 1) / 2 * spacing_mm if center_mm is None else center_mm
    axes = [np.arange(size) * step - middle for size, step, middle in zip(shape, spacing_mm, center_mm, strict=True)]
    z, y, x = np.meshgrid(*axes, indexing="ij")
    return z**2 + y**2 + x**2 <= radius_mm**2


def block(start, size, shape=(40, 40, 40)):
    mask = np.zeros(shape, bool)
    mask[tuple(slice(low, low + length) for low, length in zip(start, size, strict=True))] = True
    return mask


def whole(prediction, truth, spacing_mm=ISOTROPIC):
    return metrics.judge(prediction, metrics.prepare_truth(truth, spacing_mm))[metrics.WHOLE]


def test_the_truth_itself_is_perfect():
    scores = whole(ball(20), ball(20))
    for name in ("f1", "recall", "surface_1mm", "surface_1_5mm", "near_2mm"):
        assert scores[name] == 1
    assert scores["assd_mm"] == scores["hd95_mm"] == scores["distance_mm"] == scores["n_missed"] == 0
    assert set(scores) == set(metrics.METRICS)


def test_f1_by_hand():
    truth, prediction = block((5, 5, 5), (10, 10, 10)), block((5, 5, 9), (10, 10, 10))
    assert metrics.f1_score(prediction, truth) == pytest.approx(0.6)
    assert whole(prediction, truth)["recall"] == pytest.approx(0.6)
    empty = np.zeros_like(truth)
    assert metrics.f1_score(empty, truth) == metrics.f1_score(truth, empty) == 0
    assert np.isnan(metrics.f1_score(empty, empty))


def test_surface_has_the_area_of_a_sphere_whatever_the_voxels():
    # Marching cubes of a binary ball climbs stairs: a tenth too much area, a sixth where voxels are long.
    for spacing_mm in (ISOTROPIC, (2.0, 1.0, 0.5)):
        shape = tuple(int(64 / step) for step in spacing_mm)
        surface = metrics.surface_from_mask(ball(25, shape, None, spacing_mm), spacing_mm)
        assert surface.areas_mm2.sum() == pytest.approx(4 * np.pi * 25**2, rel=0.18)


def test_a_block_has_its_area_and_sides():
    surface = metrics.surface_from_mask(block((5, 5, 5), (10, 12, 14)), (2.0, 1.0, 1.0))
    # Flat faces run between voxel centers and those outside: as large as the block, but for cut edges and corners.
    exact = 2 * (20 * 12 + 20 * 14 + 12 * 14)
    assert surface.areas_mm2.sum() == pytest.approx(exact, rel=0.05)
    assert surface.corners.min(axis=0).tolist() == [4, 4, 4]
    assert surface.corners.max(axis=0).tolist() == [14, 16, 18]


@pytest.mark.parametrize("gap_mm", [1.0, 1.5, 2.0])
def test_surface_score_of_concentric_spheres_jumps_at_the_gap(gap_mm):
    # Fine voxels: on a lattice some distances are longer than the gap and most are shorter, by less than a voxel.
    shape, spacing_mm = (96, 96, 96), (0.25, 0.25, 0.25)
    outer, inner = (ball(radius_mm, shape, None, spacing_mm) for radius_mm in (9 + gap_mm, 9))
    scores = whole(outer, inner, spacing_mm)
    for tolerance_mm in metrics.TOLERANCES_MM:
        score = scores[metrics.surface_name(tolerance_mm)]
        assert score == 0 if tolerance_mm < gap_mm else score > 0.85 if tolerance_mm == gap_mm else score == 1
    assert gap_mm - 0.15 < scores["assd_mm"] < gap_mm
    assert scores["hd95_mm"] == pytest.approx(gap_mm, abs=0.05)
    assert scores["f1"] == pytest.approx(2 * 9**3 / (9**3 + (9 + gap_mm) ** 3), abs=0.01)


def test_a_shifted_block_is_as_far_off_as_its_ends():
    scores = whole(block((7, 10, 10), (20, 10, 10)), block((5, 10, 10), (20, 10, 10)))
    assert scores["hd95_mm"] == 2.0
    assert scores["f1"] == pytest.approx(18 / 20)
    assert scores["surface_2mm"] == 1
    assert 0.7 < scores["surface_1_5mm"] < 0.9  # the four long sides lie on each other, a fifth of the area is ends
    assert whole(block((6, 10, 10), (20, 10, 10)), block((5, 10, 10), (20, 10, 10)))["surface_1mm"] == 1


def test_distances_are_millimeters():
    near = whole(block((5, 5, 5), (20, 20, 20)), block((7, 5, 5), (20, 20, 20)))
    far = whole(block((5, 5, 5), (20, 20, 20)), block((7, 5, 5), (20, 20, 20)), (3.0, 1.0, 1.0))
    assert near["hd95_mm"] == 2.0
    assert far["hd95_mm"] == 6.0
    assert near["f1"] == far["f1"]


def test_a_missed_vertebra_counts():
    truth = metrics.prepare_truth(block((5, 5, 5), (10, 20, 20)), (2.0, 1.0, 1.0))
    scores = metrics.judge(np.zeros((40, 40, 40), bool), truth)[metrics.WHOLE]
    diagonal_mm = np.sqrt(3 * 20**2)
    assert scores["n_missed"] == 1
    assert scores["f1"] == scores["recall"] == scores["surface_2mm"] == scores["near_2mm"] == 0
    for name in ("assd_mm", "hd95_mm", "distance_mm"):
        assert scores[name] == pytest.approx(diagonal_mm)
    assert not any(np.isnan(value) for value in scores.values())


def test_regions_say_where_it_is_wrong():
    truth = block((10, 5, 10), (10, 30, 10))
    regions = np.zeros(truth.shape, np.uint8)
    regions[:, :20], regions[:, 20:] = REGION_CODES["body"], REGION_CODES["spinous"]
    prediction = truth.copy()
    prediction[:, 25:] = False  # the tip is lost: 10 of the spinous process's 15 layers
    verdict = metrics.judge(prediction, metrics.prepare_truth(truth, ISOTROPIC, regions))
    assert set(verdict) == {metrics.WHOLE, "body", "spinous"}
    assert verdict["body"] == {"recall": 1.0, "near_1mm": 1.0, "near_1_5mm": 1.0, "near_2mm": 1.0, "distance_mm": 0.0}
    assert verdict["spinous"]["recall"] == pytest.approx(1 / 3)
    # Of the 16 layers of surface along the sides, 7 are within a millimeter; the lost end (100 mm2) is 10 mm off.
    assert verdict["spinous"]["near_1mm"] == pytest.approx(7 * 40 / (16 * 40 + 100), abs=0.02)
    assert 3 < verdict["spinous"]["distance_mm"] < 7


def test_regions_leave_no_surface_out():
    truth = ball(20)
    regions = np.where(np.arange(64)[None, :, None] < 30, 1, 5).astype(np.uint8) * np.ones((64, 1, 64), np.uint8)
    prepared = metrics.prepare_truth(truth, ISOTROPIC, regions)
    assert set(prepared.element_regions) == {1, 5}


def test_the_border_of_the_volume_is_a_surface():
    mask = np.ones((4, 4, 4), bool)
    surface = metrics.surface_from_mask(mask, ISOTROPIC)
    assert surface.corners.min() == -1
    assert surface.areas_mm2.sum() > 60


def test_percentile_by_weight():
    values, weights = np.array([3.0, 1.0, 2.0]), np.array([1.0, 98.0, 1.0])
    assert metrics.weighted_percentile(values, weights, 95) == 1.0
    assert metrics.weighted_percentile(values, weights, 99) == 2.0
    assert metrics.weighted_percentile(values, weights, 100) == 3.0


def test_bad_input():
    with pytest.raises(InputError, match="ground truth"):
        metrics.prepare_truth(np.zeros((4, 4, 4), bool), ISOTROPIC)
    truth = metrics.prepare_truth(ball(3, (9, 9, 9)), ISOTROPIC)
    with pytest.raises(InputError, match="prediction"):
        metrics.judge(np.zeros((4, 4, 4), bool), truth)
    with pytest.raises(InputError, match="regions"):
        metrics.prepare_truth(ball(3, (9, 9, 9)), ISOTROPIC, np.zeros((3, 3, 3), np.uint8))


@pytest.mark.parametrize(
    ("spacing_mm", "theirs", "assd_mm", "hd95_mm"),
    [
        (ISOTROPIC, (0.5909621715545654, 0.6920090317726135, 0.7769789099693298), 1.9918, 10.677),
        ((2.0, 1.0, 0.75), (0.5452122092247009, 0.660536527633667, 0.7622035145759583), 2.1455, 13.171),
    ],
)
def test_monai_agrees(spacing_mm, theirs, assd_mm, hd95_mm):
    # MONAI 1.6.1: compute_surface_dice(..., include_background=True, use_subvoxels=True), average surface distance and
    # 95 % Hausdorff distance of the same masks. Its numbers and not its functions, because it takes long to import.
    truth, prediction = ball(9, (32, 32, 32)), ball(10, (32, 32, 32), (15.0, 14.0, 17.0))
    prediction[::5, ::7, ::6] ^= True  # lone voxels and holes as well
    scores = whole(prediction, truth, spacing_mm)
    names = [metrics.surface_name(tolerance_mm) for tolerance_mm in (1.0, 1.5, 2.0)]
    assert [scores[name] for name in names] == pytest.approx(list(theirs), abs=1e-6)
    # Those two take the middles of the outermost voxels for the surface and no areas: alike to a part of a voxel.
    assert scores["assd_mm"] == pytest.approx(assd_mm, abs=0.25)
    assert scores["hd95_mm"] == pytest.approx(hd95_mm, abs=0.5)
