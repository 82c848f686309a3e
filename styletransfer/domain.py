"""Whether a real image resembles those that a translator was trained on, and if not, what is odd about it.

An image becomes a few numbers that a person can check (:data:`STATISTICS`); the score is their Mahalanobis distance
from the training images. What a network makes of an image outside is not to be trusted, however good it looks.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Float
from scipy import ndimage, stats
from torch import Tensor

from drrkit.errors import InputError

Image = Float[np.ndarray, "h w"]
Vector = Float[np.ndarray, " s"]

# What is measured, and by how much donors and exposures of one device ordinarily differ in it: the spread that is
# believed before any image was seen, and that keeps the distance sound with few donors.
STATISTICS: Mapping[str, float] = {
    "log_low": 0.30,  # logarithm of the 25th percentile of the line integrals that are not 0
    "log_middle": 0.15,  # of the median
    "log_high": 0.15,  # of the 99th percentile
    "log_band_2_px": 0.30,  # of the robust spread of the image between two Gaussians, a band an octave
    "log_band_4_px": 0.30,
    "log_band_8_px": 0.30,
    "log_noise": 0.20,  # of the noise: robust spread of second differences, in line integrals
    "noise_lag": 0.10,  # correlation of second differences with their neighbors': what detector and resampling smooth
    "ridges": 0.03,  # thin structures: asymmetry of the finest details, above 0 where bright ones are stronger
    "strong_details": 0.10,  # share of bright ones among the strongest coarser details: what blur and glare take away
    "center": 0.25,  # correlation of the line integrals with nearness to the middle of the image
    "skewness": 0.60,  # of the line integrals
    "open_share": 0.15,  # share of pixels that are exactly 0
    "log_pixel_mm": 0.10,  # logarithm of the size of a pixel, scaled back to the middle of the patient
}
NAMES = tuple(STATISTICS)
_PRIOR = np.array(list(STATISTICS.values()))
_PIXEL = NAMES.index("log_pixel_mm")

# The believed spread weighs as much as this many donors.
PRIOR_DONORS = 2.0
# A new donor's worst image stays inside the limit with this probability, if donors vary as those of the training.
LIMIT_PROBABILITY = 0.95
# How differently donors lie is hardly to be seen with few: believed is this standard deviation of the logarithm of
# their worst distances, as firmly as if so many donors more had shown it.
ASSUMED_LOG_SPREAD = 0.2
ASSUMED_DONORS = 6
# A single statistic is named as a reason if it lies so many standard deviations from the mean.
REASON_DEVIATIONS = 3.0

_OCTAVES_PX = (1.0, 2.0, 4.0, 8.0)
_STRONGEST_SHARE = 0.02
_RIDGE_PX = 1.5  # the coarser of two Gaussians whose difference shows cortices; the finer is that of 1 px
_RIDGE_PERCENTS = (3, 50, 97)
_RIDGE_MARGIN_PX = 10  # from open beam and the border of the field
_LEAST = 1e-6  # line integral: below any noise, keeps logarithms finite


@dataclass(frozen=True)
class DomainScore:
    """How far an image lies from those of the training.

    Args:
        distance: Mahalanobis distance, per root of the number of statistics: 1 is usual, infinite if nothing is shown.
        limit: Of training images; with few donors it is wide.
        is_inside: Whether the distance is within the limit.
        reasons: What is odd about an image outside, most striking first; empty inside.
    """

    distance: float
    limit: float
    is_inside: bool
    reasons: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class DomainStatistics:
    """Statistics of a training set; few numbers that travel with the model.

    Args:
        mean: (S,) means of :data:`STATISTICS`.
        covariance: (S, S), shrunk.
        limit: Largest distance that counts as inside.
    """

    mean: Vector
    covariance: Float[np.ndarray, "s s"]
    limit: float

    @classmethod
    def fit(cls, images: Iterable[tuple[Image, str, float]]) -> "DomainStatistics":
        """Measure the training images, and how far each donor lies from the others.

        The limit is that of a prediction: for each donor, statistics of the others give the distance of its worst
        image; of the logarithms of these, the upper limit for one donor more is taken (Student's t, with a believed
        spread: :data:`ASSUMED_LOG_SPREAD`). Few donors thus give a wide limit, and the limit of one donor rests on
        beliefs alone: it finds images that are no line integrals, and little else.

        Args:
            images: (H, W) real line integrals with their donor and the size of their pixels, scaled back to the middle
                of the patient; they are looked at once.

        Raises:
            InputError: No image, NaN, an image without line integrals above 0, or a size that is not positive.
        """
        measured, donors = [], []
        for pixels, donor_id, pixel_mm in images:
            one = measure(pixels, pixel_mm)
            if not np.isfinite(one).all():
                raise InputError(f"training image of donor {donor_id}", "no line integral above 0", "an image")
            measured.append(one)
            donors.append(donor_id)
        if not measured:
            raise InputError("training images", "none", "at least one")
        rows, names = np.stack(measured), np.array(donors)
        mean, covariance = _moments(rows, names)
        return cls(mean, covariance, _limit(rows, names))

    def score(self, pixels: Image, pixel_mm: float | None = None) -> DomainScore:
        """Score one real image.

        Args:
            pixels: (H, W), believed to be line integrals.
            pixel_mm: Size of its pixels, scaled back to the middle of the patient; None if unknown.

        Raises:
            InputError: NaN, no (H, W) image, or a size that is not positive.
        """
        values = measure(pixels, pixel_mm)
        known = np.ones(len(NAMES), bool)
        known[_PIXEL] = pixel_mm is not None
        if not np.isfinite(values[known]).all():
            return DomainScore(float("inf"), self.limit, False, ("no pixel is above 0",))
        distance = float(_distances(values[None], self.mean, self.covariance, known)[0])
        is_inside = distance <= self.limit
        return DomainScore(distance, self.limit, is_inside, () if is_inside else self._reasons(values, known, pixels))

    def tensors(self) -> dict[str, Tensor]:
        """Return what travels with a model's weights."""
        return {
            "domain.mean": torch.from_numpy(self.mean.copy()),
            "domain.covariance": torch.from_numpy(self.covariance.copy()),
            "domain.limit": torch.tensor(self.limit, dtype=torch.float64),
        }

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> "DomainStatistics":
        """Take what :meth:`tensors` returned, among other tensors.

        Raises:
            InputError: One is missing, or of other statistics.
        """
        count = len(NAMES)
        wanted = {"domain.mean": (count,), "domain.covariance": (count, count), "domain.limit": ()}
        for name, shape in wanted.items():
            found = tuple(tensors[name].shape) if name in tensors else "nothing"
            if found != shape:
                raise InputError(f"weights, {name}", found, f"a tensor of shape {shape}")
        mean, covariance, limit = (tensors[name].detach().cpu().double().numpy().copy() for name in wanted)
        return cls(mean, covariance, float(limit))

    def _reasons(self, values: Vector, known: np.ndarray, pixels: Image) -> tuple[str, ...]:
        spreads = np.sqrt(np.diag(self.covariance))
        deviations = np.where(known, (values - self.mean) / spreads, 0.0)
        striking = [at for at in np.argsort(-np.abs(deviations)) if abs(deviations[at]) >= REASON_DEVIATIONS]
        # Each value may pass alone where their combination does not; then the most unusual is named all the same.
        striking = striking or [int(np.abs(deviations).argmax())]
        span = f"values span {pixels.min():.4g} to {pixels.max():.4g}"
        told = [_reason(NAMES[at], values[at], self.mean[at], span) for at in striking]
        return tuple(dict.fromkeys(told))


