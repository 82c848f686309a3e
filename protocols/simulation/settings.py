"""What a simulated session is made of: donor, machine, how wrong the machine's read-outs are. Every number has a unit.

The defaults of the errors are those of a mobile C-arm in an anatomy lab: positioner angles off by degrees, a center of
rotation that nobody knows, an arm that bends as it turns, a specimen that lies askew.
"""

from dataclasses import replace
from typing import Literal, TypeVar

from pydantic import Field

from drrkit.fluoroscopy.devices import MACHINES
from drrkit.fluoroscopy.machine import Collimator, Machine
from drrkit.geometry.carm import CArm
from drrkit.geometry.presets import preset
from drrkit.parameters import Parameters

Device = Literal["flat-panel", "image-intensifier"]
Instrument = Literal["k-wire", "pedicle-screw"]
Number = TypeVar("Number", int, float)

INTENSIFIER = CArm(
    source_to_detector_mm=1000.0,
    source_to_isocenter_mm=580.0,
    height=1024,
    width=1024,
    pixel_spacing_mm=(330.0 / 1024, 330.0 / 1024),
    source="No one machine: a mobile C-arm with an image intensifier of 33 cm, the largest field in use.",
)

# Flat panel: distances and pixels of a machine whose calibrated matrices are public.
CARMS: dict[str, CArm] = {"flat-panel": preset("siemens-cios-spin"), "image-intensifier": INTENSIFIER}


class PhantomDonor(Parameters):
    """A procedural spine instead of a donor.

    Args:
        seed: Which individual.
        population: ``adults`` or ``shifted`` (scoliosis, slip, height loss, soft bone: never trained on).
        spacing_mm: Voxels that the X-rays are simulated from, finer than the CT's.
    """

    seed: int = Field(ge=0)
    population: Literal["adults", "shifted"] = "shifted"
    spacing_mm: float = 0.8


class Errors(Parameters):
    """How the machine and the table differ from what headers and protocol say; standard deviations.

    Args:
        angle_bias_deg: Of the read-out, the same in the whole session.
        angle_noise_deg: Of the read-out, new in each exposure.
        roll_deg: Turn of the image about the beam, slowly changing with the angle.
        isocenter_mm: Where the center of rotation lies off L3, along each axis.
        specimen_turn_deg: How askew the specimen lies, about each axis.
        wobble_mm: How far the arm bends off its center of rotation as it turns.
        sag_px: How far the principal point moves as the arm turns, at 1000 px detectors.
        sag_mm: How far the distance to the detector changes as the arm turns.
        ball_shift_mm: How far each ball moved in the soft tissue, along each axis, between CT and C-arm.
    """

    angle_bias_deg: float = 1.5
    angle_noise_deg: float = 0.7
    roll_deg: float = 0.7
    isocenter_mm: float = 12.0
    specimen_turn_deg: float = 4.0
    wobble_mm: float = 4.0
    sag_px: float = 4.0
    sag_mm: float = 3.0
    ball_shift_mm: float = 0.2


