"""Small cases on disk: ellipsoids of the size of vertebrae, seen by a coarse C-arm. Nothing of it is a patient."""

from pathlib import Path

import numpy as np

from drrkit.geometry.carm import CArm
from drrkit.geometry.viewsets import view_set
from drrkit.io.ct import write_labels
from drrkit.io.store import write_cameras, write_image
from drrkit.projection.renderer import prepare, project
from drrkit.volume import LUMBAR_LEVELS
from reconstruction.cases import Case, Split
from reconstruction.model import ModelSpec, ViewWindow
from spines import spine_volume

CARM = CArm(1000.0, 600.0, 80, 80, (5.0, 5.0))
VIEW_IDS = ("ap-00", "lat-left", "obl-left", "obl-right", "misc-left-40-cranial-20")


def lumbar_spec() -> ModelSpec:
    return ModelSpec("toy", {}, "lumbar", LUMBAR_LEVELS, (20, 12, 12), 10.0, ViewWindow((72, 48), 3.0))


def vertebra_spec() -> ModelSpec:
    return ModelSpec("toy", {}, "vertebra", ("vertebra",), (20, 20, 20), 5.0, ViewWindow((48, 48), 2.5))


def write_case(
    folder: Path, case_id: str, split: Split, levels: tuple[str, ...] = LUMBAR_LEVELS, tilt_deg: float = 0.0
) -> Case:
    volume = spine_volume(levels, voxel_mm=4.0, tilt_deg=tilt_deg)
    z, y, x = np.nonzero(volume.labels)
    center = (volume.world_from_voxel @ [x.mean(), y.mean(), z.mean(), 1])[:3]
    views = view_set("adapt-28")
    cameras = {view_id: camera for view_id, camera in views.cameras(CARM, center).items() if view_id in VIEW_IDS}
    prepared = prepare(volume, "bone", bone_threshold_hu=150.0, energy_kev=60.0)
    for (view_id, _), pixels in zip(
        cameras.items(), project(prepared, list(cameras.values()), backend="siddon"), strict=True
    ):
        write_image(folder / case_id / "images" / f"{view_id}.tif", pixels)
    write_cameras(folder / case_id / "cameras.json", cameras)
    write_labels(volume, folder / case_id / "labels.nii")
    return Case(
        case_id=case_id,
        donor_id=f"donor-{case_id}",
        split=split,
        kind="drr",
        views=tuple(cameras),
        cameras=folder / case_id / "cameras.json",
        images=folder / case_id / "images",
        labels=folder / case_id / "labels.nii",
        label_scheme="verse",
        levels=levels,
    )
