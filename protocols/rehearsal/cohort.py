"""Making a rehearsal, donor by donor, in several processes.

Each donor is a procedural phantom with steel balls under a SIMULATED C-arm. The X-rays are calibrated from the balls
and paired with DRRs of the CT exactly as those of a real session; what really was is written nowhere. Kept are the
pairs and, of the session, acquisition.yaml and the labels; X-rays and CT are not. No image was taken of a patient.
"""

import hashlib
import json
import multiprocessing
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from drrkit.errors import InputError
from drrkit.io import volumefile
from drrkit.io.store import sole_writer, write_bytes, write_json, writing
from drrkit.phantom.parameters import POPULATIONS, sample_parameters
from drrkit.phantom.phantom import make_phantom
from protocols.acquisition import SHEET_NAME, Sheet, read_acquisition
from protocols.calibration.run import calibrate_acquisition
from protocols.pairing import PAIRING_VERSION, make_pairs
from protocols.pairs import read_pairs
from protocols.pairset import PAIRSET_NAME, PairedSession, write_pairset
from protocols.rehearsal.settings import RehearsalSettings, Role
from protocols.simulation.session import simulate_session

# Raise when sessions change though no parameter did: it makes every session anew.
REHEARSAL_VERSION = "drrkit-rehearsal/1"
RECORD_NAME = "rehearsal.json"
PAIRS_NAME, SESSION_NAME = "pairs", "session"
LABELS_NAME, REGIONS_NAME = "labels.nii.gz", "regions.nii.gz"

# Each worker is one of several processes that share the cores: libraries that start threads of their own only disturb.
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


def make_rehearsal(
    settings: RehearsalSettings, out: Path, on_session: Callable[[str], None] = lambda acquisition_id: None
) -> list[PairedSession]:
    """Make every session of every group below ``out``, and ``pairset.json``.

    A run that was interrupted goes on: complete sessions of the same settings stay as they are. Sessions of earlier
    settings are removed.

    Args:
        settings: The groups and how they are imaged.
        out: Folder of the rehearsal; each session has one of its own in it, named after the acquisition.
        on_session: Called with the acquisition id of each session that was made.

    Returns:
        The sessions, in the order of groups and seeds.

    Raises:
        InputError: A folder that no rehearsal made where a session should go, a donor without room for the balls, a
            session without one trusted camera, or a full disk.
    """
    roles = settings.roles()
    with sole_writer(out):
        _remove_others(out, {role.acquisition_id for role in roles})
        todo = [role for role in roles if not is_complete(role, settings, out)]
        if todo:
            with writing(out / PAIRSET_NAME):
                (out / PAIRSET_NAME).unlink(missing_ok=True)
        for acquisition_id in _each(todo, settings, out):
            on_session(acquisition_id)
        sessions = [_paired(role, out) for role in roles]
        write_pairset(out / PAIRSET_NAME, sessions)
    return sessions


def make_session(role: Role, settings: RehearsalSettings, out: Path) -> str:
    """Make one session in a folder of its own, from nothing; return its acquisition id.

    Raises:
        InputError: As :func:`make_rehearsal`.
    """
    folder = out / role.acquisition_id
    if folder.exists():
        if not (folder / RECORD_NAME).is_file():
            raise InputError(folder, f"a folder without {RECORD_NAME}", "a folder of a rehearsal, or none")
        with writing(folder):
            shutil.rmtree(folder)
    record: dict[str, Any] = {
        "convention": REHEARSAL_VERSION,
        "simulated": True,
        "identity_sha256": identity_sha256(role, settings),
        "complete": False,
    }
    write_json(folder / RECORD_NAME, record)
    individual = sample_parameters(role.seed, POPULATIONS[role.population])
    patient = make_phantom(individual, role.group.spacing_mm)
    same_voxels = role.group.ct_spacing_mm == role.group.spacing_mm
    scanned = patient if same_voxels else make_phantom(individual, role.group.ct_spacing_mm)
    with tempfile.TemporaryDirectory() as temporary:
        taken = Path(temporary) / role.acquisition_id
        simulate_session(
            role.acquisition_id,
            role.donor_id,
            patient.volume,
            scanned.volume,
            settings.session(role),
            taken,
            truth_path=None,
            views=settings.views_of(role),
        )
        acquisition = read_acquisition(taken)
        calibration = calibrate_acquisition(acquisition, settings.calibration, workers=1)
        rows = make_pairs(acquisition, calibration, folder / PAIRS_NAME, settings.pair, {})
        session = folder / SESSION_NAME
        write_bytes(session / SHEET_NAME, _sheet_of_rest((taken / SHEET_NAME).read_text()))
        write_bytes(session / LABELS_NAME, (taken / LABELS_NAME).read_bytes())
        volumefile.write(session / REGIONS_NAME, scanned.regions, scanned.volume.world_from_voxel)
    errors = [row.target_error_mm for row in rows]
    write_json(
        folder / RECORD_NAME,
        record | {"complete": True, "exposures": len(acquisition.exposures), "target_error_mm": errors},
    )
    return role.acquisition_id


