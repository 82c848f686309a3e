"""From path lengths to what the detector absorbs, without noise: attenuation photon by photon, shading, scatter."""

from collections.abc import Mapping
from dataclasses import dataclass

import numba
import numpy as np
from jaxtyping import Float, Float32

from drrkit.errors import InputError
from drrkit.fluoroscopy.machine import Collimator, Detector, Machine
from drrkit.fluoroscopy.materials import CSI, WATER, attenuation_per_mm
from drrkit.fluoroscopy.spectrum import Spectrum
from drrkit.fluoroscopy.spread import blur, smear
from drrkit.geometry.camera import Camera

# Photons are born this many mean free paths deep in the anode. Fitted to SpekPy 2.5.4 at 80 kVp, 3 mm of aluminum and
# 12 degrees: within 1.5 % of its fluence 150 mm off axis at 1 m, on either side.
ANODE_DEPTH = 0.022
# Behind this much water Machine.scatter_to_primary holds.
REFERENCE_WATER_MM = 200.0


@dataclass(frozen=True, eq=False)
class Absorbed:
    """What the scintillator absorbs in the mean, a mm2: energy, and energy times photon energy, which makes the noise.

    Args:
        energy: (H, W) in keV / mm2.
        energy_square: (H, W) in keV^2 / mm2: the variance of the absorbed energy on 1 mm2.
    """

    energy: Float32[np.ndarray, "h w"]
    energy_square: Float32[np.ndarray, "h w"]


def absorbed(path_lengths_mm: Mapping[str, Float32[np.ndarray, "h w"]], camera: Camera, machine: Machine) -> Absorbed:
    """Compute the mean image of a sharp detector: primary, blurred by the focal spot, and scatter.

    Args:
        path_lengths_mm: By material, (H, W) millimeters along every ray.
        camera: The view.
        machine: What makes the image.

    Raises:
        InputError: No path lengths, shapes that do not fit the camera, or values that are not finite.
    """
    spectrum = machine.technique.spectrum
    energy, square = transmitted(path_lengths_mm, (camera.height, camera.width), spectrum, machine.detector)
    open_energy, _ = _open_field(spectrum, machine.detector)
    transmission = energy / open_energy
    shading = np.float32(machine.technique.photons_per_mm2) * fluence_map(camera, machine)
    energy *= shading
    square *= shading
    side_mm = pixel_side_mm(camera)
    scatter_energy = scatter(energy, transmission, machine, side_mm)
    # Scattered photons are taken to have the energies of the primary ones around them.
    total = float(energy.sum(dtype=np.float64))
    photon_kev = float(square.sum(dtype=np.float64)) / total if total > 0 else 0.0
    spot_mm = machine.focal_spot_mm * (machine.magnification - 1)
    for image in (energy, square):
        blur(image, spot_mm / side_mm)
    energy += scatter_energy
    square += np.float32(photon_kev) * scatter_energy
    return Absorbed(energy, square)


def open_field_energy(machine: Machine) -> float:
    """Energy absorbed at the detector's center with nothing in the beam, in keV / mm2."""
    return machine.technique.photons_per_mm2 * _open_field(machine.technique.spectrum, machine.detector)[0]


def transmitted(
    path_lengths_mm: Mapping[str, Float32[np.ndarray, "h w"]],
    shape: tuple[int, int],
    spectrum: Spectrum,
    detector: Detector,
) -> tuple[Float32[np.ndarray, "h w"], Float32[np.ndarray, "h w"]]:
    """Absorbed energy (keV) and energy square (keV^2) for each photon that left the tube, by Beer's law.

    Raises:
        InputError: No path lengths, shapes that do not fit, or values that are not finite.
    """
    for material, lengths in path_lengths_mm.items():
        if lengths.shape != shape:
            raise InputError(f"path lengths of {material}", f"shape {lengths.shape}", f"the camera's {shape}")
        if not np.isfinite(lengths).all():
            raise InputError(f"path lengths of {material}", "NaN or infinite values", "finite millimeters")
    names = [name for name, lengths in path_lengths_mm.items() if lengths.any()]
    weights, square_weights = _weights(spectrum, detector)
    lengths = np.zeros((len(names), shape[0] * shape[1]), np.float32)
    attenuation = np.zeros((len(names), len(weights)), np.float32)
    for number, name in enumerate(names):
        lengths[number] = path_lengths_mm[name].ravel()
        attenuation[number] = attenuation_per_mm(name, spectrum.energies_kev)
    energy, square = (np.empty(shape[0] * shape[1], np.float32) for _ in range(2))
    _transmit(lengths, attenuation, weights.astype(np.float32), square_weights.astype(np.float32), energy, square)
    return energy.reshape(shape), square.reshape(shape)


def fluence_map(camera: Camera, machine: Machine) -> Float32[np.ndarray, "h w"]:
    """Fluence of the open beam relative to the detector's center: heel effect, distance, blades."""
    return shading(camera, machine) * opening(camera, machine.collimator)


