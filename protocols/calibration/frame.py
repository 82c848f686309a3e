"""What the exposures of a session have in common: how the CT lies in the room, and how the arm strays from its header.

The header's world has its origin in the isocenter and axes along the patient as the table lies; the CT's world has the
patient as he lay in the scanner. One turn and one shift lead from one to the other for the whole session. What remains
for each exposure, its read-out error and the sag of the arm, is much alike in neighbors on the orbit.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy.spatial.transform import Rotation

from drrkit.geometry import rigid
from drrkit.geometry.camera import Camera
from protocols.calibration.correspondence import rotation_distance_deg
from protocols.calibration.settings import CalibrationSettings

_NEIGHBOR_DEG = 12.0


@dataclass(frozen=True, eq=False)
class SessionFrame:
    """The common frame and how far each known exposure strays from it.

    Args:
        isocenter_from_world: (4, 4) from the CT's world to the header's.
        directions: (K, 3) beam directions of the known exposures' headers.
        turns_deg: (K, 3) rotation vector, in the camera frame, from the expected orientation to the true one.
        shifts_mm: (K, 3) where the isocenter truly lies in the camera frame, minus where the header has it.
        agrees: (K,) whether the exposure agrees with the majority.
    """

    isocenter_from_world: Float[np.ndarray, "4 4"]
    directions: Float[np.ndarray, "k 3"]
    turns_deg: Float[np.ndarray, "k 3"]
    shifts_mm: Float[np.ndarray, "k 3"]
    agrees: Bool[np.ndarray, " k"]

    def expected(self, nominal: Camera) -> tuple[Camera, float, float]:
        """Predict an exposure's camera from its header, the common frame and its neighbors.

        Returns:
            The camera, and how far its orientation (degrees) and position (mm) may be off: twice the spread of the
            neighbors around such a prediction.
        """
        known = self.agrees
        apart = self.directions[known] @ nominal.view_direction_world
        weights = np.exp(-0.5 * (np.degrees(np.arccos(np.clip(apart, -1, 1))) / _NEIGHBOR_DEG) ** 2)
        total = weights.sum() + 0.3  # pulls toward no deviation where there are no neighbors
        turn_deg = weights @ self.turns_deg[known] / total
        shift_mm = weights @ self.shifts_mm[known] / total
        around = weights + 0.05  # where there are no neighbors, the session's own spread
        spread_deg = np.sqrt(around @ ((self.turns_deg[known] - turn_deg) ** 2).sum(axis=1) / around.sum())
        spread_mm = np.sqrt(around @ ((self.shifts_mm[known] - shift_mm) ** 2).sum(axis=1) / around.sum())
        pose = nominal.camera_from_world @ self.isocenter_from_world
        isocenter_camera = nominal.camera_from_world[:3, 3] + shift_mm
        rotation = Rotation.from_rotvec(np.radians(turn_deg)).as_matrix() @ pose[:3, :3]
        isocenter_world = rigid.invert(self.isocenter_from_world)[:3, 3]
        pose = rigid.from_rotation_translation(rotation, isocenter_camera - rotation @ isocenter_world)
        return with_pose(nominal, pose), 1.5 + 2 * float(spread_deg), 10.0 + 2 * float(spread_mm)

    def deviation(self, nominal: Camera, camera: Camera) -> tuple[float, float]:
        """How far a camera strays from header and session: degrees, and millimeters at the isocenter."""
        turn_deg, shift_mm = _strays(self.isocenter_from_world, nominal, camera)
        usual_mm = np.median(self.shifts_mm[self.agrees], axis=0)
        return float(np.linalg.norm(turn_deg)), float(np.linalg.norm(shift_mm - usual_mm))


def session_frame(nominal: Sequence[Camera], cameras: Sequence[Camera], settings: CalibrationSettings) -> SessionFrame:
    """Estimate the common frame from exposures whose cameras are known.

    The rotation is the mean of those that agree with the one that agrees with most.
    """
    turns = np.array(
        [
            header.camera_from_world[:3, :3].T @ camera.camera_from_world[:3, :3]
            for header, camera in zip(nominal, cameras, strict=True)
        ]
    )
    limit_deg = 2 * settings.angle_error_deg
    apart = np.array([[rotation_distance_deg(turn, other) for other in turns] for turn in turns])
    middle = np.minimum(apart, limit_deg).sum(axis=1).argmin()
    agrees = apart[middle] <= limit_deg
    common = Rotation.from_matrix(turns[agrees]).mean().as_matrix()
    isocenter_world = _isocenter(
        [header for header, agreeing in zip(nominal, agrees, strict=True) if agreeing],
        [camera for camera, agreeing in zip(cameras, agrees, strict=True) if agreeing],
    )
    frame = rigid.from_rotation_translation(common, -common @ isocenter_world)
    strays = [_strays(frame, header, camera) for header, camera in zip(nominal, cameras, strict=True)]
    return SessionFrame(
        isocenter_from_world=frame,
        directions=np.array([header.view_direction_world for header in nominal]),
        turns_deg=np.array([turn for turn, _ in strays]),
        shifts_mm=np.array([shift for _, shift in strays]),
        agrees=agrees,
    )


def _isocenter(nominal: Sequence[Camera], cameras: Sequence[Camera]) -> Float[np.ndarray, " 3"]:
    """The point that all exposures see in the same place, allowing for one place other than the headers'.

    Many mobile arms are not isocentric: the central ray passes the center of rotation at a distance that turns with
    the arm. Where the orbit is too short to tell that from a shifted patient, a pull decides for the patient.
    """
    rotations = np.array([camera.camera_from_world[:3, :3] for camera in cameras])
    missing = np.array(
        [
            header.camera_from_world[:3, 3] - camera.camera_from_world[:3, 3]
            for header, camera in zip(nominal, cameras, strict=True)
        ]
    )
    middle = np.median(np.einsum("kji,kj->ki", rotations, missing), axis=0)
    rest = missing - rotations @ middle
    weights: Float[np.ndarray, " k"] = np.ones(len(cameras))
    solution: Float[np.ndarray, " 6"] = np.zeros(6)
    for _ in range(10):
        # rotation @ (middle + point) - shift = missing, robustly; the pull is one exposure's worth at 50 mm.
        normal = np.diag([1e-6] * 3 + [(10.0 / 50.0) ** 2] * 3)
        right = np.zeros(6)
        for rotation, offset, weight in zip(rotations, rest, weights, strict=True):
            row = np.hstack([rotation, -np.eye(3)])
            normal += weight * row.T @ row
            right += weight * row.T @ offset
        solution = np.linalg.solve(normal, right)
        left = rest - (rotations @ solution[:3] - solution[3:])
        weights = 1.0 / (1.0 + (left**2).sum(axis=1) / 15.0**2)
    return middle + solution[:3]


def with_pose(camera: Camera, camera_from_world: Float[np.ndarray, "4 4"]) -> Camera:
    """The same detector in another place."""
    return Camera(camera.pixel_from_camera, camera_from_world, camera.height, camera.width, camera.pixel_spacing_mm)


def _strays(
    isocenter_from_world: Float[np.ndarray, "4 4"], nominal: Camera, camera: Camera
) -> tuple[Float[np.ndarray, " 3"], Float[np.ndarray, " 3"]]:
    expected = nominal.camera_from_world @ isocenter_from_world
    turn = camera.camera_from_world[:3, :3] @ expected[:3, :3].T
    isocenter_world = rigid.invert(isocenter_from_world)[:3, 3]
    shift_mm = rigid.apply(camera.camera_from_world, isocenter_world) - nominal.camera_from_world[:3, 3]
    return np.degrees(Rotation.from_matrix(turn).as_rotvec()), shift_mm
