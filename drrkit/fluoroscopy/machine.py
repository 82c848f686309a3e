"""What an X-ray machine is made of, for simulation: tube, collimator, scatter, detector, optics. Values and checks."""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from drrkit.errors import InputError
from drrkit.fluoroscopy.distortion import DetectorDistortion
from drrkit.fluoroscopy.spectrum import (
    ALUMINUM_LIMITS_MM,
    ANODE_LIMITS_DEG,
    COPPER_LIMITS_MM,
    KVP_LIMITS,
    Spectrum,
    tube_spectrum,
)
from drrkit.geometry.camera import Camera
from drrkit.geometry.rigid import ArrayLike


@dataclass(frozen=True)
class Technique:
    """How one exposure is made.

    Args:
        kvp: Tube voltage in kV.
        aluminum_mm: All filtration in mm of aluminum.
        copper_mm: Further filtration in mm of copper.
        anode_deg: Angle of the anode.
        photons_per_mm2: Photons that would reach the detector's center with nothing in the beam.
        pulse_ms: Length of the pulse; recorded, and what ``motion_px`` of :func:`expose` is the motion in.
    """

    kvp: float = 80.0
    aluminum_mm: float = 3.0
    copper_mm: float = 0.0
    anode_deg: float = 12.0
    photons_per_mm2: float = 100_000.0
    pulse_ms: float = 10.0

    def __post_init__(self) -> None:
        _check_range("technique kvp", self.kvp, *KVP_LIMITS)
        _check_range("technique aluminum_mm", self.aluminum_mm, *ALUMINUM_LIMITS_MM)
        _check_range("technique copper_mm", self.copper_mm, *COPPER_LIMITS_MM)
        _check_range("technique anode_deg", self.anode_deg, *ANODE_LIMITS_DEG)
        _check_range("technique photons_per_mm2", self.photons_per_mm2, 1e-3, 1e9)
        _check_range("technique pulse_ms", self.pulse_ms, 0.1, 10_000)

    @property
    def spectrum(self) -> Spectrum:
        """Photons by energy on the central ray."""
        return tube_spectrum(self.kvp, self.aluminum_mm, self.copper_mm, self.anode_deg)


@dataclass(frozen=True)
class Collimator:
    """Blades or an iris in front of the tube, seen on the detector.

    Args:
        shape: ``open`` (the whole detector), ``rectangle`` or ``iris``.
        size_mm: (width, height) of the opening on the detector; an iris has the width as its diameter.
        center_mm: (u, v) offset of the opening from the detector's center.
        rotation_deg: Turn of the rectangle, clockwise on a screen.
        penumbra_mm: Width of the soft edge.
        leak: Share of the primary that gets through the blades; scatter and glare reach behind them anyway.
    """

    shape: Literal["open", "rectangle", "iris"] = "open"
    size_mm: tuple[float, float] = (300.0, 300.0)
    center_mm: tuple[float, float] = (0.0, 0.0)
    rotation_deg: float = 0.0
    penumbra_mm: float = 3.0
    leak: float = 0.002

    def __post_init__(self) -> None:
        if self.shape not in ("open", "rectangle", "iris"):
            raise InputError("collimator shape", self.shape, "open, rectangle or iris")
        for size in self.size_mm:
            _check_range("collimator size_mm", size, 1, 5000)
        for name, value in (("center_mm", self.center_mm[0]), ("center_mm", self.center_mm[1])):
            _check_range(f"collimator {name}", value, -5000, 5000)
        _check_range("collimator rotation_deg", self.rotation_deg, -360, 360)
        _check_range("collimator penumbra_mm", self.penumbra_mm, 0.01, 100)
        _check_range("collimator leak", self.leak, 0, 1)


@dataclass(frozen=True)
class Detector:
    """An energy-integrating detector behind a scintillator of cesium iodide.

    Args:
        csi_mm: Thickness of the scintillator.
        packing: Share of it that its needles fill.
        swank: Swank factor: absorbed photons give uneven flashes, which makes noise stronger by 1 / sqrt(swank).
        blur_fwhm_mm: Full width at half maximum of the sharp part of the point spread.
        glare_fraction: Share of the light that spreads widely.
        glare_radius_mm: How far; see :func:`drrkit.fluoroscopy.spread.glare`.
        electronic_noise_kev_mm2: Standard deviation of the electronics in one pixel of 0.2 mm side, as energy absorbed
            a mm2; pixels of other sides have it by 0.2 mm / side, as binning makes it.
        gain: Counts for each keV absorbed a mm2.
        offset: Counts without X-rays.
        bits: Bits stored; full scale is 2^bits - 1.
        is_flat_fielded: Whether the shading of the open field (heel, distance) was divided out of the image.
    """

    csi_mm: float
    packing: float
    swank: float
    blur_fwhm_mm: float
    glare_fraction: float
    glare_radius_mm: float
    electronic_noise_kev_mm2: float
    gain: float
    offset: float = 0.0
    bits: int = 12
    is_flat_fielded: bool = True

    def __post_init__(self) -> None:
        for name, low, high in (
            ("csi_mm", 0.05, 3), ("packing", 0.3, 1), ("swank", 0.3, 1), ("blur_fwhm_mm", 0, 5),
            ("glare_fraction", 0, 0.5), ("glare_radius_mm", 1, 200), ("electronic_noise_kev_mm2", 0, 1e9),
            ("gain", 1e-9, 1e6), ("offset", 0, 1e5), ("bits", 8, 16),
        ):  # fmt: skip
            _check_range(f"detector {name}", getattr(self, name), low, high)

    @property
    def full_scale(self) -> int:
        """The highest count."""
        return 2**self.bits - 1


