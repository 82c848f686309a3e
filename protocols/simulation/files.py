"""The files of a simulated session: CT, X-rays, acquisition.yaml, each calling itself simulated."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import yaml
from jaxtyping import Float, UInt16

from drrkit.fluoroscopy.machine import Machine
from drrkit.geometry.carm import CArm
from drrkit.io.ct import write_labels
from drrkit.io.ct_dicom import write_ct_dicom
from drrkit.io.store import write_bytes
from drrkit.io.study import Study
from drrkit.io.xa import Technique, XaDescription, log_table, stored_from_intensity, write_xa
from drrkit.volume import Volume
from protocols.acquisition import ACQUISITION_CONVENTION, SHEET_NAME, Sheet
from protocols.simulation.ct import insert_balls
from protocols.simulation.settings import SessionSettings


def write_ct(
    scanned: Volume, balls_world: Float[np.ndarray, "m 3"], settings: SessionSettings, study: Study, folder: Path
) -> None:
    """Write the CT with its balls as DICOM, and its labels."""
    ct = insert_balls(
        scanned, balls_world, settings.ball_diameter_mm, noise_hu=settings.ct_noise_hu, seed=settings.seed
    )
    write_ct_dicom(ct, folder / "ct", study, kvp=120.0, series_number=1)
    write_labels(ct, folder / "labels.nii.gz")


def write_shot(
    counts: Float[np.ndarray, "h w"],
    header_deg: tuple[float, float],
    carm: CArm,
    machine: Machine,
    settings: SessionSettings,
    study: Study,
    number: int,
    path: Path,
) -> None:
    """Write one exposure: (H, W) counts, the angles that the machine believes in, its place in the series."""
    # DICOM wants the table's entries to fill their 16 bits; intensities are relative anyway.
    scale = (2**16 - 1) // machine.detector.full_scale
    table = log_table(scale, scale * machine.detector.full_scale) if settings.relation == "LOG" else None
    stored: UInt16[np.ndarray, "h w"] = (
        counts.astype(np.uint16) if table is None else stored_from_intensity(scale * counts, table)
    )
    technique = machine.technique
    primary_deg, secondary_deg = header_deg
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
            round_field_mm=None if machine.optics is None else carm.width * carm.pixel_spacing_mm[1],
            collimator_px=open_pixels(carm, settings.collimator_mm),
            intensity_from_stored=table,
        ),
    )


def write_sheet(
    acquisition_id: str, donor_id: str, levels: Sequence[str], settings: SessionSettings, folder: Path
) -> None:
    """Write acquisition.yaml as a lab would fill it in."""
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


def open_pixels(carm: CArm, collimator_mm: float | None) -> tuple[int, int, int, int] | None:
    """Return the outermost pixels (left, top, right, bottom) that centered blades leave open."""
    if collimator_mm is None:
        return None
    row_mm, column_mm = carm.pixel_spacing_mm
    inset_u = max(0, round((carm.width - collimator_mm / column_mm) / 2))
    inset_v = max(0, round((carm.height - collimator_mm / row_mm) / 2))
    return inset_u, inset_v, carm.width - 1 - inset_u, carm.height - 1 - inset_v
