"""Find where a cloud of balls may lie before a camera, by voting: compiled loops over orientations, depths and pairs.

For one orientation and one depth every pair of a ball and a detection says where the cloud's center lies across the
beam. False pairs scatter, true pairs agree. The best cells are refined by Gauss-Newton steps with a gate that shrinks.
"""

import numba
import numpy as np


@numba.njit(cache=True)
def vote(
    rotations: np.ndarray,
    depths_mm: np.ndarray,
    balls: np.ndarray,
    rays: np.ndarray,
    cell_mm: float,
    keep: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Rank placements of the cloud by the number of agreeing pairs.

    Cells overlap by half, so that no true group is cut by a border.

    Args:
        rotations: (R, 3, 3) camera from world.
        depths_mm: (D,) depths of the cloud's center.
        balls: (M, 3) balls, their center in the origin.
        rays: (N, 2) detections at depth 1: (u - cx) / fx, (v - cy) / fy.
        cell_mm: Cell size across the beam, in the patient.
        keep: How many placements to return.

    Returns:
        Scores (keep,), the best first, and placements (keep, 4): index of the rotation, then the center's x, y and z in
        the camera frame. Scores of unused rows are 0.
    """
    pitch = cell_mm / 2
    reach = 0.0
    for ball in range(len(balls)):
        reach = max(reach, np.sqrt((balls[ball] ** 2).sum()))
    extent = (np.abs(rays).max() * (depths_mm.max() + reach) + reach) + 2 * cell_mm
    size = int(2 * extent / pitch) + 3
    grid = np.zeros((size, size), np.int16)
    count = len(balls) * len(rays)
    rows, columns = np.empty(count, np.int64), np.empty(count, np.int64)
    scores = np.zeros(keep, np.int64)
    places = np.zeros((keep, 4))
    weakest = 0
    for turn in range(len(rotations)):
        turned = balls @ rotations[turn].T
        for depth in depths_mm:
            used = 0
            best, best_row, best_column = 0, 0, 0
            for ball in range(len(balls)):
                z = depth + turned[ball, 2]
                for ray in range(len(rays)):
                    column = int((rays[ray, 0] * z - turned[ball, 0] + extent) / pitch)
                    row = int((rays[ray, 1] * z - turned[ball, 1] + extent) / pitch)
                    rows[used], columns[used] = row, column
                    used += 1
                    for down in range(2):
                        for right in range(2):
                            grid[row + down, column + right] += 1
                            if grid[row + down, column + right] > best:
                                best = grid[row + down, column + right]
                                best_row, best_column = row + down, column + right
            for pair in range(used):
                for down in range(2):
                    for right in range(2):
                        grid[rows[pair] + down, columns[pair] + right] = 0
            if best > scores[weakest]:
                scores[weakest] = best
                # Cell (row, column) collects the pitches row - 1 and row: its middle is the border between them.
                places[weakest, 0] = turn
                places[weakest, 1] = best_column * pitch - extent
                places[weakest, 2] = best_row * pitch - extent
                places[weakest, 3] = depth
                weakest = int(np.argmin(scores))
    order = np.argsort(-scores, kind="mergesort")
    return scores[order], places[order]


@numba.njit(cache=True)
def refine(
    rotation: np.ndarray,
    center: np.ndarray,
    balls: np.ndarray,
    points: np.ndarray,
    lens: np.ndarray,
    field: np.ndarray,
    bends: np.ndarray,
    bend_sigmas: np.ndarray,
    gates_px: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Pull one placement onto the detections: match the nearest, move, and narrow the gate.

    Args:
        rotation: (3, 3) camera from world.
        center: (3,) where the cloud's center lies in the camera frame.
        balls: (M, 3) balls, their center in the origin.
        points: (N, 2) detections.
        lens: (4,) fx, fy, cx, cy.
        field: (3,) center u, v and radius of the distortion's coordinates.
        bends: (2,) first guess of pincushion k1 and twist s1.
        bend_sigmas: (2,) how far they may differ from it; 0 holds them.
        gates_px: (G,) gate of each step.

    Returns:
        Rotation, center, bends, the detection of each ball within the last gate (or -1), and its distance in pixels.
    """
    count = len(balls)
    match = np.full(count, -1, np.int64)
    distance = np.full(count, np.inf)
    pixels = np.zeros((count, 2))
    slopes = np.zeros((count, 2, 8))
    owner = np.full(len(points), -1, np.int64)
    guess = bends.copy()
    bends = bends.copy()
    for step in range(len(gates_px) + 1):
        gate = gates_px[min(step, len(gates_px) - 1)]
        turned = balls @ rotation.T
        match[:] = -1
        distance[:] = np.inf
        owner[:] = -1
        for ball in range(count):
            x, y, z = turned[ball] + center
            if z < 50.0:
                continue
            ideal_u, ideal_v = lens[0] * x / z + lens[2], lens[1] * y / z + lens[3]
            qu, qv = (ideal_u - field[0]) / field[2], (ideal_v - field[1]) / field[2]
            square = qu * qu + qv * qv
            if square > 4.0:
                continue
            pixels[ball, 0] = ideal_u + field[2] * square * (bends[0] * qu - bends[1] * qv)
            pixels[ball, 1] = ideal_v + field[2] * square * (bends[0] * qv + bends[1] * qu)
            _slopes(slopes[ball], turned[ball], x / z, y / z, z, lens)
            slopes[ball, 0, 6], slopes[ball, 1, 6] = field[2] * square * qu, field[2] * square * qv
            slopes[ball, 0, 7], slopes[ball, 1, 7] = -field[2] * square * qv, field[2] * square * qu
            for point in range(len(points)):
                far = np.hypot(points[point, 0] - pixels[ball, 0], points[point, 1] - pixels[ball, 1])
                if far < gate and far < distance[ball]:
                    distance[ball] = far
                    match[ball] = point
            point = match[ball]
            if point >= 0:
                rival = owner[point]
                if rival < 0 or distance[ball] < distance[rival]:
                    owner[point] = ball
                    if rival >= 0:
                        match[rival] = -1
                        distance[rival] = np.inf
                else:
                    match[ball] = -1
                    distance[ball] = np.inf
        if step == len(gates_px) or (match >= 0).sum() < 3:
            break
        normal = np.zeros((8, 8))
        pull = np.zeros(8)
        for ball in range(count):
            if match[ball] < 0:
                continue
            weight = 1.0 / (1.0 + (2.0 * distance[ball] / gate) ** 2)
            for axis in range(2):
                miss = points[match[ball], axis] - pixels[ball, axis]
                for a in range(8):
                    pull[a] += weight * slopes[ball, axis, a] * miss
                    for b in range(8):
                        normal[a, b] += weight * slopes[ball, axis, a] * slopes[ball, axis, b]
        # A weak pull toward where we are keeps few points from leaping; (1 degree, 20 mm) against the gate.
        slack = (0.25 * gate) ** 2
        for a in range(3):
            normal[a, a] += slack / 0.0175**2
            normal[a + 3, a + 3] += slack / 20.0**2
        for a in range(2):
            if bend_sigmas[a] > 0:
                normal[a + 6, a + 6] += slack / bend_sigmas[a] ** 2
                pull[a + 6] += slack / bend_sigmas[a] ** 2 * (guess[a] - bends[a])
            else:
                normal[a + 6, :] = 0.0
                normal[:, a + 6] = 0.0
                normal[a + 6, a + 6] = 1.0
                pull[a + 6] = 0.0
        move = np.linalg.solve(normal, pull)
        rotation = _turn(move[:3]) @ rotation
        center = center + move[3:6]
        bends = bends + move[6:]
    return rotation, center, bends, match, distance


@numba.njit(cache=True)
def _slopes(slopes: np.ndarray, turned: np.ndarray, x: float, y: float, depth: float, lens: np.ndarray) -> None:
    """Derivative of a pixel to a small turn about the cloud's center and a shift, both in the camera frame."""
    for axis in range(2):
        focal = lens[axis] / depth
        slant = -focal * (x if axis == 0 else y)
        across = np.zeros(3)
        across[axis] = focal
        across[2] = slant
        # A turn w moves the point by w x turned.
        slopes[axis, 0] = across[2] * turned[1] - across[1] * turned[2]
        slopes[axis, 1] = across[0] * turned[2] - across[2] * turned[0]
        slopes[axis, 2] = across[1] * turned[0] - across[0] * turned[1]
        slopes[axis, 3:6] = across


@numba.njit(cache=True)
def _turn(vector: np.ndarray) -> np.ndarray:
    """Rotation matrix of a rotation vector (Rodrigues)."""
    angle = np.sqrt((vector**2).sum())
    if angle < 1e-12:
        return np.eye(3)
    x, y, z = vector / angle
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * (cross @ cross)
