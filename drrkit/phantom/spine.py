"""How vertebrae stack: from shapes, discs and pathology to the pose of every level."""

from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from drrkit.geometry import rigid
from drrkit.geometry.rigid import Matrix4
from drrkit.phantom.levels import MODELED_LEVELS
from drrkit.phantom.parameters import PhantomParameters
from drrkit.phantom.shape import Facet, VertebraShape, both_sides, lower_rim_mm, superior_facet, upper_rim_mm

STACK: tuple[str, ...] = (*MODELED_LEVELS, "sacrum")
JOINT_GAP_MM = 2.4  # cartilage and joint space between facets
HIGHEST_INFERIOR_FACET_MM = -15.0  # relative to the body's middle
LEAST_INFERIOR_FACET_SIDE_MM = 11.0  # from the midline, lest the left and the right process meet
INTERSPINOUS_GAP_MM = 4.0
RIM_GAP_MM = 1.2  # the least a disc leaves between the rims of its end plates

# Share of the discs in what lordosis the bodies leave to them, L1-L2 to L5-S1; the two thoracic discs stay flat.
DISC_LORDOSIS_SHARE = {"L1": 0.08, "L2": 0.15, "L3": 0.20, "L4": 0.27, "L5": 0.30}
DISC_JITTER_DEG = 1.5
CURVE_LEVELS = 2  # end vertebrae of a scoliotic curve lie this many levels from its apex


def with_fracture(shapes: Mapping[str, VertebraShape], parameters: PhantomParameters) -> dict[str, VertebraShape]:
    """Compress the fractured level: its upper end plate sinks, by the wedge in front and by the loss in the middle."""
    shape = shapes[parameters.fracture_level]
    broken = replace(
        shape,
        fracture_tilt_deg=parameters.wedge_deg,
        fracture_hollow_mm=parameters.height_loss * shape.body_height_mm,
    )
    return {**shapes, parameters.fracture_level: broken}


def disc_angles_deg(
    shapes: Mapping[str, VertebraShape], parameters: PhantomParameters, rng: np.random.Generator
) -> dict[str, float]:
    """Share the lordosis among the discs; whatever the bodies have, the sum is ``lordosis_deg``."""
    bodies = {level: _upper_tilt_deg(shape) - shape.lower_tilt_deg for level, shape in shapes.items()}
    rest = parameters.lordosis_deg - sum(bodies[level] for level in DISC_LORDOSIS_SHARE)
    jitter = parameters.individuality * DISC_JITTER_DEG * np.clip(rng.standard_normal(len(DISC_LORDOSIS_SHARE)), -2, 2)
    jitter -= jitter.mean()
    angles = dict.fromkeys(MODELED_LEVELS, 0.0)
    for (level, share), deviation in zip(DISC_LORDOSIS_SHARE.items(), jitter, strict=True):
        angles[level] = share * rest + float(deviation)
    return angles


def spine_poses(
    shapes: Mapping[str, VertebraShape],
    discs_mm: Mapping[str, float],
    angles_deg: Mapping[str, float],
    parameters: PhantomParameters,
) -> dict[str, Matrix4]:
    """Pose every level and the sacrum, whose origin is the middle of its end plate.

    Args:
        shapes: Measures of each level, fractures included.
        discs_mm: Height of the disc below each level, in its middle.
        angles_deg: Lordosis of the disc below each level.
        parameters: Scoliosis, slip, and where the whole lies.

    Returns:
        ``world_from_vertebra`` by level, and under "sacrum".
    """
    turns = _turns(shapes, angles_deg, parameters)
    centers = {"T11": np.zeros(3)}
    for upper, lower in pairwise(STACK):
        below_mm = 0.0 if lower == "sacrum" else upper_rim_mm(shapes[lower], 0)
        upper_plate = turns[upper] @ _plate_axes(shapes[upper].lower_tilt_deg)
        lower_plate = turns[lower] @ _plate_axes(0.0 if lower == "sacrum" else _upper_tilt_deg(shapes[lower]))
        down = -(upper_plate[:, 2] + lower_plate[:, 2])
        down /= np.linalg.norm(down)
        backward = upper_plate[:, 1] + lower_plate[:, 1]
        backward -= (backward @ down) * down
        backward /= np.linalg.norm(backward)
        height_mm = max(discs_mm[upper], _least_disc_mm(shapes[upper], upper_plate, lower_plate))
        slip_mm = parameters.slip_mm if upper == parameters.slip_level else 0.0
        plate = centers[upper] + lower_rim_mm(shapes[upper], 0) * turns[upper][:, 2]
        centers[lower] = plate + height_mm * down + slip_mm * backward - below_mm * turns[lower][:, 2]
    whole = Rotation.from_euler("ZYX", [parameters.yaw_deg, parameters.roll_deg, parameters.pitch_deg], degrees=True)
    world_from_stack = rigid.from_rotation_translation(whole.as_matrix(), parameters.position_mm)
    return {
        level: world_from_stack @ rigid.from_rotation_translation(turns[level], centers[level] - centers["L3"])
        for level in STACK
    }


