"""Rays as tensors, for the doors to diffdrr and nanodrr: differentiable with respect to pose, intrinsics and distance.

Both libraries get source and target points that are already in voxel coordinates, computed in float64. Their own frames
(RAS, recentered volumes, half pixels, Euler angles) are never entered, and neither are their pose classes, whose
gradients are NaN at the identity.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from drrkit.errors import InputError
from drrkit.geometry.camera import Camera

# Samples in memory at once, at some 40 bytes each in the libraries' intermediate tensors: few enough for a
# CPU's caches, enough to keep a GPU busy.
CPU_SAMPLES_AT_ONCE, GPU_SAMPLES_AT_ONCE = 2**20, 2**24

Integrate = Callable[[Tensor, Tensor, Tensor], Tensor]


def check_device(device: str | None) -> str:
    """Name the torch device to use: the one asked for, or a GPU where there is one.

    Raises:
        InputError: A device that torch does not have here.
    """
    if device is None:
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise InputError("device", device, f"a device that torch has here ({str(error).splitlines()[0]})") from error
    return device


def camera_tensors(
    cameras: Sequence[Camera], device: torch.device
) -> tuple[Float[Tensor, "b 4 4"], Float[Tensor, "b 3 3"], Float[Tensor, " b"]]:
    """Stack poses ``camera_from_world``, intrinsics ``pixel_from_camera`` and detector distances in mm, in float64."""
    poses = np.stack([camera.camera_from_world for camera in cameras])
    intrinsics = np.stack([camera.pixel_from_camera for camera in cameras])
    distances_mm = np.array([camera.source_to_detector_mm for camera in cameras])
    pose, intrinsic, distance_mm = (torch.from_numpy(array).to(device) for array in (poses, intrinsics, distances_mm))
    return pose, intrinsic, distance_mm


def rays_in_voxels(
    voxel_from_world: Float[Tensor, "4 4"] | Float[np.ndarray, "4 4"],
    camera_from_world: Float[Tensor, "b 4 4"],
    pixel_from_camera: Float[Tensor, "*b 3 3"],
    source_to_detector_mm: Float[Tensor, " b"] | float,
    size: tuple[int, int],
) -> tuple[Float[Tensor, "b 1 3"], Float[Tensor, "b n 3"], Float[Tensor, "b n"]]:
    """Compute the rays from sources to pixel centers, row by row, in float64.

    Args:
        voxel_from_world: The volume's inverse affine.
        camera_from_world: (B, 4, 4) rigid poses.
        pixel_from_camera: K, one for all or one for each pose.
        source_to_detector_mm: One for all or one for each pose.
        size: Rows and columns of the image.

    Returns:
        Sources and targets in voxel coordinates (x, y, z), and the length of each ray in mm.
    """
    device = camera_from_world.device
    pose = camera_from_world.to(torch.float64)
    voxel_from_world = torch.as_tensor(voxel_from_world, dtype=torch.float64, device=device)
    camera_from_pixel = torch.linalg.inv(pixel_from_camera.to(device, torch.float64)).expand(len(pose), 3, 3)
    distance_mm = torch.as_tensor(source_to_detector_mm, dtype=torch.float64, device=device).expand(len(pose))
    v, u = torch.meshgrid(*(torch.arange(count, dtype=torch.float64, device=device) for count in size), indexing="ij")
    pixels = torch.stack([u, v, torch.ones_like(u)], dim=-1).reshape(-1, 3)
    target_camera = distance_mm[:, None, None] * (pixels @ camera_from_pixel.transpose(1, 2))
    # The inverse of a rigid transform, by its transpose; rows are points.
    rotation, translation = pose[:, :3, :3], pose[:, :3, 3]
    source_world = -translation[:, None] @ rotation
    target_world = target_camera @ rotation + source_world
    linear, offset = voxel_from_world[:3, :3], voxel_from_world[:3, 3]
    return source_world @ linear.T + offset, target_world @ linear.T + offset, target_camera.norm(dim=-1)


def integrate_in_bands(
    integrate: Integrate,
    source: Float[Tensor, "b 1 3"],
    target: Float[Tensor, "b n 3"],
    length_mm: Float[Tensor, "b n"],
    samples: int,
) -> Float[Tensor, "b n"]:
    """Integrate bands of rays in turn, so that memory stays bounded, also for the backward pass.

    The libraries sample with ``grid_sample``, which on the CPU uses one thread for each entry of a batch; so as many
    bands as there are threads go through it as one batch.

    Args:
        integrate: Maps sources (P, 1, 3), targets (P, N, 3) and lengths (P, N) to integrals (P, N).
        source: In voxel coordinates.
        target: In voxel coordinates.
        length_mm: Of each ray.
        samples: Points taken along a ray.
    """
    batch, count, _ = target.shape
    on_cpu = target.device.type == "cpu"
    together, at_once = (torch.get_num_threads(), CPU_SAMPLES_AT_ONCE) if on_cpu else (1, GPU_SAMPLES_AT_ONCE)
    rays = max(1, min(count, -(-count * batch // together), at_once // (samples * together)))
    bands = -(-count // rays)
    # The last band is filled up with copies of the last ray.
    order = torch.arange(bands * rays, device=target.device).clamp(max=count - 1)
    sources = source.repeat_interleave(bands, dim=0).split(together)
    targets = target[:, order].reshape(batch * bands, rays, 3).split(together)
    lengths_mm = length_mm[:, order].reshape(batch * bands, rays).split(together)
    recompute = len(targets) > 1 and torch.is_grad_enabled()
    integrals = [
        checkpoint(integrate, *rays_of_bands, use_reentrant=False) if recompute else integrate(*rays_of_bands)
        for rays_of_bands in zip(sources, targets, lengths_mm, strict=True)
    ]
    return torch.cat(integrals).reshape(batch, bands * rays)[:, :count]


def samples_along(shape: Sequence[int]) -> int:
    """Samples that leave at most one voxel between neighbors on the longest ray through a volume."""
    return int(np.ceil(np.linalg.norm(np.asarray(shape) + 1.0))) + 1
