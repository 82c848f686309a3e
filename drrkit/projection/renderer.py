"""The one front of the renderers: a volume and cameras in, radiographs of line integrals out.

``render`` does it in one call. For many views of one CT, ``prepare`` looks the attenuation up once and ``project``
takes any number of cameras from there.
"""

import ctypes
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, overload

import numpy as np
from jaxtyping import Float, Float32

from drrkit.errors import InputError
from drrkit.geometry.camera import Camera
from drrkit.projection.attenuation import BONE_THRESHOLD_HU, CT_ENERGY_KEV, ENERGY_KEV, Tissue, attenuation_map
from drrkit.projection.box import nonzero_box, world_from_box
from drrkit.radiograph import Radiograph
from drrkit.volume import Volume

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, eq=False)
class Prepared:
    """Attenuation, cut to what is not zero, ready for many views; from :func:`prepare`."""

    attenuation: Float32[np.ndarray, "z y x"]
    voxel_from_world: Float[np.ndarray, "4 4"]
    _tensors: dict[str, "torch.Tensor"] = field(default_factory=dict, repr=False)

    def tensor(self, device: str) -> "torch.Tensor":
        """The attenuation on a torch device, carried there once."""
        import torch

        if device not in self._tensors:
            self._tensors[device] = torch.from_numpy(self.attenuation).to(device)
        return self._tensors[device]


@overload
def render(
    volume: Volume,
    cameras: Camera,
    *,
    tissue: Tissue = ...,
    bone_threshold_hu: float = ...,
    energy_kev: float = ...,
    ct_energy_kev: float = ...,
    backend: str = ...,
    device: str | None = ...,
) -> Radiograph: ...


@overload
def render(
    volume: Volume,
    cameras: Sequence[Camera],
    *,
    tissue: Tissue = ...,
    bone_threshold_hu: float = ...,
    energy_kev: float = ...,
    ct_energy_kev: float = ...,
    backend: str = ...,
    device: str | None = ...,
) -> list[Radiograph]: ...


def render(
    volume: Volume,
    cameras: Camera | Sequence[Camera],
    *,
    tissue: Tissue = "bone",
    bone_threshold_hu: float = BONE_THRESHOLD_HU,
    energy_kev: float = ENERGY_KEV,
    ct_energy_kev: float = CT_ENERGY_KEV,
    backend: str = "auto",
    device: str | None = None,
) -> Radiograph | list[Radiograph]:
    """Render digitally reconstructed radiographs of a CT.

    Args:
        volume: The CT; with labels where ``tissue`` is ``vertebrae``.
        cameras: One view, or several of any sizes.
        tissue: ``bone`` (above the threshold), ``vertebrae`` (labelled voxels only) or ``full``.
        bone_threshold_hu: Where bone begins; see :mod:`drrkit.projection.attenuation`.
        energy_kev: Photon energy of the X-ray.
        ct_energy_kev: Effective energy at which the Hounsfield units were measured.
        backend: Who integrates; see :func:`choose_backend`.
        device: Of the backends that run on torch.

    Returns:
        One radiograph of line integrals for each camera, with its camera; a list where ``cameras`` is a sequence.

    Raises:
        InputError: An unknown backend, tissue or device, an impossible energy, or no labels to tell the vertebrae.
    """
    views = [cameras] if isinstance(cameras, Camera) else list(cameras)
    backend, device = choose_backend(backend, device)
    prepared = prepare(
        volume, tissue, bone_threshold_hu=bone_threshold_hu, energy_kev=energy_kev, ct_energy_kev=ct_energy_kev
    )
    radiographs: dict[int, Radiograph] = {}
    for size in {(view.height, view.width) for view in views}:
        numbers = [number for number, view in enumerate(views) if (view.height, view.width) == size]
        images = project(prepared, [views[number] for number in numbers], backend=backend, device=device)
        for number, image in zip(numbers, images, strict=True):
            radiographs[number] = Radiograph(image, "line_integral", views[number])
    return radiographs[0] if isinstance(cameras, Camera) else [radiographs[number] for number in range(len(views))]


def prepare(
    volume: Volume,
    tissue: Tissue = "bone",
    *,
    bone_threshold_hu: float = BONE_THRESHOLD_HU,
    energy_kev: float = ENERGY_KEV,
    ct_energy_kev: float = CT_ENERGY_KEV,
) -> Prepared:
    """Look attenuation up and cut it to what is not zero, once for many views; arguments as in :func:`render`."""
    attenuation = attenuation_map(
        volume, tissue, bone_threshold_hu=bone_threshold_hu, energy_kev=energy_kev, ct_energy_kev=ct_energy_kev
    )
    return prepare_attenuation(attenuation, volume.world_from_voxel)


