"""What a learned translator must beat: the image as it is, and three classics that only note statistics.

Both domains are line integrals, dense is bright in either: none of them turns an image around. Notes are running means
over all images of all batches, in double precision on the CPU; each of several processes notes its own images.
"""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Bool, Float
from pydantic import Field, PositiveFloat, PositiveInt
from scipy import ndimage
from skimage.exposure import equalize_adapthist, match_histograms
from torch import Tensor

from drrkit.errors import InputError
from drrkit.parameters import Parameters
from styletransfer.scale import Scale
from styletransfer.translator import Batch, Learning, Translator

Image = Float[np.ndarray, "h w"]
Mask = Bool[np.ndarray, "h w"]
Notes = dict[str, np.ndarray]


class Untranslated(Translator):
    """The real image as it is, without what noise left below zero."""

    class Settings(Parameters):
        """Nothing to set."""

    learning: ClassVar[Learning] = "nothing"

    @property
    def reach_px(self) -> int | None:
        """A pixel decides alone."""
        return 0

    def optimize(self, batch: Batch, share: float) -> Mapping[str, Tensor]:
        """Learn nothing."""
        return {}

    def synthetic_from_real(self, real: Float[Tensor, "b 1 h w"]) -> Float[Tensor, "b 1 h w"]:
        """Return the image."""
        return real.detach().clamp(min=0)

    def weights(self) -> dict[str, Tensor]:
        """Return nothing: there is nothing to know."""
        return {}

    def load_weights(self, weights: Mapping[str, Tensor]) -> None:
        """Take over nothing.

        Raises:
            InputError: Weights of another method.
        """
        if weights:
            raise InputError("weights", f"a tensor {sorted(weights)[0]}", "none: this method has no weights")

    def state(self) -> dict[str, Any]:
        """Return nothing."""
        return {}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take over nothing."""
        self.load_weights(state)


class NotingTranslator(Translator):
    """Base of the classics: they note running means of the synthetic images, and treat each real image on its own."""

    learning: ClassVar[Learning] = "nothing"
    note_axes: ClassVar[dict[str, int]]
    """Names of the notes, and how many axes each has."""

    def __init__(self, settings: Parameters, scale: Scale) -> None:
        super().__init__(settings, scale)
        self.images = 0
        self.notes: Notes = {}

    @property
    def reach_px(self) -> int | None:
        """The whole image decides."""
        return None

    def optimize(self, batch: Batch, share: float) -> Mapping[str, Tensor]:
        """Note the synthetic images of a batch, inside the field: outside, they show what no real image does."""
        images, fields = batch.synthetic.detach().cpu().double().numpy()[:, 0], batch.field.cpu().numpy()[:, 0]
        for pixels, field in zip(images, fields, strict=True):
            if not field.any():
                continue
            noted = self.noted(pixels, field)
            self.images += 1
            for name, value in noted.items():
                mean = self.notes.get(name, np.zeros_like(value))
                self.notes[name] = np.asarray(mean + (value - mean) / self.images)
        return {}

    def synthetic_from_real(self, real: Float[Tensor, "b 1 h w"]) -> Float[Tensor, "b 1 h w"]:
        """Translate image by image; 0 stays 0.

        Raises:
            InputError: No image was noted yet.
        """
        if not self.images:
            raise InputError("translator", "no notes of synthetic images", "a training, or the weights of one")
        images = real.detach().cpu().double().numpy()[:, 0]
        translated = np.zeros_like(images)
        for pixels, result in zip(images, translated, strict=True):
            inside = pixels != 0
            if inside.any():
                result[inside] = np.maximum(self.translated(pixels, inside)[inside], 0)
        return torch.from_numpy(translated[:, None]).to(real)

    def weights(self) -> dict[str, Tensor]:
        """Return the notes, and of how many images they are the mean."""
        notes = {name: torch.from_numpy(value.copy()) for name, value in self.notes.items()}
        return {"images": torch.tensor(self.images), **notes}

    def load_weights(self, weights: Mapping[str, Tensor]) -> None:
        """Take over notes.

        Raises:
            InputError: Notes of another method or kind.
        """
        if "images" not in weights or weights["images"].numel() != 1 or int(weights["images"]) < 0:
            raise InputError("weights", ", ".join(sorted(weights)) or "nothing", "how many images were noted")
        wanted = self.note_axes if int(weights["images"]) else {}
        found = {name: tensor.ndim for name, tensor in weights.items() if name != "images"}
        if found != wanted:
            raise InputError("weights", f"notes and axes {found}", wanted)
        notes = {name: weights[name].detach().cpu().double().numpy().copy() for name in wanted}
        if not all(np.isfinite(value).all() and value.size for value in notes.values()):
            raise InputError("weights", "notes that are empty or not finite", "finite numbers")
        self.check_notes(notes)
        self.images, self.notes = int(weights["images"]), notes

    def state(self) -> dict[str, Any]:
        """Return the notes: there is nothing else."""
        return dict(self.weights())

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take over the notes."""
        self.load_weights(state)

    @abstractmethod
    def noted(self, synthetic: Image, field: Mask) -> Notes:
        """Return what is to be known of one synthetic image, inside the field."""

    @abstractmethod
    def translated(self, real: Image, inside: Mask) -> Image:
        """Translate one real image; only pixels ``inside``, which are not 0, are kept."""

    def check_notes(self, notes: Notes) -> None:
        """Refuse notes of a size that the settings do not allow."""


