"""Presets of real C-arms, each with the source of its numbers, and a generic one.

A preset is a prior: machines of one make differ, detectors are read out at several sizes, and a mobile C-arm bends by
centimeters as it turns. Calibrate where it matters. For a smaller image of the same detector, resize the preset:
``preset("siemens-cios-fusion").resized(256, 256)``. For a machine that is not here, make a ``CArm`` from its DICOM
headers (0018,1110; 0018,1164; rows and columns).
"""

from drrkit.errors import InputError
from drrkit.geometry.carm import CArm

PRESETS: dict[str, CArm] = {
    "generic": CArm(
        source_to_detector_mm=1000.0,
        source_to_isocenter_mm=600.0,
        height=512,
        width=512,
        pixel_spacing_mm=(0.8, 0.8),
        source="No machine. The distances of a mobile C-arm, with a panel so large that L1 to L5 fit into every view; "
        "its pixel is 0.48 mm at the isocenter, about the size of a CT's.",
    ),
    "siemens-cios-fusion": CArm(
        source_to_detector_mm=1020.0,
        source_to_isocenter_mm=530.0,
        height=1536,
        width=1536,
        pixel_spacing_mm=(0.194, 0.194),
        source="The mobile C-arm of the DeepFluoro data. Distance to the detector, pixels and spacing: xreg, "
        "xregCIOSFusionDICOM.cpp (MakeNaiveCIOSFusionMetaDR). Distance to the isocenter: DeepDRR, "
        "device/mobile_carm.py, after the vendor's data sheet. The machine is not isocentric: its central ray passes "
        "the center of orbital rotation at a distance (157 mm in xreg's CIOSFusionCBCTExtrins), which is left out here "
        "as in DeepDRR.",
    ),
    "siemens-cios-spin": CArm(
        source_to_detector_mm=1164.0,
        source_to_isocenter_mm=622.0,
        height=976,
        width=976,
        pixel_spacing_mm=(0.305, 0.305),
        source="Isocentric mobile C-arm with a panel of 30 x 30 cm (Sheth et al., Med Phys 2020, 47(3):958). Distances "
        "and the pixels of a 3D scan: dicom_custom_projection.py and SpinProjMatrix_5proj.xml of github.com/maxrohleder"
        "/deepdrr. The five calibrated matrices there decompose into focal lengths of 3816 to 3820 px, which makes the "
        "spacing 0.305 mm, and sources 621.0 to 622.5 mm from the isocenter.",
    ),
    "siemens-arcadis-orbic": CArm(
        source_to_detector_mm=980.0,
        source_to_isocenter_mm=490.0,
        height=1024,
        width=1024,
        pixel_spacing_mm=(230.0 / 1024, 230.0 / 1024),
        source="Isocentric mobile C-arm with an image intensifier: real images are round and distorted. 980 mm, a "
        "field of 23 cm and 1024 x 1024 pixels as in public code that calibrates a depth camera to this machine; "
        "Siemens' test protocol SPR2-310.662.01 gives 968 mm from source to film for the sister machine Arcadis Varic. "
        "Distance to the isocenter: found nowhere, assumed half-way.",
    ),
    "siemens-artis-zee": CArm(
        source_to_detector_mm=1250.0,
        source_to_isocenter_mm=780.0,
        height=1920,
        width=2480,
        pixel_spacing_mm=(0.154, 0.154),
        source="Fixed C-arm of a hybrid operating room with a panel of 30 x 38 cm; the detector moves along the beam, "
        "so its distance changes from shot to shot (0018,1110 says where it was). Table of C-arm geometries in NVIDIA "
        "FluoroSim, fluorosim/config.py, which calls them approximate.",
    ),
}


def preset(name: str) -> CArm:
    """Look up a C-arm by name.

    Raises:
        InputError: No preset of that name; the message lists them.
    """
    if name not in PRESETS:
        raise InputError("C-arm preset", name, " or ".join(PRESETS))
    return PRESETS[name]


def markdown_table() -> str:
    """Write the presets as the Markdown table of docs/view-sets.md."""
    rows = [
        "| preset | source to detector (mm) | to isocenter (mm) | rows x columns | spacing (mm) | numbers from |",
        "|---|---|---|---|---|---|",
    ]
    rows += [
        f"| `{name}` | {carm.source_to_detector_mm:g} | {carm.source_to_isocenter_mm:g} | {carm.height} x {carm.width} "
        f"| {carm.pixel_spacing_mm[0]:.3g} | {carm.source} |"
        for name, carm in PRESETS.items()
    ]
    return "\n".join(rows)
