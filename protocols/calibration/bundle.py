"""Bundle adjustment: poses, intrinsics, balls and distortion of a session at once, by robust Levenberg-Marquardt.

A session has some 700 unknowns and 2000 equations. The Jacobian is sparse and analytic; the normal matrix is small
enough to be factored directly, which keeps the dense priors (intrinsics that drift smoothly) and the full covariance
simple, and converges in a dozen steps where an iterative sparse solver struggles with the near-degeneracy of
principal point against rotation. Loss: Cauchy on the length of each ball's residual, and on how far a ball has moved
from its place in the CT, both by iterative reweighting (Triggs et al. 2000, "Bundle adjustment: a modern synthesis").
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import csr_array

from drrkit.errors import InputError
from protocols.calibration.model import BLOCK, FOCAL, SHARED, TWIST, Prediction, SessionState, predict
from protocols.calibration.priors import Priors
from protocols.calibration.reduced import reduce_system

_STEPS = 40
_DONE = 1e-7  # relative decrease of the cost
_BALL_ROBUST_SIGMAS = 3.0
# A pose without matches must not make the system singular: it stays where it is, by this much (rad, mm).
_POSE_SIGMAS = np.array([0.5, 500.0])


@dataclass(frozen=True, eq=False)
class Matches:
    """Which ball was seen where, one row a match.

    Args:
        exposures: (n,) index of the exposure.
        balls: (n,) index of the ball.
        points_px: (n, 2) detected centers.
        sigmas_px: (n,) their standard deviations.
    """

    exposures: Int[np.ndarray, " n"]
    balls: Int[np.ndarray, " n"]
    points_px: Float[np.ndarray, "n 2"]
    sigmas_px: Float[np.ndarray, " n"]


@dataclass(frozen=True, eq=False)
class Adjustment:
    """The result of a bundle adjustment.

    Args:
        state: The unknowns at the minimum.
        covariance: (P, P) of all parameters, in the order of :meth:`SessionState.moved`.
        residuals_px: (n, 2) detected minus predicted.
        weights: (n,) robust weights, 1 for a perfect fit.
        jacobian: (2 n, P) of the predicted pixels.
        noise_scale: How much larger the residuals are than the sigmas say, session-wide; at least 1.
    """

    state: SessionState
    covariance: Float[np.ndarray, "p p"]
    residuals_px: Float[np.ndarray, "n 2"]
    weights: Float[np.ndarray, " n"]
    jacobian: csr_array
    noise_scale: float


def adjust(
    start: SessionState,
    matches: Matches,
    balls_ct: Float[np.ndarray, "m 3"],
    priors: Priors,
    robust_sigmas: float,
) -> Adjustment:
    """Minimize the robust cost from a start.

    Raises:
        InputError: The equations do not determine the unknowns, or the start is not finite.
    """
    state, damping = start, 1e-4
    residuals, prediction = _residuals(state, matches)
    cost = _cost(state, residuals, matches, balls_ct, priors, robust_sigmas)
    if not np.isfinite(cost):
        raise InputError("bundle adjustment", "balls behind the source at the start", "cameras that see their balls")
    for _ in range(_STEPS):
        normal, pull = _normal_equations(state, residuals, prediction, matches, balls_ct, priors, robust_sigmas)
        decrease = 0.0
        for _ in range(8):
            damped = normal + damping * np.diag(np.diag(normal))
            step = reduce_system(damped, *_indices(state)).solve(pull)
            tried = state.moved(step)
            tried_residuals, tried_prediction = _residuals(tried, matches)
            tried_cost = _cost(tried, tried_residuals, matches, balls_ct, priors, robust_sigmas)
            if tried_cost <= cost:
                decrease = cost - tried_cost
                state, residuals, prediction, cost = tried, tried_residuals, tried_prediction, tried_cost
                damping = max(damping / 10, 1e-12)
                break
            damping *= 10
        if decrease <= _DONE * (cost + 1.0):
            break
    normal, _ = _normal_equations(state, residuals, prediction, matches, balls_ct, priors, robust_sigmas)
    covariance = reduce_system(normal, *_indices(state)).inverse(len(normal))
    weights = _weights(residuals, matches, robust_sigmas)
    return Adjustment(
        state=state,
        covariance=covariance,
        residuals_px=residuals,
        weights=weights,
        jacobian=jacobian(prediction, matches.exposures, matches.balls, state),
        noise_scale=_noise_scale(residuals, matches, len(state.nominal)),
    )


def jacobian(
    prediction: Prediction, exposures: Int[np.ndarray, " n"], balls: Int[np.ndarray, " n"], state: SessionState
) -> csr_array:
    """Lay the derivatives out as a sparse matrix; a ball index of -1 stands for a point that is no parameter."""
    count, ends = len(exposures), len(state.nominal) * BLOCK + 3 * len(state.balls)
    columns = np.concatenate(
        [
            exposures[:, None] * BLOCK + np.arange(BLOCK),
            len(state.nominal) * BLOCK + 3 * np.maximum(balls, 0)[:, None] + np.arange(3),
            np.broadcast_to(ends + np.arange(SHARED), (count, SHARED)),
        ],
        axis=1,
    )
    by_ball = prediction.by_ball * (balls >= 0)[:, None, None]
    values = np.concatenate([prediction.by_exposure, by_ball, prediction.by_shared], axis=2)
    width = columns.shape[1]
    starts = np.arange(2 * count + 1) * width
    return csr_array((values.ravel(), np.repeat(columns, 2, axis=0).ravel(), starts), shape=(2 * count, ends + SHARED))


def _indices(state: SessionState) -> tuple[Int[np.ndarray, "e 6"], Int[np.ndarray, " r"]]:
    """Indices of the poses, and of all else that is unknown: a flat panel has no distortion."""
    starts = np.arange(len(state.nominal))[:, None] * BLOCK
    fields = starts + np.arange(FOCAL, BLOCK if state.distorted else TWIST)
    balls = len(state.nominal) * BLOCK + np.arange(3 * len(state.balls) + (SHARED if state.distorted else 0))
    return starts + np.arange(FOCAL), np.concatenate([fields.ravel(), balls])


def _residuals(state: SessionState, matches: Matches) -> tuple[Float[np.ndarray, "n 2"], Prediction]:
    prediction = predict(state, matches.exposures, state.balls[matches.balls])
    return matches.points_px - prediction.pixels, prediction


def _weights(residuals: Float[np.ndarray, "n 2"], matches: Matches, robust_sigmas: float) -> Float[np.ndarray, " n"]:
    square = (residuals**2).sum(axis=1) / (robust_sigmas * matches.sigmas_px) ** 2
    return 1.0 / (1.0 + square)


def _cost(
    state: SessionState,
    residuals: Float[np.ndarray, "n 2"],
    matches: Matches,
    balls_ct: Float[np.ndarray, "m 3"],
    priors: Priors,
    robust_sigmas: float,
) -> float:
    square = (residuals**2).sum(axis=1) / (robust_sigmas * matches.sigmas_px) ** 2
    cost = robust_sigmas**2 * np.log1p(square).sum()
    moved = ((state.balls - balls_ct) ** 2).sum(axis=1) / (_BALL_ROBUST_SIGMAS * priors.ball_sigmas_mm) ** 2
    cost += _BALL_ROBUST_SIGMAS**2 * np.log1p(moved).sum()
    for values, precision in _fields(state, priors):
        cost += values @ precision @ values
    cost += state.shared @ (priors.shared * state.shared)
    return float(cost) if np.isfinite(cost) else float("inf")


def _fields(state: SessionState, priors: Priors) -> list[tuple[Float[np.ndarray, " e"], Float[np.ndarray, "e e"]]]:
    return [
        (state.intrinsics[:, 0], priors.focal),
        (state.intrinsics[:, 1], priors.center_px),
        (state.intrinsics[:, 2], priors.center_px),
        (state.bends[:, 0], priors.twist),
        (state.bends[:, 1], priors.decentering),
        (state.bends[:, 2], priors.decentering),
    ]


def _normal_equations(
    state: SessionState,
    residuals: Float[np.ndarray, "n 2"],
    prediction: Prediction,
    matches: Matches,
    balls_ct: Float[np.ndarray, "m 3"],
    priors: Priors,
    robust_sigmas: float,
) -> tuple[Float[np.ndarray, "p p"], Float[np.ndarray, " p"]]:
    slopes = jacobian(prediction, matches.exposures, matches.balls, state)
    precision = np.repeat(_weights(residuals, matches, robust_sigmas) / matches.sigmas_px**2, 2)
    weighted = slopes.multiply(precision[:, None]).tocsr()
    normal = (slopes.T @ weighted).toarray()
    pull = weighted.T @ residuals.ravel()
    count = len(state.nominal)
    for column, (values, matrix) in zip(range(FOCAL, BLOCK), _fields(state, priors), strict=True):
        rows = np.arange(count) * BLOCK + column
        normal[np.ix_(rows, rows)] += matrix
        pull[rows] -= matrix @ values
    poses = (np.arange(count)[:, None] * BLOCK + np.arange(6)).ravel()
    normal[poses, poses] += np.tile(np.repeat(_POSE_SIGMAS, 3) ** -2.0, count)
    moved = state.balls - balls_ct
    square = (moved**2).sum(axis=1) / (_BALL_ROBUST_SIGMAS * priors.ball_sigmas_mm) ** 2
    ball_precision = np.repeat(priors.ball_sigmas_mm**-2 / (1.0 + square), 3)
    rows = count * BLOCK + np.arange(moved.size)
    normal[rows, rows] += ball_precision
    pull[rows] -= ball_precision * moved.ravel()
    rows = count * BLOCK + moved.size + np.arange(SHARED)
    normal[rows, rows] += priors.shared
    pull[rows] -= priors.shared * state.shared
    return normal, pull


def _noise_scale(residuals: Float[np.ndarray, "n 2"], matches: Matches, exposures: int) -> float:
    """Compare the median residual with its expectation, allowing for the six parameters of every pose."""
    free = max(1.0 - 6.0 * exposures / max(residuals.size, 1), 0.1)
    # The median length of a two-dimensional normal residual is 1.1774 sigma.
    relative = np.median(np.linalg.norm(residuals, axis=1) / matches.sigmas_px) / 1.1774 / np.sqrt(free)
    return float(max(1.0, relative))
