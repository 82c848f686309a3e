"""What stands in the beam of a simulated session, and one exposure of it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from drrkit.fluoroscopy.distortion import DetectorDistortion
from drrkit.fluoroscopy.exposure import automatic_exposure, expose
from drrkit.fluoroscopy.machine import Machine
from drrkit.fluoroscopy.materials import WATER, Materials, material_fractions, path_lengths_mm
from drrkit.fluoroscopy.solids import Slab, Solid, Sphere, add_chords, chords_mm, kirschner_wire, pedicle_screw
from drrkit.fluoroscopy.trunk import extend_trunk
from drrkit.geometry.camera import Camera
from drrkit.volume import Volume
from protocols.simulation.faults import Take
from protocols.simulation.settings import SessionSettings

BUBBLE_MM = 4.0
# A short CT must not let open beam pass above and below it.
BEYOND_CT_MM = 60.0
TABLE_MM, TABLE_BELOW_SKIN_MM = (480.0, 3.5, 1600.0), 12.0
SKIN_HU = -300.0
# Steep, as in the north: mostly down, toward the back of a specimen that lies supine.
EARTH_FIELD_WORLD = np.array([0.25, 0.89, 0.38])


@dataclass(frozen=True, eq=False)
class Scene:
    """All that stands in the beam of one session, and the machine beside it."""

    tissue: Materials
    balls_world: Float[np.ndarray, "m 3"]
    ball_radius_mm: float
    instruments: Mapping[str, Solid]
    table: tuple[Slab, ...]
    machine: Machine
    exposure_target: float


def make_scene(
    patient: Volume,
    centers: Mapping[str, Float[np.ndarray, " 3"]],
    balls_world: Float[np.ndarray, "m 3"],
    settings: SessionSettings,
    rng: np.random.Generator,
) -> Scene:
    """Set the scene.

    Args:
        patient: Volume that the X-rays are simulated from.
        centers: Middles of the vertebrae, where instruments are set.
        balls_world: (M, 3) where the balls are during the exposures.
        settings: Of the session.
        rng: Of the instruments' places.
    """
    return Scene(
        tissue=material_fractions(extend_trunk(patient, BEYOND_CT_MM)),
        balls_world=balls_world,
        ball_radius_mm=settings.ball_diameter_mm / 2,
        instruments=_instruments(centers, rng),
        table=(_table(patient),) if settings.table else (),
        machine=settings.simulated_machine(),
        exposure_target=settings.exposure_target,
    )


def exposed(
    scene: Scene, take: Take, camera: Camera, distortion: DetectorDistortion, seed: int
) -> Float[np.ndarray, "h w"]:
    """Expose one image: (H, W) whole counts of the detector."""
    lengths = {name: length[0] for name, length in path_lengths_mm(scene.tissue, [camera]).items()}
    solids: list[Solid] = [
        Sphere(tuple(center), scene.ball_radius_mm, displaces=WATER)
        for center in np.concatenate([take.balls_world, take.decoys_world]).tolist()
    ]
    solids += [scene.instruments[name] for name in take.instruments]
    solids += scene.table
    lengths = add_chords(lengths, chords_mm(solids, camera))
    bubbles = [Sphere(tuple(center), BUBBLE_MM, material=WATER) for center in take.bubbles_world.tolist()]
    if bubbles:
        lengths = add_chords(lengths, {WATER: -chords_mm(bubbles, camera)[WATER]})
    machine = automatic_exposure(lengths, camera, scene.machine, target_fraction=scene.exposure_target)
    photons = machine.technique.photons_per_mm2 * take.exposure_factor
    machine = replace(machine, technique=replace(machine.technique, photons_per_mm2=photons))
    return expose(lengths, camera, machine, seed, distortion=distortion, motion_px=take.motion_px).pixels


def _instruments(centers: Mapping[str, Float[np.ndarray, " 3"]], rng: np.random.Generator) -> dict[str, Solid]:
    """Place a wire and a screw as if they were being set into two of the vertebrae, from behind."""
    places = list(centers.values())
    behind = np.array([0.0, 1.0, 0.0])
    lean = rng.uniform(-0.3, 0.3, (2, 3))
    wire_tip, screw_tip = (places[rng.integers(len(places))] + rng.uniform(-8, 8, 3) for _ in range(2))
    return {
        "k-wire": kirschner_wire(wire_tip + 130 * (behind + lean[0]), wire_tip),
        "pedicle-screw": pedicle_screw(screw_tip + 45 * (behind + lean[1]), screw_tip),
    }


def _table(patient: Volume) -> Slab:
    """Put the top of a table a little below the specimen's back (world y grows toward the back)."""
    body = patient.hu > SKIN_HU
    rows = np.flatnonzero(body.any(axis=(0, 2)))
    steps = patient.world_from_voxel[:3, 1]
    back_mm = max(float((patient.world_from_voxel[:3, 3] + row * steps)[1]) for row in (rows[0], rows[-1]))
    x_mm, _, z_mm = patient.center_world
    return Slab((float(x_mm), back_mm + TABLE_BELOW_SKIN_MM, float(z_mm)), TABLE_MM)
