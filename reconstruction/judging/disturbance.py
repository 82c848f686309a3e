"""What goes wrong in an operating room, in known amounts: calibration errors, noisy pixels, a grid beside the spine.

Directions are drawn from the seed, the case and the view; amounts only scale them.
"""

import hashlib
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from drrkit.errors import InputError
from drrkit.geometry import rigid
from drrkit.geometry.camera import Camera
from drrkit.geometry.rigid import ArrayLike
from drrkit.radiograph import Radiograph

# Gaussian noise is given as a part of the densest bone, read off as in reconstruction.views.
_SCALE_PERCENTILE = 99.5
# At least one photon arrives: the logarithm of nothing is no line integral.
_LEAST_PHOTONS = 1.0


@dataclass(frozen=True)
class Disturbance:
    """Amounts; all zero is no disturbance. Valid when it exists.

    Args:
        camera_rotation_deg: Every camera is believed to be turned by exactly this about a random axis through the
            middle of the grid.
        camera_shift_mm: Every camera is believed to be shifted by exactly this in a random direction.
        photons: A pixel without any object counts so many, with Poisson noise; 0 for no noise.
        gaussian: Standard deviation of noise added to line integrals, as a part of the image's densest bone.
        origin_shift_mm: The grid is placed off by exactly this in a random direction.

    Raises:
        InputError: A negative or infinite amount.
    """

    camera_rotation_deg: float = 0.0
    camera_shift_mm: float = 0.0
    photons: float = 0.0
    gaussian: float = 0.0
    origin_shift_mm: float = 0.0

    def __post_init__(self) -> None:
        amounts = (
            self.camera_rotation_deg,
            self.camera_shift_mm,
            self.photons,
            self.gaussian,
            self.origin_shift_mm,
        )
        if not all(0 <= amount < np.inf for amount in amounts):
            raise InputError("disturbance", amounts, "finite amounts, zero or more")


UNDISTURBED = Disturbance()


def disturbed(
    radiograph: Radiograph, disturbance: Disturbance, center_world: ArrayLike, rng: np.random.Generator
) -> Radiograph:
    """Return a view as it would have been recorded and calibrated with errors.

    Args:
        radiograph: Line integrals with the true camera.
        disturbance: Amounts.
        center_world: (3,) the point about which cameras turn; about the source, a small turn would be a large shift.
        rng: Decides directions and noise.

    Raises:
        InputError: A radiograph without a camera.
    """
    if radiograph.camera is None:
        raise InputError("view", "no camera", "a calibrated view")
    # Drawn whether used or not, so that one disturbance does not change the draws of another.
    camera_rng, pixel_rng = rng.spawn(2)
    pixels, camera = radiograph.pixels, radiograph.camera
    if disturbance.camera_rotation_deg or disturbance.camera_shift_mm:
        camera = displaced_camera(
            camera, center_world, disturbance.camera_rotation_deg, disturbance.camera_shift_mm, camera_rng
        )
    if disturbance.photons:
        counts = pixel_rng.poisson(disturbance.photons * np.exp(-pixels.astype(np.float64)))
        pixels = -np.log(np.maximum(counts, _LEAST_PHOTONS) / disturbance.photons)
    if disturbance.gaussian:
        positive = radiograph.pixels[radiograph.pixels > 0]
        densest = float(np.percentile(positive, _SCALE_PERCENTILE)) if positive.size else 0.0
        pixels = pixels + pixel_rng.normal(0, disturbance.gaussian * densest, pixels.shape)
    return Radiograph(pixels.astype(np.float32), radiograph.domain, camera)


def displaced_camera(
    camera: Camera, center_world: ArrayLike, rotation_deg: float, shift_mm: float, rng: np.random.Generator
) -> Camera:
    """Turn a camera by an angle about a random axis through a point, and shift it by a length in a random direction.

    Args:
        camera: The true one.
        center_world: (3,) the point.
        rotation_deg: The angle.
        shift_mm: The length.
        rng: Decides axis and direction.
    """
    axis, direction = _unit(rng), _unit(rng)
    center = np.asarray(center_world, np.float64)
    rotation = Rotation.from_rotvec(axis * rotation_deg, degrees=True).as_matrix()
    world_from_moved = rigid.from_rotation_translation(rotation, center + direction * shift_mm - rotation @ center)
    return Camera(
        camera.pixel_from_camera,
        camera.camera_from_world @ world_from_moved,
        camera.height,
        camera.width,
        camera.pixel_spacing_mm,
    )


def origin_shift_world(disturbance: Disturbance, rng: np.random.Generator) -> Float[np.ndarray, " 3"]:
    """Return by how much the grid is placed off."""
    return _unit(rng) * disturbance.origin_shift_mm


def random_stream(seed: int, *names: str) -> np.random.Generator:
    """Return random numbers that depend on a seed and on names alone, not on an order of work."""
    digest = hashlib.sha256("/".join(names).encode()).digest()
    return np.random.default_rng([seed, *np.frombuffer(digest[:16], "<u4").tolist()])


def _unit(rng: np.random.Generator) -> Float[np.ndarray, " 3"]:
    vector = rng.normal(size=3)
    return vector / np.linalg.norm(vector)
