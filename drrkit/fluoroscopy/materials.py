"""What stands in the beam: tissue from a CT, metal and plastic, each with its attenuation at every photon energy.

Tissue is the mixture of :mod:`drrkit.projection.attenuation`: air and water up to 0 HU, water and cortical bone above,
so one energy gives that module's line integrals back. Lung and fat are thin water. Attenuation is counted from air's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType

import numpy as np
from jaxtyping import Float, Float32

from drrkit.errors import InputError
from drrkit.geometry.camera import Camera
from drrkit.projection.attenuation import (
    CT_ENERGY_KEV,
    ENERGY_LIMITS_KEV,
    MATERIALS,
    Material,
    cortical_bone_hu,
    linear_attenuation_per_mm,
)
from drrkit.projection.renderer import Prepared, prepare_attenuation, project
from drrkit.volume import Volume

WATER, BONE = "water", "cortical bone"
STEEL, TITANIUM, PMMA, CARBON, CSI = "steel", "titanium", "pmma", "carbon fiber", "cesium iodide"

FABRICATED: Mapping[str, Material] = MappingProxyType(
    {
        # AISI 316L, the surgical grade; bearing balls of 304 or 420 differ by less than 5 %. McConn et al., Compendium
        # of Material Composition Data, PNNL-15870 Rev. 1 (2011).
        STEEL: Material({"Fe": 0.655, "Cr": 0.17, "Ni": 0.12, "Mo": 0.025, "Mn": 0.02, "Si": 0.01}, 8.0),
        # Ti-6Al-4V by its nominal composition (ASTM F136).
        TITANIUM: Material({"Ti": 0.90, "Al": 0.06, "V": 0.04}, 4.43),
        # ICRU Report 44, as tabulated by NIST.
        PMMA: Material({"H": 0.080538, "C": 0.599848, "O": 0.319614}, 1.19),
        # 60 % by volume of carbon fiber (1.8 g/cm3) in epoxy C21H25O4 (1.2 g/cm3): the skins of a table's top.
        CARBON: Material({"C": 0.921, "H": 0.023, "O": 0.056}, 1.56),
        # Solid crystal; the needles of a scintillator fill less (see Detector.packing).
        CSI: Material({"Cs": 0.5115, "I": 0.4885}, 4.51),
    }
)


@dataclass(frozen=True, eq=False)
class Materials:
    """Volume fractions of tissues, cut to where they are not zero, ready for many views.

    Args:
        prepared: By material, from :func:`drrkit.projection.renderer.prepare_attenuation`; the "attenuation" is the
            share of the voxel, so that integrals along rays are millimeters.
    """

    prepared: Mapping[str, Prepared]


def material_fractions(volume: Volume, ct_energy_kev: float = CT_ENERGY_KEV) -> Materials:
    """Split every voxel into water and cortical bone by its Hounsfield units.

    Above solid cortical bone the line of the mixture goes on, with a share of water below zero, as in
    ``attenuation_map``; the attenuation is positive at every energy. Metal in a CT is therefore taken for very dense
    bone: clear it from the volume and add it as solids (:mod:`drrkit.fluoroscopy.solids`).

    Args:
        volume: The CT.
        ct_energy_kev: Effective energy at which the Hounsfield units were measured.
    """
    solid_bone_hu = np.float32(cortical_bone_hu(ct_energy_kev))
    prepared = {}
    # One after the other: a large CT's fractions fill memory.
    for name in (WATER, BONE):
        fraction = np.empty(volume.shape, np.float32)
        for hu, share in zip(volume.hu, fraction, strict=True):
            bone = np.clip(hu / solid_bone_hu, 0, None)
            share[:] = bone if name == BONE else np.clip(1 + hu / np.float32(1000), 0, 1) - bone
        prepared[name] = prepare_attenuation(fraction, volume.world_from_voxel)
    return Materials(MappingProxyType(prepared))


def path_lengths_mm(
    materials: Materials, cameras: Sequence[Camera], *, backend: str = "auto", device: str | None = None
) -> dict[str, Float32[np.ndarray, "b h w"]]:
    """Integrate the fractions along the rays of cameras of one image size.

    Args:
        materials: From :func:`material_fractions`.
        cameras: At least one; take few at a time where memory is short.
        backend: Who integrates; see :func:`drrkit.projection.renderer.choose_backend`.
        device: Of the backends that run on torch.

    Returns:
        By material, (B, H, W) millimeters of it.
    """
    return {
        name: project(fraction, cameras, backend=backend, device=device)
        for name, fraction in materials.prepared.items()
    }


def attenuation_per_mm(material: str, energies_kev: Float[np.ndarray, " e"]) -> Float[np.ndarray, " e"]:
    """Linear attenuation of a material above that of air.

    Elements as in :func:`drrkit.projection.attenuation.linear_attenuation_per_mm` (Elam's tables through xraydb).

    Args:
        material: One of ``MATERIALS`` there or ``FABRICATED`` here.
        energies_kev: (E,) photon energies.

    Returns:
        (E,) in mm^-1.

    Raises:
        InputError: An unknown material or an energy out of the tables.
    """
    return np.array(_attenuation_per_mm(material, tuple(float(energy) for energy in energies_kev)))


@lru_cache(maxsize=512)
def _attenuation_per_mm(material: str, energies_kev: tuple[float, ...]) -> tuple[float, ...]:
    air = np.array([linear_attenuation_per_mm("air", energy) for energy in energies_kev])
    if material in MATERIALS:
        return tuple(
            (np.array([linear_attenuation_per_mm(material, energy) for energy in energies_kev]) - air).tolist()
        )
    if material not in FABRICATED:
        raise InputError("material", material, " or ".join([*MATERIALS, *FABRICATED]))
    lowest_kev, highest_kev = ENERGY_LIMITS_KEV
    if not all(lowest_kev <= energy <= highest_kev for energy in energies_kev):
        raise InputError("photon energies", list(energies_kev), f"{lowest_kev:g} to {highest_kev:g} keV")
    import xraydb  # it opens a database, which only who looks attenuation up pays for

    mixture = FABRICATED[material]
    energies_ev = 1000 * np.array(energies_kev)
    mass_cm2_g = sum(share * xraydb.mu_elam(element, energies_ev) for element, share in mixture.fractions.items())
    return tuple((mass_cm2_g * mixture.density_g_cm3 / 10 - air).tolist())
