"""The shape of one vertebra: measures in millimeters, and the named points they place.

A vertebra's mesh follows its named points (template.py), so a measure changes the surface where it should.
"""

from dataclasses import dataclass, fields

import numpy as np
from jaxtyping import Float

from drrkit.errors import InputError

Point = Float[np.ndarray, " 3"]
SIDES: dict[str, float] = {"left": 1.0, "right": -1.0}


@dataclass(frozen=True)
class Facet:
    """A joint surface of the left side: its center, and how it faces.

    Args:
        center: (3,) its middle.
        axes: (3, 3) rows: the direction from the superior to the inferior process across the joint, the direction
            along the joint towards the back, and the direction towards the head; a right-handed set on the left side.
    """

    center: Point
    axes: Float[np.ndarray, "3 3"]


@dataclass(frozen=True)
class VertebraShape:
    """Measures of one vertebra; the defaults are those of the template.

    Args:
        body_width_mm: Width of the end plates.
        body_depth_mm: Depth of the end plates.
        body_height_mm: Height of the body's middle, rim to rim.
        upper_tilt_deg: Tilt of the upper end plate, positive when its front is higher.
        lower_tilt_deg: Tilt of the lower end plate, positive when its front is higher.
        waist_mm: How much narrower the body is at half height, on each side.
        end_plate_depth_mm: Hollow of the end plates.
        fracture_tilt_deg: How far the upper end plate is pressed down in front, about its back edge.
        fracture_hollow_mm: How far its middle has sunk in.
        pedicle_distance_mm: Between the middles of the left and the right pedicle.
        pedicle_width_mm: Across one pedicle.
        pedicle_height_mm: Height of one pedicle.
        pedicle_back_mm: From the body's middle backwards to the middle of the pedicles.
        canal_depth_mm: From the posterior wall to the lamina, in the midline.
        lamina_height_mm: Of the lamina, in the midline.
        facet_separation_mm: Between the middles of the superior facets.
        facet_back_mm: Middle of the superior facets behind the middle of the pedicles.
        facet_rise_mm: Middle of the superior facets above the middle of the pedicles.
        facet_angle_deg: Between the superior facets and the sagittal plane.
        articular_scale: Size of the articular processes relative to the template's.
        transverse_span_mm: From tip to tip of the transverse processes.
        transverse_sweep_mm: Tips of the transverse processes behind the posterior wall.
        transverse_rise_mm: Tips of the transverse processes above the body's middle.
        transverse_height_mm: Height of the transverse processes near the tip.
        spinous_length_mm: From the posterior wall to the spinous tip.
        spinous_drop_mm: Spinous tip below the body's middle.
        spinous_height_mm: Height of the spinous process near its tip.
        spinous_width_mm: Width of the spinous process near its tip.
    """

    body_width_mm: float = 47.0
    body_depth_mm: float = 35.0
    body_height_mm: float = 28.0
    upper_tilt_deg: float = 0.0
    lower_tilt_deg: float = 0.0
    waist_mm: float = 2.6
    end_plate_depth_mm: float = 2.2
    fracture_tilt_deg: float = 0.0
    fracture_hollow_mm: float = 0.0
    pedicle_distance_mm: float = 33.0
    pedicle_width_mm: float = 10.0
    pedicle_height_mm: float = 14.6
    pedicle_back_mm: float = 24.0
    canal_depth_mm: float = 17.0
    lamina_height_mm: float = 16.5
    facet_separation_mm: float = 33.4
    facet_back_mm: float = 11.3
    facet_rise_mm: float = 9.0
    facet_angle_deg: float = 33.5
    articular_scale: float = 1.0
    transverse_span_mm: float = 93.4
    transverse_sweep_mm: float = 20.2
    transverse_rise_mm: float = 3.6
    transverse_height_mm: float = 9.4
    spinous_length_mm: float = 49.0
    spinous_drop_mm: float = 18.0
    spinous_height_mm: float = 13.0
    spinous_width_mm: float = 8.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            free = field.name.endswith(("_deg", "_rise_mm", "_hollow_mm"))
            if not np.isfinite(value) or (value <= 0 and not free):
                raise InputError(f"vertebra shape {field.name}", value, "a positive number")

    @property
    def wall_mm(self) -> float:
        """Posterior wall behind the body's middle, at the pedicles."""
        return self.body_depth_mm / 2

    @property
    def pedicle_center(self) -> Point:
        """Middle of the left pedicle."""
        return np.array([self.pedicle_distance_mm / 2, self.pedicle_back_mm, 0.18 * self.body_height_mm])


def upper_rim_mm(shape: VertebraShape, y_mm: float) -> float:
    """Return the z of the upper end plate's rim at ``y_mm``."""
    healthy = shape.body_height_mm / 2 - y_mm * _tangent(shape.upper_tilt_deg)
    return healthy - (shape.wall_mm - y_mm) * _tangent(shape.fracture_tilt_deg)


def lower_rim_mm(shape: VertebraShape, y_mm: float) -> float:
    """Return the z of the lower end plate's rim at ``y_mm``."""
    return -shape.body_height_mm / 2 - y_mm * _tangent(shape.lower_tilt_deg)


def _tangent(angle_deg: float) -> float:
    return float(np.tan(np.radians(angle_deg)))


def superior_facet(shape: VertebraShape) -> Facet:
    """Return the left superior facet: it faces backwards and to the midline."""
    angle = np.radians(shape.facet_angle_deg)
    _, pedicle_y, pedicle_z = shape.pedicle_center
    center = [shape.facet_separation_mm / 2, pedicle_y + shape.facet_back_mm, pedicle_z + shape.facet_rise_mm]
    axes = [[-np.cos(angle), np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]]
    return Facet(np.array(center), np.array(axes))


def typical_inferior_facet(shape: VertebraShape) -> Facet:
    """Return the left inferior facet where no lower neighbor says where the joint is."""
    facet = superior_facet(shape)
    return Facet(facet.center + np.array([0.0, 0.3, -36.0]), facet.axes)


def both_sides(left: Facet) -> dict[str, Facet]:
    """Return a left facet and its mirror image, by side."""
    flip = np.array([-1.0, 1.0, 1.0])
    return {"left": left, "right": Facet(left.center * flip, left.axes * flip)}
