"""Backend ``nanodrr``: the door to nanodrr's ray marcher, differentiable; on a GPU its fused Triton kernel.

Its samples are the midpoints of equal parts of each ray's way through the volume, interpolated trilinearly.
"""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Float32
from nanodrr.data import Subject
from nanodrr.drr import render
from nanodrr.drr.backends import DEVICE_BACKENDS, available
from torch import Tensor

from drrkit.geometry.camera import Camera
from drrkit.projection import torch_rays

# The fused kernel keeps no samples, only some ten numbers a ray: this many rays at once take about a gigabyte.
FUSED_RAYS_AT_ONCE = 2**24


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
    height, width = cameras[0].height, cameras[0].width
    at_once = max(1, FUSED_RAYS_AT_ONCE // (height * width))
    images = []
    with torch.no_grad():
        for start in range(0, len(cameras), at_once):
            tensors = torch_rays.camera_tensors(cameras[start : start + at_once], voxels.device)
            images.append(line_integrals(voxels, voxel_from_world, *tensors, (height, width)).cpu().numpy())
    return np.concatenate(images)


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
    source, target, length_mm = torch_rays.rays_in_voxels(
        voxel_from_world, camera_from_world.to(attenuation.device), pixel_from_camera, source_to_detector_mm, size
    )
    # nanodrr measures its steps where the rays are given, which is in voxels.
    mm_per_voxel = (length_mm / (target - source).norm(dim=-1)).to(attenuation.dtype)
    source, target = source.to(attenuation.dtype), target.to(attenuation.dtype)
    subject = _subject(attenuation)

    def integrate(source: Tensor, target: Tensor, mm_per_voxel: Tensor, shape: tuple[int, int] | None = None) -> Tensor:
        height, width = shape or (1, target.shape[1])
        voxels = _march(subject, source, target, samples, height, width)
        return voxels.reshape(len(target), -1) * mm_per_voxel

    fused = DEVICE_BACKENDS.get(attenuation.device.type)
    if fused is not None and attenuation.dtype == torch.float32 and available(fused):
        integrals = integrate(source, target, mm_per_voxel, size)
    else:
        integrals = torch_rays.integrate_in_bands(integrate, source, target, mm_per_voxel, samples)
    return integrals.reshape(len(integrals), *size)


def _subject(attenuation: Float[Tensor, "z y x"]) -> Subject:
    """Wrap attenuation as it is, in a world that is its voxel grid, without labels."""
    grid_from_voxel = torch.eye(4, dtype=attenuation.dtype, device=attenuation.device)
    counts = torch.tensor(attenuation.shape[::-1]).to(attenuation)
    grid_from_voxel[:3, :3] = torch.diag(2 / counts)
    grid_from_voxel[:3, 3] = 1 / counts - 1
    identity = torch.eye(4, dtype=attenuation.dtype, device=attenuation.device)
    return Subject(
        imagedata=attenuation[None, None],
        labeldata=torch.zeros((1, 1, 1, 1, 1), dtype=attenuation.dtype, device=attenuation.device),
        voxel_to_world=identity,
        world_to_voxel=identity,
        voxel_to_grid=grid_from_voxel,
        isocenter=torch.zeros(3, dtype=attenuation.dtype, device=attenuation.device),
        max_label=0,
        convert_to_mu=False,
    )


def _march(subject: Subject, source: Tensor, target: Tensor, samples: int, height: int, width: int) -> Tensor:
    batch = len(target)
    identity = torch.eye(4, dtype=target.dtype, device=target.device).expand(batch, 4, 4)
    return render(
        subject,
        k_inv=identity[:, :3, :3],  # read by nobody: the rays are given
        rt_inv=identity,
        sdd=target.new_ones(batch),
        height=height,
        width=width,
        n_samples=samples,
        src=source,
        tgt=target,
    )
