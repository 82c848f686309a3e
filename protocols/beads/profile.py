"""What a blurred ball looks like: as a volume in a CT, as a shadow in an X-ray.

Both come from one closed form. A ball of radius R, convolved with an isotropic Gaussian of standard deviation s, has
at distance d from its center the value

    f(d) = (erf((R + d) / s') + erf((R - d) / s')) / 2
           - s / (d sqrt(2 pi)) (exp(-((R - d) / s')^2) - exp(-((R + d) / s')^2))

with s' = s sqrt(2). Its integral along a line is the shadow of the ball, blurred by the same Gaussian in the image.
"""

from functools import cache

import numpy as np
from jaxtyping import Float
from numpy.polynomial.legendre import leggauss
from scipy.special import erf

# The table of shadows: distance from the center and blur, both in radii of the ball.
DISTANCES = np.linspace(0.0, 5.0, 501)
BLURS = np.linspace(0.04, 1.24, 61)


def blurred_ball(
    distance: Float[np.ndarray, "*points"], radius: float, blur: float | Float[np.ndarray, "*blurs"]
) -> Float[np.ndarray, "*all"]:
    """Share of steel at a distance from the center of a blurred ball: 1 deep inside, 0 far away.

    Args:
        distance: From the center of the ball.
        radius: Of the ball.
        blur: Standard deviation of the Gaussian; all three in one unit. Broadcasts against ``distance``.
    """
    d = np.maximum(distance, 1e-4 * radius)
    width = np.sqrt(2.0) * blur
    near, far = (radius - d) / width, (radius + d) / width
    return (erf(far) + erf(near)) / 2 - blur / (np.sqrt(2 * np.pi) * d) * (np.exp(-(near**2)) - np.exp(-(far**2)))


@cache
def shadow_table() -> Float[np.ndarray, "bd 3"]:
    """Shadows of the unit ball over ``BLURS`` and ``DISTANCES``, in diameters: 1 at the center of a sharp one.

    Returns:
        The shadow and its derivatives by distance and by blur; one row for each blur and distance, distances fastest.
    """
    nodes, weights = leggauss(48)
    rows = []
    for blur in BLURS:
        reach = 1.0 + 5.0 * blur
        along = (nodes + 1) / 2 * reach
        values = blurred_ball(np.hypot(DISTANCES[:, None], along), 1.0, blur)
        rows.append(values @ weights * reach / 2)
    shadow = np.array(rows)
    by_blur, by_distance = np.gradient(shadow, BLURS, DISTANCES, edge_order=2)
    return np.stack([shadow, by_distance, by_blur], axis=-1).reshape(-1, 3)
