"""Backend ``diffdrr``: the door to DiffDRR's trilinear renderer (Gopalakrishnan & Golland, 2022), differentiable.

Its ray function takes our rays in voxel coordinates, each with its own entry and exit; so the samples lie where the
volume is, sources inside the volume and detectors close behind it are right, and no ray is lengthened by the others.
"""

from collections.abc import Sequence

import numpy as np
import torch
from diffdrr.renderers import Trilinear
from jaxtyping import Float, Float32
from torch import Tensor

from drrkit.geometry.camera import Camera
from drrkit.projection import torch_rays


def project(
    attenuation: Float32[np.ndarray, "z y x"] | Float32[Tensor, "z y x"],
    voxel_from_world: Float[np.ndarray, "4 4"],
    cameras: Sequence[Camera],
    device: str | None = None,
) -> Float32[np.ndarray, "b h w"]:
    """Integrate interpolated attenuation along every ray; rays run from the source to the pixel and end there.

    Args:
        attenuation: (Z, Y, X) in mm^-1, zero outside; an array, or a tensor that is already on the device.
        voxel_from_world: Where it lies; any invertible affine.
        cameras: Views of one image size, at least one.
        device: Of torch; None for a GPU where there is one.

    Returns:
        (B, H, W) line integrals, dimensionless.
    """
    voxels = torch.as_tensor(attenuation, device=torch_rays.check_device(device))
    with torch.no_grad():
        size = (cameras[0].height, cameras[0].width)
        tensors = torch_rays.camera_tensors(cameras, voxels.device)
        return line_integrals(voxels, voxel_from_world, *tensors, size).cpu().numpy()


def line_integrals(
    attenuation: Float[Tensor, "z y x"],
    voxel_from_world: Float[Tensor, "4 4"] | Float[np.ndarray, "4 4"],
    camera_from_world: Float[Tensor, "b 4 4"],
    pixel_from_camera: Float[Tensor, "*b 3 3"],
    source_to_detector_mm: Float[Tensor, " b"] | float,
    size: tuple[int, int],
    samples: int | None = None,
) -> Float[Tensor, "b h w"]:
    """Integrate as :func:`project` does, differentiably with respect to every tensor.

    Args:
        attenuation: (Z, Y, X) in mm^-1, float32 or float64; it decides the precision and the device.
        voxel_from_world: Where it lies.
        camera_from_world: (B, 4, 4) rigid poses.
        pixel_from_camera: K, one for all or one for each pose.
        source_to_detector_mm: One for all or one for each pose.
        size: Rows and columns of the image.
        samples: Points along a ray; None for at most one voxel between neighbors.

    Returns:
        (B, H, W) line integrals, dimensionless.
    """
    samples = samples or torch_rays.samples_along(attenuation.shape)
    rays = torch_rays.rays_in_voxels(
        voxel_from_world, camera_from_world.to(attenuation.device), pixel_from_camera, source_to_detector_mm, size
    )
    renderer = Trilinear()
    volume = attenuation.permute(2, 1, 0)  # DiffDRR indexes x, y, z

    def integrate(source: Tensor, target: Tensor, length_mm: Tensor) -> Tensor:
        entry, exit_ = _entry_and_exit(source, target, volume.shape)
        # It samples both ends and counts them as whole; drawn in by half a step, the samples are midpoints.
        inset = (exit_ - entry) / (2 * samples)
        ends = {"alphamin": entry + inset, "alphamax": exit_ - inset}
        return renderer(volume, source, target, length_mm[:, None], n_points=samples, **ends)[:, 0]

    source, target, length_mm = (tensor.to(attenuation.dtype) for tensor in rays)
    integrals = torch_rays.integrate_in_bands(integrate, source, target, length_mm, samples)
    return integrals.reshape(len(integrals), *size)


def _entry_and_exit(
    source: Float[Tensor, "p 1 3"], target: Float[Tensor, "p n 3"], shape: Sequence[int]
) -> tuple[Float[Tensor, "p n 1"], Float[Tensor, "p n 1"]]:
    """Find the part of each ray, as fractions of its length, that runs where interpolation can differ from zero."""
    ray = target - source
    inverse = 1 / torch.where(ray.abs() < 1e-9, 1e-9, ray)
    # A voxel's interpolation ends at the center of the next.
    first = (-1 - source) * inverse
    second = (torch.tensor(shape).to(source) - source) * inverse
    entry = torch.minimum(first, second).amax(dim=-1, keepdim=True).clamp(0, 1)
    exit_ = torch.maximum(first, second).amin(dim=-1, keepdim=True).clamp(0, 1)
    return entry, torch.maximum(entry, exit_)
