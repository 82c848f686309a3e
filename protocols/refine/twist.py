"""Small rigid motions of the patient before the camera, differentiable with torch, also at the identity."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from drrkit.geometry import rigid
from drrkit.geometry.camera import Camera
from drrkit.geometry.rigid import Matrix4


def exp(twist: Float[Tensor, " 6"]) -> Float[Tensor, "4 4"]:
    """Map a twist (rotation vector in radians, translation part in mm) to its transform, as ``rigid.exp`` does.

    The matrix exponential of the generator needs no division by the angle; so values and gradients are finite at zero.
    """
    x, y, z, *translation_part = twist
    zero = torch.zeros_like(x)
    rows = [
        [zero, -z, y, translation_part[0]],
        [z, zero, -x, translation_part[1]],
        [-y, x, zero, translation_part[2]],
        [zero, zero, zero, zero],
    ]
    return torch.linalg.matrix_exp(torch.stack([torch.stack(row) for row in rows]))


def camera_from_pivot(camera: Camera, pivot_world: Float[np.ndarray, " 3"]) -> Matrix4:
    """Place a frame in the pivot: z along the ray from the source, x along the detector's columns as nearly as can be.

    Motions told in this frame decouple: rotations leave the pivot where it is, x and y move its image, z does not.
    """
    pivot_camera = rigid.apply(camera.camera_from_world, pivot_world)
    along = pivot_camera / np.linalg.norm(pivot_camera)
    down = np.cross(along, [1.0, 0.0, 0.0])
    down /= np.linalg.norm(down)
    return rigid.from_rotation_translation(np.stack([np.cross(down, along), down, along], axis=1), pivot_camera)


def moved(
    camera_from_world: Float[np.ndarray, "4 4"], camera_from_pivot: Float[np.ndarray, "4 4"], twist: Tensor
) -> Float[Tensor, "4 4"]:
    """Move the patient by a twist that is told in the pivot's frame; float64 on the CPU."""
    before = torch.from_numpy(camera_from_pivot)
    after = torch.from_numpy(rigid.invert(camera_from_pivot) @ camera_from_world)
    return before @ exp(twist) @ after
