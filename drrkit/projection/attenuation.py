"""From Hounsfield units to linear attenuation (mm^-1) at a photon energy, for all of the body or for its bone.

The CT saw two materials in every voxel: air and water up to 0 HU, water and cortical bone above, mixed by volume so
that their attenuation at the CT's own effective energy gives the voxel's HU back (the two-component mixing of Schneider
et al., Phys. Med. Biol. 41 (1996) 111; Carney et al., Med. Phys. 33 (2006) 976). The same mixture is then looked up at
the energy of the X-ray. Above cortical bone, and so in metal, the line goes on.

Attenuation is counted from that of air: a detector's open field, I0, is measured through air. Air, and the padding that
scanners write below it, are exactly zero.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Literal, get_args

import numba
import numpy as np
from jaxtyping import Float32, Int16, UInt8

from drrkit.errors import InputError
from drrkit.projection.rays import KERNELS
from drrkit.volume import AIR_HU, Volume

Tissue = Literal["bone", "vertebrae", "full"]

# The mean energy of a 90 kVp beam behind 3 mm of aluminum and 20 cm of water, about what a lumbar view detects.
ENERGY_KEV = 60.0
# The usual effective energy of a CT at 120 kVp.
CT_ENERGY_KEV = 70.0
# Where vertebrae stand out and bodies of soft bone stay whole: 0 HU keeps muscle, 200 HU hollows them.
BONE_THRESHOLD_HU = 150.0
# From nothing to all, centered on the threshold: no hard edge that would alias between voxels.
BONE_RAMP_HU = 50.0

# Elam's tables reach further, but mixing water and bone tells nothing about megavolt beams or soft X-rays.
ENERGY_LIMITS_KEV = (10.0, 500.0)
# The table ends where int16 ends; there is one entry for each HU.
_HIGHEST_HU = 32767


@dataclass(frozen=True)
class Material:
    """A mixture of elements by mass fraction, with its density."""

    fractions: Mapping[str, float]
    density_g_cm3: float


# ICRU Report 44 (1989), as tabulated by NIST (Hubbell & Seltzer, NISTIR 5632, table 2).
MATERIALS: Mapping[str, Material] = MappingProxyType(
    {
        "air": Material({"C": 0.000124, "N": 0.755268, "O": 0.231781, "Ar": 0.012827}, 1.205e-3),
        "water": Material({"H": 0.111898, "O": 0.888102}, 1.0),
        "cortical bone": Material(
            {
                "H": 0.034, "C": 0.155, "N": 0.042, "O": 0.435, "Na": 0.001, "Mg": 0.002, "P": 0.103, "S": 0.003,
                "Ca": 0.225,
            },
            1.92,
        ),
    }
)  # fmt: skip


def attenuation_map(
    volume: Volume,
    tissue: Tissue = "bone",
    *,
    bone_threshold_hu: float = BONE_THRESHOLD_HU,
    energy_kev: float = ENERGY_KEV,
    ct_energy_kev: float = CT_ENERGY_KEV,
) -> Float32[np.ndarray, "z y x"]:
    """Look up what each voxel takes from the beam.

    Args:
        volume: The CT; with labels where ``tissue`` is ``vertebrae``.
        tissue: ``bone`` (above the threshold), ``vertebrae`` (labelled voxels only) or ``full``.
        bone_threshold_hu: Where half of a voxel counts as bone; the ramp about it is ``BONE_RAMP_HU`` wide.
        energy_kev: Photon energy of the X-ray.
        ct_energy_kev: Effective energy at which the Hounsfield units were measured.

    Returns:
        (Z, Y, X) linear attenuation above air's in mm^-1, never negative.

    Raises:
        InputError: An unknown tissue, an energy out of the tables, or no labels to tell the vertebrae.
    """
    if tissue == "vertebrae" and volume.labels is None:
        raise InputError(
            "tissue vertebrae", "a volume without labels", "a labelled volume, or the tissue bone, which needs none"
        )
    table = attenuation_table(tissue, bone_threshold_hu, energy_kev, ct_energy_kev)
    attenuation = np.empty(volume.shape, np.float32)
    look_up = _look_up_integers if volume.hu.dtype == np.int16 else _look_up_floats
    with KERNELS:
        look_up(np.ascontiguousarray(volume.hu).reshape(-1), table, attenuation.reshape(-1))
        if tissue == "vertebrae" and volume.labels is not None:
            _clear_unlabelled(np.ascontiguousarray(volume.labels).reshape(-1), attenuation.reshape(-1))
    return attenuation


def attenuation_table(
    tissue: Tissue = "full",
    bone_threshold_hu: float = BONE_THRESHOLD_HU,
    energy_kev: float = ENERGY_KEV,
    ct_energy_kev: float = CT_ENERGY_KEV,
) -> Float32[np.ndarray, " hu"]:
    """Tabulate attenuation above air's in mm^-1 for every integer from ``AIR_HU`` to 32767 HU.

    Raises:
        InputError: An unknown tissue, a threshold that is not finite, or an energy out of the tables.
    """
    if tissue not in get_args(Tissue):
        raise InputError("tissue", tissue, " or ".join(get_args(Tissue)))
    if not np.isfinite(bone_threshold_hu):
        raise InputError("bone_threshold_hu", bone_threshold_hu, "a finite number of Hounsfield units")
    hu = np.arange(AIR_HU, _HIGHEST_HU + 1, dtype=np.float64)
    water, bone = (_above_air_per_mm(material, energy_kev) for material in ("water", "cortical bone"))
    water_fraction = np.clip(1 + hu / 1000, 0, 1)
    bone_fraction = np.clip(hu / cortical_bone_hu(ct_energy_kev), 0, None)
    attenuation = water * water_fraction + (bone - water) * bone_fraction
    if tissue == "bone":
        attenuation *= np.clip((hu - bone_threshold_hu) / BONE_RAMP_HU + 0.5, 0, 1)
    return attenuation.astype(np.float32)


def cortical_bone_hu(ct_energy_kev: float = CT_ENERGY_KEV) -> float:
    """Hounsfield units that a CT of this effective energy measures in solid cortical bone."""
    bone, water = (_above_air_per_mm(material, ct_energy_kev) for material in ("cortical bone", "water"))
    return 1000 * (bone - water) / water


@cache
def linear_attenuation_per_mm(material: str, energy_kev: float) -> float:
    """Linear attenuation of a material of ``MATERIALS`` in mm^-1.

    The elements' cross sections are those of Elam, Ravel & Sieber, Radiat. Phys. Chem. 63 (2002) 121, through xraydb.

    Raises:
        InputError: An unknown material or an energy out of ``ENERGY_LIMITS_KEV``.
    """
    import xraydb  # it opens a database, which only who looks attenuation up pays for

    lowest_kev, highest_kev = ENERGY_LIMITS_KEV
    if not lowest_kev <= energy_kev <= highest_kev:
        raise InputError("photon energy", f"{energy_kev} keV", f"{lowest_kev:g} to {highest_kev:g} keV")
    if material not in MATERIALS:
        raise InputError("material", material, " or ".join(MATERIALS))
    mixture = MATERIALS[material]
    mass_cm2_g = sum(
        fraction * float(xraydb.mu_elam(element, 1000 * energy_kev)) for element, fraction in mixture.fractions.items()
    )
    return mass_cm2_g * mixture.density_g_cm3 / 10


def _above_air_per_mm(material: str, energy_kev: float) -> float:
    return linear_attenuation_per_mm(material, energy_kev) - linear_attenuation_per_mm("air", energy_kev)


@numba.njit(parallel=True, cache=True)
def _look_up_integers(
    hu: Int16[np.ndarray, " n"], table: Float32[np.ndarray, " hu"], attenuation: Float32[np.ndarray, " n"]
) -> None:
    for index in numba.prange(hu.size):
        attenuation[index] = table[max(int(hu[index]) - AIR_HU, 0)]


@numba.njit(parallel=True, cache=True)
def _look_up_floats(
    hu: Float32[np.ndarray, " n"], table: Float32[np.ndarray, " hu"], attenuation: Float32[np.ndarray, " n"]
) -> None:
    last = table.size - 1
    for index in numba.prange(hu.size):
        position = min(max(float(hu[index]) - AIR_HU, 0.0), float(last))
        below = min(int(position), last - 1)
        fraction = position - below
        attenuation[index] = (1 - fraction) * table[below] + fraction * table[below + 1]


@numba.njit(parallel=True, cache=True)
def _clear_unlabelled(labels: UInt8[np.ndarray, " n"], attenuation: Float32[np.ndarray, " n"]) -> None:
    for index in numba.prange(labels.size):
        if labels[index] == 0:
            attenuation[index] = 0
