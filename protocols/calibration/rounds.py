"""Alternate matching and bundle adjustment until both agree."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.sparse import csr_array

from drrkit.geometry import rigid
from protocols.calibration.bundle import Adjustment, Matches, adjust, jacobian
from protocols.calibration.correspondence import Placement, assign, inside
from protocols.calibration.model import SHARED, SessionState, predict
from protocols.calibration.priors import priors
from protocols.calibration.result import Observation
from protocols.calibration.settings import CalibrationSettings

# First rounds take every detection for this much less exact: the intrinsics are still the header's.
_EASING = (6.0, 2.0)
_FINAL_ROUNDS = 3
_FEWEST = 4
# Two shadows closer than this many radii run into each other, and neither center can be trusted.
_TOUCHING_RADII = 2.2


@dataclass(frozen=True, eq=False)
class Settled:
    """What matching and adjustment agreed upon.

    Args:
        adjustment: The last adjustment.
        matches: Its matches.
        pairs: The same, for each exposure the detection of each matched ball.
        noise_scale: How much larger the residuals are than the detections' sigmas say; at least 1. The sigmas of
            ``matches`` are that much larger already.
    """

    adjustment: Adjustment
    matches: Matches
    pairs: Sequence[Mapping[int, int]]
    noise_scale: float


def starting_state(
    observations: Sequence[Observation],
    placements: Sequence[Placement],
    balls: Float[np.ndarray, "m 3"],
    distorted: bool,
) -> SessionState:
    """Take the search's cameras as a start; intrinsics are the header's, mirrored where the search says so."""
    poses = np.array([placement.camera.camera_from_world for placement in placements])
    middle = balls.mean(axis=0)
    count = len(placements)
    bends = np.array([placement.bends for placement in placements])
    signs = np.sign([placement.camera.pixel_from_camera[0, 0] for placement in placements])
    shared = np.zeros(SHARED)
    if distorted:
        shared[0] = np.median(bends[:, 0])
    return SessionState(
        nominal=tuple(placement.camera for placement in placements),
        rotations=poses[:, :3, :3],
        middles=np.array([rigid.apply(pose, middle) for pose in poses]),
        middle_world=middle,
        intrinsics=np.zeros((count, 3)),
        bends=np.stack([bends[:, 1] * signs * distorted, np.zeros(count), np.zeros(count)], axis=1),
        balls=balls.copy(),
        shared=shared,
        distorted=distorted,
    )


def settle(
    start: SessionState,
    observations: Sequence[Observation],
    pairs: Sequence[Mapping[int, int]],
    balls_ct: Float[np.ndarray, "m 3"],
    ball_sigmas_mm: Float[np.ndarray, " m"],
    settings: CalibrationSettings,
) -> Settled:
    """Adjust, match anew with the better cameras, and adjust again.

    Args:
        start: State to begin with.
        observations: One for each exposure of the state.
        pairs: For each exposure the detection of each matched ball, to begin with.
        balls_ct: Ball centers as the CT shows them.
        ball_sigmas_mm: Standard deviation of their coordinates.
        settings: Gates and priors.

    Returns:
        The last adjustment. Exposures that lost all but a few matches stay in its state, held by the priors and their
        last pose.
    """
    known = priors(start.nominal, ball_sigmas_mm, settings)
    state, current = start, [dict(pair) for pair in pairs]
    scale = 1.0
    for easing in _EASING:
        matches = _gather(observations, current, settings, easing, 1.0)
        adjustment = adjust(state, matches, balls_ct, known, settings.robust_sigmas)
        state = adjustment.state
        current = match_anew(adjustment, observations, settings, easing, adjustment.noise_scale)
    for _ in range(_FINAL_ROUNDS):
        matches = _gather(observations, current, settings, 1.0, scale)
        adjustment = adjust(state, matches, balls_ct, known, settings.robust_sigmas)
        state = adjustment.state
        rescaled = scale * adjustment.noise_scale
        again = match_anew(adjustment, observations, settings, 1.0, rescaled)
        if again == current and rescaled < 1.05 * scale:
            return Settled(adjustment, matches, current, scale)
        current, scale = again, rescaled
    matches = _gather(observations, current, settings, 1.0, scale)
    return Settled(adjust(state, matches, balls_ct, known, settings.robust_sigmas), matches, current, scale)


def match_anew(
    adjustment: Adjustment,
    observations: Sequence[Observation],
    settings: CalibrationSettings,
    easing: float,
    scale: float,
) -> list[dict[int, int]]:
    """Match every exposure's detections to the balls where the adjusted cameras put them.

    A ball is left out where another's shadow touches its own.
    """
    state = adjustment.state
    count = len(state.balls)
    current = []
    for exposure, observation in enumerate(observations):
        points = np.asarray(observation.points_px, dtype=np.float64)
        pixels, sigmas_px = predicted(adjustment, exposure, np.arange(count))
        camera = state.nominal[exposure]
        radius_px = float(np.median(observation.radii_px))
        seen = np.flatnonzero(inside(camera, pixels) & stands_alone(pixels, radius_px))
        far = np.linalg.norm(pixels[seen, None] - points[None], axis=2)
        sigma = np.hypot(_sigmas(observation, settings, easing)[None] * scale, sigmas_px[seen, None])
        gates = np.maximum(settings.gate_sigmas * sigma, settings.gate_min_px)
        rows, columns = assign(far, np.minimum(gates, 4.0 * radius_px))
        current.append({int(seen[row]): int(column) for row, column in zip(rows, columns, strict=True)})
    return current


def stands_alone(pixels: Float[np.ndarray, "k 2"], radius_px: float) -> Bool[np.ndarray, " k"]:
    """Whether the shadow of each ball touches no other's; ``pixels`` may hold NaN for balls behind the source."""
    apart = np.linalg.norm(pixels[:, None] - pixels[None], axis=2)
    np.fill_diagonal(apart, np.inf)
    return np.nan_to_num(apart, nan=np.inf).min(axis=1, initial=np.inf) > _TOUCHING_RADII * radius_px