class HistogramMatching(NotingTranslator):
    """Give the pixels of every real image the histogram of the mean synthetic image.

    The noted histogram is that whose quantiles are the means of the images' quantiles.
    """

    class Settings(Parameters):
        """What is noted.

        Args:
            levels: How many quantiles, evenly from the lowest to the highest pixel.
        """

        levels: int = Field(ge=2)

    settings: Settings
    note_axes: ClassVar[dict[str, int]] = {"quantiles": 1}

    def noted(self, synthetic: Image, field: Mask) -> Notes:
        """Return the quantiles."""
        return {"quantiles": np.quantile(synthetic[field], np.linspace(0, 1, self.settings.levels))}

    def translated(self, real: Image, inside: Mask) -> Image:
        """Match the histogram of the pixels inside: quantiles are a sample with the wanted histogram."""
        result = np.zeros_like(real)
        result[inside] = match_histograms(real[inside], self.notes["quantiles"])
        return result

    def check_notes(self, notes: Notes) -> None:
        """Refuse another number of quantiles."""
        if notes and notes["quantiles"].size != self.settings.levels:
            raise InputError("weights, quantiles", f"{notes['quantiles'].size} levels", self.settings.levels)


class Clahe(NotingTranslator):
    """Equalize contrast locally (CLAHE, Zuiderveld 1994), then give the image mean and spread of synthetic ones."""

    class Settings(Parameters):
        """What equalizing does.

        Args:
            tiles: Along each side of the image, each with a histogram of its own.
            clip_limit: Largest share of a tile's pixels in one of its histogram's bins; small is gentle.
        """

        tiles: PositiveInt
        clip_limit: PositiveFloat = Field(le=1)

    settings: Settings
    note_axes: ClassVar[dict[str, int]] = {"mean": 0, "spread": 0}

    def noted(self, synthetic: Image, field: Mask) -> Notes:
        """Return mean and standard deviation."""
        return {"mean": np.array(synthetic[field].mean()), "spread": np.array(synthetic[field].std())}

    def translated(self, real: Image, inside: Mask) -> Image:
        """Equalize, then map linearly."""
        low, high = real[inside].min(), real[inside].max()
        if low == high:
            return np.full_like(real, float(self.notes["mean"]))
        tile_px = [max(2, round(size / self.settings.tiles)) for size in real.shape]
        scaled = np.where(inside, (real - low) / (high - low), 0)
        equalized = equalize_adapthist(scaled, kernel_size=tile_px, clip_limit=self.settings.clip_limit)
        spread = equalized[inside].std()
        gain = self.notes["spread"] / spread if spread > 0 else 0.0
        mapped: Image = (equalized - equalized[inside].mean()) * gain + self.notes["mean"]
        return mapped


