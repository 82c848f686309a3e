import numpy as np

from drrkit.phantom import template as module
from drrkit.phantom.anatomy import REGION_CODES
from drrkit.phantom.named_points import named_points, stacked
from drrkit.phantom.shape import VertebraShape
from drrkit.phantom.surface import fold_cosines
from drrkit.phantom.template import landmark_vertices, landmarks, template, template_neighbors


def test_surface_is_closed_oriented_and_smooth(edge_counts, enclosed_mm3):
    made = template()
    assert (edge_counts(made.faces) == 1).all()  # every edge twice, once in each direction
    assert enclosed_mm3(made.vertices, made.faces) > 45_000
    assert fold_cosines(made.vertices, made.faces, template_neighbors()).min() > 0
    # Euler: a vertebra has one hole, the canal.
    edges = len(template_neighbors())
    assert len(made.vertices) - edges + len(made.faces) == 0


def test_named_points_reproduce_the_template_and_any_affine_map():
    made, anchors = template(), stacked(named_points(VertebraShape()))
    np.testing.assert_allclose(made.surface(anchors), made.vertices, atol=1e-9)
    shear = np.array([[1.1, 0.2, 0], [0, 0.9, 0.1], [0, 0, 1.2]])
    np.testing.assert_allclose(made.surface(anchors @ shear + 5), made.vertices @ shear + 5, atol=1e-9)


def test_named_points_pull_the_surface_with_them():
    made, points = template(), named_points(VertebraShape())
    moved = points | {"spinous_tip": points["spinous_tip"] + [0, 4.0, 0]}
    change = made.surface(stacked(moved)) - made.vertices
    np.testing.assert_allclose(change[made.nearest["spinous_tip"]], [0, 4.0, 0], atol=0.6)
    assert np.abs(change[made.regions == REGION_CODES["body"]]).max() < 0.1


def test_building_again_gives_the_same_arrays():
    first = template()
    again = module.template.__wrapped__()
    for name in ("vertices", "faces", "regions", "basis", "rim"):
        assert getattr(first, name).tobytes() == getattr(again, name).tobytes()


def test_every_region_is_there_and_mirrors():
    made = template()
    for name, code in REGION_CODES.items():
        part = made.vertices[made.regions == code]
        assert len(part) > 150, name
        np.testing.assert_allclose(part[:, 0].max(), -part[:, 0].min(), atol=0.8, err_msg=name)


def test_landmarks_lie_in_their_regions():
    made = template()
    expected = {"end_plate": "body", "pedicle": "pedicles", "transverse_tip": "transverse", "spinous_tip": "spinous"}
    for name, numbers in landmark_vertices().items():
        region = next(value for key, value in expected.items() if name.endswith(key))
        assert (made.regions[list(numbers)] == REGION_CODES[region]).mean() >= 0.75, name
    assert len(landmarks(made.vertices)) == 7
