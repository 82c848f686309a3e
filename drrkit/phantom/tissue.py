"""What the bones and the scanner add to the Hounsfield units: shell, marrow, texture, blur and noise."""

import numpy as np
from jaxtyping import Float, Float32, Int16, UInt8
from numba import njit, prange
from scipy import ndimage, sparse

from drrkit.phantom.anatomy import REGION_CODES
from drrkit.volume import AIR_HU

# Thickness of the cortical shell in dense bone by region; end plates and walls of the body are the thinnest.
SHELL_MM: dict[str, float] = {
    "body": 0.75,
    "pedicles": 1.5,
    "posterior_arch": 1.9,
    "transverse": 1.2,
    "spinous": 1.3,
    "articular": 1.8,
}
# Marrow behind the body holds more bone.
MARROW_RATIO: dict[str, float] = {
    "body": 1.0,
    "pedicles": 1.3,
    "posterior_arch": 1.5,
    "transverse": 1.1,
    "spinous": 1.2,
    "articular": 1.5,
}
TILE = 64  # voxels along each side of the repeating texture


def shell_mm(regions: np.ndarray, quality: float, averaging: sparse.csr_matrix) -> Float[np.ndarray, " n"]:
    """Return the cortical thickness at every vertex, with smooth steps between regions."""
    by_code = np.zeros(max(REGION_CODES.values()) + 1)
    for name, code in REGION_CODES.items():
        by_code[code] = SHELL_MM[name]
    thickness = by_code[regions] * (0.65 + 0.35 * quality)
    for _ in range(4):
        thickness = averaging @ thickness
    return thickness


def marrow_ratio(regions: UInt8[np.ndarray, "z y x"]) -> Float32[np.ndarray, "z y x"]:
    """Return how dense the marrow is in each voxel, relative to the body's; 1 outside the named regions."""
    by_code = np.ones(max(REGION_CODES.values()) + 1, dtype=np.float32)
    for name, code in REGION_CODES.items():
        by_code[code] = MARROW_RATIO[name]
    return by_code[regions]


def cortical_hu(quality: float) -> float:
    """Return the density of compact bone: 700 in osteoporosis to 1250 in dense bone."""
    return 700 + 550 * quality


def marrow_hu(quality: float) -> float:
    """Return the density of the body's cancellous bone: 70 in osteoporosis to 250 in dense bone."""
    return 70 + 180 * quality


def marrow_texture(spacing_mm: float, rng: np.random.Generator) -> Float32[np.ndarray, "t t t"]:
    """Return the relative unevenness of marrow: trabeculae, and regions that carry more or less load."""
    return 0.28 * texture(1.5, 5, spacing_mm, rng) + 0.15 * texture(8, 25, spacing_mm, rng)


def texture(
    shortest_mm: float, longest_mm: float, spacing_mm: float, rng: np.random.Generator
) -> Float32[np.ndarray, "t t t"]:
    """Return a repeating block of noise of unit deviation with wavelengths in a band.

    Waves shorter than two voxels cannot be shown; where the whole band is, the shortest that can stand in for it.
    """
    longest_mm = max(longest_mm, 4 * spacing_mm)
    shortest_mm = max(shortest_mm, 2 * spacing_mm)
    cycles = np.fft.fftfreq(TILE, spacing_mm)
    frequency = np.sqrt(sum(axis**2 for axis in np.meshgrid(cycles, cycles, cycles[: TILE // 2 + 1], indexing="ij")))
    band = (frequency > 1 / longest_mm) & (frequency < 1 / shortest_mm)
    spectrum = np.fft.rfftn(rng.standard_normal((TILE, TILE, TILE))) * band
    block = np.fft.irfftn(spectrum, s=(TILE, TILE, TILE), axes=(0, 1, 2))
    return np.asarray(block / block.std(), dtype=np.float32)


def scanned(
    hu: Float32[np.ndarray, "z y x"], blur_voxels: float, noise_hu: float, rng: np.random.Generator
) -> Int16[np.ndarray, "z y x"]:
    """Blur a volume as a scanner does, add its noise, and quantize.

    The noise passes through the same point spread, so it has a scanner's grain; it is the stronger before, so that
    ``noise_hu`` is what remains.

    Args:
        hu: The ideal volume; overwritten.
        blur_voxels: Standard deviation of the point spread.
        noise_hu: Standard deviation of the noise in the result.
        rng: The noise's stream.
    """
    kernel = _gaussian(blur_voxels)
    passed = float((kernel**2).sum()) ** 1.5
    for z in range(len(hu)):
        hu[z] += np.float32(noise_hu / passed) * rng.standard_normal(hu.shape[1:], dtype=np.float32)
    for axis in range(3):
        ndimage.correlate1d(hu, kernel, axis=axis, output=hu, mode="nearest")
    return _quantized(hu)


def _gaussian(deviation: float) -> Float[np.ndarray, " k"]:
    reach = max(1, int(np.ceil(3 * deviation)))
    place = np.arange(-reach, reach + 1)
    weights = np.exp(-0.5 * (place / max(deviation, 1e-3)) ** 2)
    return weights / weights.sum()


@njit(cache=True, parallel=True)
def _quantized(hu: np.ndarray) -> np.ndarray:
    whole = np.empty(hu.shape, dtype=np.int16)
    for z in prange(hu.shape[0]):
        for y in range(hu.shape[1]):
            for x in range(hu.shape[2]):
                whole[z, y, x] = np.int16(min(max(np.round(hu[z, y, x]), AIR_HU), 3071))
    return whole