class FourierAdaptation(NotingTranslator):
    """Take the low frequencies' amplitudes from the mean synthetic image (FDA, Yang and Soatto, CVPR 2020).

    Phases, and with them places, stay the real image's own. Frequencies are in cycles a pixel: the spectrum that was
    noted at one size of image serves another, which samples it more coarsely or finely.
    """

    class Settings(Parameters):
        """What is exchanged.

        Args:
            beta: Highest frequency along rows and columns whose amplitude is exchanged, in cycles a pixel.
        """

        beta: float = Field(gt=0, lt=0.5)

    settings: Settings
    note_axes: ClassVar[dict[str, int]] = {"amplitude": 2, "size": 1, "mean": 0}

    def noted(self, synthetic: Image, field: Mask) -> Notes:
        """Return the amplitudes of low frequencies, for one pixel, and the mean, which belongs to no spectrum."""
        # As a real image is: 0 outside the field.
        synthetic = np.where(field, synthetic, 0)
        size = np.array(self.notes["size"] if self.images else synthetic.shape, np.float64)
        amplitude = np.abs(_window(np.fft.fft2(synthetic), self.settings.beta)) / np.sqrt(synthetic.size)
        resampled = _resampled(amplitude, np.array(synthetic.shape), size.astype(int), self.settings.beta)
        return {"amplitude": resampled, "size": size, "mean": np.array(synthetic.mean())}

    def translated(self, real: Image, inside: Mask) -> Image:
        """Exchange amplitudes."""
        spectrum = np.fft.fft2(real)
        shape = np.array(real.shape)
        amplitude = _resampled(self.notes["amplitude"], self.notes["size"], shape, self.settings.beta)
        # Energy per frequency belongs to an area and grows with it; the mean is a value of pixels and does not.
        amplitude *= np.sqrt(real.size)
        middle = tuple(np.array(amplitude.shape) // 2)
        amplitude[middle] = self.notes["mean"] * real.size
        phase = np.exp(1j * np.angle(_window(spectrum, self.settings.beta)))
        # A mean has no phase to keep: that of a real image is above 0, and so is a synthetic one's.
        phase[middle] = 1
        rows, columns = (_frequencies(int(size), self.settings.beta) for size in shape)
        spectrum[np.ix_(rows, columns)] = amplitude * phase
        back: Image = np.fft.ifft2(spectrum).real
        return back

    def check_notes(self, notes: Notes) -> None:
        """Refuse a spectrum of another beta."""
        if not notes:
            return
        size = notes["size"]
        if size.size != 2 or (size < 1).any():
            raise InputError("weights, size", size, "height and width")
        wanted = tuple(_frequencies(int(one), self.settings.beta).size for one in size)
        if notes["amplitude"].shape != wanted:
            raise InputError("weights, amplitude", notes["amplitude"].shape, f"{wanted}, for beta of the settings")


def _frequencies(size: int, beta: float) -> np.ndarray:
    """Whole cycles an image side of those up to beta cycles a pixel, from negative to positive."""
    highest = int(np.floor(beta * size))
    return np.arange(-highest, highest + 1)


def _window(spectrum: np.ndarray, beta: float) -> np.ndarray:
    rows, columns = (_frequencies(size, beta) for size in spectrum.shape)
    return spectrum[np.ix_(rows, columns)]


def _resampled(amplitude: np.ndarray, size: np.ndarray, wanted: np.ndarray, beta: float) -> np.ndarray:
    """Sample a window of amplitudes, noted at one size of image, at the frequencies of another size."""
    if np.array_equal(size, wanted):
        return amplitude.copy()
    # At frequency 0 stands the mean, which towers over its neighbors and is no part of their slope.
    known = amplitude.copy()
    middle = tuple(np.array(known.shape) // 2)
    around = known[tuple(slice(max(0, at - 1), at + 2) for at in middle)]
    known[middle] = (around.sum() - known[middle]) / max(1, around.size - 1)
    places = [
        _frequencies(int(new), beta) * (old / new) + at for new, old, at in zip(wanted, size, middle, strict=True)
    ]
    grid = np.stack(np.meshgrid(*places, indexing="ij"))
    resampled: np.ndarray = ndimage.map_coordinates(known, grid, order=1, mode="nearest")
    return resampled