@dataclass(frozen=True)
class Optics:
    """The electron optics of an image intensifier; its field is the largest circle in the detector.

    Args:
        pincushion: (k1, k2) of :class:`DetectorDistortion`.
        s_deg: Rotation of the rim with the tube along the earth's field; the other way round against it.
        rotation_deg: Rotation of the center likewise.
        shift_mm: Shift of the image, at the detector, with the tube across the earth's field.
    """

    pincushion: tuple[float, float]
    s_deg: float
    rotation_deg: float
    shift_mm: float


@dataclass(frozen=True)
class Machine:
    """A C-arm for simulation. Its geometry is the camera's, not its own.

    Args:
        name: What to call it.
        detector: What catches the beam.
        technique: How exposures are made.
        collimator: What narrows the beam.
        optics: Electron optics of an image intensifier; None for a flat panel.
        scatter_to_primary: Scattered over primary energy on the detector's middle behind 20 cm of water that fill the
            beam, grid and air gap included.
        scatter_fwhm_mm: Width of the scatter of a pencil beam on the detector.
        focal_spot_mm: Size of the focal spot.
        magnification: At which the focal spot blurs the patient: source-detector over source-patient distance.
        anode_direction: (u, v) on the detector toward the anode, where the heel effect darkens.
        source: Where the numbers come from.
    """

    name: str
    detector: Detector
    technique: Technique = field(default_factory=Technique)
    collimator: Collimator = field(default_factory=Collimator)
    optics: Optics | None = None
    scatter_to_primary: float = 0.6
    scatter_fwhm_mm: float = 100.0
    focal_spot_mm: float = 0.5
    magnification: float = 1.7
    anode_direction: tuple[float, float] = (0.0, -1.0)
    source: str = ""

    def __post_init__(self) -> None:
        _check_range("machine scatter_to_primary", self.scatter_to_primary, 0, 20)
        _check_range("machine scatter_fwhm_mm", self.scatter_fwhm_mm, 5, 1000)
        _check_range("machine focal_spot_mm", self.focal_spot_mm, 0, 5)
        _check_range("machine magnification", self.magnification, 1, 5)
        if not 0.999 < np.hypot(*self.anode_direction) < 1.001:
            raise InputError("machine anode_direction", self.anode_direction, "a unit vector (u, v)")

    def distortion(self, camera: Camera, earth_field_world: ArrayLike | None = None) -> DetectorDistortion:
        """Say how this machine distorts the image of one camera.

        Args:
            camera: The view; the tube of the intensifier lies along its viewing direction.
            earth_field_world: Unit vector along the magnetic field; shorter where it is shielded. None for no field.

        Returns:
            The distortion; the identity for a flat panel.
        """
        center = ((camera.width - 1) / 2, (camera.height - 1) / 2)
        radius_px = min(camera.width, camera.height) / 2
        if self.optics is None:
            return DetectorDistortion(center, radius_px)
        field_world = np.zeros(3) if earth_field_world is None else np.asarray(earth_field_world, np.float64)
        if field_world.shape != (3,) or not np.linalg.norm(field_world) < 1.001:
            raise InputError("earth_field_world", field_world.tolist(), "a vector no longer than 1")
        x, y, along = camera.camera_from_world[:3, :3] @ field_world
        # Electrons that fly along the axis are pushed at a right angle to the field's other part.
        shift_u, shift_v = (
            self.optics.shift_mm
            * np.array([-y, x])
            / (
                camera.pixel_spacing_mm[1] * np.sign(camera.pixel_from_camera[0, 0]),
                camera.pixel_spacing_mm[0],
            )
        )
        turn = float(along) * float(np.sign(camera.pixel_from_camera[0, 0]))
        return DetectorDistortion(
            center, radius_px, self.optics.pincushion, self.optics.s_deg * turn, self.optics.rotation_deg * turn,
            (float(shift_u), float(shift_v)), is_round=True,
        )  # fmt: skip


def _check_range(where: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise InputError(where, value, f"{low:g} to {high:g}")
