import numpy as np
import pytest

from drrkit import InputError
from drrkit.phantom.named_points import named_points
from drrkit.phantom.shape import VertebraShape, both_sides, lower_rim_mm, superior_facet, upper_rim_mm


@pytest.mark.parametrize("name", ["body_width_mm", "canal_depth_mm", "spinous_length_mm", "articular_scale"])
@pytest.mark.parametrize("value", [0.0, -3.0, np.nan])
def test_impossible_measures_are_refused(name, value):
    with pytest.raises(InputError, match=name):
        VertebraShape(**{name: value})


def test_measures_are_found_again_in_the_points():
    shape = VertebraShape(pedicle_distance_mm=40, canal_depth_mm=14, transverse_span_mm=80, spinous_length_mm=45)
    points = named_points(shape)
    middle = {
        side: (points[f"{side}_pedicle_medial"] + points[f"{side}_pedicle_lateral"]) / 2 for side in ("left", "right")
    }
    np.testing.assert_allclose(middle["left"] - middle["right"], [40, 0, 0], atol=1e-12)
    np.testing.assert_allclose(points["left_transverse_tip"] - points["right_transverse_tip"], [80, 0, 0], atol=1e-12)
    assert points["spinous_tip"][1] - shape.wall_mm == pytest.approx(45)


def test_points_mirror_and_keep_their_order():
    points = named_points(VertebraShape(facet_angle_deg=50))
    for name, point in points.items():
        if name.startswith("left_"):
            np.testing.assert_allclose(points["right_" + name[5:]], point * [-1, 1, 1], atol=1e-12)
    assert list(points) == list(named_points(VertebraShape(body_depth_mm=30)))


def test_left_superior_facet_faces_backwards_and_to_the_midline():
    sides = both_sides(superior_facet(VertebraShape()))
    across = sides["left"].axes[0]
    assert across[0] < 0 < across[1]
    np.testing.assert_allclose(sides["right"].axes[0], across * [-1, 1, 1])
    np.testing.assert_allclose(sides["left"].axes @ sides["left"].axes.T, np.eye(3), atol=1e-12)


def test_end_plates_tilt_and_break():
    shape = VertebraShape(upper_tilt_deg=5, lower_tilt_deg=-4)
    front, back = -shape.wall_mm, shape.wall_mm
    assert upper_rim_mm(shape, front) > upper_rim_mm(shape, back)
    assert lower_rim_mm(shape, front) < lower_rim_mm(shape, back)
    broken = VertebraShape(fracture_tilt_deg=10)
    assert upper_rim_mm(broken, broken.wall_mm) == pytest.approx(14.0)
    assert upper_rim_mm(broken, -broken.wall_mm) == pytest.approx(14.0 - 35 * np.tan(np.radians(10)))
