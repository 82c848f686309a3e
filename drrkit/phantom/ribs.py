"""The lowest three pairs of ribs, as bent tubes hung on the thoracic vertebrae."""

import numpy as np
from jaxtyping import Float
from scipy.interpolate import make_interp_spline

from drrkit.geometry import rigid
from drrkit.geometry.rigid import Matrix4
from drrkit.phantom.pelvis import Bone

# Middle lines of the left ribs in the frame of the vertebra named, from the head of the rib to its tip.
RIB_LINES_MM: dict[str, tuple[str, list[tuple[float, float, float]]]] = {
    "rib 12": ("T12", [(24, 10, 5), (33, 24, 5), (52, 40, -5), (78, 42, -22), (104, 26, -44), (120, 8, -58)]),
    "rib 11": ("T11", [(22, 10, 7), (32, 24, 8), (58, 45, 0), (96, 42, -22), (128, 14, -48), (140, -22, -74)]),
    "rib 10": ("T11", [(30, 30, 36), (60, 50, 30), (100, 48, 6), (135, 18, -24), (147, -22, -52), (138, -62, -76)]),
}
HALF_THICKNESS_MM, HALF_HEIGHT_MM = 3.6, 6.4
SECTIONS, AROUND = 60, 14


def ribs(poses: dict[str, Matrix4], size: float) -> list[Bone]:
    """Return the ribs of both sides in world millimeters.

    Args:
        poses: ``world_from_vertebra`` by level.
        size: Of the individual, relative to the typical adult.
    """
    bones = []
    for level, line in RIB_LINES_MM.values():
        for side in (1.0, -1.0):
            tube = _tube(size * np.array(line) * [side, 1, 1], size)
            bones.append(Bone(rigid.apply(poses[level], tube.vertices), tube.faces))
    return bones


def _tube(line: Float[np.ndarray, "p 3"], size: float) -> Bone:
    """Sweep an upright ellipse along a line and close both ends to points."""
    spline = make_interp_spline(np.linspace(0, 1, len(line)), line, k=3)
    along = np.linspace(0, 1, SECTIONS)
    centers, tangents = spline(along), spline.derivative()(along)
    tangents /= np.linalg.norm(tangents, axis=1, keepdims=True)
    across = np.cross(tangents, [0, 0, 1])
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    up = np.cross(across, tangents)
    # Round ends: the section shrinks over the first and the last few rings.
    swell = np.sqrt(np.clip(np.minimum(along, 1 - along) / 0.04, 0.0, 1.0))[1:-1, None, None]
    turn = 2 * np.pi * np.arange(AROUND) / AROUND
    wide, high = size * HALF_THICKNESS_MM * np.cos(turn), size * HALF_HEIGHT_MM * np.sin(turn)
    rings = wide[None, :, None] * across[1:-1, None] + high[None, :, None] * up[1:-1, None]
    rings = centers[1:-1, None] + swell * rings
    vertices = np.concatenate([rings.reshape(-1, 3), centers[[0, -1]]])
    count = SECTIONS - 2
    ring, spot = np.meshgrid(np.arange(count - 1), np.arange(AROUND), indexing="ij")
    here, following = ring * AROUND + spot, ring * AROUND + (spot + 1) % AROUND
    side_a = np.stack([here, following, here + AROUND], axis=-1)
    side_b = np.stack([following, following + AROUND, here + AROUND], axis=-1)
    start, end, spots = len(vertices) - 2, len(vertices) - 1, np.arange(AROUND)
    head = np.stack([np.full(AROUND, start), (spots + 1) % AROUND, spots], axis=-1)
    tail_first = (count - 1) * AROUND
    tail = np.stack([np.full(AROUND, end), tail_first + spots, tail_first + (spots + 1) % AROUND], axis=-1)
    faces = np.concatenate([side_a.reshape(-1, 3), side_b.reshape(-1, 3), head, tail]).astype(np.int32)
    return Bone(vertices, _outward(vertices, faces))


def _outward(vertices: Float[np.ndarray, "n 3"], faces: np.ndarray) -> np.ndarray:
    a, b, c = (vertices[faces[:, corner]] for corner in range(3))
    volume = float((a * np.cross(b, c)).sum())
    return faces if volume > 0 else np.ascontiguousarray(faces[:, ::-1])
