"""One simulated exposure: path lengths in, the counts of a fluoroscopy image out.

The order is that of the machine: tube and heel effect, collimator, attenuation photon by photon, focal spot and motion,
scatter, quantum noise, light that spreads in the scintillator (and blurs the noise), electron optics of an image
intensifier, electronic noise, flat-field correction, gain, clipping to the detector's range, whole counts. All of it is
simulated; see docs/fluoroscopy.md for what is left out.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from jaxtyping import Float, Float32

from drrkit.errors import InputError
from drrkit.fluoroscopy.beam import absorbed, open_field_energy, pixel_side_mm, shading
from drrkit.fluoroscopy.distortion import DetectorDistortion
from drrkit.fluoroscopy.machine import Collimator, Detector, Machine, Optics, Technique
from drrkit.fluoroscopy.spread import blur, glare
from drrkit.geometry.camera import Camera
from drrkit.radiograph import Radiograph

__all__ = [
    "Collimator",
    "Detector",
    "Machine",
    "Optics",
    "Technique",
    "automatic_exposure",
    "expose",
    "open_field_counts",
]

_NATIVE_SIDE_MM = 0.2  # of the pixels that Detector.electronic_noise_kev_mm2 is told for
# Fewer photons than this in a pixel's mean are none: Poisson's law needs a mean above zero.
_FEWEST = 1e-6


def expose(
    path_lengths_mm: Mapping[str, Float32[np.ndarray, "h w"]],
    camera: Camera,
    machine: Machine,
    seed: int,
    *,
    distortion: DetectorDistortion | None = None,
    motion_px: tuple[float, float] = (0.0, 0.0),
) -> Radiograph:
    """Simulate one exposure.

    Args:
        path_lengths_mm: By material, (H, W) millimeters along every ray of the camera; see
            :func:`drrkit.fluoroscopy.materials.path_lengths_mm` and :func:`drrkit.fluoroscopy.solids.add_chords`.
        camera: The view. It stays the ideal one: a distorted image does not fit it before it is undistorted.
        machine: What makes the image.
        seed: Of all noise; the same seed gives the same image.
        distortion: Of this exposure; None for the machine's own without the earth's field.
        motion_px: How far the image moves (u, v) during the exposure; the camera is that of the middle.

    Returns:
        Counts in the domain ``intensity``: whole numbers from 0 to the detector's full scale.

    Raises:
        InputError: Path lengths that do not fit the camera, a negative seed, or numbers that are not finite.
    """
    if seed < 0:
        raise InputError("seed", seed, "a whole number of at least 0")
    if not np.isfinite(motion_px).all() or np.hypot(*motion_px) > min(camera.height, camera.width):
        raise InputError("motion_px", motion_px, "two finite numbers, smaller than the image")
    rng = np.random.default_rng(seed)
    detector, side_mm = machine.detector, pixel_side_mm(camera)
    mean = absorbed(path_lengths_mm, camera, machine)
    energy, square = (_moved(image, motion_px) for image in (mean.energy, mean.energy_square))
    signal = _with_quantum_noise(energy, square / np.float32(detector.swank), side_mm**2, rng)
    _spread_light(signal, detector, side_mm)
    bent = machine.distortion(camera) if distortion is None else distortion
    signal = bent.warp(signal, is_light=True)
    field = bent.field(*signal.shape)
    signal *= field
    noise = detector.electronic_noise_kev_mm2 * _NATIVE_SIDE_MM / side_mm
    signal += np.float32(noise) * rng.standard_normal(signal.shape, np.float32)
    if detector.is_flat_fielded:
        signal /= np.where(field > 0, bent.warp(shading(camera, machine), is_light=True), 1)
    counts = np.rint(np.clip(detector.offset + detector.gain * signal, 0, detector.full_scale))
    return Radiograph(counts.astype(np.float32), "intensity", camera)


def open_field_counts(machine: Machine) -> float:
    """Counts at the detector's center with nothing in the beam, as if they had no upper limit: I0, offset included."""
    return machine.detector.offset + machine.detector.gain * open_field_energy(machine)


