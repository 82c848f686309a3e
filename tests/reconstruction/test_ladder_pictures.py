import numpy as np
import pytest
import trimesh

from drrkit.errors import InputError
from reconstruction.ladder.raster import Stand, painted
from reconstruction.mesh import Mesh

CENTER = np.array([10.0, -20.0, 300.0])


def ball(radius_mm, center=CENTER, subdivisions=4) -> Mesh:
    body = trimesh.creation.icosphere(subdivisions=subdivisions, radius=radius_mm)
    return Mesh(np.asarray(body.vertices) + center, np.asarray(body.faces))


def white(mesh) -> np.ndarray:
    return np.ones((len(mesh.vertices_world), 3))


def test_a_ball_is_a_disk_of_its_size():
    mesh = ball(15.0)
    stand = Stand.around(mesh.vertices_world, 38.0, 14.0, 5.0, 4.0)
    picture = painted(mesh.vertices_world, mesh.faces, white(mesh), stand)
    assert picture.shape == (160, 160, 4)
    assert picture[..., 3].sum() == pytest.approx(np.pi * 60**2, rel=0.01)
    rows, columns = np.nonzero(picture[..., 3] > 0.5)
    assert (rows.mean(), columns.mean()) == pytest.approx((79.5, 79.5), abs=0.2)
    # The light comes from the upper left.
    assert picture[50, 50, :3].mean() > picture[110, 110, :3].mean() + 0.1


def test_right_left_and_what_hides_what():
    left, back = ball(5.0, np.array([30.0, 0.0, 0.0])), ball(8.0, np.array([0.0, 30.0, 0.0]))
    vertices = np.concatenate([left.vertices_world, back.vertices_world])
    faces = np.concatenate([left.faces, back.faces + len(left.vertices_world)])
    colors = np.concatenate([white(left) * (1.0, 0.0, 0.0), white(back) * (0.0, 1.0, 0.0)])

    def seen(azimuth_deg):
        picture = painted(vertices, faces, colors, Stand.around(vertices, azimuth_deg, 0.0, 2.0, 4.0))
        solid = picture[..., 3] > 0.99
        red = np.argwhere(solid & (picture[..., 0] > picture[..., 1] + 0.2))
        green = np.argwhere(solid & (picture[..., 1] > picture[..., 0] + 0.2))
        return red, green

    # From behind, the patient's left is on the left; from the patient's left, what lies behind is on the right.
    red, green = seen(0.0)
    assert red[:, 1].max() < green[:, 1].min()
    red, green = seen(90.0)
    assert red[:, 1].max() < green[:, 1].min()
    # From the front, the patient's left is on the right.
    red, green = seen(180.0)
    assert green[:, 1].max() < red[:, 1].min()
    # Behind and before: only the nearer ball is seen in the middle.
    back.vertices_world[:] -= np.array([0.0, 30.0, 0.0])
    vertices = np.concatenate([left.vertices_world - (30.0, -30.0, 0.0), back.vertices_world])
    red, green = seen(0.0)
    assert len(red) > 1000
    red, _ = seen(180.0)
    assert len(red) == 0


def test_triangles_that_are_too_large_are_refused():
    box = trimesh.creation.box(extents=(40, 40, 40))
    stand = Stand.around(np.asarray(box.vertices), 30.0, 10.0, 1.0, 4.0)
    with pytest.raises(InputError, match="triangle"):
        painted(np.asarray(box.vertices), np.asarray(box.faces), np.ones((8, 3)), stand)
