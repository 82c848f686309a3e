"""Refinement of a calibrated camera: exact pieces, recovery on images of another renderer, and the balls' veto."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import ndimage

from drrkit import metrics
from drrkit.errors import InputError
from drrkit.geometry import rigid
from drrkit.geometry.camera import Camera
from drrkit.geometry.carm import CArm, angles_from_camera
from drrkit.phantom import make_phantom
from drrkit.projection.renderer import prepare, prepare_attenuation, project
from drrkit.radiograph import Radiograph
from drrkit.volume import LEVEL_CODES, Volume
from protocols.calibration.result import BallResidual, ExposureCalibration, SessionCalibration, write_calibration
from protocols.refine import HeldOutBalls, PosePrior, RefineSettings, bones, prepare_bones, refine, refine_session
from protocols.refine import twist as motion
from protocols.refine.levels import make_levels
from protocols.refine.resection import fit_pose
from protocols.refine.similarity import GradientNcc
from protocols.undistort import Distortion

WIDE = RefineSettings(prior=PosePrior(3.0, 2.0, 1.5), prior_weight=0.001, sizes_px=(48, 96), device="cpu")
SMALL = CArm(1020.0, 700.0, 96, 96, (3.0, 3.0))


@pytest.fixture(scope="module")
def volume() -> Volume:
    return make_phantom(3, spacing_mm=2.0).volume


@pytest.fixture(scope="module")
def bone(volume):
    return prepare_bones(volume)


@pytest.fixture(scope="module")
def body(volume):
    """All tissue, gas among it."""
    return prepare(volume, "full")


@pytest.fixture(scope="module")
def balls(volume):
    """(12, 3) around the spine."""
    spread = np.random.default_rng(2).uniform(-1, 1, (12, 3)) * [60, 40, 70]
    return volume.level_centroid_world("L3") + spread


def view(volume, primary_deg, secondary_deg=0.0, carm=SMALL) -> Camera:
    return carm.camera(primary_deg, secondary_deg, 0.0, volume.level_centroid_world("L3"))


def xray(prepared, camera, seed=0, domain="line_integral") -> Radiograph:
    """Line integrals by siddon, averaged over each pixel's area, with a smooth background and noise."""
    rng = np.random.default_rng(seed)
    fine = project(prepared, [camera.resized(3 * camera.height, 3 * camera.width)], backend="siddon")[0]
    pixels = fine.reshape(camera.height, 3, camera.width, 3).mean(axis=(1, 3))
    rows, columns = np.indices(pixels.shape) / pixels.shape[0] - 0.5
    pixels = pixels + 1.5 - rows**2 - 0.8 * columns + 0.3 * ndimage.gaussian_filter(rng.normal(size=pixels.shape), 12)
    return Radiograph((pixels + rng.normal(0, 0.01, pixels.shape)).astype(np.float32), domain, camera)


def with_motion(camera, pivot_world, twist) -> Camera:
    pivot = motion.camera_from_pivot(camera, pivot_world)
    pose = pivot @ rigid.exp(twist) @ rigid.invert(pivot) @ camera.camera_from_world
    return Camera(camera.pixel_from_camera, pose, camera.height, camera.width, camera.pixel_spacing_mm)


def errors(camera, true, pivot_world) -> tuple[float, float]:
    """Rotation in degrees and in-plane shift of the pivot in mm."""
    pivot = motion.camera_from_pivot(true, pivot_world)
    twist = rigid.log(rigid.invert(pivot) @ camera.camera_from_world @ true.world_from_camera @ pivot)
    return float(np.degrees(np.linalg.norm(twist[:3]))), float(np.linalg.norm(twist[3:5]))


ONE_DEGREE_TWO_MM = np.array([*np.radians([0.6, -0.55, 0.58]), 1.6, -1.2, 0.0])


# ---- pieces ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0.0, 1e-9, 1e-3, 1.0, 3.0])
def test_the_exponential_is_that_of_rigid(size):
    twist = size * np.array([0.3, -0.7, 0.5, 20.0, -4.0, 9.0])
    np.testing.assert_allclose(motion.exp(torch.from_numpy(twist)).numpy(), rigid.exp(twist), atol=1e-12)


