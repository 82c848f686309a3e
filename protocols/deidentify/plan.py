"""Which files are de-identified, and under which new names."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydicom.dataset import Dataset

from drrkit.errors import InputError
from drrkit.io import dicom
from protocols.deidentify import whitelist
from protocols.deidentify.pixels import whole_number

_DICOM_SUFFIXES = (".dcm", ".dicom", ".ima")
# Suffixes that say nothing about a person; other files count as "other".
_PLAIN_SUFFIXES = (".yaml", ".txt", ".json", ".csv", ".tsv", ".gz", ".nii", ".nrrd", ".mha", ".png", ".tif", ".md")
_CT, _XRAYS = "ct", "xrays"


@dataclass(frozen=True)
class Job:
    """One file to write, and its name in the new folder."""

    source: Path
    name: str


def dicom_files(source: Path) -> tuple[list[Path], dict[str, int]]:
    """Find the DICOM files in a folder, or take a single one; count the others by suffix.

    Raises:
        InputError: No DICOM files, or a file that calls itself one and is not.
    """
    if source.is_file():
        if not dicom.is_dicom(source):
            raise InputError(source, "no DICOM file", "a DICOM file, or a folder with some")
        return [source], {}
    files, left_out = [], Counter[str]()
    for file in sorted(source.rglob("*")):
        if file.is_dir():
            continue
        if dicom.is_dicom(file):
            files.append(file)
        elif file.suffix.lower() in _DICOM_SUFFIXES:
            raise InputError(file, "no DICOM file", "an intact file (copy it again), or no such file here")
        else:
            suffix = file.suffix.lower()
            left_out[suffix if suffix in _PLAIN_SUFFIXES else "other"] += 1
    if not files:
        raise InputError(source, "no DICOM files", "a DICOM file, or a folder with some")
    return files, dict(sorted(left_out.items()))


def jobs(headers: dict[Path, Dataset]) -> Iterator[Job]:
    """Name the new files: slices by series, X-rays by the time they were taken; nothing comes from the old names.

    Raises:
        InputError: A series or instance number that is no number.
    """
    ct: dict[tuple[int, str], list[Path]] = {}
    xrays = []
    for file, header in headers.items():
        if header.SOPClassUID in whitelist.CT_CLASSES:
            series = (whole_number(header, "SeriesNumber", file), str(header.SeriesInstanceUID))
            ct.setdefault(series, []).append(file)
        else:
            xrays.append(file)
    for index, series in enumerate(sorted(ct)):
        folder = _CT if len(ct) == 1 else f"{_CT}-{index + 1}"
        ordered = sorted(ct[series], key=lambda file: _instance(file, headers[file]))
        yield from (Job(file, f"{folder}/{number + 1:04d}.dcm") for number, file in enumerate(ordered))
    ordered = sorted(xrays, key=lambda file: (*_taken(headers[file]), *_instance(file, headers[file])))
    yield from (Job(file, f"{_XRAYS}/{number + 1:04d}.dcm") for number, file in enumerate(ordered))


def _taken(header: Dataset) -> tuple[str, str]:
    for event in ("Acquisition", "Content", "Series", "Study"):
        if header.get(f"{event}Date"):
            return str(header.get(f"{event}Date")), str(header.get(f"{event}Time") or "")
    return "", ""


def _instance(file: Path, header: Dataset) -> tuple[int, int, str]:
    series, number = (whole_number(header, keyword, file) for keyword in ("SeriesNumber", "InstanceNumber"))
    return series, number, str(header.SOPInstanceUID)
