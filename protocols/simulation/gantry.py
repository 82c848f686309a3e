"""A C-arm that is not what its header says: true cameras beside the angles that the machine would write down."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from drrkit.geometry import rigid
from drrkit.geometry.camera import Camera
from drrkit.geometry.carm import CArm, rotation_from_angles
from drrkit.geometry.viewsets import View
from protocols.simulation.settings import Errors

# Sag is given for a detector of so many pixels; it is a bend in millimeters, whatever the read-out.
SAG_DETECTOR_PX = 1000.0


@dataclass(frozen=True, eq=False)
class Shot:
    """One exposure of the simulated C-arm.

    Args:
        exposure_id: The view's name.
        header_primary_deg: What the machine writes down.
        header_secondary_deg: What the machine writes down.
        camera: The true one, as the source sees it (the stored image is its mirror image).
    """

    exposure_id: str
    header_primary_deg: float
    header_secondary_deg: float
    camera: Camera


@dataclass(frozen=True, eq=False)
class Gantry:
    """How one session's machine bends and errs; drawn once a session.

    Args:
        carm: The machine as its data sheet has it.
        isocenter_from_world: Where the specimen lies.
        errors: How wrong everything is.
        bias_deg: Error of the two angles in this session.
        phases: Where on the orbit each bend is largest, in radians.
    """

    carm: CArm
    isocenter_from_world: Float[np.ndarray, "4 4"]
    errors: Errors
    bias_deg: Float[np.ndarray, " 2"]
    phases: Float[np.ndarray, " 8"]

    def shot(self, view: View, noise_deg: Float[np.ndarray, " 2"]) -> Shot:
        """Take one exposure: the machine means to stand at the view, and stands somewhere near."""
        errors, angle = self.errors, np.radians(view.primary_deg + 0.7 * view.secondary_deg)
        # Amplitude sqrt(2) sigma makes a sine whose standard deviation over the orbit is sigma.
        bend = np.sqrt(2) * np.sin(angle + self.phases)
        primary_deg = view.primary_deg + self.bias_deg[0] + noise_deg[0]
        secondary_deg = view.secondary_deg + self.bias_deg[1] + noise_deg[1]
        rotation = rotation_from_angles(primary_deg, secondary_deg, view.roll_deg + errors.roll_deg * bend[0])
        source_mm = np.array([0.0, 0.0, self.carm.source_to_isocenter_mm])
        camera_from_isocenter = rigid.from_rotation_translation(rotation, source_mm + errors.wobble_mm * bend[1:4])
        row_mm, column_mm = self.carm.pixel_spacing_mm
        detector_mm = self.carm.source_to_detector_mm + errors.sag_mm * bend[4]
        pixel_from_camera = self.carm.pixel_from_camera.copy()
        pixel_from_camera[0, 0], pixel_from_camera[1, 1] = detector_mm / column_mm, detector_mm / row_mm
        pixel_from_camera[:2, 2] += errors.sag_px * self.carm.width / SAG_DETECTOR_PX * bend[5:7]
        camera = Camera(
            pixel_from_camera,
            camera_from_isocenter @ self.isocenter_from_world,
            self.carm.height,
            self.carm.width,
            self.carm.pixel_spacing_mm,
        )
        return Shot(view.id, view.primary_deg, view.secondary_deg, camera)


def make_gantry(carm: CArm, center_world: Float[np.ndarray, " 3"], errors: Errors, rng: np.random.Generator) -> Gantry:
    """Draw one session's machine, with its center of rotation somewhere near ``center_world``."""
    turn_deg = rng.normal(0, errors.specimen_turn_deg, 3)
    rotation = Rotation.from_rotvec(np.radians(turn_deg)).as_matrix()
    isocenter_world = center_world + rng.normal(0, errors.isocenter_mm, 3)
    return Gantry(
        carm,
        rigid.from_rotation_translation(rotation, -rotation @ isocenter_world),
        errors,
        rng.normal(0, errors.angle_bias_deg, 2),
        rng.uniform(0, 2 * np.pi, 8),
    )


def take_shots(gantry: Gantry, views: Sequence[View], rng: np.random.Generator) -> list[Shot]:
    """Take all exposures of a session, in order."""
    return [gantry.shot(view, rng.normal(0, gantry.errors.angle_noise_deg, 2)) for view in views]