def test_the_exponential_has_its_gradient_at_the_identity():
    slopes = torch.autograd.functional.jacobian(motion.exp, torch.zeros(6, dtype=torch.float64)).numpy()
    expected = np.zeros((4, 4, 6))
    for axis, (row, column) in enumerate([(2, 1), (0, 2), (1, 0)]):
        expected[row, column, axis], expected[column, row, axis] = 1, -1
        expected[axis, 3, 3 + axis] = 1
    np.testing.assert_allclose(slopes, expected, atol=1e-15)


def test_motions_decouple_about_the_pivot(volume, balls):
    camera = view(volume, 25, -10)
    pivot_world = balls[0]  # far from the central ray
    before, depth_mm = camera.project(pivot_world), np.linalg.norm(pivot_world - camera.source_world)
    turned = with_motion(camera, pivot_world, [0.2, -0.1, 0.3, 0, 0, 0])
    np.testing.assert_allclose(turned.project(pivot_world), before, atol=1e-9)
    away = with_motion(camera, pivot_world, [0, 0, 0, 0, 0, 30.0])
    np.testing.assert_allclose(away.project(pivot_world), before, atol=1e-9)
    assert np.linalg.norm(pivot_world - away.source_world) == pytest.approx(depth_mm + 30)
    assert np.linalg.norm(with_motion(camera, pivot_world, [0, 0, 0, 1.0, 0, 0]).project(pivot_world) - before) > 0.3


@pytest.mark.parametrize("with_mask", [False, True])
def test_the_measure_is_that_of_the_metrics(with_mask):
    rng = np.random.default_rng(1)
    image, other = (ndimage.gaussian_filter(rng.normal(size=(30, 40)), 1.5) for _ in range(2))
    other = other + image
    mask = np.ones(image.shape, bool)
    if with_mask:
        mask[:, :13] = mask[20:, 30:] = False
    measured = float(GradientNcc(image, mask, 0.0, "cpu")(torch.from_numpy(other)))
    assert measured == pytest.approx(metrics.gradient_ncc(image, other, mask), abs=1e-6)
    blurred = [ndimage.gaussian_filter(pixels, 1.0, mode="nearest", truncate=3) for pixels in (image, other)]
    measured = float(GradientNcc(image, mask, 1.0, "cpu")(torch.from_numpy(other)))
    assert measured == pytest.approx(metrics.gradient_ncc(*blurred, mask), abs=1e-6)


def test_edges_that_bone_does_not_explain_lose_their_weight():
    rng = np.random.default_rng(1)
    bone_image = ndimage.gaussian_filter(rng.normal(size=(60, 60)), 2)
    image = 2 * bone_image + 0.02 * ndimage.gaussian_filter(rng.normal(size=(60, 60)), 2)
    image[10:20, 30:45] -= 2.0  # gas
    similarity = GradientNcc(image, np.ones(image.shape, bool), 0.0, "cpu")
    before = float(similarity(torch.from_numpy(bone_image)))
    similarity.distrust(torch.from_numpy(bone_image))
    assert before < 0.8
    assert float(similarity(torch.from_numpy(bone_image))) > 0.95


@pytest.mark.parametrize("renderer", ["nanodrr", "diffdrr"])
def test_the_objective_has_the_gradient_of_its_differences(volume, body, bone, balls, renderer):
    camera = view(volume, 20, 5)
    settings = replace(WIDE, renderer=renderer, sizes_px=(40,))
    radiograph = xray(body, camera)
    (level,) = make_levels(radiograph, camera, bone, balls.mean(axis=0), None, settings, "cpu")
    level = replace(level, attenuation=level.attenuation.double())
    twist = torch.from_numpy(0.5 * ONE_DEGREE_TWO_MM).requires_grad_()
    level.objective(twist, settings.prior, settings.prior_weight).backward()
    assert twist.grad is not None
    # So short that hardly a sample crosses into the next voxel, where interpolation has a kink.
    for axis, length in enumerate([1e-7] * 3 + [1e-5] * 3):
        step = torch.zeros(6, dtype=torch.float64)
        step[axis] = length
        with torch.no_grad():
            ends = [level.objective(twist + sign * step, settings.prior, settings.prior_weight) for sign in (1, -1)]
        difference = float(ends[0] - ends[1]) / (2 * length)
        assert float(twist.grad[axis]) == pytest.approx(difference, rel=1e-3, abs=1e-6)
        assert abs(difference) > 1e-5


