"""Intervertebral discs: closed surfaces between the rims of neighboring end plates."""

import numpy as np
from jaxtyping import Float

from drrkit.geometry import rigid
from drrkit.phantom.anatomy import POSTERIOR_HOLLOW_MM, ROUNDNESS
from drrkit.phantom.levels import MODELED_LEVELS
from drrkit.phantom.pelvis import PLATE_HALF_DEPTH_MM, PLATE_HALF_WIDTH_MM, Bone
from drrkit.phantom.shape import VertebraShape, lower_rim_mm, upper_rim_mm
from drrkit.phantom.vertebrae import Spine

AROUND = 48
INSET, BULGE_MM = 0.97, 0.8  # the disc starts just inside the rim, and its middle bulges


def discs(spine: Spine) -> list[Bone]:
    """Return the discs from T11-T12 to L5-S1 in world millimeters; they reach into the hollows of the end plates."""
    made = []
    for upper, lower in zip(MODELED_LEVELS, [*MODELED_LEVELS[1:], None], strict=True):
        above = spine.vertebrae[upper]
        top = rigid.apply(above.world_from_vertebra, _rim(above.shape, upper_plate=False))
        if lower is None:
            bottom = rigid.apply(spine.world_from_sacrum, spine.size * _sacral_rim())
        else:
            below = spine.vertebrae[lower]
            bottom = rigid.apply(below.world_from_vertebra, _rim(below.shape, upper_plate=True))
        made.append(_lofted(top, bottom))
    return made


def _rim(shape: VertebraShape, upper_plate: bool) -> Float[np.ndarray, "k 3"]:
    """The rim of an end plate, then the bottom of its hollow."""
    outline = _superellipse(shape.body_width_mm / 2, shape.body_depth_mm / 2)
    height = upper_rim_mm if upper_plate else lower_rim_mm
    sunk = shape.end_plate_depth_mm + (shape.fracture_hollow_mm if upper_plate else 0.0)
    middle = height(shape, 0) + (-sunk if upper_plate else sunk)
    z = [height(shape, float(y)) for y in outline[:, 1]]
    return np.concatenate([np.column_stack([outline, z]), [[0, 0, middle]]])


def _sacral_rim() -> Float[np.ndarray, "k 3"]:
    outline = _superellipse(PLATE_HALF_WIDTH_MM, PLATE_HALF_DEPTH_MM)
    return np.concatenate([np.column_stack([outline, np.zeros(AROUND)]), [[0, 0, -0.5]]])


def _superellipse(half_width_mm: float, half_depth_mm: float) -> Float[np.ndarray, "k 2"]:
    angle = 2 * np.pi * np.arange(AROUND) / AROUND
    cos, sin = np.cos(angle), np.sin(angle)
    reach = INSET * (np.abs(cos) ** ROUNDNESS + np.abs(sin) ** ROUNDNESS) ** (-1 / ROUNDNESS)
    x, y = half_width_mm * reach * cos, half_depth_mm * reach * sin
    return np.column_stack([x, y - POSTERIOR_HOLLOW_MM * np.exp(-((x / 9) ** 2)) * np.clip(y / 8, 0, 1)])


def _lofted(top: Float[np.ndarray, "k 3"], bottom: Float[np.ndarray, "k 3"]) -> Bone:
    """Close the surface between two rims, each followed by its middle."""
    belt = (top[:-1] + bottom[:-1]) / 2
    outward = belt - belt.mean(axis=0)
    belt = belt + BULGE_MM * outward / np.linalg.norm(outward, axis=1, keepdims=True)
    vertices = np.concatenate([top[:-1], belt, bottom[:-1], top[-1:], bottom[-1:]])
    here, following = np.arange(AROUND), (np.arange(AROUND) + 1) % AROUND
    faces = [np.column_stack([here, following, np.full(AROUND, 3 * AROUND)])]
    for ring in range(2):
        a, b = here + ring * AROUND, following + ring * AROUND
        faces += [np.column_stack([a, a + AROUND, b]), np.column_stack([b, a + AROUND, b + AROUND])]
    faces.append(np.column_stack([following + 2 * AROUND, here + 2 * AROUND, np.full(AROUND, 3 * AROUND + 1)]))
    return Bone(vertices, np.concatenate(faces).astype(np.int32))
