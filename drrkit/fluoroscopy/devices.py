"""Two simulated machines with typical values: a mobile C-arm with a flat panel and one with an image intensifier.

Neither is a model of one product. Where a number was found nowhere it is called assumed.
"""

from collections.abc import Callable, Mapping
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
    "air gap, and the gain (full scale at about 0.4 microgray behind 20 cm of water) are assumed.",
)

IMAGE_INTENSIFIER = Machine(
    name="simulated image intensifier",
    detector=Detector(
        csi_mm=0.4,
        packing=0.8,
        swank=0.85,
        blur_fwhm_mm=0.53,
        glare_fraction=0.22,
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
    "low-frequency drop, 29 % of the modulation at 1 lp/mm, means of over 25 tubes in hospitals (Phys. Med. Biol. 33 "
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


def markdown_table() -> str:
    """Write the machines as the Markdown table of docs/fluoroscopy.md."""
    names = list(MACHINES)
    rows = [["", *(f"`{name}`" for name in names)], ["---"] * (len(names) + 1)]
    for label, value in _ROWS.items():
        rows.append([label, *(value(MACHINES[name]) for name in names)])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


_ROWS: Mapping[str, Callable[[Machine], str]] = MappingProxyType(
    {
        "tube": lambda m: (
            f"{m.technique.kvp:g} kVp, {m.technique.aluminum_mm:g} mm Al, "
            f"{m.technique.copper_mm:g} mm Cu, anode {m.technique.anode_deg:g} degrees"
        ),
        "focal spot": lambda m: f"{m.focal_spot_mm:g} mm, patient magnified {m.magnification:g} times",
        "scintillator": lambda m: (
            f"{m.detector.csi_mm:g} mm CsI, {100 * m.detector.packing:g} % filled, Swank {m.detector.swank:g}"
        ),
        "blur (full width at half maximum)": lambda m: f"{m.detector.blur_fwhm_mm:g} mm",
        "glare": lambda m: f"{100 * m.detector.glare_fraction:g} % over {m.detector.glare_radius_mm:g} mm",
        "scatter behind 20 cm of water": lambda m: (
            f"{m.scatter_to_primary:g} of the primary, {m.scatter_fwhm_mm:g} mm wide"
        ),
        "electronic noise in a 0.2 mm pixel": lambda m: f"{m.detector.electronic_noise_kev_mm2:g} keV/mm2",
        "gain": lambda m: f"{m.detector.gain:g} counts a keV/mm2, offset {m.detector.offset:g}, {m.detector.bits} bits",
        "shading of the open field": lambda m: "divided out" if m.detector.is_flat_fielded else "left in",
        "distortion": lambda m: (
            "none"
            if m.optics is None
            else f"pincushion {m.optics.pincushion}, earth's field up to {m.optics.s_deg:g} degrees more at the rim, "
            f"{m.optics.rotation_deg:g} degrees in all, {m.optics.shift_mm:g} mm"
        ),
        "numbers from": lambda m: m.source,
    }
)