def test_coarser_bone_casts_the_same_shadow(volume, bone):
    camera = view(volume, 20, 5)
    fine = project(prepare_attenuation(bone.attenuation, bone.world_from_voxel), [camera], backend="siddon")[0]
    coarse, voxel_from_world = bone.at(4.0, "cpu")
    assert coarse.numel() < bone.attenuation.size / 7
    shadow = project(prepare_attenuation(coarse.numpy(), np.linalg.inv(voxel_from_world)), [camera], backend="siddon")[
        0
    ]
    assert shadow.sum() == pytest.approx(fine.sum(), rel=0.01)
    v, u = np.indices(fine.shape)
    for axis in (u, v):
        assert (axis * shadow).sum() / shadow.sum() == pytest.approx((axis * fine).sum() / fine.sum(), abs=0.05)


def test_bone_has_no_metal_and_no_cut_edges(volume):
    hu = volume.hu.copy()
    z, y, x = np.argwhere(volume.labels == LEVEL_CODES["L3"])[0] + [0, -12, 10]
    hu[z, y, x] = 12000
    with_ball, without = prepare_bones(Volume(hu, volume.world_from_voxel, volume.labels)), prepare_bones(volume)
    assert np.abs(with_ball.attenuation - without.attenuation).max() < 0.01
    assert with_ball.attenuation.max() == without.attenuation.max()
    # Cut from head to foot at a margin around the lumbar levels, and faded there.
    height_mm = without.attenuation.shape[0] * 2.0
    lumbar = np.flatnonzero(np.isin(volume.labels, [LEVEL_CODES[f"L{n}"] for n in range(1, 6)]).any(axis=(1, 2)))
    assert height_mm == pytest.approx(np.ptp(lumbar) * 2.0 + 2 * bones.MARGIN_MM, abs=5)
    assert without.attenuation[0].max() < 0.25 * without.attenuation[10].max()
    assert set(without.labelled.levels) == {"L1", "L2", "L3", "L4", "L5"}


def test_a_pose_is_fitted_to_balls_with_its_spread(volume, balls):
    true = view(volume, 20)
    start = with_motion(true, balls.mean(axis=0), ONE_DEGREE_TWO_MM)
    exact = fit_pose(start, balls, true.project(balls))
    assert errors(exact.camera, true, balls.mean(axis=0)) == pytest.approx((0, 0), abs=1e-4)
    rng = np.random.default_rng(4)
    noisy = [fit_pose(start, balls, true.project(balls) + rng.normal(0, 0.2, (12, 2))) for _ in range(30)]
    off_mm = [errors(fit.camera, true, balls.mean(axis=0))[1] for fit in noisy]
    # Two directions; the larger of the two sigmas is told.
    sigma_mm = np.sqrt(np.mean(np.square(off_mm)) / 2)
    assert np.median([fit.prior.in_plane_mm for fit in noisy]) == pytest.approx(sigma_mm, rel=0.35)
    assert np.median([fit.prior.along_ray_mm / fit.prior.in_plane_mm for fit in noisy]) > 3
    line = balls.mean(axis=0) + np.linspace(-50, 50, 6)[:, None] * [0.0, 0.0, 1.0]
    for centers, points in [(balls[:3], true.project(balls[:3])), (line, true.project(line))]:
        with pytest.raises(InputError, match="balls to fit"):
            fit_pose(true, centers, points)


# ---- the whole -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("primary_deg", "has_gas"), [(0, False), (90, True)])
def test_a_perturbed_camera_is_recovered(volume, body, bone, balls, primary_deg, has_gas):
    true = view(volume, primary_deg)
    shown = body if has_gas else prepare(Volume(volume.hu.clip(40), volume.world_from_voxel), "full")
    held_out = HeldOutBalls(balls, true.project(balls))
    start = with_motion(true, balls.mean(axis=0), ONE_DEGREE_TWO_MM)
    result = refine(xray(shown, true), start, bone, held_out, WIDE)
    rotation_deg, in_plane_mm = errors(result.camera, true, balls.mean(axis=0))
    assert errors(start, true, balls.mean(axis=0)) == pytest.approx((1.0, 2.0), rel=0.02)
    assert result.kept, result.reason
    assert rotation_deg < 0.2
    assert in_plane_mm < 0.3
    assert result.similarity_after > result.similarity_before + 0.1
    assert result.held_out_px_after < 0.2 < result.held_out_px_before
    assert result.steps > 5
    np.testing.assert_array_equal(result.camera.pixel_from_camera, start.pixel_from_camera)


