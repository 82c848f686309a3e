"""A CT out as a DICOM series: one CT Image Storage file a slice."""

import os
import shutil
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import UInt16
from pydicom.uid import CTImageStorage

from drrkit.errors import InputError
from drrkit.io.store import PARTIAL_PREFIX, writing
from drrkit.io.study import Study, image_type, new_image, number, save, uid_from
from drrkit.volume import AIR_HU, Volume

PatientPosition = Literal["HFS", "HFP", "FFS", "FFP"]


def write_ct_dicom(
    volume: Volume,
    folder: Path | str,
    study: Study,
    *,
    kvp: float,
    bits: int = 12,
    series_number: int = 1,
    patient_position: PatientPosition = "HFS",
) -> list[Path]:
    """Write the Hounsfield units of a volume as a DICOM series, rounded to whole numbers.

    The slices are those of the array, first one first, on any orthogonal grid, oblique ones included. All files or none
    are written; the same arguments give the same bytes.

    Args:
        volume: The CT; its labels are not written.
        folder: A new or empty folder; it gets ``0001.dcm`` and so on.
        study: Whose CT it is. X-rays written with the same study belong to it.
        kvp: Tube voltage (0018,0060).
        bits: 12, as scanners store (up to 3071 HU), or 16 (up to 64511 HU), for metal.
        series_number: (0020,0011), from 1.
        patient_position: How the patient lay in the scanner (0018,5100).

    Returns:
        The files, in the order of the slices.

    Raises:
        InputError: Values beyond these bits, a folder with files in it, or a disk that cannot be written.
    """
    folder = Path(folder)
    if bits not in (12, 16):
        raise InputError("CT bits", bits, "12 or 16")
    if not 0 < kvp < np.inf:
        raise InputError("CT kvp", kvp, "a positive number")
    highest_hu = (1 << bits) - 1 + AIR_HU
    if volume.hu.min() < AIR_HU - 0.5 or volume.hu.max() > highest_hu + 0.5:
        raise InputError(
            folder,
            f"{volume.hu.min():g} to {volume.hu.max():g} HU",
            f"{AIR_HU} to {highest_hu} HU, which {bits} bits hold (clip the volume, or take 16)",
        )
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(folder, "a file, or a folder with something in it", "a new folder")
    partial = folder.with_name(f"{PARTIAL_PREFIX}{os.getpid()}-{folder.name}")
    try:
        with writing(folder):
            partial.mkdir(parents=True)
            names = [
                _write_slice(volume, index, partial, study, kvp, bits, series_number, patient_position)
                for index in range(volume.shape[0])
            ]
            partial.replace(folder)
    finally:
        if partial.exists():
            shutil.rmtree(partial)
    return [folder / name for name in names]


def _write_slice(
    volume: Volume,
    index: int,
    folder: Path,
    study: Study,
    kvp: float,
    bits: int,
    series_number: int,
    patient_position: PatientPosition,
) -> str:
    image = new_image(study, CTImageStorage, "CT", series_number, index + 1)
    image.ImageType = image_type(study, "AXIAL")
    image.PatientPosition = patient_position
    image.FrameOfReferenceUID = uid_from(study.seed, "CT", series_number, "frame of reference")
    image.PositionReferenceIndicator = ""
    x_mm, y_mm, z_mm = volume.spacing_mm
    affine = volume.world_from_voxel
    image.PixelSpacing = [number(y_mm), number(x_mm)]
    image.SliceThickness = number(z_mm)
    image.ImageOrientationPatient = [number(part) for part in (*affine[:3, 0] / x_mm, *affine[:3, 1] / y_mm)]
    image.ImagePositionPatient = [number(part) for part in affine[:3, 3] + index * affine[:3, 2]]
    image.KVP = number(kvp)
    image.AcquisitionNumber = 1
    image.SamplesPerPixel = 1
    image.PhotometricInterpretation = "MONOCHROME2"
    image.Rows, image.Columns = volume.shape[1:]
    image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = 16, bits, bits - 1, 0
    image.RescaleIntercept, image.RescaleSlope, image.RescaleType = number(AIR_HU), number(1), "HU"
    image.PixelData = _stored(volume, index, bits).astype("<u2").tobytes()
    name = f"{index + 1:04d}.dcm"
    save(image, folder / name)
    return name


def _stored(volume: Volume, index: int, bits: int) -> UInt16[np.ndarray, "h w"]:
    stored = np.rint(volume.hu[index].astype(np.float64) - AIR_HU)
    return np.clip(stored, 0, (1 << bits) - 1).astype(np.uint16)
