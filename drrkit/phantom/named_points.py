"""Named points of a vertebra: where its measures put them."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

from drrkit.phantom.anatomy import POSTERIOR_HOLLOW_MM, ROUNDNESS
from drrkit.phantom.shape import (
    SIDES,
    Facet,
    Point,
    VertebraShape,
    both_sides,
    lower_rim_mm,
    superior_facet,
    typical_inferior_facet,
    upper_rim_mm,
)

# Directions around an end plate, degrees from left towards the back, and their names.
RIM_DEG = {
    "left": 0,
    "left_back": 52,
    "back": 90,
    "right_back": 128,
    "right": 180,
    "right_front": 225,
    "front": 270,
    "left_front": 315,
}

# Points of the articular processes in the axes of their facet (across the joint, backwards along it, headwards), mm.
SUPERIOR_OFFSETS = {
    "facet": (0, 0, 0),
    "tip": (-3.5, 0, 7.2),
    "outer": (-7.3, 0, 0),
    "back": (-4.5, 7.5, 0),
    "front": (-3.6, -7, 0),
}
INFERIOR_OFFSETS = {
    "facet": (0, 0, 0),
    "tip": (4, 0, -9),
    "inner": (10.2, 0, 0),
    "back": (4, 5.2, 0),
    "front": (4.6, -5.6, 1),
}


def named_points(
    shape: VertebraShape,
    superior_facets: Mapping[str, Facet] | None = None,
    inferior_facets: Mapping[str, Facet] | None = None,
) -> dict[str, Point]:
    """Place every named point of a vertebra in its own frame, always in the same order.

    Args:
        shape: Its measures.
        superior_facets: Its "left" and "right" superior joint surfaces; None for those that its measures say.
        inferior_facets: Those of its inferior processes, from its lower neighbor; None for typical ones.
    """
    superior_facets = superior_facets or both_sides(superior_facet(shape))
    inferior_facets = inferior_facets or both_sides(typical_inferior_facet(shape))
    points = _body(shape) | _midline(shape)
    half = _pedicle(shape) | _lamina(shape) | _transverse(shape)
    for side, sign in SIDES.items():
        points |= {f"{side}_{name}": point * [sign, 1, 1] for name, point in half.items()}
        points |= _process(f"{side}_superior", superior_facets[side], SUPERIOR_OFFSETS, shape.articular_scale)
        points |= _process(f"{side}_inferior", inferior_facets[side], INFERIOR_OFFSETS, shape.articular_scale)
    return points


def stacked(points: Mapping[str, Point]) -> Float[np.ndarray, "k 3"]:
    """Stack named points into one array."""
    return np.stack(list(points.values()))


def _body(shape: VertebraShape) -> dict[str, Point]:
    points = {}
    half_width, half_depth = shape.body_width_mm / 2, shape.body_depth_mm / 2
    for name, angle_deg in RIM_DEG.items():
        # The rim is a superellipse: its diagonal lies further out than an ellipse's.
        cos, sin = np.cos(np.radians(angle_deg)), np.sin(np.radians(angle_deg))
        reach = (abs(cos) ** ROUNDNESS + abs(sin) ** ROUNDNESS) ** (-1 / ROUNDNESS)
        x, y = half_width * reach * cos, half_depth * reach * sin
        if name == "back":
            y -= POSTERIOR_HOLLOW_MM
        upper, lower = upper_rim_mm(shape, y), lower_rim_mm(shape, y)
        points[f"upper_rim_{name}"] = np.array([x, y, upper])
        points[f"lower_rim_{name}"] = np.array([x, y, lower])
        if "back" not in name:
            waist = 1 - shape.waist_mm / half_width
            points[f"waist_{name}"] = np.array([x * waist, y * waist, (upper + lower) / 2])
    hollow = shape.end_plate_depth_mm
    points["upper_end_plate"] = np.array([0, 0, upper_rim_mm(shape, 0) - hollow - shape.fracture_hollow_mm])
    points["lower_end_plate"] = np.array([0, 0, lower_rim_mm(shape, 0) + hollow])
    return points


def _midline(shape: VertebraShape) -> dict[str, Point]:
    wall, half_width = shape.wall_mm, shape.spinous_width_mm / 2
    canal_back = wall - POSTERIOR_HOLLOW_MM + shape.canal_depth_mm
    upper, lower = -1.5, -1.5 - shape.lamina_height_mm
    tip = np.array([0, wall + shape.spinous_length_mm, -shape.spinous_drop_mm])
    root = np.array([0, canal_back + 9, -10])
    middle = (root + tip) / 2
    up = np.array([0, 0, shape.spinous_height_mm / 2])
    points = {
        "posterior_wall": np.array([0, wall - 3.4, 0]),
        "canal_back": np.array([0, canal_back, -3]),
        "lamina_upper": np.array([0, canal_back + 1.5, upper]),
        "lamina_lower": np.array([0, canal_back + 4.8, lower]),
        "spinous_tip": tip,
        "spinous_tip_upper": tip + 1.25 * up + [0, -3, 0],
        "spinous_tip_lower": tip - up + [0, -3, 0],
        "spinous_middle_upper": middle + 0.95 * up + [0, 0, 2],
        "spinous_middle_lower": middle - 1.35 * up,
    }
    for side, sign in SIDES.items():
        points[f"{side}_spinous_middle"] = middle + sign * half_width * np.array([0.7, 0, 0])
        points[f"{side}_spinous_end"] = tip + np.array([sign * half_width, -4, 0])
    return points


def _pedicle(shape: VertebraShape) -> dict[str, Point]:
    center = shape.pedicle_center
    across, up = np.array([shape.pedicle_width_mm / 2, 0, 0]), np.array([0, 0, shape.pedicle_height_mm / 2])
    return {
        "pedicle_medial": center - across,
        "pedicle_lateral": center + across,
        "pedicle_upper": center + up,
        "pedicle_lower": center - up,
    }


def _lamina(shape: VertebraShape) -> dict[str, Point]:
    medial = shape.pedicle_distance_mm / 2 - shape.pedicle_width_mm / 2
    lateral = 0.5 * (shape.facet_separation_mm / 2 + shape.pedicle_distance_mm / 2) - 0.2
    back = shape.wall_mm + shape.canal_depth_mm - POSTERIOR_HOLLOW_MM
    return {
        "pars": np.array([lateral, back - 1.3, -9.0]),
        "lamina_inner": np.array([0.6 * medial, back - 1.5, -6.0]),
        "lamina_outer": np.array([0.6 * medial, back + 6.0, -6.0]),
    }


def _transverse(shape: VertebraShape) -> dict[str, Point]:
    tip = np.array([shape.transverse_span_mm / 2, shape.wall_mm + shape.transverse_sweep_mm, shape.transverse_rise_mm])
    pedicle_side = (shape.pedicle_distance_mm + shape.pedicle_width_mm) / 2
    # However wide the pedicle, something of the process stands out from it.
    base = np.array([min(pedicle_side + 2.4, tip[0] - 10), shape.pedicle_back_mm + 6.0, 3.2])
    middle = 0.55 * base + 0.45 * tip - [0, 0.3, 0.8]
    end = 0.12 * base + 0.88 * tip
    up = np.array([0, 0, shape.transverse_height_mm / 2])
    flat = np.cross((tip - base) / np.linalg.norm(tip - base), [0, 0, 1])
    return {
        "transverse_base_upper": base + up * 1.3,
        "transverse_base_lower": base - up * 1.3,
        "transverse_middle_upper": middle + up * 1.1,
        "transverse_middle_lower": middle - up * 1.1,
        "transverse_middle_front": middle + flat * 2.7,
        "transverse_middle_back": middle - flat * 2.7,
        "transverse_end_upper": end + up,
        "transverse_end_lower": end - up,
        "transverse_tip": tip,
    }


def _process(
    name: str, facet: Facet, offsets: Mapping[str, tuple[float, float, float]], scale: float
) -> dict[str, Point]:
    return {f"{name}_{part}": facet.center + scale * np.array(offset) @ facet.axes for part, offset in offsets.items()}
