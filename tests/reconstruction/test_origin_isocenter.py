"""The isocenter is where the central rays meet."""

import numpy as np
import pytest

from drrkit.errors import InputError
from drrkit.geometry.presets import preset
from reconstruction.origin.isocenter import isocenter_world


@pytest.mark.parametrize("angles", [((0, 0), (90, 0)), ((0, 15), (45, 0), (-90, -10))])
def test_views_about_a_point_meet_there(angles):
    point = np.array([12.0, -30.0, 55.0])
    cameras = [preset("generic").camera(*pair, isocenter_world=point) for pair in angles]
    cameras[0] = cameras[0].flipped_horizontally().resized(100, 90)
    np.testing.assert_allclose(isocenter_world(cameras), point, atol=1e-6)


def test_rays_that_miss_each_other_are_balanced():
    # AP looks along y, lateral along x: they miss each other by 4 mm in z, so the middle is 2 mm from each.
    carm = preset("generic")
    cameras = [carm.camera(0, 0, isocenter_world=(0, 0, 2)), carm.camera(90, 0, isocenter_world=(0, 0, -2))]
    np.testing.assert_allclose(isocenter_world(cameras), 0, atol=1e-6)


@pytest.mark.parametrize("angles", [(), ((0, 0),), ((0, 0), (2, 0)), ((90, 0), (-90, 0))])
def test_views_along_one_line_are_refused(angles):
    with pytest.raises(InputError, match="isocenter"):
        isocenter_world([preset("generic").camera(*pair) for pair in angles])
