"""Spectra of X-ray tubes: how many photons of which energy leave the tube and its filters."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Float

from drrkit.errors import InputError

# Below this nothing leaves a C-arm's tube, whose glass, oil and window are at least 2.5 mm of aluminum.
LOWEST_KEV = 12.0
KVP_LIMITS = (30.0, 150.0)
ALUMINUM_LIMITS_MM = (0.5, 50.0)
COPPER_LIMITS_MM = (0.0, 3.0)
ANODE_LIMITS_DEG = (6.0, 24.0)
BINS = 24


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Photons by energy; valid when it exists.

    Args:
        energies_kev: (E,) mean photon energy of each bin, rising.
        fluence: (E,) share of the photons in each bin; they sum to 1.

    Raises:
        InputError: Arrays that do not fit, energies that do not rise, or shares that do not sum to 1.
    """

    energies_kev: Float[np.ndarray, " e"]
    fluence: Float[np.ndarray, " e"]

    def __post_init__(self) -> None:
        energies, fluence = (np.array(array, np.float64) for array in (self.energies_kev, self.fluence))
        if energies.ndim != 1 or energies.shape != fluence.shape or not energies.size:
            raise InputError("spectrum", f"shapes {energies.shape} and {fluence.shape}", "two vectors of one length")
        if not (np.isfinite(energies).all() and (np.diff(energies) > 0).all() and energies[0] > 0):
            raise InputError("spectrum energies_kev", energies.tolist(), "rising positive energies")
        if not (np.isfinite(fluence).all() and (fluence >= 0).all() and abs(fluence.sum() - 1) < 1e-6):
            raise InputError("spectrum fluence", f"a sum of {fluence.sum():g}", "shares of at least 0 that sum to 1")
        for name, array in (("energies_kev", energies), ("fluence", fluence)):
            array.setflags(write=False)
            object.__setattr__(self, name, array)

    @property
    def mean_energy_kev(self) -> float:
        """Mean energy of the photons."""
        return float(self.energies_kev @ self.fluence)


def monoenergetic(energy_kev: float) -> Spectrum:
    """All photons of one energy, to compare with renderers that know no other beam."""
    return Spectrum(np.array([energy_kev], np.float64), np.ones(1))


@lru_cache(maxsize=64)
def tube_spectrum(
    kvp: float, aluminum_mm: float, copper_mm: float = 0.0, anode_deg: float = 12.0, bins: int = BINS
) -> Spectrum:
    """Compute the spectrum of a tungsten tube on its central ray.

    The model is SpekPy's (Poludniowski et al., Med. Phys. 48 (2021) 3630), with its defaults (physics ``casim``).

    Args:
        kvp: Tube voltage in kV.
        aluminum_mm: All filtration in mm of aluminum, what the tube itself filters included.
        copper_mm: Further filtration in mm of copper.
        anode_deg: Angle of the anode.
        bins: Energy bins of equal width; empty ones are left out.

    Raises:
        InputError: A voltage, filtration or angle that no C-arm has.
    """
    for name, value, (low, high) in (
        ("kvp", kvp, KVP_LIMITS),
        ("aluminum_mm", aluminum_mm, ALUMINUM_LIMITS_MM),
        ("copper_mm", copper_mm, COPPER_LIMITS_MM),
        ("anode_deg", anode_deg, ANODE_LIMITS_DEG),
        ("bins", bins, (4, 500)),
    ):
        if not low <= value <= high:
            raise InputError(f"tube spectrum {name}", value, f"{low:g} to {high:g}")
    import spekpy  # it takes seconds to import

    tube = spekpy.Spek(kvp=kvp, th=anode_deg, dk=0.5)
    tube.filter("Al", aluminum_mm)
    if copper_mm > 0:
        tube.filter("Cu", copper_mm)
    energies, density = tube.get_spectrum(edges=False)
    return _binned(np.asarray(energies, np.float64), np.asarray(density, np.float64), kvp, int(bins))


def _binned(energies: Float[np.ndarray, " n"], density: Float[np.ndarray, " n"], kvp: float, bins: int) -> Spectrum:
    """Sum a fine spectrum into bins, each at the mean energy of its photons."""
    kept = energies >= LOWEST_KEV
    energies, density = energies[kept], density[kept]
    number = np.clip(((energies - LOWEST_KEV) / (kvp - LOWEST_KEV) * bins).astype(int), 0, bins - 1)
    photons = np.bincount(number, density, bins)
    energy = np.bincount(number, density * energies, bins)
    filled = photons > 1e-6 * photons.sum()
    return Spectrum(energy[filled] / photons[filled], photons[filled] / photons[filled].sum())
