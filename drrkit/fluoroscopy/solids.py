"""Balls, wires, screws and tables in the beam: their chords along the rays of a camera, pixel by pixel."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Float, Float32
from scipy import ndimage

from drrkit.errors import InputError
from drrkit.fluoroscopy.instruments import kirschner_wire, pedicle_screw
from drrkit.fluoroscopy.materials import attenuation_per_mm
from drrkit.fluoroscopy.shapes import Cylinder, Slab, Solid, Sphere, Union
from drrkit.geometry.camera import Camera

__all__ = [
    "Cylinder",
    "Slab",
    "Solid",
    "Sphere",
    "Union",
    "add_chords",
    "chords_mm",
    "kirschner_wire",
    "pedicle_screw",
]

# Rays along a pixel side; see docs/fluoroscopy.md for what they measure.
SUBPIXELS = 6
EFFECTIVE_KEV = 60.0
# Pixels whose neighborhood varies less than this need no more than the ray through their center.
_SMOOTH = 0.01


def chords_mm(
    solids: Sequence[Solid], camera: Camera, *, subpixels: int = SUBPIXELS, effective_kev: float | None = EFFECTIVE_KEV
) -> dict[str, Float32[np.ndarray, "h w"]]:
    """Measure solids along the rays of a camera.

    Where a chord changes within a pixel, the pixel gets several rays. The pixel's intensity is the mean over its area,
    so chords are averaged as transmissions at ``effective_kev``, not as lengths: an edge of steel that covers half of
    a pixel lets half of the photons through. Solids of one material that overlap count twice (make a ``Union``).

    Args:
        solids: What to measure.
        camera: The view.
        subpixels: Rays along each side of a pixel.
        effective_kev: Energy of the transmissions that are averaged; None averages lengths.

    Returns:
        By material, (H, W) millimeters. What solids displace (``Solid.displaces``) is negative: see :func:`add_chords`.

    Raises:
        InputError: No positive number of subpixels, or a material without attenuation.
    """
    if subpixels < 1:
        raise InputError("subpixels", subpixels, "at least 1")
    chords: dict[str, Float32[np.ndarray, "h w"]] = {}

    def add(material: str, rows: slice, columns: slice, shadow: np.ndarray) -> None:
        if material not in chords:
            chords[material] = np.zeros((camera.height, camera.width), np.float32)
        chords[material][rows, columns] += shadow.astype(np.float32)

    for solid in solids:
        rows, columns = _shadow_box(solid, camera)
        shadow = _shadow(solid, camera, rows, columns, subpixels, effective_kev)
        add(solid.material, rows, columns, shadow)
        if solid.displaces is not None:
            add(solid.displaces, rows, columns, -shadow)
    return chords


def add_chords(
    path_lengths: Mapping[str, Float32[np.ndarray, "h w"]], chords: Mapping[str, Float32[np.ndarray, "h w"]]
) -> dict[str, Float32[np.ndarray, "h w"]]:
    """Put solids into the beam: add up path lengths by material; where a solid displaces, down to nothing at most."""
    total = {material: lengths.copy() for material, lengths in path_lengths.items()}
    for material, lengths in chords.items():
        if material not in total:
            total[material] = np.maximum(lengths, 0)
            continue
        # Tissue that was below zero already (water in metal-dense voxels) stays as it was.
        total[material] = np.maximum(total[material] + lengths, np.minimum(total[material], 0))
    return total


def _shadow_box(solid: Solid, camera: Camera) -> tuple[slice, slice]:
    """Bound the pixels that a solid can touch."""
    corners = solid.corners_world()
    if not (camera.depth_mm(corners) > 0).all():
        return slice(0, camera.height), slice(0, camera.width)
    pixels = camera.project(corners)
    low, high = np.floor(pixels.min(axis=0) - 1), np.ceil(pixels.max(axis=0) + 2)
    left, top = np.clip(low, 0, [camera.width, camera.height]).astype(int)
    right, bottom = np.clip(high, 0, [camera.width, camera.height]).astype(int)
    return slice(int(top), int(bottom)), slice(int(left), int(right))


def _shadow(
    solid: Solid, camera: Camera, rows: slice, columns: slice, subpixels: int, effective_kev: float | None
) -> Float[np.ndarray, "h w"]:
    v, u = np.mgrid[rows, columns].astype(np.float64)
    if not u.size:
        return u
    centers = np.stack([u, v], axis=-1)
    source, directions = camera.source_world, camera.rays(centers)
    chord = solid.chord_mm(source, directions.reshape(-1, 3)).reshape(u.shape)
    if subpixels == 1:
        return chord
    # No ray within a pixel is further from its central one than half a diagonal on the detector.
    margin_mm = float(np.hypot(*camera.pixel_spacing_mm)) / 2
    split = ~_is_smooth(chord)
    split[split] = solid.inflated(margin_mm).chord_mm(source, directions[split]) > 0
    if not split.any():
        return chord
    step = (np.arange(subpixels) + 0.5) / subpixels - 0.5
    offsets = np.stack(np.meshgrid(step, step), axis=-1).reshape(-1, 2)
    rays = (centers[split][:, None] + offsets).reshape(-1, 2)
    parts = solid.chord_mm(source, camera.rays(rays)).reshape(-1, len(offsets))
    if effective_kev is None:
        chord[split] = parts.mean(axis=1)
    else:
        attenuation = float(attenuation_per_mm(solid.material, np.array([effective_kev]))[0])
        chord[split] = -np.log(np.exp(-attenuation * parts).mean(axis=1)) / attenuation
    return chord


def _is_smooth(chord: Float[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    low, high = ndimage.minimum_filter(chord, 3), ndimage.maximum_filter(chord, 3)
    return (low > 0) & (high - low < _SMOOTH * high)
