"""Which detection is which ball: search the cameras around an expected one, and let chance decide whom to trust."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import linear_sum_assignment
from scipy.spatial.transform import Rotation

from drrkit.geometry import rigid
from drrkit.geometry.camera import Camera
from protocols.calibration.chance import log10_false_alarms
from protocols.calibration.result import Observation
from protocols.calibration.settings import CalibrationSettings
from protocols.calibration.votes import refine, vote

# Gates of the refinement in millimeters at the patient: wide enough for the grid's steps, narrow at the end.
_GATES_MM = (6.0, 6.0, 5.0, 5.0, 4.0, 4.0, 3.0, 3.0, 2.0, 2.0, 1.5, 1.5, 1.2, 1.2, 1.2)
_KEPT_PLACEMENTS = 240
_DEPTH_STEP_MM = 25.0
# When a placement is clear, this many worse ones in a row end the search.
_CLEAR_LOG10, _PATIENCE = -10.0, 12


@dataclass(frozen=True, eq=False)
class Expectation:
    """Where to search for an exposure's camera.

    Args:
        camera: The expected camera; its world is the CT's, except that its depth and sideways position may be off.
        radius_deg: How far its orientation may be off.
        depth_mm: How far its depth may be off.
        bends: Expected pincushion and twist.
        bend_sigmas: How far they may be off; 0 for flat panels.
    """

    camera: Camera
    radius_deg: float
    depth_mm: float
    bends: tuple[float, float] = (0.0, 0.0)
    bend_sigmas: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True, eq=False)
class Placement:
    """A camera that matches some balls to detections.

    Args:
        camera: World is the CT's; intrinsics are the expected ones.
        matches: Index of the detection by index of the ball.
        log10_chance: Decimal logarithm of the number of equally good matches expected by chance.
        search_deg: How far from the expected orientation was searched.
        bends: Pincushion and twist.
    """

    camera: Camera
    matches: Mapping[int, int]
    log10_chance: float
    search_deg: float
    bends: tuple[float, float] = (0.0, 0.0)


def find_placement(
    observation: Observation,
    balls: Float[np.ndarray, "m 3"],
    expected: Expectation,
    settings: CalibrationSettings,
    step_deg: float = 2.5,
) -> Placement | None:
    """Search the camera of one exposure.

    Args:
        observation: The exposure.
        balls: Ball centers in the world.
        expected: Where to search.
        settings: Search cell.
        step_deg: Step of the orientations that are tried.

    Returns:
        The placement that chance explains least; None when no four balls match anywhere.
    """
    points = np.ascontiguousarray(observation.points_px, dtype=np.float64)
    if len(points) < 4:
        return None
    camera = expected.camera
    K = camera.pixel_from_camera
    lens = np.array([K[0, 0], K[1, 1], K[0, 2], K[1, 2]])
    middle = balls.mean(axis=0)
    cloud = np.ascontiguousarray(balls - middle)
    depth_mm = float(camera.depth_mm(middle))
    turns = rotation_grid(expected.radius_deg, step_deg) @ camera.camera_from_world[:3, :3]
    depths_mm = _depths(depth_mm, expected.depth_mm)
    rays = (points - lens[2:]) / lens[:2]
    cell_mm = min(settings.search_cell_mm, max(2.0, 2.0 * step_deg))
    scores, places = vote(turns, depths_mm, cloud, rays, cell_mm, _KEPT_PLACEMENTS)
    px_per_mm = abs(lens[0]) / depth_mm
    gates_px = np.maximum(np.array(_GATES_MM) * px_per_mm, 3.0)
    frame = np.array([*field_of(camera)])
    bends, bend_sigmas = np.array(expected.bends), np.array(expected.bend_sigmas)
    spent = 4 if bend_sigmas.any() else 3
    best: Placement | None = None
    tried_since = 0
    for score, place in zip(scores, places, strict=True):
        if score < 4 or (best is not None and best.log10_chance < _CLEAR_LOG10 and tried_since > _PATIENCE):
            break
        tried_since += 1
        rotation, center, bend, match, distance = refine(
            turns[int(place[0])], place[1:], cloud, points, lens, frame, bends, bend_sigmas, gates_px
        )
        matched = np.flatnonzero(match >= 0)
        if len(matched) <= spent or (best is not None and len(matched) < len(best.matches) - 2):
            continue
        if rotation_distance_deg(rotation, camera.camera_from_world[:3, :3]) > 1.5 * expected.radius_deg + 2:
            continue
        placed = cloud @ rotation.T + center
        pixels = lens[:2] * placed[:, :2] / np.maximum(placed[:, 2:], 1.0) + lens[2:]
        on_image = int(inside(camera, pixels).sum())
        chance = log10_false_alarms(
            distance[matched], on_image, points, (camera.height, camera.width), expected.radius_deg, spent
        )
        if best is None or chance < best.log10_chance:
            tried_since = 0
            pose = rigid.from_rotation_translation(rotation, center - rotation @ middle)
            found = Camera(K, pose, camera.height, camera.width, camera.pixel_spacing_mm)
            pairs = {int(ball): int(match[ball]) for ball in matched}
            best = Placement(found, pairs, chance, expected.radius_deg, (float(bend[0]), float(bend[1])))
    return best


def assign(
    distances: Float[np.ndarray, "m n"], gates: Float[np.ndarray, "m n"]
) -> tuple[Int[np.ndarray, " k"], Int[np.ndarray, " k"]]:
    """Match rows to columns one to one with the least total cost (Hungarian), none beyond its gate.

    Args:
        distances: Distance of every ball to every detection; NaN where there is none.
        gates: The largest distance allowed, for each pair.

    Returns:
        Indices of the matched rows and columns.
    """
    relative = np.where(np.isfinite(distances), distances, np.inf) / gates
    cost = np.minimum(relative, 1.0) ** 2  # a pair beyond its gate costs as much as none
    rows, columns = linear_sum_assignment(cost)
    good = relative[rows, columns] < 1.0
    return rows[good], columns[good]


def field_of(camera: Camera) -> tuple[float, float, float]:
    """Center u, v and radius that the distortion of this image is written in."""
    return (camera.width - 1) / 2, (camera.height - 1) / 2, max(camera.height, camera.width) / 2


def inside(camera: Camera, pixels: Float[np.ndarray, "*batch 2"]) -> np.ndarray:
    """Whether pixels lie on the image; NaN does not."""
    u, v = pixels[..., 0], pixels[..., 1]
    return (u >= 0) & (u <= camera.width - 1) & (v >= 0) & (v <= camera.height - 1)


def rotation_distance_deg(rotation: Float[np.ndarray, "3 3"], other: Float[np.ndarray, "3 3"]) -> float:
    """Angle between two rotations in degrees."""
    # The sine of the half angle stays exact for small angles, where the cosine does not.
    half_sine = np.linalg.norm(rotation - other) / np.sqrt(8.0)
    return float(np.degrees(2 * np.arcsin(min(1.0, float(half_sine)))))


@lru_cache(maxsize=16)
def rotation_grid(radius_deg: float, step_deg: float) -> Float[np.ndarray, "r 3 3"]:
    """Rotations up to ``radius_deg`` on a body-centered grid of rotation vectors, the identity first."""
    pitch = step_deg * 2 ** (1 / 3)  # two points a cell: as many as a plain grid of ``step_deg`` would have
    count = int(np.ceil(radius_deg / pitch)) + 1
    axis = np.arange(-count, count + 1) * pitch
    corners = np.stack(np.meshgrid(axis, axis, axis), axis=-1).reshape(-1, 3)
    vectors = np.concatenate([corners, corners + pitch / 2])
    length = np.linalg.norm(vectors, axis=1)
    vectors = vectors[length <= radius_deg + 1e-9]
    vectors = vectors[np.argsort(np.linalg.norm(vectors, axis=1), kind="stable")]
    return np.ascontiguousarray(Rotation.from_rotvec(np.radians(vectors)).as_matrix())


def _depths(middle_mm: float, range_mm: float) -> Float[np.ndarray, " d"]:
    steps = int(np.ceil(range_mm / _DEPTH_STEP_MM))
    depths = middle_mm + np.arange(-steps, steps + 1) * (range_mm / max(steps, 1))
    return depths[depths > 100.0]
