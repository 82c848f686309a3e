"""The box holds every voxel that is not zero, and no empty side."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drrkit.geometry import rigid
from drrkit.projection.box import nonzero_box, world_from_box


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32 - 1), st.integers(1, 5))
def test_the_box_is_the_tightest(seed, count):
    rng = np.random.default_rng(seed)
    voxels = np.zeros((5, 6, 7), np.float32)
    voxels[tuple(rng.integers(0, voxels.shape, (count, 3)).T)] = rng.normal(size=count)
    box = nonzero_box(voxels)
    expected = [(axis.min(), axis.max() + 1) for axis in np.nonzero(voxels)]
    assert [(side.start, side.stop) for side in box] == expected


@pytest.mark.parametrize("dtype", [np.float32, np.uint8])
def test_zeros_have_an_empty_box(dtype):
    assert np.zeros((3, 4, 5), dtype)[nonzero_box(np.zeros((3, 4, 5), dtype))].size == 0


def test_the_box_stays_where_it_was_in_the_world():
    affine = rigid.exp([0.3, 0.2, -0.9, 5.0, 6.0, 7.0]) @ np.diag([0.7, 0.8, 2.5, 1.0])
    box = (slice(2, 5), slice(1, 3), slice(4, 6))
    np.testing.assert_allclose(
        rigid.apply(world_from_box(affine, box), [1, 0, 2]), rigid.apply(affine, [5, 1, 4]), atol=1e-12
    )
