"""Procedural lumbar spines as CT, labels, regions, meshes and landmarks: the embedded default cohort.

Nothing here was measured from a patient; docs/phantom.md says what it is and what it is not.
"""

from typing import TYPE_CHECKING

from drrkit.phantom.parameters import (
    ADULTS,
    POPULATIONS,
    SHIFTED,
    VARIED,
    PhantomParameters,
    Spread,
    sample_parameters,
)

if TYPE_CHECKING:
    from drrkit.phantom.phantom import Phantom, make_phantom
    from drrkit.phantom.vertebrae import Spine, Vertebra, make_spine

__all__ = [
    "ADULTS",
    "POPULATIONS",
    "SHIFTED",
    "VARIED",
    "Phantom",
    "PhantomParameters",
    "Spine",
    "Spread",
    "Vertebra",
    "make_phantom",
    "make_spine",
    "sample_parameters",
]


def __getattr__(name: str) -> object:
    # numba and scikit-image take seconds to import; only who makes a phantom pays for them.
    if name in ("Phantom", "make_phantom"):
        from drrkit.phantom import phantom

        return getattr(phantom, name)
    if name in ("Spine", "Vertebra", "make_spine"):
        from drrkit.phantom import vertebrae

        return getattr(vertebrae, name)
    raise AttributeError(f"module 'drrkit.phantom' has no attribute {name!r}")