def measure(pixels: Image, pixel_mm: float | None = None) -> Vector:
    """Measure the statistics of one image.

    Args:
        pixels: (H, W) line integrals.
        pixel_mm: Size of a pixel in the middle of the patient, or None.

    Returns:
        (S,) in the order of :data:`STATISTICS`, NaN for what cannot be measured.

    Raises:
        InputError: NaN, no (H, W) image of at least 16 pixels a side, or a size that is not positive.
    """
    image = np.asarray(pixels)
    if image.ndim != 2 or min(image.shape) < 16:
        raise InputError("image", f"shape {image.shape}", "(H, W) pixels, at least 16 a side")
    if not np.isfinite(image).all():
        raise InputError("image", "NaN or infinite pixels", "finite line integrals")
    if pixel_mm is not None and not 0 < pixel_mm < np.inf:
        raise InputError("pixel_mm", pixel_mm, "a positive length")
    image = image.astype(np.float32)
    inside = image != 0
    if not (image > 0).any():
        return np.full(len(NAMES), np.nan)
    values = image[inside].astype(np.float64)
    low, middle, high = np.percentile(values, [25, 50, 99])
    # Where windows reach open beam or the border of the field, the step drowns everything else.
    covered = ndimage.binary_erosion(inside, np.ones((3, 3)), iterations=3, border_value=1)
    covered = covered if covered.any() else inside
    smoothed = [_smoothed(image, sigma) for sigma in _OCTAVES_PX]
    bands = [(fine - coarse)[covered] for fine, coarse in pairwise(smoothed)]
    noise = ndimage.convolve(image, np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32) / 6, mode="nearest")
    measured = {
        "log_low": _log(low),
        "log_middle": _log(middle),
        "log_high": _log(high),
        "log_band_2_px": _log(_spread(bands[0])),
        "log_band_4_px": _log(_spread(bands[1])),
        "log_band_8_px": _log(_spread(bands[2])),
        "log_noise": _log(_spread(noise[covered])),
        "noise_lag": _lag(noise, covered),
        "ridges": _ridges(
            smoothed[0] - ndimage.gaussian_filter(image, _RIDGE_PX, mode="nearest", truncate=3.0), inside
        ),
        "strong_details": _strong_details(bands[1]),
        "center": _centered(image),
        "skewness": float(np.nan_to_num(stats.skew(values))),
        "open_share": float(1 - inside.mean()),
        "log_pixel_mm": np.nan if pixel_mm is None else float(np.log(pixel_mm)),
    }
    return np.array([measured[name] for name in NAMES])


