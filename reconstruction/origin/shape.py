"""The shape of lumbar spines, learned from training cases: where the middle of L1 to L5 is, once levels are found.

A spine is eleven points: the centroids of L1 to L5, the middle of the box around all their labels, and the middles of
the boxes around each. Their mean and covariance along the patient's axes tell all from any centroids that were found,
and which of those does not fit.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from drrkit.errors import InputError
from drrkit.volume import LUMBAR_LEVELS

# Where in the world a spine lies is not known beforehand: a standard deviation that is practically infinite.
_ANYWHERE_MM = 1e4
_MIDDLE = len(LUMBAR_LEVELS)
POINTS = 2 * len(LUMBAR_LEVELS) + 1
_ALIGNMENTS = 5


@dataclass(frozen=True, eq=False)
class SpineShape:
    """The points of the mean spine, and how spines differ from it.

    Args:
        mean_mm: (11, 3) centroids of L1 to L5, the middle of all, and of each; along the patient's axes, from the mean
            of the centroids.
        covariance_mm2: (33, 33) of all points, row by row, turned as the mean spine is.
    """

    mean_mm: Float[np.ndarray, "11 3"]
    covariance_mm2: Float[np.ndarray, "33 33"]

    @property
    def spread_mm(self) -> float:
        """Standard deviation of a level's coordinate."""
        return float(np.sqrt(np.diag(self.covariance_mm2)[: 3 * _MIDDLE].mean()))


@dataclass(frozen=True, eq=False)
class Completed:
    """A whole spine, from the levels that were found.

    Args:
        points_world: (11, 3) centroids of L1 to L5, the middle of all, and of each.
        covariance_mm2: (11, 3, 3) of each point.
        dropped: Levels that were found where the others say they cannot be.
    """

    points_world: Float[np.ndarray, "11 3"]
    covariance_mm2: Float[np.ndarray, "11 3 3"]
    dropped: tuple[str, ...]


def fit_shape(spines_world: Sequence[Float[np.ndarray, "11 3"]], floor_mm: float, prior_deg: float) -> SpineShape:
    """Learn the shape from spines whose points are all known.

    Args:
        spines_world: Two spines or more, each lying as its CT has it.
        floor_mm: Standard deviation that is added to every coordinate, for what few spines do not show.
        prior_deg: How obliquely spines lie, as a standard deviation about each axis.

    Raises:
        InputError: Fewer than two spines.
    """
    if len(spines_world) < 2:
        raise InputError("spine shape", f"{len(spines_world)} spine(s) with L1 to L5 whole", "at least two")
    spines = np.stack([points - points[:_MIDDLE].mean(axis=0) for points in spines_world])
    shape = _shape(spines, floor_mm)
    for _ in range(_ALIGNMENTS):
        turned = [
            points @ patient_rotation(shape, dict(zip(LUMBAR_LEVELS, points, strict=False)), prior_deg)
            for points in spines
        ]
        shape = _shape(np.stack(turned), floor_mm)
    return shape


def patient_rotation(
    shape: SpineShape, levels: Mapping[str, Float[np.ndarray, " 3"]], prior_deg: float
) -> Float[np.ndarray, "3 3"]:
    """Tell how a patient lies from the levels that were found, against how the mean patient lies.

    The direction from L5 to L1 is well known from centroids; the turn about it only from the bend of the spine, so
    there the expectation that patients lie along the world's axes has more weight. With one level it is all there is.

    Args:
        shape: The mean spine.
        levels: Points in the world by level.
        prior_deg: How obliquely patients lie, as a standard deviation about each axis.

    Returns:
        World from patient: the columns are left, back and head of the patient.
    """
    indices = [LUMBAR_LEVELS.index(level) for level in levels]
    found, mean = np.stack(list(levels.values())), shape.mean_mm[indices]
    # Wahba's problem; a Fisher prior about the identity is three more vectors, each axis as its own image.
    weights = np.full(len(levels), 1 / shape.spread_mm**2)
    prior = np.full(3, 0.5 / np.radians(prior_deg) ** 2)
    rotation, _ = Rotation.align_vectors(
        np.concatenate([found - found.mean(axis=0), np.eye(3)]),
        np.concatenate([mean - mean.mean(axis=0), np.eye(3)]),
        np.concatenate([weights, prior]),
    )
    return np.asarray(rotation.as_matrix())


