"""Spines and phantoms that several tests look at; made once a session."""

from collections.abc import Callable

import numpy as np
import pytest

from drrkit.phantom import (
    ADULTS,
    SHIFTED,
    Phantom,
    PhantomParameters,
    Spine,
    make_phantom,
    make_spine,
    sample_parameters,
)


@pytest.fixture(scope="session")
def typical_spine() -> Spine:
    """The mean spine: no individual deviation, no disease."""
    return make_spine(PhantomParameters(seed=0, individuality=0.0))


@pytest.fixture(scope="session")
def varied_spines() -> list[Spine]:
    """Ten adults and ten of the shifted cohort."""
    return [make_spine(sample_parameters(seed, cohort)) for cohort in (ADULTS, SHIFTED) for seed in range(10)]


@pytest.fixture(scope="session")
def phantom() -> Phantom:
    return make_phantom(3, spacing_mm=2.0)


@pytest.fixture(scope="session")
def spine_of() -> Callable[..., Spine]:
    """Make a typical spine with some parameters changed."""

    def make(**changes: object) -> Spine:
        return make_spine(PhantomParameters(seed=0, **{"individuality": 0.0, "disc_degeneration": 0.0, **changes}))

    return make


@pytest.fixture(scope="session")
def edge_counts() -> Callable[[np.ndarray], np.ndarray]:
    """Count how often each undirected edge of a mesh occurs, each direction apart: (edges, 2)."""

    def count(faces: np.ndarray) -> np.ndarray:
        directed = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]).astype(np.int64)
        forward = directed[:, 0] < directed[:, 1]
        edges, number = np.unique(np.sort(directed, axis=1), axis=0, return_inverse=True)
        number = number.ravel()
        return np.column_stack(
            [np.bincount(number[forward], minlength=len(edges)), np.bincount(number[~forward], minlength=len(edges))]
        )

    return count


@pytest.fixture(scope="session")
def enclosed_mm3() -> Callable[[np.ndarray, np.ndarray], float]:
    """Volume inside a closed mesh by the divergence theorem; negative when the faces look inwards."""

    def volume(vertices: np.ndarray, faces: np.ndarray) -> float:
        a, b, c = (vertices[faces[:, corner]] for corner in range(3))
        return float((a * np.cross(b, c)).sum() / 6)

    return volume
