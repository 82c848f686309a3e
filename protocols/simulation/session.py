"""A simulated ex-vivo session, file by file what a lab brings home; the truth goes to a file of its own.

The X-rays are simulated from one volume and the CT is another, coarser and noisier one of the same donor: what is
handed over is not what was projected. Everything is called simulated: in acquisition.yaml, in every DICOM file, in the
truth.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import yaml
from jaxtyping import Float, UInt16

from drrkit.errors import InputError
from drrkit.fluoroscopy.devices import MACHINES
from drrkit.fluoroscopy.distortion import DetectorDistortion
from drrkit.fluoroscopy.exposure import automatic_exposure, expose
from drrkit.fluoroscopy.machine import Machine
from drrkit.fluoroscopy.materials import WATER, Materials, material_fractions, path_lengths_mm
from drrkit.fluoroscopy.solids import Slab, Solid, Sphere, add_chords, chords_mm, kirschner_wire, pedicle_screw
from drrkit.fluoroscopy.trunk import extend_trunk
from drrkit.geometry.camera import Camera
from drrkit.geometry.carm import CArm
from drrkit.geometry.viewsets import View, view_set
from drrkit.io.ct import write_labels
from drrkit.io.ct_dicom import write_ct_dicom
from drrkit.io.store import write_bytes
from drrkit.io.study import Study
from drrkit.io.xa import Technique, XaDescription, log_table, stored_from_intensity, write_xa
from drrkit.phantom.parameters import POPULATIONS, sample_parameters
from drrkit.phantom.phantom import make_phantom
from drrkit.volume import Volume
from protocols.acquisition import ACQUISITION_CONVENTION, SHEET_NAME, Sheet
from protocols.simulation.balls import place_balls, vertebral_centers
from protocols.simulation.ct import insert_balls
from protocols.simulation.faults import Take, parse_faults
from protocols.simulation.gantry import Shot, make_gantry, take_shots
from protocols.simulation.settings import CARMS, PhantomDonor, SessionSettings
from protocols.simulation.truth import ExposureTruth, Truth, named_points, write_truth

BUBBLE_MM = 4.0
BEYOND_CT_MM = 60.0
TABLE_MM, TABLE_BELOW_SKIN_MM = (480.0, 3.5, 1600.0), 12.0
SKIN_HU = -300.0


@dataclass(frozen=True, eq=False)
class Scene:
    """All that stands in the beam of one session, and the machine beside it."""

    tissue: Materials
    balls_world: Float[np.ndarray, "m 3"]
    ball_radius_mm: float
    instruments: Mapping[str, Solid]
    table: tuple[Slab, ...]
    machine: Machine
    earth_field_world: Float[np.ndarray, " 3"]


def simulate_phantom_session(
    acquisition_id: str,
    donor: PhantomDonor,
    settings: SessionSettings,
    folder: Path,
    truth_path: Path,
    faults: Mapping[str, str] | None = None,
    on_exposure: Callable[[str], None] = lambda exposure_id: None,
    views: Sequence[View] | None = None,
) -> Truth:
    """Simulate a session with a procedural donor; the rest as :func:`simulate_session`."""
    if donor.population not in POPULATIONS:
        raise InputError("donor population", donor.population, " or ".join(POPULATIONS))
    parameters = sample_parameters(donor.seed, POPULATIONS[donor.population])
    patient = make_phantom(parameters, donor.spacing_mm).volume
    # Voxels of another size, and so other noise: the same anatomy scanned, not the same numbers.
    scanned = make_phantom(parameters, settings.ct_spacing_mm).volume
    donor_id = f"phantom-{donor.population}-{donor.seed:04d}"
    return simulate_session(
        acquisition_id, donor_id, patient, scanned, settings, folder, truth_path, faults, on_exposure, views
    )


def simulate_session(
    acquisition_id: str,
    donor_id: str,
    patient: Volume,
    scanned: Volume,
    settings: SessionSettings,
    folder: Path,
    truth_path: Path,
    faults: Mapping[str, str] | None = None,
    on_exposure: Callable[[str], None] = lambda exposure_id: None,
    views: Sequence[View] | None = None,
) -> Truth:
    """Simulate a session and write it.

    Args:
        acquisition_id: Its name.
        donor_id: Whose anatomy it is.
        patient: Labelled volume that the X-rays are simulated from.
        scanned: The same anatomy in the same world as a scanner would see it before the balls; it may be ``patient``.
        settings: The rest of the session.
        folder: For acquisition.yaml, ct/, labels.nii.gz and xrays/; it must not exist or be empty.
        truth_path: For the truth; outside of ``folder``.
        faults: What goes wrong, by exposure id: names of :data:`protocols.simulation.faults.FAULTS`.
        on_exposure: Called with the exposure id of each finished exposure.
        views: Where the C-arm means to stand; None for those of the settings.

    Returns:
        The truth.

    Raises:
        InputError: A folder in use, no labelled lumbar vertebrae, no room for the balls, or an unknown fault.
    """
    if folder.exists() and any(folder.iterdir()):
        raise InputError(folder, "a folder with files in it", "a new or an empty folder")
    if truth_path.resolve().is_relative_to(folder.resolve()):
        raise InputError(truth_path, "the truth inside the session's folder", "a path outside, so that nobody reads it")
    chosen = parse_faults(faults or {})
    streams = [np.random.default_rng(stream) for stream in np.random.SeedSequence([settings.seed, 11]).spawn(5)]
    ball_rng, gantry_rng, shot_rng, fault_rng, instrument_rng = streams
    # A short CT must not let open beam pass above and below it.
    patient = extend_trunk(patient, BEYOND_CT_MM)

    centers = vertebral_centers(patient)
    balls_world = place_balls(patient, settings.ball_count, ball_rng)
    ball_ids = [f"b{number:02d}" for number in range(1, len(balls_world) + 1)]
    study = Study(
        patient_id=donor_id,
        seed=f"{acquisition_id}/{settings.seed}",
        study_id="SIM",
        manufacturer="drrkit",
        model=f"SIMULATED {settings.device}",
        simulated=True,
    )
    _write_ct(scanned, balls_world, settings, study, folder)

    carm = CARMS[settings.device].resized(settings.size_px, settings.size_px)
    gantry = make_gantry(carm, np.mean(list(centers.values()), axis=0), settings.errors, gantry_rng)
    shots = take_shots(gantry, views or view_set(settings.views).views[:: settings.every], shot_rng)
    unknown = sorted(set(chosen) - {shot.exposure_id for shot in shots})
    if unknown:
        raise InputError(
            "faults", f"exposure {unknown[0]}", f"exposures of this session, such as {shots[0].exposure_id}"
        )
    scene = Scene(
        tissue=material_fractions(patient),
        balls_world=balls_world + ball_rng.normal(0, settings.errors.ball_shift_mm, balls_world.shape),
        ball_radius_mm=settings.ball_diameter_mm / 2,
        instruments=_instruments(centers, instrument_rng),
        table=(_table(patient),) if settings.table else (),
        machine=MACHINES[settings.device],
        # About as in Zurich (Z down in the room is the supine patient's back), turned with the room.
        earth_field_world=np.array([0.25, 0.89, 0.38]),
    )
    truths = []
    for number, shot in enumerate(shots, start=1):
        take = _planned(shot, scene, settings)
        if shot.exposure_id in chosen:
            take = chosen[shot.exposure_id](take, fault_rng)
        camera = take.camera.flipped_horizontally()  # as DICOM stores it: seen from the detector
        distortion = scene.machine.distortion(camera, scene.earth_field_world)
        counts = _counts(take, camera, distortion, scene, seed=settings.seed * 1_000_003 + number)
        if take.mirrored:
            counts = np.ascontiguousarray(counts[:, ::-1])
        _write_shot(counts, take, carm, settings, study, number, folder / "xrays" / f"{shot.exposure_id}.dcm", scene)
        truths.append(
            _truth_of(shot.exposure_id, (faults or {}).get(shot.exposure_id, ""), take, camera, distortion,
                      centers, dict(zip(ball_ids, scene.balls_world, strict=True)))
        )  # fmt: skip
        on_exposure(shot.exposure_id)
    _write_sheet(acquisition_id, donor_id, list(centers), settings, folder)
    truth = Truth(
        acquisition_id,
        named_points(ball_ids, balls_world),
        named_points(list(centers), np.stack(list(centers.values()))),
        tuple(truths),
    )
    write_truth(truth, truth_path)
    return truth


def _planned(shot: Shot, scene: Scene, settings: SessionSettings) -> Take:
    return Take(
        header_deg=(shot.header_primary_deg, shot.header_secondary_deg),
        camera=shot.camera,
        balls_world=scene.balls_world,
        decoys_world=np.zeros((0, 3)),
        bubbles_world=np.zeros((0, 3)),
        instruments=settings.instruments,
    )


def _counts(
    take: Take, camera: Camera, distortion: DetectorDistortion, scene: Scene, seed: int
) -> Float[np.ndarray, "h w"]:
    """Expose one image: whole counts of the detector."""
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
    machine = automatic_exposure(lengths, camera, scene.machine)
    photons = machine.technique.photons_per_mm2 * take.exposure_factor
    machine = replace(machine, technique=replace(machine.technique, photons_per_mm2=photons))
    return expose(lengths, camera, machine, seed, distortion=distortion, motion_px=take.motion_px).pixels


def _write_shot(
    counts: Float[np.ndarray, "h w"],
    take: Take,
    carm: CArm,
    settings: SessionSettings,
    study: Study,
    number: int,
    path: Path,
    scene: Scene,
) -> None:
    # DICOM wants the table's entries to fill their 16 bits; intensities are relative anyway.
    scale = (2**16 - 1) // scene.machine.detector.full_scale
    table = log_table(scale, scale * scene.machine.detector.full_scale) if settings.relation == "LOG" else None
    stored: UInt16[np.ndarray, "h w"] = (
        counts.astype(np.uint16) if table is None else stored_from_intensity(scale * counts, table)
    )
    technique = scene.machine.technique
    primary_deg, secondary_deg = take.header_deg
    write_xa(
        path,
        stored,
        XaDescription(
            study=study,
            technique=Technique(
                kvp=technique.kvp,
                tube_current_ma=10.0,
                exposure_time_ms=technique.pulse_ms,
                filters=(("ALUMINUM", technique.aluminum_mm),),
            ),
            primary_deg=round(primary_deg, 1),
            secondary_deg=round(secondary_deg, 1),
            source_to_detector_mm=carm.source_to_detector_mm,
            source_to_isocenter_mm=carm.source_to_isocenter_mm,
            imager_spacing_mm=carm.pixel_spacing_mm,
            instance_number=number,
            series_number=2,
            round_field_mm=None if scene.machine.optics is None else carm.width * carm.pixel_spacing_mm[1],
            intensity_from_stored=table,
        ),
    )


def _truth_of(
    exposure_id: str,
    fault: str,
    take: Take,
    camera: Camera,
    distortion: DetectorDistortion,
    centers: Mapping[str, Float[np.ndarray, " 3"]],
    balls: Mapping[str, Float[np.ndarray, " 3"]],
) -> ExposureTruth:
    def taken_px(points: Sequence[Float[np.ndarray, " 3"]]) -> Float[np.ndarray, "n 2"]:
        pixels = distortion.distorted_from_ideal(camera.project(np.stack(list(points))))
        if take.mirrored:
            pixels[:, 0] = camera.width - 1 - pixels[:, 0]
        return pixels

    return ExposureTruth(
        exposure_id=exposure_id,
        fault=fault,
        camera=_seen_camera(camera, distortion, take.mirrored) if take.same_specimen else None,
        vertebrae_px=named_points(list(centers), taken_px(list(centers.values()))),
        balls_px=named_points(list(balls), taken_px(list(balls.values()))) if take.same_specimen else {},
    )


def _seen_camera(camera: Camera, distortion: DetectorDistortion, mirrored: bool) -> Camera:
    """Return the camera of the image at its center: what optics turn and shift as a whole is part of the camera."""
    shift_u, shift_v = distortion.shift_px
    turned = camera.rotated(distortion.rotation_deg)
    turned = turned.warped([[1, 0, shift_u], [0, 1, shift_v], [0, 0, 1]], camera.height, camera.width)
    return turned.flipped_horizontally() if mirrored else turned


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


def _write_ct(
    scanned: Volume, balls_world: Float[np.ndarray, "m 3"], settings: SessionSettings, study: Study, folder: Path
) -> None:
    ct = insert_balls(
        scanned, balls_world, settings.ball_diameter_mm, noise_hu=settings.ct_noise_hu, seed=settings.seed
    )
    write_ct_dicom(ct, folder / "ct", study, kvp=120.0, series_number=1)
    write_labels(ct, folder / "labels.nii.gz")


def _write_sheet(
    acquisition_id: str, donor_id: str, levels: Sequence[str], settings: SessionSettings, folder: Path
) -> None:
    record = {
        "convention": ACQUISITION_CONVENTION,
        "acquisition_id": acquisition_id,
        "donor_id": donor_id,
        "simulated": True,
        "site": "SIMULATED: computed by drrkit acquisition simulate",
        "specimen": {"kind": "phantom", "levels": list(levels)},
        "balls": {
            "material": "stainless steel (simulated)",
            "diameter_mm": settings.ball_diameter_mm,
            "count": settings.ball_count,
        },
        "ct": {"path": "ct", "labels": "labels.nii.gz", "label_scheme": "verse"},
        "device": {
            "detector": settings.device.replace("-", "_"),
            "intrinsics": "drifting",
        },
        "xrays": {"files": "xrays/*.dcm"},
        "consent_reference": "none needed: SIMULATED, no donor",
        "notes": "SIMULATED session; no specimen was exposed.",
    }
    Sheet.model_validate(record)
    write_bytes(folder / SHEET_NAME, yaml.safe_dump(record, sort_keys=False, allow_unicode=True).encode())
