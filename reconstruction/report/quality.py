"""How well the cameras of the acquisitions are known, by what calibration itself can prove."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from drrkit.errors import InputError
from protocols.calibration.result import CALIBRATION_NAME, read_calibration
from reconstruction.report.files import field, read_object


@dataclass(frozen=True)
class AcquisitionQuality:
    """One calibrated acquisition.

    Args:
        acquisition_id: The acquisition.
        simulated: Whether the session is simulated.
        statuses: ``pass``, ``warn`` and ``fail`` -> number of exposures.
        target_errors_mm: Of each exposure that has one, in the session's order: leave-one-ball-out, in the patient.
        rms_px: Root mean square reprojection error of the same exposures.
    """

    acquisition_id: str
    simulated: bool
    statuses: Mapping[str, int]
    target_errors_mm: tuple[float, ...]
    rms_px: tuple[float, ...]


@dataclass(frozen=True)
class RehearsalQuality:
    """One group of SIMULATED donors that went through the whole protocol."""

    group: str
    device: str
    split: str
    donors: int
    exposures: int
    calibrated: int
    median_target_error_mm: float


def read_qualities(folder: Path, acquisitions: Mapping[str, Any]) -> list[AcquisitionQuality]:
    """Read the calibration of each acquisition of params.yaml.

    Raises:
        InputError: One that was not calibrated, or nothing with a camera in it.
    """
    qualities = []
    for acquisition_id in acquisitions:
        calibration = read_calibration(folder / acquisition_id)
        known = [one for one in calibration.exposures if one.target_error_mm is not None and one.rms_px is not None]
        if not known:
            where = folder / acquisition_id / CALIBRATION_NAME
            raise InputError(where, "no exposure with a target error", "at least one that was calibrated")
        counts = Counter(one.status for one in calibration.exposures)
        qualities.append(
            AcquisitionQuality(
                acquisition_id=calibration.acquisition_id,
                simulated=calibration.simulated,
                statuses={status: counts.get(status, 0) for status in ("pass", "warn", "fail")},
                target_errors_mm=tuple(one.target_error_mm for one in known if one.target_error_mm is not None),
                rms_px=tuple(one.rms_px for one in known if one.rms_px is not None),
            )
        )
    return qualities


def read_rehearsal(path: Path) -> list[RehearsalQuality]:
    """Read the groups of the rehearsal's summary.

    Raises:
        InputError: No such file, or a group without one of the fields.
    """
    groups = field(read_object(path, "rehearse"), "groups", path)
    names = ("device", "split", "donors", "exposures", "calibrated", "median_target_error_mm")
    return [
        RehearsalQuality(group, *(field(record, name, f"{path}, {group}") for name in names))
        for group, record in groups.items()
    ]
