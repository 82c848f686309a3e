import runpy
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

import drrkit.volume
from drrkit.errors import InputError
from drrkit.geometry import rigid
from drrkit.volume import LEVEL_CODES, LUMBAR_LEVELS, Volume, check_affine

CONVENTIONS = Path(__file__).parent.parent / "docs" / "conventions.md"
SHAPE = (5, 7, 9)  # Z Y X

# As users have it: without the types that the test run checks first.
PlainVolume = runpy.run_path(drrkit.volume.__file__)["Volume"]


def affine(spacing_mm=(0.8, 0.7, 2.5), euler_deg=(0.0, 0.0, 0.0), origin=(0.0, 0.0, 0.0), left_handed=False):
    axes = Rotation.from_euler("xyz", euler_deg, degrees=True).as_matrix() * spacing_mm
    if left_handed:
        axes[:, 2] *= -1
    return rigid.from_rotation_translation(axes, origin)


def volume(labels=None, **placement) -> Volume:
    return Volume(np.zeros(SHAPE, np.int16), affine(**placement), labels)


oblique = st.builds(
    affine,
    spacing_mm=st.tuples(*[st.floats(0.2, 5)] * 3),
    euler_deg=st.tuples(*[st.floats(-180, 180)] * 3),
    origin=st.tuples(*[st.floats(-500, 500)] * 3),
    left_handed=st.booleans(),
)


# ---- where voxels are ------------------------------------------------------------------------------------------------


def test_arrays_are_z_y_x_and_affines_x_y_z():
    labels = np.zeros(SHAPE, np.uint8)
    labels[4, 2, 7] = LEVEL_CODES["L3"]
    patient = volume(labels, origin=(-10.0, 20.0, 300.0))
    assert patient.shape == (5, 7, 9)
    assert patient.spacing_mm == pytest.approx((0.8, 0.7, 2.5))
    assert np.allclose(patient.level_centroid_world("L3"), [-10 + 7 * 0.8, 20 + 2 * 0.7, 300 + 4 * 2.5])


def test_integers_are_voxel_centers():
    # The middle of 9 x 7 x 5 voxels is the center of voxel (4, 3, 2).
    patient = volume(origin=(1.0, 2.0, 3.0))
    assert np.allclose(patient.center_world, [1 + 4 * 0.8, 2 + 3 * 0.7, 3 + 2 * 2.5])
    even = Volume(np.zeros((2, 2, 2), np.int16), np.eye(4))
    assert np.allclose(even.center_world, [0.5, 0.5, 0.5])


@given(oblique)
def test_oblique_and_left_handed_grids_are_fine(world_from_voxel):
    patient = Volume(np.zeros(SHAPE, np.int16), world_from_voxel)
    assert np.allclose(patient.voxel_from_world @ patient.world_from_voxel, np.eye(4), atol=1e-9)
    corners = rigid.apply(world_from_voxel, [[0, 0, 0], [8, 6, 4]])
    assert np.allclose(patient.center_world, corners.mean(axis=0))
    steps = rigid.apply(world_from_voxel, np.eye(3)) - rigid.apply(world_from_voxel, np.zeros(3))
    assert np.allclose(patient.spacing_mm, np.linalg.norm(steps, axis=1))


def test_centroids_follow_a_left_handed_grid():
    labels = np.zeros(SHAPE, np.uint8)
    labels[1:4, 3, 4] = LEVEL_CODES["L1"]
    patient = volume(labels, origin=(0.0, 0.0, 100.0), left_handed=True)
    assert np.allclose(patient.level_centroid_world("L1"), [4 * 0.8, 3 * 0.7, 100 - 2 * 2.5])


# ---- levels ----------------------------------------------------------------------------------------------------------


def with_levels(*names: str) -> Volume:
    labels = np.zeros(SHAPE, np.uint8)
    for place, name in enumerate(names):
        labels.flat[2 * place] = LEVEL_CODES[name]
    return volume(labels)


def test_levels_go_from_head_to_foot():
    found = with_levels("sacrum", "L6", "L1", "T13", "T12", "coccyx", "L5", "C7").levels
    assert found == ("C7", "T12", "T13", "L1", "L5", "L6", "sacrum", "coccyx")
    assert with_levels().levels == ()
    assert volume().levels == ()


