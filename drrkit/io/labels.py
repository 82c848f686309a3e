"""Vertebra labels of public data sets, mapped by name: the same number means different levels."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Num, UInt8

from drrkit.errors import InputError
from drrkit.io import volumefile
from drrkit.io.grid import Grid
from drrkit.volume import LEVEL_CODES, Volume

_HIGHEST_NUMBER = 65535


@dataclass(frozen=True)
class LabelScheme:
    """How a data set numbers the levels.

    Args:
        levels: From the data set's number to our name of the level.
        has_other_structures: Whether other numbers mean other anatomy, to be left out; else they are errors.
        has_folders: Whether a case may also be a folder with one mask a structure, named by structure.
    """

    levels: Mapping[int, str]
    has_other_structures: bool = False
    has_folders: bool = False


def _downward(first_number: int) -> dict[int, str]:
    """Number L5 up to C1, as TotalSegmentator does."""
    lumbar, thoracic, cervical = (f"L{n}" for n in range(5, 0, -1)), range(12, 0, -1), range(7, 0, -1)
    names = [*lumbar, *(f"T{n}" for n in thoracic), *(f"C{n}" for n in cervical)]
    return dict(enumerate(names, first_number))


_SPINE_SETS = LabelScheme({code: level for level, code in LEVEL_CODES.items()})

LABEL_SCHEMES: dict[str, LabelScheme] = {
    # Sekuboyina et al. 2021, data structure of VerSe 2020 (osf.io/b2wxj); Deng et al. 2021 (arXiv 2105.14711).
    "verse": _SPINE_SETS,
    "ctspine1k": _SPINE_SETS,
    # Class maps "total" and "total_v1" of TotalSegmentator (Wasserthal et al. 2023). S1 is a part of the sacrum.
    "totalsegmentator": LabelScheme(_downward(27) | {25: "sacrum", 26: "sacrum"}, True, True),
    "totalsegmentator_v1": LabelScheme(_downward(18) | {92: "sacrum"}, True, True),
}

# File names of TotalSegmentator's folders, without the ending.
_STRUCTURES: dict[str, str] = {
    **{f"vertebrae_{level}": level for level in _downward(0).values()},
    "vertebrae_S1": "sacrum",
    "sacrum": "sacrum",
}


def read_labels(path: Path | str, scheme: str | None, like: Volume) -> UInt8[np.ndarray, "z y x"]:
    """Read vertebra labels on the grid of a CT.

    Args:
        path: A label file, or a folder of TotalSegmentator with one file a structure.
        scheme: A key of ``LABEL_SCHEMES``.
        like: The CT.

    Returns:
        (Z, Y, X) numbers of ``LEVEL_CODES``, 0 elsewhere.

    Raises:
        InputError: An unknown scheme, an unreadable file, another grid than the CT's, numbers that are not whole or
            that the scheme does not have, or overlapping structures.
    """
    path = Path(path)
    known = LABEL_SCHEMES.get(scheme or "")
    if known is None:
        raise InputError(path, f"label scheme {scheme!r}", f"one of {', '.join(LABEL_SCHEMES)}")
    if path.is_dir():
        if not known.has_folders:
            raise InputError(path, "a folder", f"one label file (scheme {scheme})")
        return _read_folder(path, like)
    numbers = _read_on_grid(path, like)
    return _mapped(path, numbers, f"{scheme}", known)


def _read_folder(path: Path, like: Volume) -> UInt8[np.ndarray, "z y x"]:
    labels = np.zeros(like.shape, np.uint8)
    files = {file: name for file in sorted(path.iterdir()) if (name := file.name.split(".")[0]) in _STRUCTURES}
    if not files:
        raise InputError(path, "no vertebrae_*.nii.gz", "a folder of TotalSegmentator with vertebrae")
    for file, name in files.items():
        code = LEVEL_CODES[_STRUCTURES[name]]
        mask = _read_on_grid(file, like) != 0
        taken = labels[mask]
        overlap = int(np.count_nonzero((taken != 0) & (taken != code)))
        if overlap:
            raise InputError(file, f"{overlap} voxels that another structure has too", "masks that do not overlap")
        labels[mask] = code
    return labels


def _read_on_grid(path: Path, like: Volume) -> Num[np.ndarray, "z y x"]:
    voxels, grid = volumefile.read(path)
    ct_grid = Grid.of(like)
    if not grid.matches(ct_grid):
        raise InputError(path, f"another grid than the CT ({grid})", f"the CT's ({ct_grid}); resample the labels to it")
    # NaN equals nothing, so it is refused here as well.
    if voxels.dtype.kind == "f" and not np.array_equal(voxels, np.rint(voxels)):
        raise InputError(path, "label values that are not whole", "whole numbers")
    lowest, highest = voxels.min(), voxels.max()
    if lowest < 0 or highest > _HIGHEST_NUMBER:
        raise InputError(path, f"labels from {lowest} to {highest}", f"labels from 0 to {_HIGHEST_NUMBER}")
    return voxels


def _mapped(
    path: Path, numbers: Num[np.ndarray, "z y x"], name: str, scheme: LabelScheme
) -> UInt8[np.ndarray, "z y x"]:
    code_of = np.zeros(int(numbers.max()) + 1, np.uint8)
    for number, level in scheme.levels.items():
        if number < len(code_of):
            code_of[number] = LEVEL_CODES[level]
    labels = np.empty(numbers.shape, np.uint8)
    present = np.zeros(len(code_of), bool)
    # Slice by slice, because indices take eight bytes a voxel.
    for plane, target in zip(numbers, labels, strict=True):
        indices = plane.astype(np.intp)
        present[indices] = True
        target[:] = code_of[indices]
    unknown = sorted(set(np.flatnonzero(present).tolist()) - set(scheme.levels) - {0})
    if unknown and not scheme.has_other_structures:
        raise InputError(
            path,
            f"label{'s' * (len(unknown) > 1)} {', '.join(map(str, unknown))} that {name} does not have",
            f"0 or one of {', '.join(map(str, sorted(scheme.levels)))} (is it another scheme?)",
        )
    return labels