def _smoothed(image: Image, sigma_px: float) -> Image:
    smoothed: Image = ndimage.gaussian_filter(image, sigma_px, mode="nearest", truncate=3.0)
    return smoothed


def _log(value: float) -> float:
    return float(np.log(max(value, _LEAST)))


def _spread(values: np.ndarray) -> float:
    """Standard deviation that a normal distribution with these quartiles has: a few strong edges do not count."""
    low, high = np.percentile(values, [25, 75])
    return float((high - low) / 1.349)


def _lag(noise: Image, covered: np.ndarray) -> float:
    """Mean correlation with the pixel two to the right or below: second differences of white noise have 1/6 there."""
    lags = []
    for ahead, behind in (((slice(None), slice(2, None)), (slice(None), slice(-2))), ((slice(2, None),), (slice(-2),))):
        both = covered[ahead] & covered[behind]
        first, second = noise[ahead][both], noise[behind][both]
        energy = np.sqrt((first.astype(np.float64) ** 2).sum() * (second.astype(np.float64) ** 2).sum())
        lags.append(float(first.astype(np.float64) @ second / energy) if energy > 0 else 1.0)
    return float(np.mean(lags))


def _ridges(details: Image, inside: np.ndarray) -> float:
    """Asymmetry of the finest details: cortices are thin and dense, what lies between them is wide and faint."""
    distance = ndimage.distance_transform_edt(np.pad(inside, 1, constant_values=True))[1:-1, 1:-1]
    deep = distance > _RIDGE_MARGIN_PX
    low, middle, high = np.percentile(details[deep if deep.any() else inside], _RIDGE_PERCENTS)
    return float((high + low - 2 * middle) / (high - low)) if high > low else 0.0


def _strong_details(band: np.ndarray) -> float:
    """Share of bright ones among the strongest details."""
    strongest = np.abs(band) >= np.quantile(np.abs(band), 1 - _STRONGEST_SHARE)
    return float((band[strongest] > 0).mean())


def _centered(image: Image) -> float:
    """Correlation of pixels, open beam too, with nearness to the middle: bodies thin out to their sides."""
    axes = [np.linspace(-1, 1, size, dtype=np.float32) ** 2 for size in image.shape]
    near = -(axes[0][:, None] + axes[1][None])
    off = image - image.mean()
    spread = float(image.std() * near.std())
    return float((off * (near - near.mean())).mean() / spread) if spread > 0 else 0.0


