"""A simulated ex-vivo session, file by file what a lab brings home; the truth goes to a file of its own.

The X-rays are simulated from one volume and the CT is another, coarser and noisier one of the same donor: what is
handed over is not what was projected. Everything is called simulated: in acquisition.yaml, in every DICOM file, in the
truth.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from drrkit.errors import InputError
from drrkit.fluoroscopy.distortion import DetectorDistortion
from drrkit.geometry.camera import Camera
from drrkit.geometry.viewsets import View, view_set
from drrkit.io.study import Study
from drrkit.phantom.parameters import POPULATIONS, sample_parameters
from drrkit.phantom.phantom import make_phantom
from drrkit.volume import Volume
from protocols.simulation.balls import place_balls, vertebral_centers
from protocols.simulation.faults import Take, parse_faults
from protocols.simulation.files import write_ct, write_sheet, write_shot
from protocols.simulation.gantry import Shot, make_gantry, take_shots
from protocols.simulation.scene import EARTH_FIELD_WORLD, Scene, exposed, make_scene
from protocols.simulation.settings import PhantomDonor, SessionSettings
from protocols.simulation.truth import ExposureTruth, Truth, named_points, write_truth


def simulate_phantom_session(
    acquisition_id: str,
    donor: PhantomDonor,
    settings: SessionSettings,
    folder: Path,
    truth_path: Path | None,
    faults: Mapping[str, str] | None = None,
    on_exposure: Callable[[str], None] = lambda exposure_id: None,
    views: Sequence[View] | None = None,
) -> Truth:
    """Simulate a session with a procedural donor; the rest as :func:`simulate_session`."""
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
    truth_path: Path | None,
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
        truth_path: For the truth, outside of ``folder``; None to write none.
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
    if truth_path is not None and truth_path.resolve().is_relative_to(folder.resolve()):
        raise InputError(truth_path, "the truth inside the session's folder", "a path outside, so that nobody reads it")
    chosen = parse_faults(faults or {})
    streams = [np.random.default_rng(stream) for stream in np.random.SeedSequence([settings.seed, 11]).spawn(5)]
    ball_rng, gantry_rng, shot_rng, fault_rng, instrument_rng = streams

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
    write_ct(scanned, balls_world, settings, study, folder)

    carm = settings.carm()
    gantry = make_gantry(carm, np.mean(list(centers.values()), axis=0), settings.errors, gantry_rng)
    shots = take_shots(gantry, views or view_set(settings.views).views[:: settings.every], shot_rng)
    unknown = sorted(set(chosen) - {shot.exposure_id for shot in shots})
    if unknown:
        raise InputError(
            "faults", f"exposure {unknown[0]}", f"exposures of this session, such as {shots[0].exposure_id}"
        )
    moved_world = balls_world + ball_rng.normal(0, settings.errors.ball_shift_mm, balls_world.shape)
    scene = make_scene(patient, centers, moved_world, settings, instrument_rng)
    truths = []
    for number, shot in enumerate(shots, start=1):
        take = _planned(shot, scene, settings)
        if shot.exposure_id in chosen:
            take = chosen[shot.exposure_id](take, fault_rng)
        camera = take.camera.flipped_horizontally()  # as DICOM stores it: seen from the detector
        distortion = scene.machine.distortion(camera, EARTH_FIELD_WORLD)
        counts = exposed(scene, take, camera, distortion, seed=settings.seed * 1_000_003 + number)
        if take.mirrored:
            counts = np.ascontiguousarray(counts[:, ::-1])
        path = folder / "xrays" / f"{shot.exposure_id}.dcm"
        write_shot(counts, take.header_deg, carm, scene.machine, settings, study, number, path)
        truths.append(
            _truth_of(shot.exposure_id, (faults or {}).get(shot.exposure_id, ""), take, camera, distortion,
                      centers, dict(zip(ball_ids, scene.balls_world, strict=True)))
        )  # fmt: skip
        on_exposure(shot.exposure_id)
    write_sheet(acquisition_id, donor_id, list(centers), settings, folder)
    truth = Truth(
        acquisition_id,
        named_points(ball_ids, balls_world),
        named_points(list(centers), np.stack(list(centers.values()))),
        tuple(truths),
    )
    if truth_path is not None:
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
