import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from drrkit.errors import InputError
from drrkit.fluoroscopy.solids import (
    Cylinder,
    Slab,
    Sphere,
    Union,
    add_chords,
    chords_mm,
    kirschner_wire,
    pedicle_screw,
)
from drrkit.geometry.carm import CArm

CARM = CArm(1000.0, 600.0, 160, 200, (0.4, 0.4))
CAMERA = CARM.camera(20.0, -15.0, 30.0)


def pixel_grid(camera):
    v, u = np.mgrid[: camera.height, : camera.width]
    return u, v


def sampled_chord_mm(inside, camera, pixel, step_mm=0.01, middle_mm=600.0, reach_mm=80.0):
    """Length of a solid on one ray by counting points that lie inside."""
    along = np.arange(middle_mm - reach_mm, middle_mm + reach_mm, step_mm)
    points = camera.source_world + along[:, None] * camera.rays([pixel])
    return step_mm * np.count_nonzero(inside(points))


@pytest.mark.parametrize("effective_kev", [None, 60.0])
@pytest.mark.parametrize("radius_mm", [0.6, 1.5, 2.5])
def test_a_balls_shadow_lies_where_the_camera_projects_its_center(radius_mm, effective_kev):
    rng = np.random.default_rng(0)
    for center in rng.uniform(-11, 11, (6, 3)):
        ball = Sphere(tuple(center.tolist()), radius_mm)
        shadow = chords_mm([ball], CAMERA, effective_kev=effective_kev)["steel"]
        u, v = pixel_grid(CAMERA)
        centroid = np.array([(u * shadow).sum(), (v * shadow).sum()]) / shadow.sum()
        np.testing.assert_allclose(centroid, CAMERA.project(center), atol=0.02)


def test_a_balls_shadow_holds_the_balls_volume_and_its_diameter():
    shadow = chords_mm([Sphere((3.0, -2.0, 1.0), 2.0)], CAMERA, effective_kev=None)["steel"]
    magnification = CAMERA.source_to_detector_mm / CAMERA.depth_mm([3.0, -2.0, 1.0])
    pixel_mm = 0.4 / magnification
    assert shadow.sum() * pixel_mm**2 == pytest.approx(4 / 3 * np.pi * 2.0**3, rel=2e-3)
    assert np.count_nonzero(shadow) * pixel_mm**2 == pytest.approx(np.pi * 2.0**2, rel=0.15)
    assert 3.95 < shadow.max() <= 4.0


def test_half_a_pixel_of_steel_lets_half_of_the_photons_through():
    # The edge of a thick plate runs through the middle of the columns at u = 100.
    camera = CArm(1000.0, 600.0, 9, 201, (0.4, 0.4)).camera(0.0, 0.0)
    plate = Slab((50.0, 0.0, 0.0), (100.0, 0.001, 100.0), material="steel")
    shadow = chords_mm([plate], camera, effective_kev=60.0)["steel"]
    edge = float(camera.project([0.0, 0.0, 0.0])[0])
    assert edge == pytest.approx(100.0)
    from drrkit.fluoroscopy.materials import attenuation_per_mm

    attenuation = attenuation_per_mm("steel", np.array([60.0]))[0]
    passed = np.exp(-attenuation * shadow[4])
    np.testing.assert_allclose(passed[100], (passed[90] + passed[110]) / 2, rtol=1e-3)


def test_a_wire_thinner_than_the_distance_of_rays_is_not_missed():
    camera = CArm(1000.0, 600.0, 40, 40, (2.0, 2.0)).camera(0.0, 0.0)
    # Vertical in the image, between two columns.
    offset_mm = 0.5 * 2.0 * 600 / 1000
    wire = kirschner_wire((offset_mm, 0.0, -20.0), (offset_mm, 0.0, 20.0), diameter_mm=0.8)
    shadow = chords_mm([wire], camera, effective_kev=None, subpixels=16)["steel"]
    u, _ = pixel_grid(camera)
    middle = shadow[20]
    assert (middle * u[20]).sum() / middle.sum() == pytest.approx(camera.project([offset_mm, 0, 0])[0], abs=0.02)
    # A row of the image holds the area of the wire's section.
    assert middle.sum() * 2.0 * 0.6 == pytest.approx(np.pi * 0.4**2, rel=0.02)


@pytest.mark.parametrize("is_capsule", [False, True])
@pytest.mark.parametrize("pixel", [(100.0, 80.0), (112.0, 71.0), (90.0, 95.0), (124.0, 66.0)])
def test_chords_of_bars_agree_with_counted_points(is_capsule, pixel):
    bar = Cylinder((-8.0, -3.0, -6.0), (9.0, 4.0, 10.0), 3.0, is_capsule=is_capsule)

    def inside(points):
        along = (points - bar.start_world) @ bar.axis_world
        nearest = np.clip(along, 0, bar.length_mm) if is_capsule else along
        away = np.linalg.norm(points - bar.start_world - nearest[:, None] * bar.axis_world, axis=1)
        return (away < 3.0) & (is_capsule | ((along > 0) & (along < bar.length_mm)))

    chord = bar.chord_mm(CAMERA.source_world, CAMERA.rays([pixel]))[0]
    assert chord == pytest.approx(sampled_chord_mm(inside, CAMERA, pixel), abs=0.03)


