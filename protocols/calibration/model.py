"""The model that bundle adjustment fits: where each ball falls in each exposure, and how that moves with everything.

The pose of an exposure is kept as a rotation and the camera coordinates of the cloud's middle, and is moved by a turn
about that middle and a shift. So turn, sideways and depth errors part as well as they can, and their sigmas can be read
off directly. A mirrored image has fx < 0; what belongs to the tube (principal point, decentering, twist) is mirrored
with it, so that mirrored and plain exposures share it.
"""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int
from scipy.spatial.transform import Rotation

from drrkit.geometry import rigid
from drrkit.geometry.camera import Camera
from protocols.calibration.correspondence import field_of
from protocols.undistort import Distortion, bend, bend_gradients

# Columns of one exposure's block: turn (3), shift (3), then these; the last three only where there is a distortion.
BLOCK = 12
FOCAL, CENTER_U, CENTER_V, TWIST, DECENTERING_U, DECENTERING_V = range(6, BLOCK)
# Shared terms: pincushion k1 and k2, twist s2.
SHARED = 3


@dataclass(frozen=True, eq=False)
class SessionState:
    """All unknowns of a session.

    Args:
        nominal: Header cameras; their K is what the intrinsics deviate from.
        rotations: (E, 3, 3) camera from world.
        middles: (E, 3) the cloud's middle in the camera frame.
        middle_world: (3,) the cloud's middle.
        intrinsics: (E, 3) log of focal over nominal focal, and the principal point's shift in pixels.
        bends: (E, 3) twist s1 and decentering u and v of each exposure.
        balls: (M, 3) ball centers.
        shared: (3,) pincushion k1, k2 and twist s2 of the tube.
        distorted: Whether there is a distortion at all.
    """

    nominal: tuple[Camera, ...]
    rotations: Float[np.ndarray, "e 3 3"]
    middles: Float[np.ndarray, "e 3"]
    middle_world: Float[np.ndarray, " 3"]
    intrinsics: Float[np.ndarray, "e 3"]
    bends: Float[np.ndarray, "e 3"]
    balls: Float[np.ndarray, "m 3"]
    shared: Float[np.ndarray, " 3"]
    distorted: bool

    @property
    def lenses(self) -> Float[np.ndarray, "e 4"]:
        """Fx, fy, cx, cy of every exposure."""
        K = np.array([camera.pixel_from_camera for camera in self.nominal])
        stretch = np.exp(self.intrinsics[:, 0])
        signs = np.sign(K[:, 0, 0])
        center_u = K[:, 0, 2] + signs * self.intrinsics[:, 1]
        return np.stack(
            [K[:, 0, 0] * stretch, K[:, 1, 1] * stretch, center_u, K[:, 1, 2] + self.intrinsics[:, 2]], axis=1
        )

    @property
    def terms(self) -> Float[np.ndarray, "e 6"]:
        """Distortion terms of every exposure, in the order of ``protocols.undistort.TERMS``."""
        k1, k2, s2 = self.shared
        s1, du, dv = self.bends.T
        signs = np.sign([camera.pixel_from_camera[0, 0] for camera in self.nominal])
        same = np.ones_like(signs)
        return np.stack([k1 * same, k2 * same, du * signs, dv, s1 * signs, s2 * signs], axis=1)

    def camera(self, exposure: int) -> Camera:
        """The camera of one exposure as it stands."""
        nominal, lens = self.nominal[exposure], self.lenses[exposure]
        rotation = self.rotations[exposure]
        K = np.array([[lens[0], 0.0, lens[2]], [0.0, lens[1], lens[3]], [0.0, 0.0, 1.0]])
        pose = rigid.from_rotation_translation(rotation, self.middles[exposure] - rotation @ self.middle_world)
        return Camera(K, pose, nominal.height, nominal.width, nominal.pixel_spacing_mm)

    def distortion(self, exposure: int) -> Distortion | None:
        """The distortion of one exposure; None for a flat panel."""
        if not self.distorted:
            return None
        center_u, center_v, radius_px = field_of(self.nominal[exposure])
        return Distortion((center_u, center_v), radius_px, *(float(term) for term in self.terms[exposure]))

    def moved(self, step: Float[np.ndarray, " p"]) -> "SessionState":
        """Apply one step of all parameters: blocks of the exposures, then balls, then shared terms."""
        count, balls = len(self.nominal), len(self.balls)
        blocks = step[: count * BLOCK].reshape(count, BLOCK)
        ends = count * BLOCK + 3 * balls
        turns = Rotation.from_rotvec(blocks[:, :3]).as_matrix()
        return replace(
            self,
            rotations=turns @ self.rotations,
            middles=self.middles + blocks[:, 3:6],
            intrinsics=self.intrinsics + blocks[:, 6:9],
            bends=self.bends + blocks[:, TWIST:],
            balls=self.balls + step[count * BLOCK : ends].reshape(balls, 3),
            shared=self.shared + step[ends:],
        )


