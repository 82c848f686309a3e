"""Slow references in float64, on a few rays: what the two image models mean, written down plainly."""

import numpy as np
from scipy.ndimage import map_coordinates

from drrkit.geometry import rigid
from drrkit.geometry.camera import Camera

SAMPLES_PER_VOXEL = 8


def pixels_of(camera: Camera, across: int = 24) -> np.ndarray:
    """(N, 2) pixels (u, v), spread evenly over the image."""
    u, v = (np.linspace(0, count - 1, across).round().astype(int) for count in (camera.width, camera.height))
    return np.stack(np.meshgrid(u, v), axis=-1).reshape(-1, 2)


def integrate(
    model: str, attenuation: np.ndarray, world_from_voxel: np.ndarray, camera: Camera, pixels: np.ndarray
) -> np.ndarray:
    """Integrate along the rays of some pixels.

    Args:
        model: ``boxes`` (every voxel constant, Siddon's sum) or ``interpolation`` (trilinear, zero outside).
        attenuation: (Z, Y, X) in mm^-1.
        world_from_voxel: Where it lies.
        camera: The view.
        pixels: (N, 2) pixels (u, v).
    """
    corner, u_step, v_step = camera.detector_frame_world()
    targets = corner + pixels[:, :1] * u_step + pixels[:, 1:] * v_step
    lengths_mm = np.linalg.norm(targets - camera.source_world, axis=-1)
    voxel_from_world = np.linalg.inv(world_from_voxel)
    source = rigid.apply(voxel_from_world, camera.source_world)
    rays = rigid.apply(voxel_from_world, targets) - source
    along = _boxes if model == "boxes" else _interpolation
    return np.array([length * along(attenuation, source, ray) for length, ray in zip(lengths_mm, rays, strict=True)])


def _boxes(attenuation: np.ndarray, source: np.ndarray, ray: np.ndarray) -> float:
    counts = np.array(attenuation.shape[::-1])
    crossings = [(np.arange(counts[axis] + 1) - 0.5 - source[axis]) / ray[axis] for axis in range(3) if ray[axis] != 0]
    alphas = np.sort(np.concatenate([[0.0, 1.0], *crossings]).clip(0, 1))
    indices = np.floor(source + np.outer((alphas[1:] + alphas[:-1]) / 2, ray) + 0.5).astype(int)
    inside = ((indices >= 0) & (indices < counts)).all(axis=1)
    x, y, z = indices[inside].T
    return float((attenuation[z, y, x].astype(np.float64) * np.diff(alphas)[inside]).sum())


def _interpolation(attenuation: np.ndarray, source: np.ndarray, ray: np.ndarray) -> float:
    steps = int(SAMPLES_PER_VOXEL * np.abs(ray).max())
    alphas = (np.arange(steps) + 0.5) / steps
    points = source + np.outer(alphas, ray)
    near = ((points > -1) & (points < np.array(attenuation.shape[::-1]))).all(axis=1)
    samples = map_coordinates(
        attenuation, points[near, ::-1].T, output=np.float64, order=1, mode="grid-constant", prefilter=False
    )
    return float(samples.sum() / steps)
