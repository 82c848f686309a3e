"""Instruments and implants as solids: wires and pedicle screws of usual sizes."""

import numpy as np

from drrkit.errors import InputError
from drrkit.fluoroscopy.materials import STEEL, TITANIUM
from drrkit.fluoroscopy.shapes import Cylinder, Slab, Sphere, Union, to_point
from drrkit.geometry.rigid import ArrayLike


def kirschner_wire(
    start_world: ArrayLike, end_world: ArrayLike, diameter_mm: float = 1.6, displaces: str | None = None
) -> Cylinder:
    """Make a K-wire of steel; 1.6 mm is the usual guide wire of a pedicle screw."""
    return Cylinder(to_point(start_world), to_point(end_world), diameter_mm / 2, STEEL, displaces, is_capsule=True)


def pedicle_screw(
    entry_world: ArrayLike,
    tip_world: ArrayLike,
    diameter_mm: float = 6.5,
    head_diameter_mm: float = 13.0,
    head_height_mm: float = 15.0,
    pitch_mm: float = 2.75,
    material: str = TITANIUM,
    displaces: str | None = None,
) -> Union:
    """Make a polyaxial pedicle screw: core, threads, a tapering tip, ball and tulip.

    The sizes are usual ones of polyaxial screws (shaft 5.5 to 7.5 mm). Threads are rings, not a helix; the tulip is a
    full cylinder without the slot for the rod.

    Args:
        entry_world: Where shaft and head meet.
        tip_world: Where the shaft ends.
        diameter_mm: Over the threads; the core has 70 % of it.
        head_diameter_mm: Of the tulip.
        head_height_mm: Of the tulip.
        pitch_mm: Distance of the threads.
        material: What it is made of.
        displaces: See :class:`Solid`.

    Raises:
        InputError: Sizes that are not positive, or a shaft shorter than two diameters.
    """
    entry, tip = np.asarray(entry_world, np.float64), np.asarray(tip_world, np.float64)
    length_mm = float(np.linalg.norm(tip - entry))
    sizes = {
        "diameter_mm": diameter_mm, "head_diameter_mm": head_diameter_mm, "head_height_mm": head_height_mm,
        "pitch_mm": pitch_mm,
    }  # fmt: skip
    for name, size in sizes.items():
        if not 0 < size < np.inf:
            raise InputError(f"pedicle screw {name}", size, "a positive length")
    if not 2 * diameter_mm < length_mm < np.inf:
        raise InputError("pedicle screw", f"a shaft of {length_mm:g} mm", f"more than {2 * diameter_mm:g} mm")
    axis = (tip - entry) / length_mm
    core_mm = 0.35 * diameter_mm

    def bar(first_mm: float, last_mm: float, radius_mm: float, is_capsule: bool = False) -> Cylinder:
        start, end = to_point(entry + first_mm * axis), to_point(entry + last_mm * axis)
        return Cylinder(start, end, radius_mm, material, is_capsule=is_capsule)

    taper_mm = length_mm - diameter_mm  # from here on core and threads get thinner
    parts: list[Sphere | Cylinder | Slab] = [bar(0, taper_mm, core_mm), bar(taper_mm, length_mm, 0.6 * core_mm, True)]
    for place_mm in np.arange(pitch_mm, length_mm - 0.5 * pitch_mm, pitch_mm).tolist():
        thinner = 1.0 if place_mm < taper_mm else 0.75
        parts.append(bar(place_mm - 0.12 * pitch_mm, place_mm + 0.12 * pitch_mm, thinner * diameter_mm / 2))
    parts.append(Sphere(to_point(entry), 0.65 * diameter_mm, material))
    parts.append(bar(-0.3 * diameter_mm - head_height_mm, -0.3 * diameter_mm, head_diameter_mm / 2))
    return Union(tuple(parts), material, displaces)
