"""What goes wrong in an anatomy lab, done on purpose to simulated exposures: the hard cases of calibration.

Each fault changes one planned exposure before it is taken. What it does is written down in the truth, and nowhere else.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np
from jaxtyping import Float

from drrkit.errors import InputError
from drrkit.geometry import rigid
from drrkit.geometry.camera import Camera

HIDDEN_SHARE = 0.3
FALSE_BALLS, GAS_BUBBLES = 10, 5
ANGLES_OFF_DEG = 8.0
BLUR_DETECTOR_SHARE = (0.006, 0.014)
SATURATING_EXPOSURE = 8.0
OUT_OF_FIELD_MM = 75.0


@dataclass(frozen=True, eq=False)
class Take:
    """One exposure as it is planned.

    Args:
        header_deg: Primary and secondary angle as the file will say them.
        camera: The true one, as the source sees it.
        balls_world: (M, 3) balls that the beam will meet.
        decoys_world: (K, 3) steel balls that are in no CT.
        bubbles_world: (B, 3) gas bubbles that were not there in the CT.
        instruments: Names of the metal in the field.
        exposure_factor: Times the dose that automatic exposure asks for.
        motion_px: How far (u, v) the image moves while it is taken.
        mirrored: Whether the file holds the mirror image without saying so.
        same_specimen: False where the beam meets other balls than those of the CT.
    """

    header_deg: tuple[float, float]
    camera: Camera
    balls_world: Float[np.ndarray, "m 3"]
    decoys_world: Float[np.ndarray, "k 3"]
    bubbles_world: Float[np.ndarray, "b 3"]
    instruments: tuple[str, ...] = ()
    exposure_factor: float = 1.0
    motion_px: tuple[float, float] = (0.0, 0.0)
    mirrored: bool = False
    same_specimen: bool = True


def _hidden_balls(take: Take, rng: np.random.Generator) -> Take:
    keep = rng.permutation(len(take.balls_world))[round(HIDDEN_SHARE * len(take.balls_world)) :]
    return replace(take, balls_world=take.balls_world[np.sort(keep)])


def _merged_balls(take: Take, rng: np.random.Generator) -> Take:
    """Put a decoy close beside the line of sight of some balls, so that their shadows run together."""
    chosen = take.balls_world[rng.permutation(len(take.balls_world))[: round(HIDDEN_SHARE * len(take.balls_world))]]
    across = take.camera.camera_from_world[:2, :3]
    sides = rng.normal(size=(len(chosen), 2))
    sides *= rng.uniform(1.0, 2.6, (len(chosen), 1)) / np.linalg.norm(sides, axis=1, keepdims=True)
    along_mm = rng.uniform(-25, 25, (len(chosen), 1))
    decoys = chosen + sides @ across + along_mm * take.camera.view_direction_world
    return replace(take, decoys_world=np.concatenate([take.decoys_world, decoys]))


def _false_balls(take: Take, rng: np.random.Generator) -> Take:
    """Scatter steel balls and gas bubbles that no CT knows."""
    low, high = take.balls_world.min(axis=0) - 5, take.balls_world.max(axis=0) + 5
    decoys = rng.uniform(low, high, (FALSE_BALLS, 3))
    return replace(
        take,
        decoys_world=np.concatenate([take.decoys_world, decoys]),
        bubbles_world=rng.uniform(low, high, (GAS_BUBBLES, 3)),
    )


def _instruments(take: Take, rng: np.random.Generator) -> Take:
    return replace(take, instruments=(*take.instruments, "k-wire", "pedicle-screw"))


def _angles_off(take: Take, rng: np.random.Generator) -> Take:
    primary_deg, secondary_deg = np.array(take.header_deg) + ANGLES_OFF_DEG * rng.choice([-1, 1], 2)
    return replace(take, header_deg=(float(primary_deg), float(np.clip(secondary_deg, -90, 90))))


def _mirrored(take: Take, rng: np.random.Generator) -> Take:
    return replace(take, mirrored=True)


def _other_specimen(take: Take, rng: np.random.Generator) -> Take:
    """Replace the balls by as many others in the same space."""
    low, high = take.balls_world.min(axis=0), take.balls_world.max(axis=0)
    return replace(take, balls_world=rng.uniform(low, high, take.balls_world.shape), same_specimen=False)


def _motion_blur(take: Take, rng: np.random.Generator) -> Take:
    length_px = rng.uniform(*BLUR_DETECTOR_SHARE) * take.camera.width
    angle = rng.uniform(0, np.pi)
    return replace(take, motion_px=(float(length_px * np.cos(angle)), float(length_px * np.sin(angle))))


def _saturated(take: Take, rng: np.random.Generator) -> Take:
    return replace(take, exposure_factor=SATURATING_EXPOSURE * take.exposure_factor)


def _half_out_of_field(take: Take, rng: np.random.Generator) -> Take:
    """Move the C-arm along the table or across the beam until half of the balls are gone."""
    camera, angle = take.camera, rng.uniform(0, 2 * np.pi)
    shift_mm = OUT_OF_FIELD_MM * np.array([np.cos(angle), np.sin(angle), 0.0])
    moved = rigid.from_rotation_translation(np.eye(3), shift_mm) @ camera.camera_from_world
    camera = Camera(camera.pixel_from_camera, moved, camera.height, camera.width, camera.pixel_spacing_mm)
    return replace(take, camera=camera)


FAULTS: MappingProxyType[str, Callable[[Take, np.random.Generator], Take]] = MappingProxyType(
    {
        "hidden-balls": _hidden_balls,
        "merged-balls": _merged_balls,
        "false-balls": _false_balls,
        "instruments": _instruments,
        "angles-off": _angles_off,
        "mirrored": _mirrored,
        "other-specimen": _other_specimen,
        "motion-blur": _motion_blur,
        "saturated": _saturated,
        "half-out-of-field": _half_out_of_field,
    }
)


def parse_faults(faults: Mapping[str, str]) -> dict[str, Callable[[Take, np.random.Generator], Take]]:
    """Look up the fault of each exposure id.

    Raises:
        InputError: A fault that does not exist.
    """
    for exposure_id, name in faults.items():
        if name not in FAULTS:
            raise InputError(f"fault of {exposure_id}", name, " or ".join(FAULTS))
    return {exposure_id: FAULTS[name] for exposure_id, name in faults.items()}