def fitted_spinous(shapes: Mapping[str, VertebraShape], poses: Mapping[str, Matrix4]) -> dict[str, VertebraShape]:
    """Lower the spinous processes where lordosis brings neighbors too close."""
    fitted = dict(shapes)
    for upper, lower in pairwise(MODELED_LEVELS):
        tips = [_spinous_tip(shapes[level], poses[level]) for level in (upper, lower)]
        up = poses[upper][:3, 2] + poses[lower][:3, 2]
        room_mm = float((tips[0] - tips[1]) @ up / np.linalg.norm(up)) - INTERSPINOUS_GAP_MM
        heights = [fitted[level].spinous_height_mm for level in (upper, lower)]
        shrink = min(1.0, 2 * max(room_mm, 4.0) / sum(heights))
        for level, height_mm in zip((upper, lower), heights, strict=True):
            fitted[level] = replace(fitted[level], spinous_height_mm=height_mm * shrink)
    return fitted


def fitted_facets(shapes: Mapping[str, VertebraShape], poses: Mapping[str, Matrix4]) -> dict[str, VertebraShape]:
    """Lower the superior processes where a thin disc or much lordosis would drive them into the upper vertebra."""
    fitted = dict(shapes)
    for upper, lower in pairwise(MODELED_LEVELS):
        upper_from_lower = rigid.invert(poses[upper]) @ poses[lower]
        facets = both_sides(superior_facet(shapes[lower])).values()
        highest_mm = max(float(rigid.apply(upper_from_lower, facet.center)[2]) for facet in facets)
        excess_mm = max(0.0, highest_mm - HIGHEST_INFERIOR_FACET_MM)
        rise_mm = max(shapes[lower].facet_rise_mm - 0.7 * excess_mm, min(shapes[lower].facet_rise_mm, 2.0))
        fitted[lower] = replace(shapes[lower], facet_rise_mm=rise_mm)
    return fitted


def across_joint(facet: Facet, upper_from_lower: Matrix4) -> Facet:
    """Carry a superior facet to the upper vertebra's frame and to the other side of the joint.

    Where a collapsed disc or much lordosis brings the joint too near to the upper vertebra's lamina, the inferior
    process stays lower on the joint, as a subluxed one does.
    """
    center = rigid.apply(upper_from_lower, facet.center + JOINT_GAP_MM * facet.axes[0])
    axes = facet.axes @ upper_from_lower[:3, :3].T
    center[0] = np.copysign(max(abs(center[0]), LEAST_INFERIOR_FACET_SIDE_MM), facet.center[0])
    slide_mm = max(0.0, center[2] - HIGHEST_INFERIOR_FACET_MM) / axes[2, 2]
    return Facet(center - slide_mm * axes[2], axes)


def _turns(
    shapes: Mapping[str, VertebraShape], angles_deg: Mapping[str, float], parameters: PhantomParameters
) -> dict[str, Float[np.ndarray, "3 3"]]:
    pitch_deg = {"T11": 0.0}
    for upper, lower in pairwise(STACK):
        next_tilt_deg = 0.0 if lower == "sacrum" else _upper_tilt_deg(shapes[lower])
        pitch_deg[lower] = pitch_deg[upper] - shapes[upper].lower_tilt_deg + angles_deg[upper] + next_tilt_deg
    turns = {}
    apex = STACK.index(parameters.scoliosis_apex)
    for index, level in enumerate(STACK):
        phase = np.clip((index - apex) / (2 * CURVE_LEVELS), -1, 1) * np.pi
        coronal_deg = parameters.scoliosis_deg / 2 * np.sin(phase)
        axial_deg = parameters.axial_rotation_deg * (1 + np.cos(phase)) / 2
        euler = [axial_deg, coronal_deg, pitch_deg[level] - pitch_deg["L3"]]
        turns[level] = Rotation.from_euler("ZYX", euler, degrees=True).as_matrix()
    return turns


def _upper_tilt_deg(shape: VertebraShape) -> float:
    return shape.upper_tilt_deg - shape.fracture_tilt_deg


def _plate_axes(tilt_deg: float) -> Float[np.ndarray, "3 3"]:
    return Rotation.from_euler("X", -tilt_deg, degrees=True).as_matrix()


def _least_disc_mm(
    shape: VertebraShape, upper_plate: Float[np.ndarray, "3 3"], lower_plate: Float[np.ndarray, "3 3"]
) -> float:
    """Height at which the rims just clear each other, given the angle between the end plates."""
    tilt = upper_plate.T @ lower_plate[:, 2]
    rim_mm = np.hypot(shape.body_width_mm / 2 * tilt[0], shape.body_depth_mm / 2 * tilt[1]) / tilt[2]
    return float(rim_mm) + RIM_GAP_MM


def _spinous_tip(shape: VertebraShape, world_from_vertebra: Matrix4) -> Float[np.ndarray, " 3"]:
    return rigid.apply(world_from_vertebra, [0, shape.wall_mm + shape.spinous_length_mm, -shape.spinous_drop_mm])