def test_the_page_says_the_numbers_of_our_arrays():
    lines = CONVENTIONS.read_text().splitlines()
    names = next(line for line in lines if line.startswith("| scheme |")).split("|")[2:-1]
    numbers = next(line for line in lines if "drrkit's own arrays" in line).split("|")[2:-1]
    assert len(names) == 9
    for name, number in zip(names, numbers, strict=True):
        assert LEVEL_CODES[name.strip()] == int(number)


def test_codes_are_unique_and_lumbar_levels_are_five():
    assert len(set(LEVEL_CODES.values())) == len(LEVEL_CODES) == 28
    assert 0 not in LEVEL_CODES.values()
    assert [LEVEL_CODES[level] for level in LUMBAR_LEVELS] == [20, 21, 22, 23, 24]


def test_level_masks_go_by_name():
    patient = with_levels("L1", "L2")
    assert patient.level_mask("L2").sum() == 1
    assert patient.level_mask("L2").flat[2]
    with pytest.raises(InputError, match="level L3: found labels for L1, L2"):
        patient.level_mask("L3")
    with pytest.raises(InputError, match="labels for nothing"):
        volume().level_centroid_world("L3")


def test_with_labels_keeps_the_ct():
    bare = volume()
    labelled = bare.with_labels(with_levels("L4").labels)
    assert labelled.levels == ("L4",)
    assert bare.levels == ()
    assert labelled.hu is bare.hu


# ---- a valid volume or an error --------------------------------------------------------------------------------------


def holding(value: float) -> np.ndarray:
    hu = np.zeros(SHAPE, np.float32)
    hu[1, 2, 3] = value
    return hu


@pytest.mark.parametrize(
    ("hu", "words"),
    [
        (np.zeros((7, 9), np.int16), "three axes"),
        (np.zeros((0, 7, 9), np.int16), "none empty"),
        (np.zeros(SHAPE, np.float64), "float64 voxels"),
        (np.zeros(SHAPE, np.uint16), "uint16 voxels"),
        (holding(np.nan), "1 NaN or infinite"),
        (holding(np.inf), "1 NaN or infinite"),
        (holding(np.inf) + -holding(np.inf)[::-1], "2 NaN or infinite"),
    ],
)
def test_bad_voxels_are_refused(hu, words):
    with pytest.raises(InputError, match=words):
        PlainVolume(hu, np.eye(4))


@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_int16_and_float32_are_fine(dtype):
    assert Volume(np.full(SHAPE, -1024, dtype), np.eye(4)).hu.dtype == dtype


@pytest.mark.parametrize(
    ("labels", "words"),
    [(np.zeros((5, 7, 8), np.uint8), "the CT's shape"), (np.zeros(SHAPE, np.int32), "int32 voxels")],
)
def test_labels_must_fit_the_ct(labels, words):
    with pytest.raises(InputError, match=words):
        PlainVolume(np.zeros(SHAPE, np.int16), np.eye(4), labels)


SHEARED = np.eye(4)
SHEARED[1, 2] = 0.1  # a gantry tilt of 6 degrees


@pytest.mark.parametrize(
    ("matrix", "words"),
    [
        (np.eye(3), "4x4"),
        (np.full((4, 4), np.nan), "finite"),
        (np.diag([1.0, 1.0, 1.0, 2.0]), "last row"),
        (np.diag([1.0, 0.0, 1.0, 1.0]), "three positive spacings"),
        (SHEARED, "gantry tilt"),
    ],
)
def test_bad_affines_are_refused(matrix, words):
    with pytest.raises(InputError, match=words) as raised:
        check_affine(matrix, "head.nii.gz")
    assert str(raised.value).startswith("head.nii.gz: ")


def test_a_volume_does_not_share_its_affine():
    matrix = affine()
    patient = Volume(np.zeros(SHAPE, np.int16), matrix)
    matrix[0, 3] = 99.0
    assert patient.world_from_voxel[0, 3] == 0
    with pytest.raises(ValueError, match="read-only"):
        patient.world_from_voxel[0, 3] = 1.0
