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
        blur_fwhm_mm=0.35,
        glare_fraction=0.05,
        glare_radius_mm=25.0,
        electronic_noise_kev_mm2=1000.0,
        gain=0.007,
        offset=20.0,
        is_flat_fielded=True,
    ),
    technique=Technique(kvp=80.0, aluminum_mm=3.0, copper_mm=0.1, anode_deg=12.0, pulse_ms=10.0),
    scatter_to_primary=0.6,
    scatter_fwhm_mm=110.0,
    focal_spot_mm=0.5,
    source="to be told in docs/fluoroscopy.md",
)

IMAGE_INTENSIFIER = Machine(
    name="simulated image intensifier",
    detector=Detector(
        csi_mm=0.4,
        packing=0.8,
        swank=0.85,
        blur_fwhm_mm=0.5,
        glare_fraction=0.15,
        glare_radius_mm=30.0,
        electronic_noise_kev_mm2=1500.0,
        gain=0.008,
        offset=16.0,
        is_flat_fielded=False,
    ),
    technique=Technique(kvp=75.0, aluminum_mm=4.0, copper_mm=0.0, anode_deg=10.0, pulse_ms=20.0),
    optics=Optics(pincushion=(0.05, 0.01), s_deg=1.5, rotation_deg=1.0, shift_mm=1.5),
    scatter_to_primary=1.0,
    scatter_fwhm_mm=110.0,
    focal_spot_mm=0.6,
    source="to be told in docs/fluoroscopy.md",
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