@dataclass(frozen=True, eq=False)
class Prediction:
    """Where balls fall, and the derivatives.

    Args:
        pixels: (n, 2) in the image as it was taken.
        by_exposure: (n, 2, 12) to the exposure's block.
        by_ball: (n, 2, 3) to the ball.
        by_shared: (n, 2, 3) to the shared terms.
    """

    pixels: Float[np.ndarray, "n 2"]
    by_exposure: Float[np.ndarray, "n 2 12"]
    by_ball: Float[np.ndarray, "n 2 3"]
    by_shared: Float[np.ndarray, "n 2 3"]


def predict(
    state: SessionState, exposures: Int[np.ndarray, " n"], points_world: Float[np.ndarray, "n 3"]
) -> Prediction:
    """Project one world point for each entry of ``exposures``; NaN behind the source."""
    count = len(exposures)
    rotations, lenses = state.rotations[exposures], state.lenses[exposures]
    turned = np.einsum("nij,nj->ni", rotations, points_world - state.middle_world)
    x, y, z = (turned + state.middles[exposures]).T
    z = np.where(z > 1.0, z, np.nan)
    slant = np.stack([x / z, y / z], axis=1)
    focal = lenses[:, :2]
    pixels = focal * slant + lenses[:, 2:]
    by_point = np.zeros((count, 2, 3))
    by_point[:, 0, 0], by_point[:, 1, 1] = focal[:, 0] / z, focal[:, 1] / z
    by_point[:, :, 2] = -focal * slant / z[:, None]
    by_exposure = np.zeros((count, 2, BLOCK))
    # A turn w moves the point by w x turned.
    by_exposure[:, :, :3] = np.cross(turned[:, None, :], by_point)
    by_exposure[:, :, 3:6] = by_point
    by_exposure[:, :, FOCAL] = focal * slant
    by_exposure[:, 0, CENTER_U] = np.sign(lenses[:, 0])
    by_exposure[:, 1, CENTER_V] = 1.0
    by_ball = by_point @ rotations
    by_shared = np.zeros((count, 2, SHARED))
    if state.distorted:
        fields = np.array([field_of(camera) for camera in state.nominal])[exposures]
        signs = np.sign(lenses[:, 0])[:, None]
        radius_px = fields[:, 2:]
        terms = state.terms[exposures]
        q = (pixels - fields[:, :2]) / radius_px
        # Far outside the field the polynomial means nothing; it is held at its value on a circle around the image.
        length = np.linalg.norm(q, axis=1, keepdims=True)
        near = q * np.minimum(1.0, 1.6 / np.maximum(length, 1e-9))
        local, by_terms = bend_gradients(near, terms)
        by_terms = by_terms * radius_px[:, :, None]
        pixels = pixels + (bend(near, terms) - near) * radius_px
        by_exposure, by_ball = local @ by_exposure, local @ by_ball
        by_exposure[:, :, TWIST] = by_terms[:, :, 4] * signs
        by_exposure[:, :, DECENTERING_U] = by_terms[:, :, 2] * signs
        by_exposure[:, :, DECENTERING_V] = by_terms[:, :, 3]
        by_shared = by_terms[:, :, [0, 1, 5]].copy()
        by_shared[:, :, 2] *= signs
    return Prediction(pixels, by_exposure, by_ball, by_shared)