@pytest.mark.parametrize("pixel", [(100.0, 80.0), (112.0, 71.0), (70.0, 95.0)])
def test_chords_of_boxes_agree_with_counted_points(pixel):
    axes = Rotation.from_euler("xyz", [20, 30, 40], degrees=True).as_matrix()
    box = Slab((1.0, 2.0, -3.0), (30.0, 8.0, 12.0), tuple(tuple(row) for row in axes.tolist()))

    def inside(points):
        return (np.abs((points - box.center_world) @ axes.T) < np.array(box.size_mm) / 2).all(axis=1)

    chord = box.chord_mm(CAMERA.source_world, CAMERA.rays([pixel]))[0]
    assert chord == pytest.approx(sampled_chord_mm(inside, CAMERA, pixel), abs=0.03)


def test_rays_along_an_axis_are_inside_or_outside_for_good():
    source, direction = np.zeros(3), np.array([[0.0, 0.0, 1.0]])
    assert Cylinder((0, 0, 10), (0, 0, 30), 2.0).chord_mm(source, direction)[0] == pytest.approx(20.0)
    assert Cylinder((3, 0, 10), (3, 0, 30), 2.0).chord_mm(source, direction)[0] == 0.0
    assert Slab((0, 0, 20), (4.0, 4.0, 6.0)).chord_mm(source, direction)[0] == pytest.approx(6.0)
    assert Slab((3, 0, 20), (4.0, 4.0, 6.0)).chord_mm(source, direction)[0] == 0.0


def test_what_lies_behind_the_source_casts_no_shadow():
    behind = CAMERA.source_world - 50 * CAMERA.view_direction_world
    assert not chords_mm([Sphere(tuple(behind.tolist()), 3.0)], CAMERA)["steel"].any()


def test_parts_of_a_union_count_once():
    ball = Sphere((0.0, 0.0, 0.0), 3.0, "titanium")
    twice = chords_mm([Union((ball, ball, Sphere((0.5, 0.0, 0.0), 2.0)))], CAMERA)["titanium"]
    np.testing.assert_allclose(twice, chords_mm([ball], CAMERA)["titanium"], atol=1e-6)
    apart = Union((Sphere((-5.0, 0.0, 0.0), 2.0), Sphere((5.0, 0.0, 0.0), 2.0)))
    source, direction = np.array([-100.0, 0.0, 0.0]), np.array([[1.0, 0.0, 0.0]])
    assert apart.chord_mm(source, direction)[0] == pytest.approx(8.0)


def test_a_screw_is_long_as_told_and_wider_at_its_head():
    camera = CARM.camera(90.0, 0.0)  # looks along x: the shaft lies across the image
    screw = pedicle_screw((0.0, 15.0, 0.0), (0.0, -20.0, 0.0))
    shadow = chords_mm([screw], camera)["titanium"]
    tip, entry = camera.project([[0.0, -20.0, 0.0], [0.0, 15.0, 0.0]])
    columns = np.flatnonzero(shadow.any(axis=0))
    along = np.sign(tip[0] - entry[0])
    reach = columns.max() if along > 0 else columns.min()
    assert reach == pytest.approx(tip[0] + along * 0.6 * 0.35 * 6.5 / 0.24, abs=1.5)  # its tip is round
    head, shaft = (round(float(camera.project([0.0, y, 0.0])[0])) for y in (21.0, -2.0))
    pixel_mm = 0.24
    assert np.count_nonzero(shadow[:, head]) * pixel_mm == pytest.approx(13.0, abs=0.6)
    assert 4.5 < np.count_nonzero(shadow[:, shaft]) * pixel_mm < 7.0


def test_solids_displace_tissue_but_not_below_nothing():
    ball = Sphere((0.0, 0.0, 0.0), 3.0, displaces="water")
    chords = chords_mm([ball], CAMERA)
    np.testing.assert_array_equal(chords["water"], -chords["steel"])
    tissue = {"water": np.full((160, 200), 100.0, np.float32)}
    np.testing.assert_allclose(add_chords(tissue, chords)["water"], 100.0 - chords["steel"], rtol=1e-6)
    empty = {"water": np.zeros((160, 200), np.float32)}
    assert not add_chords(empty, chords)["water"].any()
    assert tissue["water"].min() == 100.0  # the caller's paths are left alone
    assert "water" not in chords_mm([Sphere((0.0, 0.0, 0.0), 3.0)], CAMERA)


def test_solids_out_of_the_image_leave_it_empty():
    far = CAMERA.source_world + 600 * CAMERA.rays([[900.0, 900.0]])[0]
    assert not chords_mm([Sphere(tuple(far.tolist()), 2.0)], CAMERA)["steel"].any()


@pytest.mark.parametrize(
    "make",
    [
        lambda: Sphere((0.0, 0.0, 0.0), 0.0),
        lambda: Sphere((0.0, np.nan, 0.0), 1.0),
        lambda: Cylinder((1.0, 1.0, 1.0), (1.0, 1.0, 1.0), 1.0),
        lambda: Slab((0.0, 0.0, 0.0), (1.0, -1.0, 1.0)),
        lambda: Slab((0.0, 0.0, 0.0), (1.0, 1.0, 1.0), ((1.0, 0.0, 0.0), (1.0, 0.0, 0.0), (0.0, 0.0, 1.0))),
        lambda: Union(()),
        lambda: pedicle_screw((0, 0, 0), (0, 0, 5)),
        lambda: chords_mm([Sphere((0.0, 0.0, 0.0), 1.0, "unobtainium")], CAMERA),
        lambda: chords_mm([], CAMERA, subpixels=0),
    ],
)
def test_impossible_solids_are_refused(make):
    with pytest.raises(InputError):
        make()
