"""Which views are judged together: clinical choices for one to eight shots, triples by group, pairs by angle.

Views are named as in the set ``adapt-28``. A case of another origin takes the shot whose line of sight is nearest.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
from jaxtyping import Float

from drrkit.errors import InputError
from drrkit.geometry.camera import Camera
from drrkit.geometry.viewsets import view_set

VIEW_SET = "adapt-28"

# In the order in which a surgeon would add them, so that the score of n + 1 shots tells what one more is worth.
# view -> why it comes next
VIEW_ORDER: Mapping[str, str] = MappingProxyType(
    {
        "ap-00": "the first shot of any case: levels, pedicles, both transverse processes",
        "lat-left": "at a right angle to it: depth, bodies, discs, spinous processes",
        "obl-left": "the left posterior arch, which AP and lateral show behind the body ('Scottie dog')",
        "obl-right": "the same of the right side",
        "ap-cranial-20": "end plates of the lower levels, which lordosis tilts out of the plain AP",
        "ap-caudal-20": "end plates of the upper levels; with the one before, depth by tilt",
        "misc-left-40-cranial-20": "articular processes off both planes",
        "misc-right-40-cranial-20": "the same of the right side",
    }
)

# Which three shots? group -> triples; groups name what kinds of views they join.
VIEW_TRIPLES: Mapping[str, tuple[tuple[str, str, str], ...]] = MappingProxyType(
    {
        "AP + lateral + oblique": (
            ("ap-00", "lat-left", "obl-left"),
            ("ap-00", "lat-left", "obl-right"),
            ("ap-00", "lat-left", "obl-left-30"),
            ("ap-00", "lat-left", "obl-left-60"),
        ),
        "AP + two obliques": (
            ("ap-00", "obl-left-30", "obl-right-30"),
            ("ap-00", "obl-left", "obl-right"),
            ("ap-00", "obl-left-60", "obl-right-60"),
        ),
        "lateral + two obliques": (
            ("lat-left", "obl-left-30", "obl-right-30"),
            ("lat-left", "obl-left", "obl-right"),
        ),
        "two tilted AP + lateral": (
            ("ap-cranial-20", "ap-caudal-20", "lat-left"),
            ("ap-cranial-10", "ap-caudal-10", "lat-left"),
        ),
        "AP + two laterals": (
            ("ap-00", "lat-left", "lat-left-cranial-12"),
            ("ap-00", "lat-left-cranial-12", "lat-left-caudal-12"),
        ),
        "off both planes": (
            ("misc-left-40-cranial-20", "misc-right-40-cranial-20", "misc-left-65-cranial-10"),
            ("misc-left-40-cranial-20", "misc-right-40-caudal-20", "lat-left"),
        ),
        "three obliques": (
            ("obl-left-30", "obl-right-30", "obl-left-60"),
            ("obl-left-15", "obl-left", "obl-right"),
        ),
        # What a C-arm that cannot swing gives: little depth.
        "three AP tilts": (
            ("ap-00", "ap-cranial-10", "ap-caudal-10"),
            ("ap-00", "ap-cranial-20", "ap-caudal-20"),
        ),
        "three laterals": (("lat-left", "lat-left-cranial-12", "lat-left-caudal-12"),),
    }
)

# Pairs in the axial plane, from one line of sight (two opposite laterals) to a right angle; several for each angle.
VIEW_PAIRS: tuple[tuple[str, str], ...] = (
    ("lat-left", "lat-right"),
    ("ap-00", "obl-left-15"),
    ("obl-left-30", "obl-left"),
    ("ap-00", "obl-left-30"),
    ("obl-left-15", "obl-right-15"),
    ("ap-00", "obl-left"),
    ("obl-left", "lat-left"),
    ("ap-00", "obl-left-60"),
    ("obl-left-30", "obl-right-30"),
    ("obl-left-30", "obl-right"),
    ("ap-00", "lat-left"),
    ("obl-left", "obl-right"),
)


def views_for(count: int) -> tuple[str, ...]:
    """Return the views that are judged for a number of shots.

    Raises:
        InputError: A number beyond the table.
    """
    if not 1 <= count <= len(VIEW_ORDER):
        raise InputError("number of views", count, f"1 to {len(VIEW_ORDER)}")
    return tuple(VIEW_ORDER)[:count]


def matched_views(cameras: Mapping[str, Camera], wanted: Sequence[str], limit_deg: float, where: object) -> list[str]:
    """Find the shots of a case that are the wanted views: of the same name, or of the nearest line of sight.

    Args:
        cameras: Of the case, by id; in the patient's world (LPS).
        wanted: Ids of ``adapt-28``.
        limit_deg: How far off a shot of another name may look.
        where: Named in errors.

    Returns:
        One id of the case for each wanted view, all different.

    Raises:
        InputError: An id that the view set does not have, or no shot near enough that is not taken already.
    """
    nominal = nominal_directions_world()
    chosen: list[str] = []
    for view in wanted:
        if view not in nominal:
            raise InputError("view", view, f"a view of {VIEW_SET}")
        if view in cameras and view not in chosen:
            chosen.append(view)
            continue
        off_deg = {
            name: line_angle_deg(camera.view_direction_world, nominal[view], opposite_is_same=False)
            for name, camera in cameras.items()
            if name not in chosen
        }
        nearest = min(off_deg, key=lambda name: off_deg[name], default=None)
        if nearest is None or off_deg[nearest] > limit_deg:
            found = "no further view" if nearest is None else f"{nearest}, {off_deg[nearest]:.0f} degrees off"
            raise InputError(f"{where}, view {view}", found, f"a view within {limit_deg:g} degrees")
        chosen.append(nearest)
    return chosen


def nominal_directions_world() -> dict[str, Float[np.ndarray, " 3"]]:
    """Return where each view of the set looks, from source to detector (drrkit.geometry.carm has the formula)."""
    directions = {}
    for view in view_set(VIEW_SET).views:
        primary, secondary = np.radians([view.primary_deg, view.secondary_deg])
        across = np.array([np.sin(primary), -np.cos(primary)]) * np.cos(secondary)
        directions[view.id] = np.array([*across, np.sin(secondary)])
    return directions


def line_angle_deg(
    first_world: Float[np.ndarray, " 3"], second_world: Float[np.ndarray, " 3"], opposite_is_same: bool
) -> float:
    """Return the angle between two unit directions.

    Args:
        first_world: Unit vector.
        second_world: Unit vector.
        opposite_is_same: Take lines and not arrows: 0 to 90 degrees, because from opposite sides a shadow is the same
            up to magnification.
    """
    # The sine as well, since the cosine alone loses all digits of small angles.
    cosine = float(first_world @ second_world)
    sine = float(np.linalg.norm(np.cross(first_world, second_world)))
    return float(np.degrees(np.arctan2(sine, abs(cosine) if opposite_is_same else cosine)))