def test_a_camera_that_is_right_stays(volume, body, bone, balls):
    true = view(volume, 30)
    settings = replace(WIDE, prior=PosePrior(0.3, 1.0, 0.2), prior_weight=0.01, sizes_px=(96,))
    result = refine(xray(body, true), true, bone, HeldOutBalls(balls, true.project(balls)), settings)
    rotation_deg, in_plane_mm = errors(result.proposed, true, balls.mean(axis=0))
    assert rotation_deg < 0.1
    assert in_plane_mm < 0.15
    assert result.held_out_px_before == pytest.approx(0, abs=1e-9)
    assert result.held_out_px_after < 0.1
    assert result.camera is (result.proposed if result.kept else true)


def test_balls_veto_an_image_that_is_elsewhere(volume, bone, balls):
    camera = view(volume, 0)
    elsewhere = with_motion(camera, balls.mean(axis=0), ONE_DEGREE_TWO_MM)
    radiograph = replace(xray(prepare(volume, "bone"), elsewhere), camera=camera)
    settings = replace(WIDE, sizes_px=(48,))
    result = refine(radiograph, camera, bone, HeldOutBalls(balls, camera.project(balls)), settings)
    assert not result.kept
    assert result.camera is camera
    assert result.similarity_after > result.similarity_before  # the image alone would have moved it
    assert "held-out balls got worse" in result.reason
    assert errors(result.proposed, elsewhere, balls.mean(axis=0))[1] < 0.5
    tolerant = replace(settings, held_out_tolerance_px=5.0)
    assert refine(radiograph, camera, bone, HeldOutBalls(balls, camera.project(balls)), tolerant).kept


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
def test_a_gpu_finds_the_same_camera(volume, body, bone, balls):
    true = view(volume, 0)
    start = with_motion(true, balls.mean(axis=0), ONE_DEGREE_TWO_MM)
    held_out = HeldOutBalls(balls, true.project(balls))
    radiograph = xray(body, true)
    found = [
        refine(radiograph, start, bone, held_out, replace(WIDE, device=device)).proposed for device in ("cpu", "cuda")
    ]
    assert errors(found[0], found[1], balls.mean(axis=0)) == pytest.approx((0, 0), abs=0.05)


def test_bad_input_is_refused(volume, bone, balls):
    camera = view(volume, 0)
    good = xray(prepare(volume, "bone"), camera)
    held_out = HeldOutBalls(balls, camera.project(balls))
    far = with_motion(camera, balls.mean(axis=0), [0, 0, 0, 400.0, 0, 0])
    behind = with_motion(camera, balls.mean(axis=0), [0, 0, 0, 0, 0, -2000.0])
    flat = replace(good, pixels=np.ones_like(good.pixels))
    for radiograph, given, message in [
        (replace(good, domain="intensity"), camera, "line integrals"),
        (good, camera.resized(48, 48), "shape"),
        (good, far, "no bone on the image"),
        (good, behind, "behind"),
        (flat, camera, "without edges"),
    ]:
        with pytest.raises(InputError, match=message):
            refine(radiograph, given, bone, held_out, WIDE)
    nothing = np.zeros(good.pixels.shape, bool)
    for usable in (nothing, np.ones((3, 3), bool)):
        with pytest.raises(InputError, match=r"pixels|usable"):
            refine(good, camera, bone, held_out, WIDE, usable=usable)
    with pytest.raises(InputError, match="NaN"):
        HeldOutBalls(balls, np.full((12, 2), np.nan))
    with pytest.raises(InputError, match="shapes"):
        HeldOutBalls(balls[:0], np.zeros((0, 2)))
    with pytest.raises(InputError, match="no bone"):
        prepare_bones(Volume(np.zeros((4, 4, 4), np.int16), np.eye(4)))
    with pytest.raises(InputError, match="NaN"):
        replace(bone, attenuation=np.full((2, 2, 2), np.nan, np.float32))


@pytest.mark.parametrize(
    "bad",
    [
        {"sizes_px": ()},
        {"sizes_px": (128, 64)},
        {"steps": 0},
        {"blur_px": -1.0},
        {"prior_weight": float("nan")},
        {"renderer": "siddon"},
    ],
)
def test_settings_that_make_no_sense_are_refused(bad):
    with pytest.raises(InputError, match=next(iter(bad))):
        RefineSettings(**bad)


