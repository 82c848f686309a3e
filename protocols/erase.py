"""Taking the steel balls out again: of the CT before it is projected, of the X-ray before it trains anything.

A network must not learn to find vertebrae by the balls beside them. What is filled in is smooth and invents nothing:
the median of the tissue around in the CT, the membrane that continues its surroundings in the X-ray.
"""

import numpy as np
from jaxtyping import Bool, Float, Float32
from skimage.restoration import inpaint_biharmonic

from drrkit.errors import InputError
from drrkit.geometry import rigid
from drrkit.geometry.camera import Camera
from drrkit.geometry.rigid import ArrayLike
from drrkit.volume import Volume

# The tissue that stands in for a ball is looked up in a shell of this thickness around what is erased.
SHELL_MM = 2.0


def erase_ct_balls(volume: Volume, centers_world: ArrayLike, radius_mm: float) -> Volume:
    """Replace balls, and what their metal smears over its neighborhood, by the tissue around.

    Args:
        volume: The CT; labels stay as they are.
        centers_world: (M, 3) in world millimeters.
        radius_mm: What is erased around each center: the ball's radius and a margin for blur.

    Raises:
        InputError: A radius that is not positive.
    """
    if not radius_mm > 0:
        raise InputError("radius_mm", radius_mm, "a positive number of millimeters")
    hu = volume.hu.copy()
    reach_voxel = (radius_mm + SHELL_MM) / np.array(volume.spacing_mm)
    size_xyz = np.array(hu.shape[::-1])
    for center_world in np.asarray(centers_world, dtype=np.float64).reshape(-1, 3):
        center = rigid.apply(volume.voxel_from_world, center_world)
        low = np.clip(np.floor(center - reach_voxel).astype(int), 0, size_xyz)
        high = np.clip(np.ceil(center + reach_voxel).astype(int) + 1, 0, size_xyz)
        if (high <= low).any():
            continue  # the ball lies outside of this CT, so there is nothing to erase
        x, y, z = (np.arange(low[axis], high[axis]) for axis in range(3))
        box = np.s_[low[2] : high[2], low[1] : high[1], low[0] : high[0]]
        offsets = np.stack(np.meshgrid(z, y, x, indexing="ij"), axis=-1)[..., ::-1] - center
        distance_mm = np.linalg.norm(offsets @ volume.world_from_voxel[:3, :3].T, axis=-1)
        erased = distance_mm <= radius_mm
        # Taken from the untouched CT: the shell of one ball may hold another one, which the median outvotes.
        around = volume.hu[box][~erased & (distance_mm <= radius_mm + SHELL_MM)]
        if around.size:
            hu[box][erased] = np.median(around).astype(hu.dtype)
    return Volume(hu, volume.world_from_voxel, volume.labels)


def ball_shadows(
    camera: Camera, centers_world: ArrayLike, diameter_mm: float, margin_px: float
) -> Bool[np.ndarray, "h w"]:
    """Mark the pixels behind the balls.

    Args:
        camera: The view.
        centers_world: (M, 3) in world millimeters.
        diameter_mm: Of the balls.
        margin_px: Added to each shadow's radius, for the detector's blur.

    Returns:
        (H, W) true in the shadow of a ball.
    """
    mask = np.zeros((camera.height, camera.width), bool)
    centers_world = np.asarray(centers_world, dtype=np.float64).reshape(-1, 3)
    for (u, v), depth_mm in zip(camera.project(centers_world), camera.depth_mm(centers_world), strict=True):
        if not np.isfinite([u, v]).all():
            continue  # behind the source
        radius_px = camera.focal_px * diameter_mm / 2 / depth_mm + margin_px
        left, right = (int(np.clip(edge, 0, camera.width)) for edge in (u - radius_px, u + radius_px + 2))
        top, bottom = (int(np.clip(edge, 0, camera.height)) for edge in (v - radius_px, v + radius_px + 2))
        rows, columns = np.ogrid[top:bottom, left:right]
        mask[top:bottom, left:right] |= (columns - u) ** 2 + (rows - v) ** 2 <= radius_px**2
    return mask


def inpaint(pixels: Float32[np.ndarray, "h w"], mask: Bool[np.ndarray, "h w"]) -> Float32[np.ndarray, "h w"]:
    """Fill masked pixels by the smoothest surface that meets their surroundings (biharmonic).

    The surface may not leave the range of the image's other pixels.

    Raises:
        InputError: Nothing but mask.
    """
    if mask.all():
        raise InputError("balls", "shadows over the whole image", "some pixels without balls")
    if not mask.any():
        return pixels.copy()
    filled = inpaint_biharmonic(pixels, mask, split_into_regions=False)
    known: Float[np.ndarray, " n"] = pixels[~mask]
    return np.where(mask, np.clip(filled, known.min(), known.max()), pixels).astype(np.float32)
