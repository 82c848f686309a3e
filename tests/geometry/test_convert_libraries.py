"""The other libraries themselves, where they are installed, must put a marker where Camera.project does."""

import cv2
import numpy as np
import pytest
import SimpleITK as sitk
import torch

from drrkit.geometry import convert
from drrkit.geometry.camera import Camera
from drrkit.geometry.carm import CArm

ISOCENTER = np.array([12.0, -80.0, -460.0])
CENTER = np.array([9.0, -70.0, -455.0])
CARM = CArm(1000.0, 600.0, 61, 80, (2.3, 2.2), (41.3, 28.1))
MARKERS = ISOCENTER + np.random.default_rng(0).normal(size=(20, 3)) * 25
LPS_TO_RAS = np.array([-1.0, -1.0, 1.0])

ANGLES = [(0.0, 0.0, 0.0), (30.0, 20.0, 10.0), (-100.0, -30.0, 170.0)]
views = pytest.mark.parametrize(
    "camera",
    [CARM.camera(*angles, ISOCENTER) for angles in ANGLES]
    + [CARM.camera(*angles, ISOCENTER).flipped_horizontally() for angles in ANGLES],
    ids=[f"{angles}{kind}" for kind in ("", "-mirrored") for angles in ANGLES],
)
orientations = pytest.mark.parametrize("orientation", ["AP", "PA", None])


def tensor(numbers) -> torch.Tensor:
    return torch.tensor(np.asarray(numbers), dtype=torch.float64)


def pixel_of(targets: torch.Tensor, source: torch.Tensor, camera: Camera, recentered: np.ndarray) -> np.ndarray:
    """Project the library's own pixel positions (RAS), which must give the pixels' indices."""
    points = targets.numpy().reshape(-1, 3) + recentered
    np.testing.assert_allclose((source.numpy().reshape(3) + recentered) * LPS_TO_RAS, camera.source_world, atol=1e-4)
    return camera.project(points * LPS_TO_RAS).reshape(camera.height, camera.width, 2)


def indices(camera: Camera) -> np.ndarray:
    v, u = np.mgrid[: camera.height, : camera.width]
    return np.stack([u, v], axis=-1)


# ---- DiffDRR ---------------------------------------------------------------------------------------------------------


def diffdrr_pose(view: convert.DiffDrrView):
    from diffdrr.pose import convert as convert_pose

    rotation, translation = tensor(view.rotation)[None], tensor(view.translation)[None]
    return convert_pose(rotation, translation, parameterization="euler_angles", convention="ZXY")


@views
@orientations
def test_diffdrr_detector_lies_where_the_camera_has_it(camera, orientation):
    from diffdrr.detector import Detector

    view = convert.diffdrr_from_camera(camera, CENTER, orientation)
    reorient = torch.eye(4, dtype=torch.float64)
    reorient[:3, :3] = tensor(DIFFDRR_REORIENT[orientation])
    lengths = (view.delx, view.dely, view.x0, view.y0)
    detector = Detector(view.sdd, view.height, view.width, *lengths, reorient, reverse_x_axis=view.reverse_x_axis)
    source, targets = detector.double()(diffdrr_pose(view), None)
    pixels = pixel_of(targets, source, camera, CENTER * LPS_TO_RAS)
    np.testing.assert_allclose(pixels, indices(camera), atol=1e-3)  # the library's calibration is float32