def test_a_prior_without_spread_is_refused():
    with pytest.raises(InputError, match="along_ray_mm"):
        PosePrior(1.0, 0.0, 1.0)


# ---- sessions --------------------------------------------------------------------------------------------------------


def calibrated(exposure_id, camera, true, balls, status="pass", distortion=None) -> ExposureCalibration:
    """An exposure whose balls were detected with an error, and whose camera is off."""
    noise = np.random.default_rng(7).normal(0, 0.15, (len(balls), 2))
    points = true.project(balls) + noise
    points = points if distortion is None else distortion.distorted_from_ideal(points)
    entries = tuple(
        BallResidual(f"ball-{number:02d}", (float(u), float(v)), (0.0, 0.0), None, True)
        for number, (u, v) in enumerate(points)
    )
    return ExposureCalibration(
        exposure_id,
        status,
        "",
        camera,
        len(balls),
        len(balls),
        0.2,
        0.2,
        0.2,
        0.3,
        2.0,
        0.3,
        angles_from_camera(camera)[:2],
        angles_from_camera(camera)[:2],
        distortion and distortion.to_record(),
        entries,
    )


def test_a_session_keeps_what_balls_do_not_contradict(volume, body, bone, balls, tmp_path):
    true = view(volume, 90)
    camera = with_motion(true, balls.mean(axis=0), 0.3 * ONE_DEGREE_TWO_MM)
    bent = Distortion((47.5, 47.5), 48.0, pincushion_r2=0.03)
    exposures = (
        calibrated("good", camera, true, balls, distortion=bent),
        calibrated("failed", camera, true, balls, status="fail"),
        calibrated("unpaired", camera, true, balls),
        replace(calibrated("bare", camera, true, balls), balls=()),
    )
    session = SessionCalibration(
        "S1", True, {f"ball-{n:02d}": tuple(map(float, ball)) for n, ball in enumerate(balls)}, exposures, {"old": 1}
    )
    radiograph = replace(xray(body, true), camera=camera)
    # The pair's image is cut out of the exposure.
    cut = Radiograph(np.ascontiguousarray(radiograph.pixels[2:, 5:]), "line_integral", camera.cropped(2, 5, 94, 91))
    asked = []

    def load_image(exposure_id):
        asked.append(exposure_id)
        return None if exposure_id == "unpaired" else cut

    settings = replace(WIDE, sizes_px=(96,), prior_weight=0.003, held_out_tolerance_px=0.1)
    refined = refine_session(session, load_image, bone, settings)
    assert asked == ["good", "unpaired", "bare"]
    notes = refined.notes["refinement"]["exposures"]
    assert notes["good"]["kept"], notes["good"]["reason"]
    assert (refined.notes["refinement"]["kept"], refined.notes["refinement"]["not_kept"]) == (1, 3)
    assert refined.notes["old"] == 1
    assert [notes[name]["reason"] for name in ("failed", "unpaired")] == ["no trusted camera", "no image"]
    assert "too few" in notes["bare"]["reason"]
    assert refined.exposures[1:] == exposures[1:]
    good = refined.exposures[0]
    before, after = (errors(each, true, balls.mean(axis=0)) for each in (camera, good.camera))
    assert after[1] < 0.5 * before[1]
    np.testing.assert_array_equal(good.camera.pixel_from_camera, camera.pixel_from_camera)
    # Residuals are told for the new camera, in pixels of the image as it was taken.
    first = good.balls[0]
    expected = bent.distorted_from_ideal(good.camera.project(balls[0]))
    assert first.reprojected_px == pytest.approx(tuple(expected))
    assert good.rms_px == pytest.approx(0.2, abs=0.15)
    write_calibration(refined, tmp_path)


def test_a_session_refuses_images_of_other_cameras(volume, bone, balls):
    camera = view(volume, 0)
    names = {f"ball-{n:02d}": tuple(map(float, ball)) for n, ball in enumerate(balls)}
    session = SessionCalibration("S1", True, names, (calibrated("one", camera, camera, balls),))
    other = xray(prepare(volume, "bone"), view(volume, 3))
    with pytest.raises(InputError, match="another pose"):
        refine_session(session, lambda _: other, bone, WIDE)
