"""A toy patient: a soft box with two bony blocks, L1 above L2, on a grid that is small enough to render at once."""

import numpy as np

from drrkit.dataset.plan import Settings, Source
from drrkit.dataset.rig import ViewRig
from drrkit.geometry.carm import CArm
from drrkit.geometry.viewsets import View, ViewSet
from drrkit.io.ct import write_ct, write_labels
from drrkit.volume import LEVEL_CODES, Volume

CARM = CArm(1000.0, 600.0, 24, 20, (6.0, 6.0))
SETTINGS = Settings("bone", 150.0, 60.0, "siddon")


def toy_volume(bone_hu: int = 700) -> Volume:
    hu = np.full((22, 18, 20), 30, np.int16)
    labels = np.zeros(hu.shape, np.uint8)
    for level, rows in (("L1", slice(12, 17)), ("L2", slice(5, 10))):
        hu[rows, 6:12, 7:13] = bone_hu
        labels[rows, 6:12, 7:13] = LEVEL_CODES[level]
    affine = np.diag([4.0, 4.0, 4.0, 1.0])
    affine[:3, 3] = (-40.0, 20.0, -300.0)
    return Volume(hu, affine, labels)


def view_rig(*angles: tuple[str, float, float]) -> ViewRig:
    views = tuple(View(name, "misc", primary, secondary) for name, primary, secondary in angles)
    return ViewRig(ViewSet("toy", views, "made for this test"), CARM)


def write_toy(folder, ct_id: str, bone_hu: int = 700) -> Source:
    volume = toy_volume(bone_hu)
    write_ct(volume, folder / f"{ct_id}ct.nii")
    write_labels(volume, folder / f"{ct_id}labels.nii")
    return Source(folder / f"{ct_id}ct.nii", folder / f"{ct_id}labels.nii", "verse", ct_id, ct_id)
