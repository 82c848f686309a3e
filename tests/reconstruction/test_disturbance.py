import numpy as np
import pytest

from drrkit.errors import InputError
from drrkit.geometry import rigid
from drrkit.geometry.carm import CArm
from drrkit.radiograph import Radiograph
from reconstruction.judging.disturbance import Disturbance, disturbed, origin_shift_world, random_stream

CENTER = np.array([12.0, -30.0, 7.0])
CAMERA = CArm(1000.0, 600.0, 60, 50, (4.0, 4.0)).camera(20.0, 5.0, 3.0, CENTER)


def radiograph(value=0.7):
    return Radiograph(np.full((60, 50), value, np.float32), "line_integral", CAMERA)


def moved(**amounts):
    return disturbed(radiograph(), Disturbance(**amounts), CENTER, np.random.default_rng(5))


def test_nothing_wrong_changes_nothing():
    result = moved()
    assert result.camera.allclose(CAMERA, 0)
    np.testing.assert_array_equal(result.pixels, radiograph().pixels)


def test_cameras_turn_about_the_center_by_exactly_the_angle():
    camera = moved(camera_rotation_deg=5.0).camera
    turn_deg, _ = rigid.geodesic_error(camera.camera_from_world, CAMERA.camera_from_world)
    assert turn_deg == pytest.approx(5.0)
    # The center still projects to where it did.
    np.testing.assert_allclose(camera.project(CENTER), CAMERA.project(CENTER), atol=1e-9)
    np.testing.assert_array_equal(moved(camera_rotation_deg=5.0).pixels, radiograph().pixels)


def test_cameras_shift_by_exactly_the_length():
    camera = moved(camera_shift_mm=10.0).camera
    turn_deg, _ = rigid.geodesic_error(camera.camera_from_world, CAMERA.camera_from_world)
    assert turn_deg == pytest.approx(0.0, abs=1e-6)
    assert np.linalg.norm(camera.source_world - CAMERA.source_world) == pytest.approx(10.0)


def test_amounts_scale_one_direction():
    shifts = [moved(camera_shift_mm=mm).camera.source_world - CAMERA.source_world for mm in (2.0, 8.0)]
    np.testing.assert_allclose(4 * shifts[0], shifts[1], atol=1e-9)
    # Turned as well: the turn is about the center, so the center is where the shift alone puts it.
    both = moved(camera_rotation_deg=3.0, camera_shift_mm=8.0).camera
    np.testing.assert_allclose(both.project(CENTER), CAMERA.project(CENTER - shifts[1]), atol=1e-9)


def test_poisson_noise_is_that_of_counted_photons():
    # var(-log N / N0) is about 1 / N for N = N0 exp(-p) photons.
    pixels = moved(photons=1000.0).pixels
    assert pixels.std() == pytest.approx(1 / np.sqrt(1000 * np.exp(-0.7)), rel=0.05)
    assert pixels.mean() == pytest.approx(0.7, abs=0.01)


def test_no_photon_is_no_infinity():
    dark = disturbed(radiograph(40.0), Disturbance(photons=100.0), CENTER, np.random.default_rng(0))
    np.testing.assert_allclose(dark.pixels, np.log(100.0), rtol=1e-6)


def test_gaussian_noise_is_a_part_of_the_densest_bone():
    assert moved(gaussian=0.1).pixels.std() == pytest.approx(0.07, rel=0.05)


def test_streams_depend_on_names_alone():
    first, again = random_stream(3, "case", "ap-00").random(4), random_stream(3, "case", "ap-00").random(4)
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, random_stream(3, "case", "lat-left").random(4))
    assert not np.allclose(first, random_stream(4, "case", "ap-00").random(4))


def test_origin_shift_has_the_length():
    shift = origin_shift_world(Disturbance(origin_shift_mm=20.0), np.random.default_rng(0))
    assert np.linalg.norm(shift) == pytest.approx(20.0)


def test_bad_input():
    with pytest.raises(InputError, match="disturbance"):
        Disturbance(camera_shift_mm=-1.0)
    with pytest.raises(InputError, match="no camera"):
        disturbed(Radiograph(np.ones((3, 3), np.float32), "line_integral"), Disturbance(), CENTER, None)
