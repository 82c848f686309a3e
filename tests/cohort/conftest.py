"""A small cohort on disk: three donors, four CTs, one of them without labels."""

from pathlib import Path

import numpy as np
import pytest

from drrkit.io.ct import write_ct, write_labels
from drrkit.volume import Volume
from spines import spine_volume


@pytest.fixture(scope="session")
def spine() -> Volume:
    return spine_volume(voxel_mm=4.5)


@pytest.fixture
def plant(spine):
    """Write a scan of the spine into a folder; ``seed`` makes its CT and labels one of a kind."""

    def write(folder: Path, seed: int, labelled: bool = True, suffix: str = ".nii") -> None:
        hu, labels = spine.hu.copy(), spine.labels.copy()
        hu[0, 0, :8] = np.random.default_rng(seed).integers(-1000, 0, 8)
        # One voxel off a vertebra makes the label map unique as well.
        labels[tuple(np.argwhere(labels)[seed * 7 % 100])] = 0
        volume = Volume(hu, spine.world_from_voxel, labels)
        write_ct(volume, folder / f"ct{suffix}")
        if labelled:
            write_labels(volume, folder / f"labels{suffix}")

    return write


@pytest.fixture
def root(tmp_path, plant):
    plant(tmp_path / "root/d1/first", 1)
    plant(tmp_path / "root/d1/second", 2)
    plant(tmp_path / "root/d2", 3)
    plant(tmp_path / "root/d3", 4, labelled=False)
    return tmp_path / "root"
