"""The point that all views were taken about, from their cameras alone."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from drrkit.errors import InputError
from drrkit.geometry.camera import Camera

# Below this sine between the most different central rays, the place along them is not known.
LEAST_SINE = 0.1


def isocenter_world(cameras: Sequence[Camera]) -> Float[np.ndarray, " 3"]:
    """Return the point nearest to all central rays, in the least-squares sense, in world millimeters.

    The central ray leaves the source at a right angle to the detector; on an isocentric C-arm all of them meet in the
    isocenter.

    Raises:
        InputError: Fewer than two cameras, or all of them looking along one line.
    """
    if len(cameras) < 2:
        raise InputError("isocenter", f"{len(cameras)} view(s)", "at least two views of different directions")
    directions = np.stack([camera.view_direction_world for camera in cameras])
    sources = np.stack([camera.source_world for camera in cameras])
    check_directions(directions, "isocenter")
    # Each ray counts by the distance at a right angle to it: (I - d d^T)(x - source).
    across = np.eye(3) - directions[:, :, None] * directions[:, None, :]
    return np.linalg.solve(across.sum(axis=0), np.einsum("vij,vj->i", across, sources))


def check_directions(directions: Float[np.ndarray, "v 3"], where: str) -> None:
    """Assert that unit directions are not all along one line; opposite ones are one line.

    Raises:
        InputError: They are.
    """
    sine = float(np.linalg.norm(np.cross(directions[:, None], directions[None, :]), axis=-1).max())
    if sine < LEAST_SINE:
        degrees = np.degrees(np.arcsin(min(sine, 1.0)))
        wanted = f"two views at least {np.degrees(np.arcsin(LEAST_SINE)):.0f} degrees apart"
        raise InputError(where, f"views within {degrees:.1f} degrees of one line", wanted)
