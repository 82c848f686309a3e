"""From an acquisition folder to exposures with nominal cameras."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from drrkit.errors import InputError
from drrkit.geometry.camera import Camera
from drrkit.io.xray import read_xray, read_xray_header
from drrkit.io.xray_header import XrayHeader
from drrkit.radiograph import Radiograph
from protocols.acquisition.damage import reading
from protocols.acquisition.nominal import nominal_camera, silent_header
from protocols.acquisition.schema import Balls, Device, ExposureNote, Pixels, Sheet, Specimen, is_safe_name
from protocols.acquisition.sheet import read_sheet

PICTURE_SUFFIXES = (".png", ".tif", ".tiff")
_SUFFIXES = (".dcm", ".dicom", ".ima", *PICTURE_SUFFIXES)


@dataclass(frozen=True, eq=False)
class Exposure:
    """One frame of one X-ray file.

    Args:
        exposure_id: File name without ending, with the frame's number behind it in files of several frames.
        path: The file.
        frame: Index in the file, from 0.
        nominal_camera: What header and acquisition.yaml say: world LPS in mm with the origin in the isocenter; a
            prior. None where ``missing`` says what it lacks.
        missing: What stands between this exposure and a nominal camera.
        excluded: Why the lab excluded it; empty if it did not.
        collimator_px: (left, top, right, bottom) pixels that rectangular blades leave open; None if unknown.
    """

    exposure_id: str
    path: Path
    frame: int
    nominal_camera: Camera | None
    missing: tuple[str, ...]
    excluded: str = ""
    collimator_px: tuple[float, float, float, float] | None = None


@dataclass(frozen=True, eq=False)
class Acquisition:
    """One session: a CT with steel balls in the soft tissue, and the X-rays of the same specimen.

    Args:
        acquisition_id: The session.
        donor_id: Pseudonym of the donor.
        simulated: Whether a computer made it.
        folder: Where it lies.
        ct_path: The CT, for :func:`drrkit.io.ct.read_volume`.
        labels_path: Vertebra labels, or None.
        label_scheme: Their numbers, or None.
        specimen: What lay on the table.
        balls: The steel balls.
        device: The C-arm.
        pixels: What pixel values mean.
        exposures: All of them, excluded ones among them, ordered by name and frame.
    """

    acquisition_id: str
    donor_id: str
    simulated: bool
    folder: Path
    ct_path: Path
    labels_path: Path | None
    label_scheme: str | None
    specimen: Specimen
    balls: Balls
    device: Device
    pixels: Pixels
    exposures: tuple[Exposure, ...]


def read_acquisition(folder: Path | str) -> Acquisition:
    """Read acquisition.yaml and the headers of all X-rays.

    Args:
        folder: The acquisition folder.

    Raises:
        InputError: A fault in acquisition.yaml (all of them in one message), no CT, labels or X-rays where it says,
            an unreadable header, an exposure name twice or unfit for a file name, or a note on no exposure.
    """
    folder = Path(folder)
    sheet = read_sheet(folder)
    ct_path = folder / sheet.ct.path
    labels_path = None if sheet.ct.labels is None else folder / sheet.ct.labels
    for field, path in (("ct.path", ct_path), ("ct.labels", labels_path)):
        if path is not None and not path.exists():
            raise InputError(path, "no such file or folder", f"the one that {field} in acquisition.yaml names")
    files = xray_files(folder, sheet.xrays.files)
    if not files:
        raise InputError(
            folder / sheet.xrays.files, "no X-rays", "at least one file, or another xrays.files in acquisition.yaml"
        )
    exposures: dict[str, Exposure] = {}
    for path in files:
        for exposure in read_exposures_of(path, sheet):
            other = exposures.setdefault(exposure.exposure_id, exposure)
            if other is not exposure:
                raise InputError(path, f"the exposure name {exposure.exposure_id} of {other.path}", "another file name")
            if not is_safe_name(exposure.exposure_id):
                raise InputError(
                    path, "a name that is unfit as an exposure name", "letters, digits, dot, dash, underscore"
                )
    unknown = sorted(set(sheet.xrays.exposures) - set(exposures))
    if unknown:
        raise InputError(
            folder / "acquisition.yaml",
            f"xrays.exposures names {', '.join(unknown)}",
            f"exposures of this session ({', '.join(list(exposures)[:3])}, ...)",
        )
    return Acquisition(
        acquisition_id=sheet.acquisition_id,
        donor_id=sheet.donor_id,
        simulated=sheet.simulated,
        folder=folder,
        ct_path=ct_path,
        labels_path=labels_path,
        label_scheme=sheet.ct.label_scheme,
        specimen=sheet.specimen,
        balls=sheet.balls,
        device=sheet.device,
        pixels=sheet.pixels,
        exposures=tuple(exposures.values()),
    )


def read_exposure(acquisition: Acquisition, exposure: Exposure) -> Radiograph:
    """Read the pixels of one exposure, with its nominal camera.

    Raises:
        InputError: As :func:`drrkit.io.xray.read_xray`, or a file that contradicts ``pixels`` of acquisition.yaml.
    """
    return next(read_radiographs(acquisition, [exposure]))[1]


def read_radiographs(
    acquisition: Acquisition, exposures: list[Exposure] | tuple[Exposure, ...] | None = None
) -> Iterator[tuple[Exposure, Radiograph]]:
    """Read exposures one after the other, each file once; None for all that are not excluded.

    Raises:
        InputError: As :func:`read_exposure`.
    """
    if exposures is None:
        exposures = tuple(exposure for exposure in acquisition.exposures if not exposure.excluded)
    path, frames = None, list[Radiograph]()
    for exposure in exposures:
        if exposure.path != path:
            with reading(exposure.path):
                path, frames = exposure.path, read_xray(exposure.path)
        if exposure.frame >= len(frames):
            raise InputError(exposure.path, f"{len(frames)} frames", f"frame {exposure.frame + 1}")
        yield exposure, interpreted(frames[exposure.frame], acquisition.pixels, exposure)


def interpreted(radiograph: Radiograph, pixels: Pixels, exposure: Exposure) -> Radiograph:
    """Give pixels the meaning that acquisition.yaml says they have, where the file does not say any.

    Raises:
        InputError: A file that says otherwise, or an image of another size than its camera.
    """
    values, domain = radiograph.pixels, radiograph.domain
    if pixels.relation == "linear" and domain == "line_integral":
        raise InputError(exposure.path, "line integrals", "intensities, as pixels.relation in acquisition.yaml says")
    if pixels.relation == "log":
        if domain != "display" or pixels.log_slope is None or pixels.log_zero is None:
            raise InputError(
                exposure.path,
                f"{domain} pixels",
                "pixels of unknown meaning, for pixels.relation log in acquisition.yaml",
            )
        values = ((values - pixels.log_zero) * pixels.log_slope).astype("float32")
        return Radiograph(values, "line_integral", exposure.nominal_camera)
    meaning = "intensity" if pixels.relation == "linear" else domain
    return Radiograph(values, meaning, exposure.nominal_camera)


# ---- files and names -----------------------------------------------------------------------------------------


def xray_files(folder: Path, pattern: str) -> list[Path]:
    """List the files that ``xrays.files`` means, in order; hidden files and sidecars of pictures are left out."""
    named = folder / pattern
    found = named.rglob("*") if named.is_dir() else folder.glob(_in_any_case(pattern))
    return sorted(
        path
        for path in found
        if path.is_file() and path.suffix.lower() != ".json" and not _is_hidden(path.relative_to(folder))
    )


def _in_any_case(pattern: str) -> str:
    """Let ``*.dcm`` mean ``*.DCM`` as well, as C-arms write it."""
    if "[" in pattern:
        return pattern
    return "".join(f"[{letter.lower()}{letter.upper()}]" if letter.isalpha() else letter for letter in pattern)


def exposure_stem(path: Path) -> str:
    """Name an exposure after its file; only endings of images are cut off, for C-arms write names such as 1.2.840."""
    return path.stem if path.suffix.lower() in _SUFFIXES else path.name


def exposure_name(path: Path, frame: int, count: int) -> str:
    """Name one frame (from 0) of a file of ``count`` frames."""
    stem = exposure_stem(path)
    return stem if count == 1 else f"{stem}-{frame + 1:04d}"


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


# ---- exposures -----------------------------------------------------------------------------------------------


def read_exposures_of(path: Path, sheet: Sheet) -> list[Exposure]:
    """Read the exposures of one file.

    Raises:
        InputError: As :func:`drrkit.io.xray_header.read_xray_header` and :func:`drrkit.io.xray.read_xray`.
    """
    with reading(path):
        if path.suffix.lower() in PICTURE_SUFFIXES:
            return [picture_exposure(path, read_xray(path)[0], sheet)]
        return header_exposures(path, read_xray_header(path), sheet)


def header_exposures(path: Path, header: XrayHeader, sheet: Sheet) -> list[Exposure]:
    """Make the exposures of a DICOM file from its header."""
    exposures = []
    for frame in range(len(header.frames)):
        exposure_id = exposure_name(path, frame, len(header.frames))
        note = sheet.xrays.exposures.get(exposure_id, ExposureNote())
        camera, missing = nominal_camera(header, frame, sheet.device, note)
        collimator_px = header.frames[frame].collimator_px
        exposures.append(Exposure(exposure_id, path, frame, camera, missing, note.exclude or "", collimator_px))
    return exposures


def picture_exposure(path: Path, radiograph: Radiograph, sheet: Sheet) -> Exposure:
    """Make the exposure of a PNG or TIFF: the sidecar's camera, else one as DICOM would describe it."""
    exposure_id = exposure_stem(path)
    note = sheet.xrays.exposures.get(exposure_id, ExposureNote())
    camera, missing = radiograph.camera, tuple[str, ...]()
    if camera is None or note.primary_deg is not None or note.secondary_deg is not None:
        camera, missing = nominal_camera(silent_header(*radiograph.pixels.shape), 0, sheet.device, note)
    elif note.flipped_horizontally:
        camera = camera.flipped_horizontally()
    return Exposure(exposure_id, path, 0, camera, missing, note.exclude or "")
