"""Which of a case's views are taken: at random, spread out, or the two standard radiographs.

The patient is taken to lie along the world's axes (LPS): x to the left, y to the back, z to the head.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from jaxtyping import Float

from drrkit.errors import InputError
from drrkit.geometry.camera import Camera

ViewChoice = Literal["uniform", "spread", "ap-lateral"]

# Seen from the head, where the beam goes: AP is DICOM primary angle 0, detector in front; lateral is 90, detector left.
_AP_WORLD = np.array([0.0, -1.0, 0.0])
_LATERAL_WORLD = np.array([1.0, 0.0, 0.0])
_STANDARD_LIMIT_DEG = 45.0
# A view beside another that is taken keeps this weight, against 1 for one at a right angle.
_SPREAD_FLOOR = 0.02


def choose_views(
    cameras: Sequence[Camera], count: int, choice: ViewChoice, tolerance_deg: float, rng: np.random.Generator
) -> list[int]:
    """Draw different views of one case.

    Args:
        cameras: Of all views that may be taken.
        count: How many.
        choice: ``uniform``; ``spread`` prefers views at large angles to those drawn before; ``ap-lateral`` draws an
            AP view first and a lateral from the left second, then goes on like ``spread``.
        tolerance_deg: How far off the exact AP and lateral those two may be, any tilt to head or foot aside. Where no
            view is as near, the nearest is taken.
        rng: Decides.

    Returns:
        Indices in the order they were drawn.

    Raises:
        InputError: Fewer views than wanted, or none that could be called AP or lateral.
    """
    if not 1 <= count <= len(cameras):
        raise InputError("views", f"{len(cameras)} of use", f"at least {count}")
    if choice == "uniform":
        return [int(index) for index in rng.permutation(len(cameras))[:count]]
    if choice == "ap-lateral":
        chosen = [_draw_near(cameras, axis, tolerance_deg, rng) for axis in (_AP_WORLD, _LATERAL_WORLD)[:count]]
    else:
        chosen = [int(rng.integers(len(cameras)))]
    lines = np.array([camera.view_direction_world for camera in cameras])
    while len(chosen) < count:
        # Opposite views show the same: the squared sine of the angle between lines of sight, to the nearest taken.
        weights = _SPREAD_FLOOR + (1 - (lines @ lines[chosen].T) ** 2).clip(0).min(axis=1)
        weights[chosen] = 0
        chosen.append(int(rng.choice(len(cameras), p=weights / weights.sum())))
    return chosen


def standard_views(cameras: Sequence[Camera]) -> tuple[int, int]:
    """Return the views that are most AP-like and most lateral-like (from the left).

    Raises:
        InputError: None within 45 degrees, any tilt aside.
    """
    return _nearest(cameras, _AP_WORLD), _nearest(cameras, _LATERAL_WORLD)


def _draw_near(
    cameras: Sequence[Camera], axis_world: Float[np.ndarray, " 3"], tolerance_deg: float, rng: np.random.Generator
) -> int:
    near = np.flatnonzero(_angles_deg(cameras, axis_world) <= tolerance_deg)
    return int(rng.choice(near)) if near.size else _nearest(cameras, axis_world)


def _nearest(cameras: Sequence[Camera], axis_world: Float[np.ndarray, " 3"]) -> int:
    angles_deg = _angles_deg(cameras, axis_world)
    # The tilt decides among views that are equally near.
    tilts = np.array([abs(camera.view_direction_world[2]) for camera in cameras])
    nearest = int(np.lexsort([tilts, np.round(angles_deg, 3)])[0])
    if angles_deg[nearest] > _STANDARD_LIMIT_DEG:
        name = "AP" if axis_world is _AP_WORLD else "lateral from the left"
        raise InputError("views", f"none within {_STANDARD_LIMIT_DEG:g} degrees of {name}", "an AP and a lateral view")
    return nearest


def _angles_deg(cameras: Sequence[Camera], axis_world: Float[np.ndarray, " 3"]) -> Float[np.ndarray, " v"]:
    """Angle to an axis as seen from the head, so without the tilt."""
    across = np.array([camera.view_direction_world[:2] for camera in cameras])
    lengths = np.maximum(np.linalg.norm(across, axis=1), 1e-9)
    return np.degrees(np.arccos(np.clip(across @ axis_world[:2] / lengths, -1, 1)))
