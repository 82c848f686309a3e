"""Simulated sessions at the level of points: balls, true cameras, and what detection would hand to calibration."""

from dataclasses import dataclass, field

import numpy as np
from scipy.spatial.transform import Rotation

from drrkit.fluoroscopy.distortion import DetectorDistortion
from drrkit.geometry import rigid
from drrkit.geometry.camera import Camera
from drrkit.geometry.carm import CArm
from protocols.calibration.result import Observation
from protocols.undistort import Distortion

PANEL = CArm(1164.0, 622.0, 976, 976, (0.305, 0.305))
COARSE_PANEL = CArm(1020.0, 600.0, 512, 512, (0.58, 0.58))
INTENSIFIER = CArm(980.0, 560.0, 1024, 1024, (0.29, 0.29))


@dataclass
class Session:
    balls_world: dict
    observations: list
    cameras: list
    targets_world: np.ndarray
    distortions: list = field(default_factory=list)

    def in_plane_mm(self, index: int, camera: Camera, distortion: Distortion | None = None) -> float:
        """How far the estimated camera puts the vertebral centers on the image beside the true ones, in the patient."""
        targets = self.targets_world
        true, size = self.cameras[index].project(targets), (self.cameras[index].width, self.cameras[index].height)
        seen = ((true >= 0) & (true <= np.array(size) - 1)).all(axis=1)
        if self.distortions:
            # Of an intensifier only the round field is an image.
            bend = self.distortions[index]
            seen &= np.linalg.norm(bend.distorted_from_ideal(true) - bend.center_px, axis=1) < bend.radius_px
        targets = targets[seen] if seen.any() else targets[2:3]
        true, estimated = self.cameras[index].project(targets), camera.project(targets)
        if self.distortions and distortion is not None:
            true = self.distortions[index].distorted_from_ideal(true)
            estimated = distortion.distorted_from_ideal(estimated)
        focal_px = abs(self.cameras[index].pixel_from_camera[0, 0])
        scale = self.cameras[index].depth_mm(targets) / focal_px
        return float(np.max(np.linalg.norm(true - estimated, axis=1) * scale))

    def rotation_deg(self, index: int, camera: Camera) -> float:
        return rigid.geodesic_error(self.cameras[index].camera_from_world, camera.camera_from_world)[0]


def ball_cloud(rng, count=20, center=(12.0, -40.0, -850.0)):
    """Balls in the soft tissue around a lumbar spine: behind and beside it, 20 cm long."""
    angle = rng.uniform(-0.2 * np.pi, 1.2 * np.pi, count)
    radius = rng.uniform(35, 85, count)
    along = rng.uniform(-100, 100, count)
    points = np.stack([radius * np.cos(angle), radius * np.sin(angle), along], axis=-1)
    return points + center


def orbit_angles(count=69, tilted=7):
    orbit = [(float(primary), 0.0) for primary in np.linspace(-102, 102, count - tilted)]
    return orbit + [(0.0, float(secondary)) for secondary in np.linspace(-25, 25, tilted)] if tilted else orbit


def simulate_session(
    seed=0,
    carm=PANEL,
    angles=None,
    noise_px=0.2,
    ct_noise_mm=0.1,
    hidden=0.15,
    false_detections=5,
    angle_error_deg=8.0,
    common_rotation_deg=15.0,
    isocenter_mm=60.0,
    sag=True,
    distortion=False,
    ball_count=20,
    field_shift_mm=0.0,
):
    rng = np.random.default_rng(seed)
    angles = orbit_angles() if angles is None else angles
    true_balls = ball_cloud(rng, ball_count)
    center = true_balls.mean(axis=0)
    targets = center + np.array([[0, -10, z] for z in (-70, -35, 0, 35, 70)])
    common = Rotation.from_rotvec(np.radians(common_rotation_deg) * unit(rng)).as_matrix()
    isocenter = center + rng.uniform(0.5, 1) * isocenter_mm * unit(rng)
    phases = rng.uniform(0, 2 * np.pi, 8)
    bias = rng.uniform(-0.6, 0.6, 3) * angle_error_deg
    session = Session({}, [], [], targets)
    for index, (primary, secondary) in enumerate(angles):
        nominal = carm.camera(primary, secondary)
        p = np.radians(primary)
        smooth = np.sin(p + phases[:4]) if sag else np.zeros(4)
        error = bias + 0.4 * angle_error_deg * rng.uniform(-1, 1, 3)
        turn = Rotation.from_rotvec(np.radians(error)).as_matrix()
        rotation = turn @ nominal.camera_from_world[:3, :3] @ common
        offset = np.array([6 * np.sin(p + phases[4]), 6 * np.cos(p + phases[5]), carm.source_to_isocenter_mm])
        offset[0] += field_shift_mm
        pose = rigid.from_rotation_translation(rotation, offset - rotation @ isocenter)
        K = nominal.pixel_from_camera.copy()
        K[:2, :2] *= 1 + 5.0 / carm.source_to_detector_mm * smooth[0]
        K[:2, 2] += 5.0 * smooth[1:3] * 0.305 / carm.pixel_spacing_mm[0]
        camera = Camera(K, pose, carm.height, carm.width, carm.pixel_spacing_mm)
        pixels = camera.project(true_balls)
        if distortion:
            half = carm.width / 2
            # The simulator's own form, which is not the one that calibration estimates; pulled by the earth's field.
            truth = DetectorDistortion(
                ((carm.width - 1) / 2 + 3.0, (carm.height - 1) / 2 - 4.0), half, (0.05, 0.01),
                s_deg=1.5 * np.sin(p + phases[6]), shift_px=(4 * np.cos(p + phases[6]), 3 * np.sin(p + phases[7])),
            )  # fmt: skip
            bent = truth.distorted_from_ideal(pixels)
            in_field = np.linalg.norm(bent - truth.center_px, axis=1) < half
            pixels = np.where(in_field[:, None] & (np.abs(pixels) < 3 * half).all(axis=1)[:, None], bent, -1e4)
            session.distortions.append(truth)
        points, sigmas, radii = detect(rng, pixels, carm, noise_px, hidden, false_detections)
        session.cameras.append(camera)
        session.observations.append(Observation(f"shot-{index:03d}", nominal, points, sigmas, radii))
    balls = true_balls + ct_noise_mm * rng.standard_normal(true_balls.shape)
    session.balls_world = {f"ball-{index:02d}": ball for index, ball in enumerate(balls)}
    return session


def detect(rng, pixels, carm, noise_px, hidden, false_detections):
    """Lose some balls, merge overlapping ones, add noise and false detections, and mix the order."""
    radius_px = 1.5 * 1.8 / carm.pixel_spacing_mm[0]
    size = np.array([carm.width, carm.height])
    inside = ((pixels > 0) & (pixels < size - 1)).all(axis=1)
    found = pixels[inside & (rng.uniform(size=len(pixels)) >= hidden)]
    merged = []
    for point in found:
        close = [i for i, other in enumerate(merged) if np.linalg.norm(other - point) < 1.5 * radius_px]
        if close:
            merged[close[0]] = (merged[close[0]] + point) / 2
        else:
            merged.append(point)
    real = np.array(merged).reshape(-1, 2)
    real = real + noise_px * rng.standard_normal(real.shape)
    points = np.concatenate([real, rng.uniform(0, 1, (false_detections, 2)) * size])
    points = points[rng.permutation(len(points))]
    count = len(points)
    return points, np.full(count, max(noise_px, 0.05)), radius_px * rng.uniform(0.95, 1.05, count)


def unit(rng):
    vector = rng.standard_normal(3)
    return vector / np.linalg.norm(vector)