def complete(
    shape: SpineShape,
    levels: Mapping[str, Float[np.ndarray, " 3"]],
    covariances_mm2: Mapping[str, Float[np.ndarray, "3 3"]],
    world_from_patient: Float[np.ndarray, "3 3"],
    gate_sigmas: float,
) -> Completed:
    """Infer all points from the levels that were found.

    Args:
        shape: The mean spine and its spread.
        levels: Points in the world by level; at least one.
        covariances_mm2: How well each is known.
        world_from_patient: How the patient lies.
        gate_sigmas: A level farther than this from where the others expect it is dropped, the farthest first. Two
            levels that do not fit each other are both kept: it cannot be known which is wrong.
    """
    turn = np.kron(np.eye(POINTS), world_from_patient)
    anywhere = np.kron(np.ones((POINTS, POINTS)), np.eye(3)) * _ANYWHERE_MM**2
    covariance = turn @ shape.covariance_mm2 @ turn.T + anywhere
    origin = np.mean(list(levels.values()), axis=0)
    mean = shape.mean_mm @ world_from_patient.T + origin
    kept, dropped = dict(levels), []
    while len(kept) > 2:
        strangeness = {level: _strangeness(mean, covariance, kept, covariances_mm2, level) for level in kept}
        worst = max(strangeness, key=lambda level: strangeness[level])
        if strangeness[worst] <= gate_sigmas:
            break
        del kept[worst]
        dropped.append(worst)
    points, posterior = _conditioned(mean, covariance, kept, covariances_mm2)
    blocks = np.stack([posterior[3 * i : 3 * i + 3, 3 * i : 3 * i + 3] for i in range(POINTS)])
    return Completed(points, blocks, tuple(dropped))


def _shape(spines: Float[np.ndarray, "n 6 3"], floor_mm: float) -> SpineShape:
    flat = spines.reshape(len(spines), -1)
    return SpineShape(spines.mean(axis=0), np.cov(flat, rowvar=False) + floor_mm**2 * np.eye(flat.shape[1]))


def _conditioned(
    mean: Float[np.ndarray, "11 3"],
    covariance: Float[np.ndarray, "33 33"],
    levels: Mapping[str, Float[np.ndarray, " 3"]],
    covariances_mm2: Mapping[str, Float[np.ndarray, "3 3"]],
) -> tuple[Float[np.ndarray, "11 3"], Float[np.ndarray, "33 33"]]:
    """Condition the Gaussian of all points on some of them."""
    rows = np.concatenate([3 * LUMBAR_LEVELS.index(level) + np.arange(3) for level in levels])
    known = covariance[np.ix_(rows, rows)].copy()
    for number, level in enumerate(levels):
        block = slice(3 * number, 3 * number + 3)
        known[block, block] += covariances_mm2[level]
    gain = np.linalg.solve(known, covariance[rows]).T
    surprise = np.concatenate(list(levels.values())) - mean.ravel()[rows]
    return (mean.ravel() + gain @ surprise).reshape(-1, 3), covariance - gain @ covariance[rows]


def _strangeness(
    mean: Float[np.ndarray, "11 3"],
    covariance: Float[np.ndarray, "33 33"],
    levels: Mapping[str, Float[np.ndarray, " 3"]],
    covariances_mm2: Mapping[str, Float[np.ndarray, "3 3"]],
    level: str,
) -> float:
    """Return how many standard deviations (of three coordinates together) a level is off what the others expect."""
    others = {name: point for name, point in levels.items() if name != level}
    points, posterior = _conditioned(mean, covariance, others, covariances_mm2)
    index = LUMBAR_LEVELS.index(level)
    block = slice(3 * index, 3 * index + 3)
    surprise = levels[level] - points[index]
    spread = posterior[block, block] + covariances_mm2[level]
    return float(np.sqrt(surprise @ np.linalg.solve(spread, surprise) / 3))