def automatic_exposure(
    path_lengths_mm: Mapping[str, Float32[np.ndarray, "h w"]],
    camera: Camera,
    machine: Machine,
    *,
    target_fraction: float = 0.25,
    field_fraction: float = 0.5,
    most_photons_per_mm2: float = np.inf,
) -> Machine:
    """Choose the number of photons as a C-arm's automatic exposure does.

    Args:
        path_lengths_mm: As for :func:`expose`.
        camera: The view.
        machine: What makes the image.
        target_fraction: Of full scale: where the median of the measuring field goes.
        field_fraction: Diameter of the round measuring field, as a part of the detector's shorter side.
        most_photons_per_mm2: What the generator can do; where it does not suffice, the image stays dark.

    Returns:
        The machine with another ``technique.photons_per_mm2``; voltage and filters stay.

    Raises:
        InputError: A target or field outside 0 to 1, or path lengths that do not fit the camera.
    """
    for name, value in (("target_fraction", target_fraction), ("field_fraction", field_fraction)):
        if not 0 < value <= 1:
            raise InputError(f"automatic exposure {name}", value, "more than 0, at most 1")
    for material, lengths in path_lengths_mm.items():
        if lengths.shape != (camera.height, camera.width):
            size = (camera.height, camera.width)
            raise InputError(f"path lengths of {material}", f"shape {lengths.shape}", f"the camera's {size}")
    # A grid of about 64 x 64 rays tells the median well enough.
    step = max(1, min(camera.height, camera.width) // 64)
    few = {name: np.ascontiguousarray(lengths[::step, ::step]) for name, lengths in path_lengths_mm.items()}
    view = camera.resized(-(-camera.height // step), -(-camera.width // step))
    signal = absorbed(few, view, machine).energy
    if machine.detector.is_flat_fielded:
        signal = signal / shading(view, machine)
    u, v = np.arange(view.width) - (view.width - 1) / 2, np.arange(view.height)[:, None] - (view.height - 1) / 2
    measured = signal[np.hypot(u, v) <= max(1.0, field_fraction * min(view.height, view.width) / 2)]
    target = (target_fraction * machine.detector.full_scale - machine.detector.offset) / machine.detector.gain
    median = float(np.median(measured))
    photons = machine.technique.photons_per_mm2 * target / median if median > 0 else np.inf
    photons = min(photons, most_photons_per_mm2)
    return replace(machine, technique=replace(machine.technique, photons_per_mm2=photons))


def _with_quantum_noise(
    energy: Float32[np.ndarray, "h w"], variance: Float32[np.ndarray, "h w"], area_mm2: float, rng: np.random.Generator
) -> Float32[np.ndarray, "h w"]:
    """Draw absorbed energy: Poisson's law in units of the effective photon energy, variance over mean.

    Mean and variance are those of the sum over all photons of all energies (compound Poisson).
    """
    photon_kev = variance / np.maximum(energy, np.finfo(np.float32).tiny)
    quanta = np.divide(energy * np.float32(area_mm2), photon_kev, out=np.zeros_like(energy), where=photon_kev > 0)
    quanta[quanta < _FEWEST] = 0
    drawn = rng.poisson(quanta).astype(np.float32)
    return drawn * photon_kev / np.float32(area_mm2)


def _spread_light(signal: Float32[np.ndarray, "h w"], detector: Detector, side_mm: float) -> None:
    """Blur by the scintillator's point spread: a sharp Gaussian and, for its part, the glare."""
    fraction = np.float32(detector.glare_fraction)
    veil = glare(signal, detector.glare_radius_mm / side_mm) if fraction else None
    blur(signal, detector.blur_fwhm_mm / side_mm)
    if veil is not None:
        signal *= 1 - fraction
        signal += fraction * veil


def _moved(image: Float32[np.ndarray, "h w"], motion_px: tuple[float, float]) -> Float32[np.ndarray, "h w"]:
    """Average an image over a straight, even motion about its place."""
    length = float(np.hypot(*motion_px))
    if length < 0.05:
        return image
    steps = int(np.ceil(2 * length)) + 1
    half = int(np.ceil(np.abs(motion_px).max() / 2)) + 1
    kernel = np.zeros((2 * half + 1, 2 * half + 1), np.float64)
    for part in (np.arange(steps) + 0.5) / steps - 0.5:
        kernel += _point_kernel(half, part * motion_px[0], part * motion_px[1])
    return _correlated(image, kernel / kernel.sum())


def _point_kernel(half: int, u: float, v: float) -> Float[np.ndarray, "k k"]:
    """A unit point at (u, v) from the middle, shared out bilinearly."""
    places = np.arange(-half, half + 1)
    return np.outer(np.maximum(1 - np.abs(places - v), 0), np.maximum(1 - np.abs(places - u), 0))


def _correlated(image: Float32[np.ndarray, "h w"], kernel: Float[np.ndarray, "k k"]) -> Float32[np.ndarray, "h w"]:
    """Filter sparsely: a line's kernel is mostly zeros."""
    half = len(kernel) // 2
    padded = np.pad(image, half, mode="edge")
    height, width = image.shape
    total = np.zeros_like(image)
    for row, column in zip(*np.nonzero(kernel), strict=True):
        total += np.float32(kernel[row, column]) * padded[row : row + height, column : column + width]
    return total