class MachineChanges(Parameters):
    """Where the simulated machine differs from :data:`drrkit.fluoroscopy.devices.MACHINES`; None is as the device.

    Args:
        kvp: Tube voltage in kV.
        copper_mm: Copper filter in mm.
        scatter_to_primary: Scatter behind 20 cm of water, as a part of the primary.
        blur_fwhm_mm: Full width at half maximum of the sharp part of the detector's point spread.
        glare_fraction: Share of the light that spreads widely.
        electronic_noise_factor: Times the device's electronic noise.
        bits: Bits stored, at the same counts for each keV: more of them leave the light parts of an image unclipped.
        gain_factor: Times the device's counts for each keV: automatic exposure then takes so many times fewer photons,
            and quantum noise grows.
    """

    kvp: float | None = None
    copper_mm: float | None = None
    scatter_to_primary: float | None = None
    blur_fwhm_mm: float | None = None
    glare_fraction: float | None = None
    electronic_noise_factor: float | None = Field(default=None, ge=0)
    bits: int | None = None
    gain_factor: float | None = Field(default=None, gt=0)

    def applied(self, machine: Machine) -> Machine:
        """Return the machine with these changes.

        Raises:
            InputError: A number that no such machine can have.
        """
        technique, detector = machine.technique, machine.detector
        return replace(
            machine,
            technique=replace(
                technique,
                kvp=_said(self.kvp, technique.kvp),
                copper_mm=_said(self.copper_mm, technique.copper_mm),
            ),
            detector=replace(
                detector,
                blur_fwhm_mm=_said(self.blur_fwhm_mm, detector.blur_fwhm_mm),
                glare_fraction=_said(self.glare_fraction, detector.glare_fraction),
                electronic_noise_kev_mm2=_said(self.electronic_noise_factor, 1.0) * detector.electronic_noise_kev_mm2,
                bits=_said(self.bits, detector.bits),
                gain=_said(self.gain_factor, 1.0) * detector.gain,
            ),
            scatter_to_primary=_said(self.scatter_to_primary, machine.scatter_to_primary),
        )


class SessionSettings(Parameters):
    """One simulated session.

    Args:
        device: Which machine.
        machine: Where it differs from that device; None for nowhere.
        panel_mm: Side of a square detector in the device's gantry; None for the device's own detector.
        size_px: Rows and columns of the images; the detector keeps its millimeters.
        views: A view set; ``orbit`` is the protocol's.
        every: Keep each so-manieth view, for a short session.
        ball_count: Steel balls in the soft tissue.
        ball_diameter_mm: Their diameter.
        ct_spacing_mm: Cubic voxels of the CT of a procedural donor as it is handed over.
        ct_noise_hu: Its noise, beside the phantom's own.
        relation: Whether stored pixels are linear or logarithmic in the beam; the 12 bits of a file hold more than 12
            bits of counts only as logarithms.
        exposure_target: Of full scale: where automatic exposure puts the middle of the image.
        table: Whether the specimen lies on a table that the beam crosses.
        collimator_mm: Side of the square on the detector that the blades leave open; None for open blades.
        instruments: Metal in the field of view that is no ball, and is not in the CT.
        seed: Of everything random.
        errors: How wrong the machine is.
    """

    device: Device
    machine: MachineChanges | None = None
    panel_mm: float | None = Field(default=None, gt=0)
    size_px: int = Field(default=768, ge=128)
    views: str = "orbit"
    every: int = Field(default=1, ge=1)
    ball_count: int = Field(default=20, ge=4)
    ball_diameter_mm: float = Field(default=3.0, gt=0)
    ct_spacing_mm: float = Field(default=0.8, gt=0)
    ct_noise_hu: float = 8.0
    relation: Literal["LIN", "LOG"] = "LIN"
    exposure_target: float = Field(default=0.25, gt=0, le=1)
    table: bool = True
    collimator_mm: float | None = Field(default=None, gt=20)
    instruments: tuple[Instrument, ...] = ()
    seed: int = Field(default=0, ge=0)
    errors: Errors = Errors()

    def carm(self) -> CArm:
        """Build the gantry and the detector."""
        carm = CARMS[self.device]
        if self.panel_mm is None:
            return carm.resized(self.size_px, self.size_px)
        spacing_mm = self.panel_mm / self.size_px
        return carm.with_detector(self.size_px, self.size_px, (spacing_mm, spacing_mm))

    def simulated_machine(self) -> Machine:
        """Build the machine that makes the images.

        Raises:
            InputError: Changes that no such machine can have.
        """
        machine = MACHINES[self.device]
        if self.machine is not None:
            machine = self.machine.applied(machine)
        if self.collimator_mm is None:
            return machine
        return replace(machine, collimator=Collimator("rectangle", (self.collimator_mm, self.collimator_mm)))


def _said(change: Number | None, otherwise: Number) -> Number:
    return otherwise if change is None else change
