"""What union F1 to expect of a set of views, from its geometry alone: a ridge regression, fitted on scored sets.

The model says how sets differ; how good a donor is in himself it only knows as a spread over the donors it saw. It is
written as ``drrkit-view-expectation/1`` JSON, readable coefficients and all.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from drrkit.errors import InputError
from reconstruction.planning.features import FEATURES, set_features
from reconstruction.planning.reach import Pose, directions_world, line_angles_deg

CONVENTION = "drrkit-view-expectation/1"


@dataclass(frozen=True)
class Design:
    """What the regression looks at.

    Args:
        features: Names of :data:`reconstruction.planning.features.FEATURES`.
        squares: Take their squares as well.
    """

    features: tuple[str, ...]
    squares: bool = False

    def columns(self, lines_world: Float[np.ndarray, "sets views 3"]) -> Float[np.ndarray, "sets columns"]:
        """Return the columns of sets of one number of views."""
        values = set_features(lines_world, self.features)
        return np.concatenate([values, values**2], axis=1) if self.squares else values


# From the least that can be said to all: cross-validation over donors chooses.
DESIGNS: Mapping[str, Design] = MappingProxyType(
    {
        "count": Design(("inverse_count",)),
        "spread": Design(("inverse_count", "worst_spread", "widest_gap")),
        "coverage": Design(FEATURES),
        "curved": Design(FEATURES, squares=True),
    }
)


@dataclass(frozen=True, eq=False)
class Expectation:
    """A fitted model; valid when it exists.

    Args:
        design: Key of ``DESIGNS``.
        penalty: Of the ridge, as a part of the number of scored sets.
        center: Mean of each column.
        scale: Standard deviation of each column.
        coefficients: Of the scaled columns.
        intercept: F1 of the mean donor at ``center``.
        covariance: Of the coefficients.
        error: Root mean square error of unseen donors' sets, each donor's own level aside.
        donor_sd: Spread of the donors' levels.
        counts: Least and largest number of views that were scored.
        learned_deg: (primary, secondary) of the views that were scored.
        trust_deg: How far off those a line of sight may be.
        about: What it was fitted on and how the designs did, for readers.

    Raises:
        InputError: An unknown design, or numbers that do not fit it.
    """

    design: str
    penalty: float
    center: tuple[float, ...]
    scale: tuple[float, ...]
    coefficients: tuple[float, ...]
    intercept: float
    covariance: tuple[tuple[float, ...], ...]
    error: float
    donor_sd: float
    counts: tuple[int, int]
    learned_deg: tuple[tuple[float, float], ...]
    trust_deg: float
    about: Mapping[str, Any]

    def __post_init__(self) -> None:
        if self.design not in DESIGNS:
            raise InputError("view expectation, design", self.design, " or ".join(DESIGNS))
        design = DESIGNS[self.design]
        size = len(design.features) * (2 if design.squares else 1)
        vectors = [np.asarray(getattr(self, name), np.float64) for name in ("center", "scale", "coefficients")]
        matrix = np.asarray(self.covariance, np.float64)
        if any(vector.shape != (size,) for vector in vectors) or matrix.shape != (size, size):
            raise InputError("view expectation", "coefficients of another design", f"{size} of {self.design}")
        single = np.array([self.intercept, self.error, self.donor_sd, self.penalty, self.trust_deg])
        if not all(np.isfinite(values).all() for values in (*vectors, matrix, single)) or (vectors[1] <= 0).any():
            raise InputError("view expectation", "numbers that are NaN or infinite", "finite numbers")
        if not 1 <= self.counts[0] <= self.counts[1] or not self.learned_deg:
            raise InputError("view expectation", f"{self.counts} views", "least to largest number, and their angles")

    def predict(
        self, lines_world: Float[np.ndarray, "sets views 3"]
    ) -> tuple[Float[np.ndarray, " sets"], Float[np.ndarray, " sets"]]:
        """Expect the union F1 of sets of one number of views.

        Returns:
            F1 of a mean donor, 0 to 1, and the standard deviation of what a new donor will show.

        Raises:
            InputError: A number of views beyond those that were scored.
        """
        f1, of_model = self._f1_and_variance(lines_world)
        return f1, np.sqrt(of_model + self.error**2 + self.donor_sd**2)

    def cautious(self, lines_world: Float[np.ndarray, "sets views 3"], caution: float) -> Float[np.ndarray, " sets"]:
        """Expect F1 less ``caution`` standard deviations of the coefficients' own uncertainty.

        The best of very many sets is one that the model flatters; where it knows little, it flatters most.

        Raises:
            InputError: As :meth:`predict`.
        """
        f1, of_model = self._f1_and_variance(lines_world)
        return f1 - caution * np.sqrt(of_model)

    def _f1_and_variance(
        self, lines_world: Float[np.ndarray, "sets views 3"]
    ) -> tuple[Float[np.ndarray, " sets"], Float[np.ndarray, " sets"]]:
        count = np.shape(lines_world)[1]
        low, high = self.counts
        if not low <= count <= high:
            raise InputError("number of shots", count, f"{low} to {high}, which the model was fitted on")
        columns = (DESIGNS[self.design].columns(lines_world) - np.array(self.center)) / np.array(self.scale)
        f1 = np.clip(self.intercept + columns @ np.array(self.coefficients), 0, 1)
        return f1, np.einsum("sc,cd,sd->s", columns, np.array(self.covariance), columns).clip(min=0)

    def trusted(self, poses: Sequence[Pose]) -> Bool[np.ndarray, " n"]:
        """Say which poses look about as some view did that was scored."""
        learned = directions_world([Pose(*angles) for angles in self.learned_deg])
        return line_angles_deg(directions_world(poses), learned).min(axis=1) <= self.trust_deg


def write_expectation(path: Path, expectation: Expectation) -> None:
    """Write a model as JSON."""
    from drrkit.io.store import write_json  # it brings image files along, which planning needs not wait for

    write_json(path, {"convention": CONVENTION, **asdict(expectation)})


def read_expectation(path: Path) -> Expectation:
    """Read a model.

    Raises:
        InputError: No such file, another convention, a field missing, unknown or wrong.
    """
    wanted = f"a {CONVENTION} file, as the pipeline writes to results/study/view_expectation.json"
    try:
        content = json.loads(Path(path).read_text())
    except OSError as error:
        raise InputError(path, error.strerror or error, wanted) from error
    except ValueError as error:
        raise InputError(path, f"no JSON ({error})", wanted) from error
    if not isinstance(content, dict) or content.pop("convention", None) != CONVENTION:
        raise InputError(path, "another kind of file", wanted)
    try:
        return Expectation(**{name: _frozen(value) for name, value in content.items()})
    except InputError as error:
        raise InputError(f"{path}, {error.where}", error.found, error.wanted) from error
    except (TypeError, ValueError, IndexError) as error:
        raise InputError(path, f"a field missing, unknown or wrong ({error})", wanted) from error


def _frozen(value: Any) -> Any:
    return tuple(_frozen(part) for part in value) if isinstance(value, list) else value
