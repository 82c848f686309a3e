"""The template vertebra as implicit solids: a typical third lumbar vertebra, left half (the right one mirrors it).

Frame of a vertebra: origin in the middle of the body, x to the patient's left, y to the back, z to the head, mm.
The numbers are procedural: drawn after anatomy atlases and tuned by eye and by measurement, taken from no patient.
"""

import numpy as np
from jaxtyping import UInt8

from drrkit.phantom.solids import Field, Points, ellipsoid, polygon, smooth_intersection, smooth_union, strut

# Region codes of vertices and voxels; these are the regions that metrics are reported by.
REGION_CODES: dict[str, int] = {
    "body": 1,
    "pedicles": 2,
    "posterior_arch": 3,
    "transverse": 4,
    "spinous": 5,
    "articular": 6,
}
# Below and beside this corner (x, z) the arch's sheet belongs to the inferior articular process.
INFERIOR_PROCESS_CORNER_MM = (7.0, -16.0)

HALF_WIDTH_MM, HALF_DEPTH_MM, HALF_HEIGHT_MM = 23.5, 17.5, 14.0
ROUNDNESS = 2.4  # exponent of the superellipse that outlines the body
WAIST = 0.125  # how much the body narrows at mid height
POSTERIOR_HOLLOW_MM = 2.2
END_PLATE_DEPTH_MM = 2.2
FILLET_MM = 5.0

# The posterior arch seen from behind: (x, z) of the left half of its outline, from the upper midline outwards.
ARCH_OUTLINE = [
    (-12, -1.5), (5, -0.5), (10, 3.5), (14, 8), (20, 8), (20, 0), (16.6, -7.5), (14.9, -13), (15.4, -19), (16, -27),
    (14.6, -31), (11, -30), (8.4, -24.5), (5.8, -18.5), (-12, -16.5),
]  # fmt: skip
# The spinous process seen from the side: (y, z), from its upper root around the tip.
SPINOUS_OUTLINE = [
    (34, -3), (45, -4), (56, -6.5), (64, -10), (66.5, -14), (66, -22), (62, -25), (53, -22.5), (42, -19), (36, -17),
]  # fmt: skip


def template_parts(points: Points) -> dict[str, Field]:
    """Evaluate the parts of the template, by region; ``points`` have x >= 0."""
    return {
        "body": body(points),
        "pedicles": strut(points, (15.8, 10, 5.5), (16.6, 30, 4.5), (0, 0, 1), (4.7, 7.4), (4.0, 6.6)),
        "posterior_arch": posterior_arch(points),
        "transverse": transverse_process(points),
        "spinous": spinous_process(points),
        "articular": articular_processes(points),
    }


def template_field(parts: dict[str, Field]) -> Field:
    """Join the parts into one vertebra."""
    arch = smooth_union([parts["posterior_arch"], parts["articular"]], 2.5)
    arch = smooth_union([arch, parts["spinous"]], 4.0)
    arch = smooth_union([arch, parts["transverse"], parts["pedicles"]], FILLET_MM)
    return smooth_union([arch, parts["body"]], FILLET_MM)


def template_regions(points: Points) -> UInt8[np.ndarray, "*points"]:
    """Say which region each point is nearest to, by code; ``points`` have x >= 0."""
    parts = template_parts(points)
    codes = np.array([REGION_CODES[name] for name in parts], dtype=np.uint8)
    regions = codes[np.argmin(np.stack(list(parts.values())), axis=0)]
    corner_x, corner_z = INFERIOR_PROCESS_CORNER_MM
    inferior = (regions == REGION_CODES["posterior_arch"]) & (points[..., 0] > corner_x) & (points[..., 2] < corner_z)
    regions[inferior] = REGION_CODES["articular"]
    return regions


def body(points: Points) -> Field:
    """Return the vertebral body: kidney-shaped, waisted, with hollow end plates."""
    x, y, z = points[..., 0], points[..., 1], points[..., 2]
    hollow = POSTERIOR_HOLLOW_MM * np.exp(-((x / 9.0) ** 2)) * np.clip(y / 8.0, 0, 1)
    backward = np.maximum(y, 0) / HALF_DEPTH_MM
    height = np.clip(np.abs(z) / HALF_HEIGHT_MM, 0, 1)
    waist = 1 - WAIST * (1 - 0.45 * np.clip(backward, 0, 1)) * (1 - height**2.2)
    scaled = (
        np.abs(x / (HALF_WIDTH_MM * waist)) ** ROUNDNESS + np.abs((y + hollow) / (HALF_DEPTH_MM * waist)) ** ROUNDNESS
    )
    radius = np.maximum(scaled ** (1 / ROUNDNESS), 1e-3)
    side = np.hypot(x, y) * (1 - 1 / radius)
    side = np.where(radius < 0.05, -HALF_DEPTH_MM, side)
    dish = END_PLATE_DEPTH_MM * np.clip(1 - (radius / 0.9) ** 2, 0, 1) ** 0.8
    cap = np.abs(z) - (HALF_HEIGHT_MM - dish)
    return smooth_intersection(side, cap, 1.8)


def posterior_arch(points: Points) -> Field:
    """Return lamina and pars: a slanted, folded sheet whose outline is drawn from behind."""
    x, y, z = points[..., 0], points[..., 1], points[..., 2]
    fold = np.sqrt(x**2 + 4.0**2) - 4.0
    sheet = 36.5 - 0.56 * fold - 0.30 * (z + 3) + 0.14 * np.maximum(-8 - z, 0)
    thickness = 3.4 + 0.8 * np.clip((-z - 14) / 10, 0, 1)
    across = np.abs(y - sheet) * 0.82 - thickness
    return smooth_intersection(polygon(x, z, ARCH_OUTLINE, 0.0), across, 4.0)


def articular_processes(points: Points) -> Field:
    """Return the superior process with its mammillary bump, and the inferior process."""
    superior = strut(points, (18.6, 29.5, 3), (20.0, 34.6, 17), (0.55, 0.83, 0), (3.8, 6.2), (3.4, 6.4))
    mammillary = ellipsoid(points, (20.8, 38.0, 11), (3.6, 4.0, 6.0))
    inferior = strut(points, (12.6, 36.4, -13), (13.2, 38.6, -26), (0.55, 0.83, 0), (4.2, 5.2), (4.2, 5.8))
    return smooth_union([smooth_union([superior, mammillary], 3.0), inferior], 1.0)


def transverse_process(points: Points) -> Field:
    """Return the transverse process: flat from front to back, leaning backwards."""
    inner = strut(points, (18, 28, 3.5), (32, 32.5, 2.5), (0, 0, 1), (3.9, 6.6), (3.0, 5.4))
    outer = strut(points, (32, 32.5, 2.5), (44.5, 37, 3.5), (0, 0, 1), (3.0, 5.4), (2.8, 4.7))
    return smooth_union([inner, outer], 1.0)


def spinous_process(points: Points) -> Field:
    """Return the spinous process: a hatchet, thickest along its lower and back edges."""
    x, y, z = points[..., 0], points[..., 1], points[..., 2]
    outline = polygon(y, z, SPINOUS_OUTLINE, 0.5)
    edge = np.exp(-(((y - 66) / 7) ** 2)) * 1.6 + np.exp(-(((z + 22 - (y - 60) * -0.2) / 5) ** 2)) * 1.2
    across = np.abs(x) - (3.0 + edge + 1.2 * np.clip((42 - y) / 8, 0, 1))
    return smooth_intersection(outline, across, 3.5)
