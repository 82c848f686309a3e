"""Two simulated machines with typical values: a mobile C-arm with a flat panel and one with an image intensifier.

Neither is a model of one product. Where a number was found nowhere it is called assumed.
"""

from collections.abc import Mapping
from types import MappingProxyType

from drrkit.errors import InputError
from drrkit.fluoroscopy.machine import Detector, Machine, Optics, Technique

FLAT_PANEL = Machine(
    name="simulated flat panel",
    detector=Detector(
        csi_mm=0.6,
        packing=0.78,
        swank=0.85,
        blur_fwhm_mm=0.38,
        glare_fraction=0.03,
        glare_radius_mm=15.0,
        electronic_noise_kev_mm2=1200.0,
        gain=0.007,
        offset=20.0,
        is_flat_fielded=True,
    ),
    technique=Technique(kvp=80.0, aluminum_mm=3.0, copper_mm=0.1, anode_deg=14.0, pulse_ms=10.0),
    scatter_to_primary=0.6,
    scatter_fwhm_mm=110.0,
    focal_spot_mm=0.5,
    source="A panel of amorphous silicon under 0.6 mm of CsI:Tl, needles filling 78 % of it, as mobile C-arms carry. "
    "Blur: a Gaussian that leaves 58 % of the modulation at 1 lp/mm. Electronic noise: about one absorbed photon in a "
    "pixel of 0.194 mm; CMOS has a half to a third of it (Sheth et al., Med. Phys. 45 (2018) 5420). Little glare "
    "(Seibert, Pediatr. Radiol. 36 Suppl. 2 (2006) 173); its radius, the Swank factor, the scatter behind grid and "
    "air gap, and the gain (full scale at about 0.6 microgray behind a patient) are assumed.",
)

IMAGE_INTENSIFIER = Machine(
    name="simulated image intensifier",
    detector=Detector(
        csi_mm=0.4,
        packing=0.8,
        swank=0.85,
        blur_fwhm_mm=0.53,
        glare_fraction=0.2,
        glare_radius_mm=25.0,
        electronic_noise_kev_mm2=1000.0,
        gain=0.008,
        offset=16.0,
        is_flat_fielded=False,
    ),
    technique=Technique(kvp=75.0, aluminum_mm=4.0, copper_mm=0.0, anode_deg=14.0, pulse_ms=20.0),
    optics=Optics(pincushion=(0.05, 0.01), s_deg=1.5, rotation_deg=1.0, shift_mm=1.5),
    scatter_to_primary=0.8,
    scatter_fwhm_mm=110.0,
    focal_spot_mm=0.6,
    source="A tube with an input screen of CsI:Na (up to 0.5 mm thick) and a CCD camera. Blur and glare: 22 % of "
    "low-frequency drop and 29 % of the modulation at 1 lp/mm, means of 25 tubes in hospitals (Phys. Med. Biol. 33 "
    "(1988), doi 10.1088/0031-9155/33/1/009). Pincushion and the earth's field have the forms of Liu, Rudin & "
    "Bednarek, Med. Phys. 26 (1999) 1802. Their amounts, the glare's radius, scatter, Swank factor, camera noise (one "
    "thousandth of full scale in pixels of 0.4 mm) and gain are assumed.",
)

MACHINES: Mapping[str, Machine] = MappingProxyType({"flat-panel": FLAT_PANEL, "image-intensifier": IMAGE_INTENSIFIER})


def machine(name: str) -> Machine:
    """Look up a simulated machine.

    Raises:
        InputError: No machine of that name; the message lists them.
    """
    if name not in MACHINES:
        raise InputError("machine", name, " or ".join(MACHINES))
    return MACHINES[name]