def prepare_attenuation(
    attenuation: Float32[np.ndarray, "z y x"], world_from_voxel: Float[np.ndarray, "4 4"]
) -> Prepared:
    """Cut any attenuation (Z, Y, X) in mm^-1 to what is not zero, once for many views."""
    box = nonzero_box(attenuation)
    return Prepared(_laid_out(attenuation[box]), np.linalg.inv(world_from_box(world_from_voxel, box)))


def project(
    prepared: Prepared, cameras: Sequence[Camera], *, backend: str = "auto", device: str | None = None
) -> Float32[np.ndarray, "b h w"]:
    """Integrate prepared attenuation along the rays of cameras of one image size.

    Args:
        prepared: From :func:`prepare`.
        cameras: At least one.
        backend: Who integrates; see :func:`choose_backend`.
        device: Of the backends that run on torch.

    Returns:
        (B, H, W) line integrals, dimensionless; zero where a ray meets nothing.

    Raises:
        InputError: No camera, cameras of several sizes, an unknown backend or device.
    """
    sizes = sorted({(camera.height, camera.width) for camera in cameras})
    if len(sizes) != 1:
        raise InputError("cameras", f"image sizes {sizes}" if sizes else "none", "at least one, all of one image size")
    name, device = choose_backend(backend, device)
    return BACKENDS[name](prepared, cameras, device)


def choose_backend(backend: str = "auto", device: str | None = None) -> tuple[str, str]:
    """Settle which backend runs where.

    ``siddon`` (exact, voxels as boxes) and ``joseph`` (interpolating) run on all processors; ``diffdrr`` and
    ``nanodrr`` (interpolating, differentiable) on torch's device, a GPU where there is one. ``auto`` is the fastest
    here: ``nanodrr`` on an NVIDIA GPU, otherwise ``siddon``.

    Returns:
        The name of a backend of ``BACKENDS``, and a device.

    Raises:
        InputError: An unknown backend or device, or one that does not run on the other.
    """
    if backend == "auto":
        backend = "nanodrr" if (device or "cuda").startswith("cuda") and _has_gpu() else "siddon"
    if backend not in BACKENDS:
        later = " (shearwarp is not available in this version)" if backend == "shearwarp" else ""
        raise InputError("backend", backend, f"auto, {', '.join(BACKENDS)}{later}")
    if backend in TORCH_BACKENDS:
        from drrkit.projection.torch_rays import check_device

        return backend, check_device(device)
    if device not in (None, "cpu"):
        raise InputError("device", device, f"cpu for the backend {backend}, or one of {', '.join(TORCH_BACKENDS)}")
    return backend, "cpu"


def _laid_out(attenuation: Float32[np.ndarray, "z y x"]) -> Float32[np.ndarray, "z y x"]:
    """Copy into rows and slices of an odd number of cache lines and rows, filled up with zeros, which change no image.

    Powers of two, as CTs have them, put neighboring rows into the same few places of a cache; this doubles the speed of
    interpolating backends. The result has at least one voxel.
    """
    depth, height, width = attenuation.shape
    lines = -(-width // _VOXELS_PER_CACHE_LINE)
    room = np.zeros((max(depth, 1), height | 1, (lines | 1) * _VOXELS_PER_CACHE_LINE), np.float32)
    room[:depth, :height, :width] = attenuation
    return room


def _has_gpu() -> bool:
    # torch takes seconds to import; without a driver there is nothing to ask it.
    try:
        ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return False
    import torch

    return torch.cuda.is_available()


def _siddon(prepared: Prepared, cameras: Sequence[Camera], device: str) -> Float32[np.ndarray, "b h w"]:
    from drrkit.projection import siddon

    return siddon.project(prepared.attenuation, prepared.voxel_from_world, cameras)


def _joseph(prepared: Prepared, cameras: Sequence[Camera], device: str) -> Float32[np.ndarray, "b h w"]:
    from drrkit.projection import joseph

    return joseph.project(prepared.attenuation, prepared.voxel_from_world, cameras)


def _diffdrr(prepared: Prepared, cameras: Sequence[Camera], device: str) -> Float32[np.ndarray, "b h w"]:
    from drrkit.projection import diffdrr

    return diffdrr.project(prepared.tensor(device), prepared.voxel_from_world, cameras, device)


def _nanodrr(prepared: Prepared, cameras: Sequence[Camera], device: str) -> Float32[np.ndarray, "b h w"]:
    from drrkit.projection import nanodrr

    return nanodrr.project(prepared.tensor(device), prepared.voxel_from_world, cameras, device)


_VOXELS_PER_CACHE_LINE = 16  # of float32, in the 64 bytes of nearly every processor

# Each imports its library when it is first used. The contract tests run over all of them.
BACKENDS: Mapping[str, Callable[[Prepared, Sequence[Camera], str], Float32[np.ndarray, "b h w"]]] = MappingProxyType(
    {"siddon": _siddon, "joseph": _joseph, "diffdrr": _diffdrr, "nanodrr": _nanodrr}
)
TORCH_BACKENDS = ("diffdrr", "nanodrr")