def shading(camera: Camera, machine: Machine) -> Float32[np.ndarray, "h w"]:
    """Heel effect and the cosine law of distance and obliquity, relative to the center.

    Photons are born at one depth in the anode and leave it on a path of depth / tan(takeoff angle); the cosine of the
    angle to the detector's normal enters three times, twice by distance and once by obliquity.
    """
    u_mm, v_mm = _detector_mm(camera)
    distance_mm = camera.source_to_detector_mm
    along_mm = machine.anode_direction[0] * u_mm + machine.anode_direction[1] * v_mm
    anode_rad = np.radians(machine.technique.anode_deg)
    # Half a degree above the anode's face hardly anything gets out; below it nothing is defined.
    takeoff = np.maximum(anode_rad - np.arctan2(along_mm, distance_mm), np.radians(0.5))
    heel = np.exp(-ANODE_DEPTH * (1 / np.tan(takeoff) - 1 / np.tan(anode_rad)))
    cosine = distance_mm / np.sqrt(distance_mm**2 + u_mm**2 + v_mm**2)
    return (heel * cosine**3).astype(np.float32)


def opening(camera: Camera, collimator: Collimator) -> Float32[np.ndarray, "h w"]:
    """Share of the beam that the collimator lets through to each pixel."""
    if collimator.shape == "open":
        return np.ones((camera.height, camera.width), np.float32)
    u_mm, v_mm = _detector_mm(camera)
    u_mm, v_mm = np.broadcast_arrays(u_mm - collimator.center_mm[0], v_mm - collimator.center_mm[1])
    width_mm, height_mm = collimator.size_mm
    if collimator.shape == "iris":
        inside = _edge(width_mm / 2 - np.hypot(u_mm, v_mm), collimator.penumbra_mm)
    else:
        angle = np.radians(collimator.rotation_deg)
        across = np.cos(angle) * u_mm + np.sin(angle) * v_mm
        along = np.cos(angle) * v_mm - np.sin(angle) * u_mm
        inside = _edge(width_mm / 2 - np.abs(across), collimator.penumbra_mm)
        inside = inside * _edge(height_mm / 2 - np.abs(along), collimator.penumbra_mm)
    return (collimator.leak + (1 - collimator.leak) * inside).astype(np.float32)


def scatter(
    primary: Float32[np.ndarray, "h w"],
    transmission: Float32[np.ndarray, "h w"],
    machine: Machine,
    side_mm: float,
) -> Float32[np.ndarray, "h w"]:
    """Estimate scatter as a low-pass of where photons got lost: primary * -ln(transmission), smeared out.

    The forward scatter of single interactions is proportional to that product (Ohnesorge et al., Eur. Radiol. 9 (1999)
    563). Its amount is set so that 20 cm of water across a wide beam give the machine's scatter-to-primary ratio.
    Beyond the image no photon enters the patient.
    """
    if machine.scatter_to_primary == 0:
        return np.zeros_like(primary)
    water = attenuation_per_mm(WATER, machine.technique.spectrum.energies_kev)
    weights, _ = _weights(machine.technique.spectrum, machine.detector)
    reference = -np.log(weights @ np.exp(-REFERENCE_WATER_MM * water) / weights.sum())
    lost = np.maximum(-np.log(np.maximum(transmission, np.float32(1e-30))), 0)
    origin = primary * lost * np.float32(machine.scatter_to_primary / reference)
    return smear(origin, machine.scatter_fwhm_mm / side_mm)


def pixel_side_mm(camera: Camera) -> float:
    """Side of the square of a pixel's area."""
    row_mm, column_mm = camera.pixel_spacing_mm
    return float(np.sqrt(row_mm * column_mm))


def _weights(spectrum: Spectrum, detector: Detector) -> tuple[Float[np.ndarray, " e"], Float[np.ndarray, " e"]]:
    """Energy and squared energy that a photon of each bin leaves in the scintillator, by the photons' shares."""
    crystal_mm = detector.csi_mm * detector.packing
    caught = 1 - np.exp(-attenuation_per_mm(CSI, spectrum.energies_kev) * crystal_mm)
    weights = spectrum.fluence * caught * spectrum.energies_kev
    return weights, weights * spectrum.energies_kev


def _open_field(spectrum: Spectrum, detector: Detector) -> tuple[float, float]:
    weights, square_weights = _weights(spectrum, detector)
    return float(weights.sum()), float(square_weights.sum())


def _detector_mm(camera: Camera) -> tuple[Float[np.ndarray, "1 w"], Float[np.ndarray, "h 1"]]:
    """Places of the pixels on the detector, from its center."""
    row_mm, column_mm = camera.pixel_spacing_mm
    u_mm = (np.arange(camera.width) - (camera.width - 1) / 2) * column_mm
    v_mm = (np.arange(camera.height) - (camera.height - 1) / 2) * row_mm
    return u_mm[None, :], v_mm[:, None]


def _edge(inward_mm: np.ndarray, penumbra_mm: float) -> np.ndarray:
    """Soft step: 0 outside, 1 inside, over the penumbra."""
    place = np.clip(inward_mm / penumbra_mm + 0.5, 0, 1)
    return place * place * (3 - 2 * place)


@numba.njit(cache=True, fastmath=True, nogil=True)
def _transmit(
    lengths: Float32[np.ndarray, "m n"],
    attenuation: Float32[np.ndarray, "m e"],
    weights: Float32[np.ndarray, " e"],
    square_weights: Float32[np.ndarray, " e"],
    energy: Float32[np.ndarray, " n"],
    square: Float32[np.ndarray, " n"],
) -> None:
    materials, pixels = lengths.shape
    for pixel in range(pixels):
        total, total_square = np.float32(0), np.float32(0)
        for number in range(weights.size):
            integral = np.float32(0)
            for material in range(materials):
                integral += attenuation[material, number] * lengths[material, pixel]
            passed = np.exp(-integral)
            total += weights[number] * passed
            total_square += square_weights[number] * passed
        energy[pixel] = total
        square[pixel] = total_square