def _moments(rows: Float[np.ndarray, "n s"], donors: np.ndarray) -> tuple[Vector, Float[np.ndarray, "s s"]]:
    """Mean and covariance, each donor weighing as much; the covariance is shrunk to a diagonal one.

    The diagonal holds the believed spreads in place of ``PRIOR_DONORS`` donors. Correlations are trusted as far as
    there are more donors than those: images of one donor are alike, and their number says little.
    """
    unique, number, counts = np.unique(donors, return_inverse=True, return_counts=True)
    weights = 1 / (counts[number] * len(unique))
    mean = weights @ rows
    centered = rows - mean
    seen = (centered * weights[:, None]).T @ centered
    trust = len(unique) / (len(unique) + PRIOR_DONORS)
    variances = trust * np.diag(seen) + (1 - trust) * _PRIOR**2
    return mean, trust * seen + np.diag(variances - trust * np.diag(seen))


def _distances(
    rows: Float[np.ndarray, "n s"], mean: Vector, covariance: Float[np.ndarray, "s s"], known: np.ndarray
) -> Float[np.ndarray, " n"]:
    off = (rows - mean)[:, known]
    solved = np.linalg.solve(covariance[np.ix_(known, known)], off.T).T
    distances: Float[np.ndarray, " n"] = np.sqrt((off * solved).sum(axis=1) / known.sum())
    return distances


def _limit(rows: Float[np.ndarray, "n s"], donors: np.ndarray) -> float:
    names, known = np.unique(donors), np.ones(len(NAMES), bool)
    # A single donor has no others to be far from: a distance that the believed spreads themselves would give.
    worst = [float(np.log(stats.chi2.ppf(LIMIT_PROBABILITY, len(NAMES)) / len(NAMES)) / 2)]
    if len(names) > 1:
        worst = []
        for name in names:
            own = donors == name
            worst.append(float(np.log(_distances(rows[own], *_moments(rows[~own], donors[~own]), known).max())))
    count = len(worst)
    freedom = ASSUMED_DONORS + count - 1
    variance = (ASSUMED_DONORS * ASSUMED_LOG_SPREAD**2 + count * np.var(worst)) / freedom
    spread = np.sqrt(variance * (1 + 1 / count))
    return float(np.exp(np.mean(worst) + stats.t.ppf(LIMIT_PROBABILITY, freedom) * spread))


def _reason(name: str, value: float, usual: float, span: str) -> str:
    """Say in words what a value of a statistic means."""
    ratio = float(np.exp(np.clip(value - usual, -20, 20)))
    times = f"{ratio:.2g} times that of training images"
    if name in ("log_low", "log_middle", "log_high"):
        if ratio > 10:
            return f"{span}: raw counts, not line integrals?"
        if ratio < 0.6:
            return f"{span}, less than in training images: scaled for display, or a logarithm to base 10?"
        return f"{span}, another contrast than in training images: stretched, or another exposure?"
    if name.startswith("log_band"):
        return f"detail of {name.split('_')[2]} pixels is {times}"
    if name == "log_noise":
        return f"noise is {times}"
    if name == "log_pixel_mm":
        return f"pixels are {np.exp(value):.2g} mm where training images had {np.exp(usual):.2g} mm"
    if name == "noise_lag":
        found = "smoother" if value > usual else "rougher"
        return f"noise is {found} from pixel to pixel than in training images: another detector, or resampled?"
    if name == "ridges" and value < usual:
        return "thin structures are dark: polarity looks inverted"
    if name == "center" and value < usual:
        return "the middle is darker than the sides: polarity looks inverted"
    if name == "open_share":
        return f"{value:.0%} of the pixels are exactly 0 where training images had {usual:.0%}"
    if name == "skewness":
        return f"line integrals are distributed with skewness {value:.2g} where training images had {usual:.2g}"
    if name == "strong_details":
        return f"{value:.0%} of the strongest details are bright where training images had {usual:.0%}"
    return f"structures lie or look otherwise than in training images ({name} {value:.2g}, usual {usual:.2g})"
