"""Fit the shadows of many balls at once: blurred sphere chords over a sloping background, by damped Gauss-Newton.

Each ball has its own window and ten unknowns: center, logarithms of radius and blur, height, and a background of five
terms. The steps of all balls are taken together, in arrays.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32

from protocols.beads.profile import BLURS, DISTANCES, shadow_table

# Unknowns of one ball, in this order; the background's five terms follow.
U, V, LOG_RADIUS, LOG_BLUR, HEIGHT, LEVEL = range(6)
UNKNOWNS = 10
# The window reaches beyond the ball by this share of its radius, and these pixels.
BEYOND, BEYOND_PX = 0.45, 2.5
# How far the logarithm of the blur may be from where it is expected.
BLUR_LOOSE = 0.6
# Residuals beyond this many standard deviations lose weight (Cauchy).
ROBUST = 2.5


@dataclass(eq=False)
class Shadows:
    """Windows of one image around N balls, and what is known of them.

    Args:
        values: (N, 10) unknowns; centers in pixels of the image.
        offsets: (N, 2) corner pixel that the window's grid is laid from.
        grid: (K, 2) offsets of the window's pixels.
        pixels: (N, K) image values.
        weights: (N, K) window weights, 0 beyond the image.
        prior: (N, 2) expected logarithms of radius and blur.
        looseness: (2,) their standard deviations.
    """

    values: Float[np.ndarray, "n 10"]
    offsets: Float[np.ndarray, "n 2"]
    grid: Float[np.ndarray, "k 2"]
    pixels: Float[np.ndarray, "n k"]
    weights: Float[np.ndarray, "n k"]
    prior: Float[np.ndarray, "n 2"]
    looseness: Float[np.ndarray, " 2"]

    def __len__(self) -> int:
        return len(self.values)

    @property
    def centers(self) -> Float[np.ndarray, "n 2"]:
        """(u, v) of each ball."""
        return self.values[:, :2]

    @property
    def radii(self) -> Float[np.ndarray, " n"]:
        """Radius of each ball in pixels."""
        return np.exp(self.values[:, LOG_RADIUS])

    def chosen(self, keep: np.ndarray) -> "Shadows":
        """Only some of the balls."""
        return Shadows(
            self.values[keep],
            self.offsets[keep],
            self.grid,
            self.pixels[keep],
            self.weights[keep],
            self.prior[keep],
            self.looseness,
        )


def open_windows(
    image: Float32[np.ndarray, "h w"],
    centers: Float[np.ndarray, "n 2"],
    radii: Float[np.ndarray, " n"],
    radius_px: tuple[float, float],
    blur_px: float,
) -> Shadows:
    """Cut a window around each center and set the unknowns to a first guess."""
    reach = int(np.ceil(radius_px[1] * (1 + BEYOND) + BEYOND_PX))
    v, u = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    disc = np.hypot(u, v) <= reach
    grid = np.stack([u[disc], v[disc]], axis=1)
    offsets = np.rint(centers).astype(int)
    index = offsets[:, None] + grid
    inside = ((index >= 0) & (index < image.shape[::-1])).all(axis=-1)
    clipped = np.clip(index, 0, np.array(image.shape[::-1]) - 1)
    pixels = image[clipped[..., 1], clipped[..., 0]].astype(np.float64)
    window = radii[:, None] * (1 + BEYOND) + BEYOND_PX - np.hypot(*(index - centers[:, None]).transpose(2, 0, 1))
    weights = np.clip(window + 0.5, 0, 1) * inside
    values = np.zeros((len(centers), UNKNOWNS))
    values[:, :2] = centers
    values[:, LOG_RADIUS] = np.log(radii)
    values[:, LOG_BLUR] = np.log(blur_px)
    rim = (weights > 0) & (np.hypot(*(index - centers[:, None]).transpose(2, 0, 1)) > 1.2 * radii[:, None])
    values[:, LEVEL] = (pixels * rim).sum(axis=1) / np.maximum(rim.sum(axis=1), 1)
    near = np.hypot(*(index - centers[:, None]).transpose(2, 0, 1)) < np.maximum(0.5 * radii[:, None], 1)
    values[:, HEIGHT] = np.maximum((pixels * near).sum(axis=1) / near.sum(axis=1) - values[:, LEVEL], 1e-6)
    middle = np.log(radius_px[0] * radius_px[1]) / 2
    prior = np.tile([middle, np.log(blur_px)], (len(centers), 1))
    looseness = np.array([max(np.log(radius_px[1] / radius_px[0]) / 2, 0.1), BLUR_LOOSE])
    return Shadows(values, offsets.astype(float), grid.astype(float), pixels, weights, prior, looseness)


def profile(
    values: Float[np.ndarray, "n 10"], offsets: Float[np.ndarray, "n 2"], grid: Float[np.ndarray, "k 2"]
) -> tuple[Float[np.ndarray, "n k"], ...]:
    """Shadows of unit height in their windows.

    Returns:
        The shadow; its derivatives by distance in radii and by relative blur; distance in radii; steps from the
        center in radii, along u and v.
    """
    radius = np.exp(values[:, LOG_RADIUS])[:, None]
    du = (grid[None, :, 0] + (offsets[:, :1] - values[:, :1])) / radius
    dv = (grid[None, :, 1] + (offsets[:, 1:] - values[:, 1:2])) / radius
    distance = np.hypot(du, dv)
    blur = np.exp(values[:, LOG_BLUR])[:, None] / radius
    row = np.clip((blur - BLURS[0]) / (BLURS[1] - BLURS[0]), 0, len(BLURS) - 1.001)
    column = np.clip(distance / DISTANCES[1], 0, len(DISTANCES) - 1.001)
    i, j = row.astype(np.intp), column.astype(np.intp)
    p, q = (row - i)[..., None], (column - j)[..., None]
    corner = i * len(DISTANCES) + j
    table = shadow_table()
    near = table.take(corner, axis=0) * (1 - q) + table.take(corner + 1, axis=0) * q
    corner += len(DISTANCES)
    far = table.take(corner, axis=0) * (1 - q) + table.take(corner + 1, axis=0) * q
    near += (far - near) * p
    return near[..., 0], near[..., 1], near[..., 2], distance, du, dv


def shadows_of(
    values: Float[np.ndarray, "n 10"], offset: Float[np.ndarray, " 2"], grid: Float[np.ndarray, "k 2"]
) -> Float[np.ndarray, "n k"]:
    """Shadows of several balls in one window, without background."""
    return values[:, HEIGHT, None] * profile(values, np.tile(offset, (len(values), 1)), grid)[0]


def modelled(shadows: Shadows) -> tuple[Float[np.ndarray, "n k"], Float[np.ndarray, "n k 10"]]:
    """Values of the model in each window, and their derivatives by the unknowns."""
    values = shadows.values
    radius = np.exp(values[:, LOG_RADIUS])[:, None]
    height = values[:, HEIGHT][:, None]
    shadow, by_distance, by_blur, distance, du, dv = profile(values, shadows.offsets, shadows.grid)
    blur = np.exp(values[:, LOG_BLUR])[:, None] / radius
    slope = by_distance / np.maximum(distance, 1e-6)
    jacobian = np.empty((*shadow.shape, UNKNOWNS))
    jacobian[..., U] = -height * slope * du / radius
    jacobian[..., V] = -height * slope * dv / radius
    jacobian[..., LOG_RADIUS] = -height * (distance * by_distance + blur * by_blur)
    jacobian[..., LOG_BLUR] = height * blur * by_blur
    jacobian[..., HEIGHT] = shadow
    # The background belongs to the window, not to the moving center, so that it stays linear.
    x, y = shadows.grid.T / (np.abs(shadows.grid).max() + 1e-9)
    jacobian[..., LEVEL:] = np.stack([np.ones_like(x), x, y, x * x - y * y, 2 * x * y], axis=1)
    return height * shadow + np.einsum("nkb,nb->nk", jacobian[..., LEVEL:], values[:, LEVEL:]), jacobian


@dataclass(frozen=True, eq=False)
class Fit:
    """What the fit left over.

    Args:
        shadows: With the fitted unknowns.
        residuals: (N, K) image less model, neighbors included.
        weights: (N, K) robust window weights.
        jacobian: (N, K, 10) at the solution.
        noise: (N,) standard deviation of the residuals.
        explained: (N,) share of the window's variance, background aside, that the ball accounts for.
    """

    shadows: Shadows
    residuals: Float[np.ndarray, "n k"]
    weights: Float[np.ndarray, "n k"]
    jacobian: Float[np.ndarray, "n k 10"]
    noise: Float[np.ndarray, " n"]
    explained: Float[np.ndarray, " n"]

    def chosen(self, keep: np.ndarray) -> "Fit":
        """Only some of the balls."""
        return Fit(
            self.shadows.chosen(keep),
            *(part[keep] for part in (self.residuals, self.weights, self.jacobian, self.noise, self.explained)),
        )


def fit_shadows(shadows: Shadows, steps: int, *, neighbors: bool) -> Fit:
    """Fit all balls.

    Args:
        shadows: Windows and first guesses.
        steps: Gauss-Newton steps.
        neighbors: Whether balls in each other's windows are all real and fitted together; else each fit is alone.
    """
    values = shadows.values.copy()
    start = values.copy()
    precision = 1 / shadows.looseness**2
    for step in range(steps + 1):
        current = Shadows(
            values, shadows.offsets, shadows.grid, shadows.pixels, shadows.weights, shadows.prior, shadows.looseness
        )
        model, jacobian = modelled(current)
        data = shadows.pixels - _others(current) if neighbors else shadows.pixels
        residuals = data - model
        noise = _noise(residuals, shadows.weights)
        weights = shadows.weights / (1 + (residuals / (ROBUST * noise[:, None])) ** 2)
        if step == steps:
            break
        weighted = jacobian * weights[..., None]
        normal = np.matmul(jacobian.transpose(0, 2, 1), weighted)
        pull = np.einsum("nkp,nk->np", weighted, residuals)
        for column, index in enumerate((LOG_RADIUS, LOG_BLUR)):
            stiff = noise**2 * precision[column]
            normal[:, index, index] += stiff
            pull[:, index] += stiff * (shadows.prior[:, column] - values[:, index])
        diagonal = np.einsum("npp->np", normal)
        diagonal *= 1 + 0.1 * 0.3**step
        diagonal += 1e-9 * diagonal.max(axis=1, keepdims=True) + 1e-12
        change = np.linalg.solve(normal, pull[..., None])[..., 0]
        room = 0.4 * np.exp(values[:, LOG_RADIUS])[:, None]
        change[:, :2] = np.clip(change[:, :2], -room, room)
        change[:, LOG_RADIUS : LOG_BLUR + 1] = np.clip(change[:, LOG_RADIUS : LOG_BLUR + 1], -0.3, 0.3)
        if neighbors:
            # Overlapping balls move at the same time: half steps keep them from pushing each other about.
            change[_close(current)] *= 0.6
        values = values + change
        values[:, :2] = np.clip(values[:, :2], start[:, :2] - 2.5 * room, start[:, :2] + 2.5 * room)
    bare = _less_background(data, jacobian[..., LEVEL:], weights)
    left = (weights * residuals**2).sum(axis=1)
    explained = 1 - left / np.maximum((weights * bare**2).sum(axis=1), 1e-20)
    return Fit(current, residuals, weights, jacobian, noise, explained)


def overlapping(shadows: Shadows) -> Bool[np.ndarray, "n n"]:
    """Which other balls reach into whose window."""
    apart = np.hypot(*(shadows.centers[:, None] - shadows.centers[None]).transpose(2, 0, 1))
    reach = (1 + BEYOND) * shadows.radii + BEYOND_PX
    near = apart < reach[:, None] + 1.3 * shadows.radii[None, :]
    np.fill_diagonal(near, False)
    return near


def _close(shadows: Shadows) -> Bool[np.ndarray, " n"]:
    """Which balls overlap with another one."""
    apart = np.hypot(*(shadows.centers[:, None] - shadows.centers[None]).transpose(2, 0, 1))
    np.fill_diagonal(apart, np.inf)
    return (apart < 2 * shadows.radii).any(axis=1)


def _others(shadows: Shadows) -> Float[np.ndarray, "n k"]:
    """What the other balls add to each window."""
    total = np.zeros_like(shadows.pixels)
    window, ball = np.nonzero(overlapping(shadows))
    if len(window):
        shadow = profile(shadows.values[ball], shadows.offsets[window], shadows.grid)[0]
        np.add.at(total, window, shadows.values[ball, HEIGHT][:, None] * shadow)
    return total


def _noise(residuals: Float[np.ndarray, "n k"], weights: Float[np.ndarray, "n k"]) -> Float[np.ndarray, " n"]:
    """Standard deviation of the residuals, from the median within each window."""
    # Every third pixel is enough, and those beyond the window are sorted to the end.
    sizes = np.sort(np.where(weights > 0.5, np.abs(residuals), np.inf)[:, ::3], axis=1)
    middle = np.isfinite(sizes).sum(axis=1) // 2
    median = sizes[np.arange(len(sizes)), middle]
    return np.where(np.isfinite(median), 1.4826 * median, 1.0) + 1e-6


def _less_background(
    data: Float[np.ndarray, "n k"], columns: Float[np.ndarray, "n k b"], weights: Float[np.ndarray, "n k"]
) -> Float[np.ndarray, "n k"]:
    """Take the best background alone out of each window."""
    weighted = columns * weights[..., None]
    normal = np.matmul(columns.transpose(0, 2, 1), weighted) + 1e-9 * np.eye(columns.shape[-1])
    terms = np.linalg.solve(normal, np.einsum("nkb,nk->nb", weighted, data)[..., None])
    return data - np.matmul(columns, terms)[..., 0]