def predicted(
    adjustment: Adjustment, exposure: int, balls: Int[np.ndarray, " k"]
) -> tuple[Float[np.ndarray, "k 2"], Float[np.ndarray, " k"]]:
    """Where balls fall in one exposure, and the larger standard deviation of that, in pixels."""
    state = adjustment.state
    exposures = np.full(len(balls), exposure)
    prediction = predict(state, exposures, state.balls[balls])
    covariance = pixel_covariance(adjustment, jacobian(prediction, exposures, balls, state))
    sigmas = np.sqrt(np.maximum(np.linalg.eigvalsh(np.nan_to_num(covariance))[:, 1], 0.0))
    return prediction.pixels, sigmas * adjustment.noise_scale


def pixel_covariance(adjustment: Adjustment, slopes: csr_array) -> Float[np.ndarray, "k 2 2"]:
    """Carry the covariance of the parameters over to pixels whose (2 k, P) derivatives are given."""
    spread = slopes @ adjustment.covariance
    spread = spread.reshape(-1, 2, spread.shape[1])
    dense = slopes.toarray().reshape(spread.shape)
    return np.einsum("kip,kjp->kij", spread, dense)


def _sigmas(observation: Observation, settings: CalibrationSettings, easing: float) -> Float[np.ndarray, " n"]:
    return np.hypot(observation.sigmas_px, settings.model_sigma_px) * easing + 0.15 * (easing - 1.0)


def _gather(
    observations: Sequence[Observation],
    pairs: Sequence[Mapping[int, int]],
    settings: CalibrationSettings,
    easing: float,
    scale: float,
) -> Matches:
    rows = [
        (exposure, ball, point)
        for exposure, matched in enumerate(pairs)
        if len(matched) >= _FEWEST
        for ball, point in sorted(matched.items())
    ]
    points = [observations[exposure].points_px[point] for exposure, _, point in rows]
    sigmas = [_sigmas(observation, settings, easing) * scale for observation in observations]
    return Matches(
        exposures=np.array([row[0] for row in rows], dtype=np.int64),
        balls=np.array([row[1] for row in rows], dtype=np.int64),
        points_px=np.array(points, dtype=np.float64).reshape(-1, 2),
        sigmas_px=np.array([sigmas[exposure][point] for exposure, _, point in rows], dtype=np.float64),
    )