# The matrices of diffdrr/data.py (read).
DIFFDRR_REORIENT = {
    "AP": [[1, 0, 0], [0, 0, -1], [0, 1, 0]],
    "PA": [[1, 0, 0], [0, 0, 1], [0, 1, 0]],
    None: [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
}


@pytest.fixture(scope="module")
def blob():
    """A smooth spot: its voxels, its affine (RAS, left-handed) and its middle in the world (LPS)."""
    shape, spacing_mm, middle = (20, 24, 16), np.array([3.0, 2.0, 4.0]), np.array([12, 11, 7])
    offsets_mm = (np.stack(np.indices(shape), axis=-1) - middle) * spacing_mm
    density = np.exp(-(offsets_mm**2).sum(axis=-1) / 2 / 7**2).astype(np.float32)[None]
    affine = np.diag([-3.0, 2.0, 4.0, 1.0])
    affine[:3, 3] = (20.0, 55.0, -490.0)
    return torch.tensor(density), affine, (affine @ [*middle, 1])[:3] * LPS_TO_RAS


def center_of_mass(image: np.ndarray) -> np.ndarray:
    v, u = np.indices(image.shape)
    return np.array([(image * u).sum(), (image * v).sum()]) / image.sum()


@views
def test_diffdrr_draws_a_spot_where_the_camera_does(camera, blob):
    from diffdrr.data import read
    from diffdrr.drr import DRR
    from torchio import ScalarImage

    density, affine, spot_world = blob
    # DiffDRR takes Hounsfield units and calls what is below -800 air.
    subject = read(ScalarImage(tensor=density * 1000 - 790, affine=affine))
    # DiffDRR recenters its images in place, so the center comes from a fresh one.
    center_world = np.array(ScalarImage(tensor=density, affine=affine).get_center()) * LPS_TO_RAS
    view = convert.diffdrr_from_camera(camera, center_world)
    drr = DRR(
        subject,
        sdd=view.sdd,
        height=view.height,
        width=view.width,
        delx=view.delx,
        dely=view.dely,
        x0=view.x0,
        y0=view.y0,
        reverse_x_axis=view.reverse_x_axis,
    )
    pose = diffdrr_pose(view).float()
    with torch.no_grad():
        image = drr(pose)[0, 0].numpy()
        spot_ras = tensor(spot_world * LPS_TO_RAS - np.array(view.center_ras)).float()
        pixel = drr.perspective_projection(pose, spot_ras[None, None])[0, 0].numpy()
    expected = camera.project(spot_world)
    np.testing.assert_allclose(center_of_mass(image), expected, atol=0.1)
    # Its perspective_projection has pixel edges at integers, unlike its images.
    np.testing.assert_allclose(pixel, expected + 0.5, atol=1e-3)


# ---- nanodrr ---------------------------------------------------------------------------------------------------------


@views
def test_nanodrr_detector_lies_where_the_camera_has_it(camera):
    from nanodrr.drr.renderer import _make_src, _make_tgt
    from nanodrr.geometry import transform_point

    view = convert.nanodrr_from_camera(camera)
    k_inv, rt_inv, sdd = tensor(view.k_inv)[None], tensor(view.rt_inv)[None], tensor([view.sdd])
    targets = _make_tgt(k_inv, sdd, view.height, view.width, k_inv.device, k_inv.dtype)
    source = transform_point(rt_inv, _make_src(False, targets, sdd))
    pixels = pixel_of(transform_point(rt_inv, targets), source, camera, np.zeros(3))
    np.testing.assert_allclose(pixels, indices(camera), atol=1e-8)


@views
def test_nanodrr_draws_a_spot_where_the_camera_does(camera, blob):
    from nanodrr.data import Subject
    from nanodrr.drr import render
    from torchio import ScalarImage

    density, affine, spot_world = blob
    subject = Subject.from_images(ScalarImage(tensor=density, affine=affine), convert_to_mu=False)
    view = convert.nanodrr_from_camera(camera)
    numbers = (tensor(array).float() for array in (view.k_inv[None], view.rt_inv[None], [view.sdd]))
    image = render(subject, *numbers, view.height, view.width, n_samples=100)[0, 0].numpy()
    np.testing.assert_allclose(center_of_mass(image), camera.project(spot_world), atol=0.1)


@orientations
def test_nanodrr_euler_angles_are_the_librarys(orientation):
    from nanodrr.camera import invert_rt_inv, make_rt_inv

    rotation_deg, translation_mm, isocenter = [25.0, -14.0, 7.0], [3.0, 620.0, -8.0], [-9.0, 70.0, -455.0]
    library = make_rt_inv(tensor([rotation_deg]), tensor([translation_mm]), orientation, tensor(isocenter))
    rt_inv = convert.rt_inv_from_nanodrr_euler(rotation_deg, translation_mm, orientation, isocenter)
    np.testing.assert_allclose(rt_inv, library[0].numpy(), atol=1e-9)
    angles, translation = convert.nanodrr_euler_from_rt_inv(rt_inv, orientation, isocenter)
    library_angles, library_translation = invert_rt_inv(library, orientation, tensor(isocenter))
    np.testing.assert_allclose(angles, library_angles[0].numpy(), atol=1e-6)
    np.testing.assert_allclose(translation, library_translation[0].numpy(), atol=1e-6)


def test_nanodrr_pa_is_a_mirrored_camera():
    view = convert.nanodrr_from_camera(CARM.camera(0, 0, 0, ISOCENTER))
    as_seen, reflected = (
        convert.camera_from_nanodrr(
            convert.NanoDrrView(
                view.k_inv, convert.rt_inv_from_nanodrr_euler([5, 6, 7], [0, 600, 0], name), 1000.0, 61, 80
            )
        )
        for name in ("AP", "PA")
    )
    assert not as_seen.is_mirrored
    assert reflected.is_mirrored


# ---- OpenCV and SimpleITK --------------------------------------------------------------------------------------------


@views
def test_opencv_projects_where_the_camera_does(camera):
    view = convert.opencv_from_camera(camera)
    pixels, _ = cv2.projectPoints(MARKERS, view.rvec, view.tvec, view.camera_matrix, None)
    np.testing.assert_allclose(pixels[:, 0], camera.project(MARKERS), atol=1e-7)


def affine_transform() -> sitk.Transform:
    transform = sitk.AffineTransform(3)
    transform.SetMatrix((0.36, 0.48, -0.8, -0.8, 0.6, 0.0, 0.48, 0.64, 0.6))
    transform.SetTranslation((10, -20, 30))
    transform.SetCenter((5, 6, 7))
    return transform


@pytest.mark.parametrize(
    "transform",
    [
        affine_transform(),
        sitk.Euler3DTransform((5, 6, 7), 0.3, -0.5, 0.9, (10, -20, 30)),
        sitk.VersorRigid3DTransform((0.6, 0, 0.8), 1.1, (10, -20, 30), (5, 6, 7)),
    ],
    ids=["affine", "euler", "versor"],
)
def test_itk_transforms_map_points_as_simpleitk_does(transform, tmp_path):
    sitk.WriteTransform(transform, str(tmp_path / "pose.tfm"))
    fields = dict(line.split(": ", 1) for line in (tmp_path / "pose.tfm").read_text().splitlines() if ": " in line)
    numbers = ([float(word) for word in fields[name].split()] for name in ("Parameters", "FixedParameters"))
    matrix = convert.transform_from_itk(fields["Transform"], *numbers)
    for point in MARKERS:
        np.testing.assert_allclose((matrix @ [*point, 1])[:3], transform.TransformPoint(point), atol=1e-9)


def test_simpleitk_reads_a_camera():
    camera = CARM.camera(30, 20, 10, ISOCENTER)
    parameters, fixed = convert.itk_from_camera(camera)
    transform = sitk.AffineTransform(3)
    transform.SetFixedParameters(fixed.tolist())
    transform.SetParameters(parameters.tolist())
    in_camera = transform.TransformPoint(MARKERS[0].tolist())
    assert in_camera[2] == pytest.approx(camera.depth_mm(MARKERS[0]))
