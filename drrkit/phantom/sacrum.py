"""The pelvis behind the fifth lumbar vertebra."""
import numpy as np
from drrkit.phantom.shape import Facet

def sacral_facets(size: float) -> Facet:
    """Return the left facet of S1 in the sacrum's frame."""
    angle = np.radians(52.0)
    axes = np.array([[-np.cos(angle), np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    return Facet(size * np.array([23.5, 30.0, -4.0]), axes)
