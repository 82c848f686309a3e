import numpy as np
import pytest

from drrkit.errors import InputError
from drrkit.geometry.carm import CArm
from drrkit.volume import Volume
from protocols.erase import ball_shadows, erase_ct_balls, inpaint

CAMERA = CArm(1000.0, 600.0, 120, 100, (2.0, 2.0)).camera(20.0, 10.0)


def ct_with_balls(centers_world, radius_mm=2.0, background=40):
    affine = np.diag([1.0, 0.8, 1.2, 1.0])
    affine[:3, 3] = (-20, -16, -24)
    z, y, x = np.meshgrid(np.arange(40), np.arange(40), np.arange(40), indexing="ij")
    world = np.stack([x, y, z], -1) @ affine[:3, :3].T + affine[:3, 3]
    hu = np.full((40, 40, 40), background, np.int16)
    for center in centers_world:
        hu[np.linalg.norm(world - center, axis=-1) <= radius_mm] = 3071
    return Volume(hu, affine, (hu > 1000).astype(np.uint8))


def test_balls_in_the_ct_become_the_tissue_around_and_nothing_else_changes():
    centers = [(0.0, 0.0, 0.0), (8.2, -5.1, 6.7)]
    clean = erase_ct_balls(ct_with_balls(centers), centers, radius_mm=3.0)
    assert (clean.hu == 40).all()
    striped = ct_with_balls(centers)
    striped.hu[:, :, 0] = 500
    cleaned = erase_ct_balls(striped, centers, radius_mm=3.0)
    assert (cleaned.hu[:, :, 0] == 500).all()
    assert cleaned.labels is striped.labels
    assert striped.hu.max() == 3071  # the argument is untouched


def test_a_ball_at_the_border_or_outside_is_no_trouble():
    volume = ct_with_balls([(-20.0, 0.0, 0.0)])
    assert (erase_ct_balls(volume, [(-20.0, 0.0, 0.0), (500.0, 0.0, 0.0)], 3.0).hu == 40).all()
    with pytest.raises(InputError, match="radius_mm"):
        erase_ct_balls(volume, [(0.0, 0.0, 0.0)], 0.0)


def test_shadows_lie_where_the_camera_puts_them():
    centers = np.array([[0.0, 0.0, 0.0], [30.0, -10.0, 40.0]])
    mask = ball_shadows(CAMERA, centers, diameter_mm=10.0, margin_px=0.0)
    rows, columns = np.nonzero(mask)
    for center, depth_mm in zip(centers, CAMERA.depth_mm(centers), strict=True):
        u, v = CAMERA.project(center)
        radius_px = CAMERA.pixel_from_camera[0, 0] * 5.0 / depth_mm
        near = np.hypot(columns - u, rows - v) < 2 * radius_px
        assert np.hypot(columns[near].mean() - u, rows[near].mean() - v) < 0.3
        assert abs(near.sum() / (np.pi * radius_px**2) - 1) < 0.2
    wider = ball_shadows(CAMERA, centers, 10.0, margin_px=2.0)
    assert wider.sum() > mask.sum()
    assert (wider | ~mask).all()


def test_balls_out_of_the_image_or_behind_the_source_throw_no_shadow():
    behind = CAMERA.source_world - 50 * CAMERA.view_direction_world
    assert not ball_shadows(CAMERA, [behind, (0.0, 0.0, 900.0)], 10.0, 1.0).any()


def test_inpainting_continues_what_is_around():
    rows, columns = np.mgrid[:60, :50].astype(np.float32)
    ramp = 0.02 * rows + 0.01 * columns
    mask = (rows - 30) ** 2 + (columns - 20) ** 2 < 36
    holed = np.where(mask, np.float32(9.0), ramp)
    filled = inpaint(holed, mask)
    assert filled.dtype == np.float32
    assert np.abs(filled - ramp).max() < 1e-3
    assert (filled[~mask] == holed[~mask]).all()


def test_inpainting_nothing_and_everything():
    image = np.ones((8, 8), np.float32)
    assert (inpaint(image, np.zeros((8, 8), bool)) == image).all()
    with pytest.raises(InputError, match="whole image"):
        inpaint(image, np.ones((8, 8), bool))
