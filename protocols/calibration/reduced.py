"""Solve the normal equations by reducing them first: poses touch nothing but their own exposure's observations.

Their 6 x 6 blocks are eliminated one by one (the Schur complement of photogrammetry, Brown 1958), which leaves a
dense system of intrinsics, balls and distortion that is half as large and takes a tenth of the time. Elimination and
Cholesky factor are compiled loops of one thread: the matrices are so small that a threaded LAPACK loses more time with
waiting than it gains, by a factor of hundreds when other programs want the same processors.
"""

from dataclasses import dataclass

import numba
import numpy as np
from jaxtyping import Float, Int

from drrkit.errors import InputError

POSE_SIZE = 6
_WANTED = "matches that fix every pose (at least four balls that are not in one line for each exposure)"


@dataclass(frozen=True, eq=False)
class ReducedSystem:
    """A factored normal matrix.

    Args:
        pose: (E, 6) indices of the pose parameters.
        rest: (R,) indices of all others that are solved for; what is neither stays where it is.
        pose_inverse: (E, 6, 6) inverses of the pose blocks.
        carried: (E, 6, R) pose_inverse @ coupling of poses and rest.
        root: Lower Cholesky factor of the reduced matrix.
    """

    pose: Int[np.ndarray, "e 6"]
    rest: Int[np.ndarray, " r"]
    pose_inverse: Float[np.ndarray, "e 6 6"]
    carried: Float[np.ndarray, "e 6 r"]
    root: Float[np.ndarray, "r r"]

    def solve(self, right: Float[np.ndarray, " p"]) -> Float[np.ndarray, " p"]:
        """Return ``inverse(normal) @ right``."""
        by_pose = np.einsum("eij,ej->ei", self.pose_inverse, right[self.pose])
        solution = np.zeros_like(right)
        reduced = right[self.rest] - np.einsum("eir,ei->r", self.carried, right[self.pose])
        rest = _solve_root(self.root, reduced[:, None])[:, 0]
        solution[self.rest] = rest
        solution[self.pose] = by_pose - self.carried @ rest
        return solution

    def inverse(self, size: int) -> Float[np.ndarray, "p p"]:
        """Return the covariance of all ``size`` parameters; zero for those that are not solved for."""
        count, width = self.pose.size, len(self.rest)
        covariance = np.zeros((size, size))
        reduced = _solve_root(self.root, np.eye(width))
        carried = self.carried.reshape(count, width)
        poses = self.pose.ravel()
        across = -carried @ reduced
        among = -across @ carried.T
        for exposure, inverse in enumerate(self.pose_inverse):
            block = slice(exposure * POSE_SIZE, (exposure + 1) * POSE_SIZE)
            among[block, block] += inverse
        covariance[np.ix_(self.rest, self.rest)] = reduced
        covariance[np.ix_(poses, self.rest)] = across
        covariance[np.ix_(self.rest, poses)] = across.T
        covariance[np.ix_(poses, poses)] = among
        return covariance


def reduce_system(
    normal: Float[np.ndarray, "p p"], pose: Int[np.ndarray, "e 6"], rest: Int[np.ndarray, " r"]
) -> ReducedSystem:
    """Factor a normal matrix.

    Args:
        normal: The matrix; of no two exposures do the poses meet in it.
        pose: Indices of each exposure's pose.
        rest: Indices of the other parameters to solve for.

    Raises:
        InputError: The matrix is singular: the equations do not determine the unknowns.
    """
    try:
        pose_inverse = np.linalg.inv(normal[pose[:, :, None], pose[:, None, :]])
        coupling = normal[pose[:, :, None], rest]
        carried = pose_inverse @ coupling
    except np.linalg.LinAlgError as error:
        raise InputError("bundle adjustment", f"a pose that nothing determines ({error})", _WANTED) from error
    flat = (pose.size, len(rest))
    root = normal[np.ix_(rest, rest)]
    _eliminate(root, np.ascontiguousarray(coupling.reshape(flat)), np.ascontiguousarray(carried.reshape(flat)))
    if not _cholesky(root):
        raise InputError("bundle adjustment", "a singular system", _WANTED)
    return ReducedSystem(pose, rest, pose_inverse, carried, root)


@numba.njit(cache=True, fastmath=True)
def _eliminate(reduced: np.ndarray, coupling: np.ndarray, carried: np.ndarray) -> None:
    """Subtract ``coupling.T @ carried`` from the lower half; most couplings are zero."""
    for row in range(len(coupling)):
        for first in range(len(reduced)):
            factor = coupling[row, first]
            if factor != 0.0:
                for second in range(first + 1):
                    reduced[first, second] -= factor * carried[row, second]


@numba.njit(cache=True, fastmath=True)
def _cholesky(matrix: np.ndarray) -> bool:
    """Factor the lower half in place; False if the matrix is not positive definite."""
    for row in range(len(matrix)):
        for column in range(row + 1):
            left = matrix[row, column]
            for inner in range(column):
                left -= matrix[row, inner] * matrix[column, inner]
            if row > column:
                matrix[row, column] = left / matrix[column, column]
            elif left > 0.0:
                matrix[row, row] = np.sqrt(left)
            else:
                return False
    return True


@numba.njit(cache=True, fastmath=True)
def _solve_root(root: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Solve for columns, given the lower factor."""
    solution = right.copy()
    count = len(root)
    for row in range(count):
        for inner in range(row):
            factor = root[row, inner]
            if factor != 0.0:
                for column in range(solution.shape[1]):
                    solution[row, column] -= factor * solution[inner, column]
        for column in range(solution.shape[1]):
            solution[row, column] /= root[row, row]
    for row in range(count - 1, -1, -1):
        for column in range(solution.shape[1]):
            solution[row, column] /= root[row, row]
        for inner in range(row):
            factor = root[row, inner]
            if factor != 0.0:
                for column in range(solution.shape[1]):
                    solution[inner, column] -= factor * solution[row, column]
    return solution
