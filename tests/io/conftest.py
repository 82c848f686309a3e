"""Small DICOM files, made on the spot, and one way to ask for a good refusal."""

from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    CTImageStorage,
    DigitalXRayImageStorageForProcessing,
    ExplicitVRLittleEndian,
    XRayAngiographicImageStorage,
    XRayRadiofluoroscopicImageStorage,
    generate_uid,
)

from drrkit.errors import InputError

STORAGE = {
    "CT": CTImageStorage,
    "XA": XRayAngiographicImageStorage,
    "RF": XRayRadiofluoroscopicImageStorage,
    "DX": DigitalXRayImageStorageForProcessing,
}


def _make_image(pixels: np.ndarray, modality: str, bits: int = 16) -> Dataset:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = STORAGE[modality]
    dataset.SOPInstanceUID = generate_uid()
    dataset.SeriesInstanceUID = "1.2.3"
    dataset.Modality = modality
    dataset.Rows, dataset.Columns = pixels.shape[-2:]
    if pixels.ndim == 3:
        dataset.NumberOfFrames = len(pixels)
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, bits, bits - 1
    dataset.PixelRepresentation = int(pixels.dtype.kind == "i")
    dataset.PixelData = pixels.astype(pixels.dtype.newbyteorder("<")).tobytes()
    return dataset


def _save_dicom(dataset: Dataset, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pydicom.dcmwrite(path, dataset, enforce_file_format=True)
    return path


def _content(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@pytest.fixture
def make_image():
    return _make_image


@pytest.fixture
def save_dicom():
    return _save_dicom


@pytest.fixture
def refuses(tmp_path):
    """Check that reading is refused in one line with these words, and that it touched no file."""

    def check(read, *words: str) -> None:
        before = _content(tmp_path)
        with pytest.raises(InputError) as error:
            read()
        message = str(error.value)
        assert "\n" not in message
        assert [word for word in words if word not in message] == [], message
        assert error.value.found
        assert error.value.wanted
        assert _content(tmp_path) == before

    return check