def is_complete(role: Role, settings: RehearsalSettings, out: Path) -> bool:
    """Tell whether a session of these very settings lies below ``out`` with all its files."""
    folder = out / role.acquisition_id
    if not (folder / RECORD_NAME).is_file():
        return False
    record = read_record(folder)
    if not record["complete"] or record["identity_sha256"] != identity_sha256(role, settings):
        return False
    pairs = folder / PAIRS_NAME
    files = [pairs / file for row in read_pairs(pairs) for file in row.files]
    files += [folder / SESSION_NAME / name for name in (SHEET_NAME, LABELS_NAME, REGIONS_NAME)]
    return all(file.is_file() for file in files)


def identity_sha256(role: Role, settings: RehearsalSettings) -> str:
    """Hash all that makes a session what it is: neither the number of workers nor who else is in the cohort."""
    content = {
        "versions": [REHEARSAL_VERSION, PAIRING_VERSION],
        "acquisition": role.acquisition_id,
        "donor": role.donor_id,
        "spacing_mm": role.group.spacing_mm,
        "session": settings.session(role).model_dump(mode="json"),
        "exposures": [view.id for view in settings.views_of(role)],
        "calibration": settings.calibration.model_dump(mode="json"),
        "pair": settings.pair.model_dump(mode="json"),
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def summary_of(settings: RehearsalSettings, out: Path) -> dict[str, Any]:
    """Count what became of each group's exposures.

    Returns:
        By group: device, split, donors, exposures, calibrated ones, and the median target error of their cameras in
        the patient (millimeters; None where no camera has one).

    Raises:
        InputError: A session that was not made.
    """
    summary: dict[str, Any] = {"simulated": True, "groups": {}}
    for group in settings.groups:
        records = [read_record(out / role.acquisition_id) for role in settings.roles() if role.group.name == group.name]
        cameras = [error for record in records for error in record["target_error_mm"]]
        errors = [error for error in cameras if error is not None]
        summary["groups"][group.name] = {
            "device": group.device,
            "split": group.split,
            "donors": len(records),
            "exposures": sum(record["exposures"] for record in records),
            "calibrated": len(cameras),
            "median_target_error_mm": round(float(np.median(errors)), 4) if errors else None,
        }
    return summary


def read_record(folder: Path) -> dict[str, Any]:
    """Read what the folder of a session says about how it was made.

    Raises:
        InputError: No such file, or another kind of file.
    """
    path = folder / RECORD_NAME
    try:
        record = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise InputError(path, f"unreadable ({error})", "the record of a rehearsal") from error
    if not isinstance(record, dict) or not {"convention", "identity_sha256", "complete"} <= record.keys():
        raise InputError(path, "another kind of file", "the record of a rehearsal")
    return record


def _paired(role: Role, out: Path) -> PairedSession:
    folder = out / role.acquisition_id
    return PairedSession(
        acquisition_id=role.acquisition_id,
        donor_id=role.donor_id,
        split=role.group.split,
        group=role.group.judged_as,
        simulated=True,
        pairs=folder / PAIRS_NAME,
        acquisition=folder / SESSION_NAME,
    )


def _sheet_of_rest(text: str) -> bytes:
    """Let acquisition.yaml say what was not kept."""
    record = yaml.safe_load(text)
    record["site"] = "SIMULATED: a rehearsal, computed by drrkit"
    record["notes"] = (
        "SIMULATED session of a rehearsal; no specimen was exposed. The CT and the X-rays that are named here were not "
        "kept: its labels and the pairs are what is left."
    )
    Sheet.model_validate(record)
    return yaml.safe_dump(record, sort_keys=False, allow_unicode=True).encode()


def _remove_others(out: Path, wanted: set[str]) -> None:
    """Remove the sessions of earlier settings, and nothing that no rehearsal made."""
    for record in sorted(out.glob(f"*/{RECORD_NAME}")):
        if record.parent.name not in wanted:
            with writing(record.parent):
                shutil.rmtree(record.parent)


def _each(todo: Sequence[Role], settings: RehearsalSettings, out: Path) -> Iterator[str]:
    work = todo, repeat(settings), repeat(out)
    workers = min(settings.workers, len(todo))
    if workers <= 1:
        yield from map(make_session, *work)
        return
    # Spawned, not forked: threads of libraries do not survive a fork. They read these names when libraries load.
    inherited = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(dict.fromkeys(_THREADS, "1"))
    try:
        with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
            try:
                yield from pool.map(make_session, *work)
            finally:
                pool.shutdown(cancel_futures=True)
    finally:
        for name, value in inherited.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
