import numpy as np
import pytest

from drrkit.errors import InputError
from drrkit.fluoroscopy.devices import FLAT_PANEL, IMAGE_INTENSIFIER
from drrkit.fluoroscopy.distortion import DetectorDistortion
from drrkit.geometry.carm import CArm

BENT = DetectorDistortion((63.5, 59.5), 60.0, (0.06, 0.01), s_deg=2.0, rotation_deg=-1.0, shift_px=(3.0, -2.0))
CARM = CArm(1000.0, 600.0, 128, 128, (2.0, 2.0))
DOWN = np.array([0.0, 1.0, 0.0])


def test_there_and_back_again():
    points = np.random.default_rng(0).uniform(-10, 140, (7, 50, 2))
    np.testing.assert_allclose(BENT.ideal_from_distorted(BENT.distorted_from_ideal(points)), points, atol=1e-9)
    np.testing.assert_allclose(BENT.distorted_from_ideal(BENT.ideal_from_distorted(points)), points, atol=1e-9)


def test_pincushion_pushes_outward_and_s_turns_the_rim():
    pincushion = DetectorDistortion((50.0, 50.0), 40.0, (0.06, 0.01))
    np.testing.assert_allclose(pincushion.distorted_from_ideal([90.0, 50.0]), [50 + 40 * 1.07, 50.0])
    np.testing.assert_allclose(pincushion.distorted_from_ideal([50.0, 50.0]), [50.0, 50.0])
    turned = DetectorDistortion((50.0, 50.0), 40.0, s_deg=3.0)
    u, v = turned.distorted_from_ideal([90.0, 50.0]) - 50
    assert np.degrees(np.arctan2(v, u)) == pytest.approx(3.0)  # v runs down: clockwise on a screen
    u, v = turned.distorted_from_ideal([70.0, 50.0]) - 50
    assert np.degrees(np.arctan2(v, u)) == pytest.approx(0.75)


def test_a_warped_image_shows_a_blob_where_its_center_goes():
    v, u = np.mgrid[:120, :128].astype(np.float64)
    for center in ([30.0, 40.0], [63.5, 59.5], [90.0, 85.0]):
        blob = np.exp(-((u - center[0]) ** 2 + (v - center[1]) ** 2) / 2 / 2.0**2).astype(np.float32)
        warped = BENT.warp(blob)
        found = np.array([(u * warped).sum(), (v * warped).sum()]) / warped.sum()
        np.testing.assert_allclose(found, BENT.distorted_from_ideal(center), atol=0.05)


def test_light_is_kept_where_the_image_is_stretched():
    v, u = np.mgrid[:120, :128].astype(np.float64)
    blob = np.exp(-((u - 95) ** 2 + (v - 80) ** 2) / 2 / 3.0**2).astype(np.float32)
    light = BENT.warp(blob) * BENT.brightness(120, 128)
    assert light.sum() == pytest.approx(blob.sum(), rel=2e-3)
    assert BENT.brightness(120, 128)[60, 64] == pytest.approx(1.0, abs=0.02)


def test_a_flat_panel_distorts_nothing():
    camera = CARM.camera(30.0, 0.0)
    distortion = FLAT_PANEL.distortion(camera, DOWN)
    image = np.random.default_rng(0).random((128, 128), np.float32)
    assert distortion.is_identity
    np.testing.assert_array_equal(distortion.warp(image), image)
    np.testing.assert_array_equal(distortion.field(128, 128), 1)
    points = np.array([[3.0, 4.0], [100.0, 20.0]])
    np.testing.assert_allclose(distortion.distorted_from_ideal(points), points, atol=1e-9)


def test_the_earths_field_turns_and_shifts_as_the_tube_turns():
    along = IMAGE_INTENSIFIER.distortion(CARM.camera(0.0, 0.0), -DOWN)  # at (0, 0) the beam runs toward -y
    against = IMAGE_INTENSIFIER.distortion(CARM.camera(180.0, 0.0), -DOWN)
    across = IMAGE_INTENSIFIER.distortion(CARM.camera(90.0, 0.0), -DOWN)
    optics = IMAGE_INTENSIFIER.optics
    assert along.s_deg == pytest.approx(optics.s_deg)
    assert against.s_deg == pytest.approx(-optics.s_deg)
    assert across.s_deg == pytest.approx(0.0, abs=1e-9)
    assert np.hypot(*along.shift_px) == pytest.approx(0.0, abs=1e-9)
    assert np.hypot(*across.shift_px) == pytest.approx(optics.shift_mm / 2.0)
    calm = IMAGE_INTENSIFIER.distortion(CARM.camera(0.0, 0.0))
    assert (calm.s_deg, calm.rotation_deg, calm.shift_px) == (0.0, 0.0, (0.0, 0.0))
    assert calm.pincushion == optics.pincushion


def test_a_mirrored_camera_sees_the_mirrored_distortion():
    camera = CARM.camera(40.0, 20.0)
    field = np.array([0.3, 0.7, -0.5])
    straight = IMAGE_INTENSIFIER.distortion(camera, field)
    mirrored = IMAGE_INTENSIFIER.distortion(camera.flipped_horizontally(), field)
    points = np.array([[20.0, 30.0], [100.0, 64.0], [64.0, 110.0]])
    flipped = points * [-1, 1] + [127, 0]
    expected = straight.distorted_from_ideal(points) * [-1, 1] + [127, 0]
    np.testing.assert_allclose(mirrored.distorted_from_ideal(flipped), expected, atol=1e-9)


def test_the_field_is_round():
    field = IMAGE_INTENSIFIER.distortion(CARM.camera(0.0, 0.0)).field(128, 128)
    assert field.sum() == pytest.approx(np.pi * 64**2, rel=2e-3)
    assert field[0, 0] == 0
    assert field[64, 64] == 1


@pytest.mark.parametrize(
    "make",
    [
        lambda: DetectorDistortion((0.0, 0.0), 0.0),
        lambda: DetectorDistortion((0.0, 0.0), 10.0, (-0.5, 0.0)),
        lambda: DetectorDistortion((0.0, np.nan), 10.0),
        lambda: IMAGE_INTENSIFIER.distortion(CARM.camera(0.0, 0.0), [0.0, 3.0, 0.0]),
    ],
)
def test_impossible_distortions_are_refused(make):
    with pytest.raises(InputError):
        make()
