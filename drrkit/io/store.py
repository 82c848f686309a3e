"""Images, masks and cameras on disk; every file is written under a temporary name and then renamed."""

import errno
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from filelock import FileLock, Timeout
from jaxtyping import Bool, Float32

from drrkit.errors import InputError
from drrkit.geometry.camera import Camera

CAMERA_CONVENTION = "drrkit-camera/1"
PARTIAL_PREFIX = ".partial-"
LOCK_NAME = ".lock"

_WRITE_FAULTS = {
    errno.ENOSPC: ("no space left on the disk", "free space, then the same command again: what is written is kept"),
    errno.EDQUOT: ("the disk quota used up", "free space, then the same command again: what is written is kept"),
    errno.EACCES: ("no permission to write", "a folder that you may write to"),
    errno.EPERM: ("no permission to write", "a folder that you may write to"),
    errno.EROFS: ("a read-only file system", "a folder that you may write to"),
    errno.ENOTDIR: ("a file where a folder should be", "a folder, or a path that does not exist yet"),
    errno.EEXIST: ("a file where a folder should be", "a folder, or a path that does not exist yet"),
    errno.ENOENT: ("a path that cannot be made", "a folder that you may write to"),
}


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn a failed write into one clear line.

    Raises:
        InputError: Disk full, no permission, read-only, or a file in the way.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _WRITE_FAULTS:
            raise
        found, wanted = _WRITE_FAULTS[error.errno]
        raise InputError(path, found, wanted) from error


@contextmanager
def atomic_path(final: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``final``; it takes the final name when the block ends well, else it is removed.

    The temporary name keeps all suffixes, for writers that choose the format by them.
    """
    temporary = final.with_name(f"{PARTIAL_PREFIX}{os.getpid()}-{final.name}")
    try:
        with writing(final):
            final.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            temporary.replace(final)
    finally:
        if temporary.exists():
            temporary.unlink()


@contextmanager
def sole_writer(folder: Path) -> Iterator[None]:
    """Make ``folder`` and hold it for one run; sweep out what a killed run left half-written.

    A folder that the run made and wrote nothing into is removed again.

    Raises:
        InputError: Another run is writing there, or the folder cannot be made.
    """
    made = not folder.exists()
    # The system drops the lock of a killed process, so a stale file does no harm.
    lock_path = folder / LOCK_NAME
    lock = FileLock(lock_path, timeout=0)
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire()
        except Timeout as error:
            raise InputError(folder, "another run that is writing here", "one run at a time for each folder") from error
    try:
        for orphan in folder.rglob(f"{PARTIAL_PREFIX}*"):
            orphan.unlink()
        yield
    finally:
        lock.release()
        if made and set(folder.iterdir()) <= {lock_path}:
            lock_path.unlink(missing_ok=True)
            folder.rmdir()


def write_bytes(path: Path, content: bytes) -> None:
    """Write a whole file at once."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def write_json(path: Path, value: Any) -> None:
    """Write readable JSON."""
    write_bytes(path, (json.dumps(value, indent=1) + "\n").encode())


def content_sha256(path: Path) -> str:
    """Hash a file, or a folder with the relative names and contents of all its files.

    Raises:
        InputError: Nothing there, or an empty folder.
    """
    path = Path(path)
    if path.is_file():
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    files = sorted(file for file in path.rglob("*") if file.is_file())
    if not files:
        raise InputError(path, "no such file, or an empty folder", "a file or a folder with files")
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.relative_to(path).as_posix()}\0{content_sha256(file)}\n".encode())
    return digest.hexdigest()


def write_image(path: Path, pixels: Float32[np.ndarray, "h w"], compressed: bool = False) -> str:
    """Write float32 pixels as a TIFF, plain or losslessly compressed (less than half the size, read as fast).

    Returns:
        The SHA-256 of the file.
    """
    kind = cv2.IMWRITE_TIFF_COMPRESSION_ADOBE_DEFLATE if compressed else cv2.IMWRITE_TIFF_COMPRESSION_NONE
    return _write_encoded(path, ".tif", pixels, [cv2.IMWRITE_TIFF_COMPRESSION, kind])


def read_image(path: Path) -> Float32[np.ndarray, "h w"]:
    """Read a float32 TIFF written by :func:`write_image`.

    Raises:
        InputError: Not there, not readable, or not a single-channel float image.
    """
    pixels = _read_encoded(path)
    if pixels.dtype != np.float32 or pixels.ndim != 2:
        raise InputError(path, f"{pixels.dtype} pixels of shape {pixels.shape}", "a single-channel float32 TIFF")
    return pixels


def write_mask(path: Path, mask: Bool[np.ndarray, "h w"]) -> str:
    """Write a mask as PNG, 0 and 255.

    Returns:
        The SHA-256 of the file.
    """
    return _write_encoded(path, ".png", mask.astype(np.uint8) * 255, [])


def read_mask(path: Path) -> Bool[np.ndarray, "h w"]:
    """Read a mask written by :func:`write_mask`.

    Raises:
        InputError: Not there, not readable, or not a single-channel 8-bit image.
    """
    pixels = _read_encoded(path)
    if pixels.dtype != np.uint8 or pixels.ndim != 2:
        raise InputError(path, f"{pixels.dtype} pixels of shape {pixels.shape}", "a single-channel 8-bit PNG")
    return pixels > 127


def write_cameras(path: Path, cameras: Mapping[str, Camera]) -> None:
    """Write a ``drrkit-camera/1`` file."""
    records = [camera.to_record(camera_id) for camera_id, camera in cameras.items()]
    # One camera a line: ten thousand of them stay small, and two versions can be compared.
    lines = ",\n".join(json.dumps(record) for record in records)
    write_bytes(path, f'{{"convention": "{CAMERA_CONVENTION}", "cameras": [\n{lines}\n]}}\n'.encode())


def read_camera_records(path: Path) -> list[dict[str, Any]]:
    """Read the entries of a ``drrkit-camera/1`` file without checking that each is a valid camera.

    Raises:
        InputError: No such file, no JSON, another convention, or no list of cameras with ids.
    """
    path = Path(path)
    try:
        content = json.loads(path.read_text())
    except OSError as error:
        raise InputError(path, error.strerror or error, "a camera file") from error
    except ValueError as error:
        raise InputError(path, f"no JSON ({error})", f"a {CAMERA_CONVENTION} file") from error
    convention = content.get("convention") if isinstance(content, dict) else None
    if convention != CAMERA_CONVENTION:
        raise InputError(path, f"convention {convention!r}", f'"convention": "{CAMERA_CONVENTION}"')
    records = content.get("cameras")
    if not isinstance(records, list) or not all(isinstance(record, dict) and "id" in record for record in records):
        raise InputError(path, "no list of cameras with ids", '"cameras": [{"id": ..., "K": ...}, ...]')
    return records


def read_cameras(path: Path) -> dict[str, Camera]:
    """Read a ``drrkit-camera/1`` file.

    Raises:
        InputError: As :func:`read_camera_records`; an invalid camera; an id twice or unfit for a file name; no camera.
    """
    cameras: dict[str, Camera] = {}
    for record in read_camera_records(path):
        camera_id = str(record["id"])
        if camera_id in cameras:
            raise InputError(path, f"the camera id {camera_id!r} twice", "every id once")
        if not camera_id or Path(camera_id).name != camera_id or camera_id.startswith("."):
            raise InputError(
                path, f"the camera id {camera_id!r}", "an id that can be a file name (no slash, no dot first)"
            )
        cameras[camera_id] = Camera.from_record(record, f"{path}, camera {camera_id}")
    if not cameras:
        raise InputError(path, "no cameras", "at least one camera")
    return cameras


def _write_encoded(path: Path, suffix: str, pixels: np.ndarray, options: list[int]) -> str:
    # Encoding in memory keeps disk errors as Python errors; cv2.imwrite would only return False.
    encoded, buffer = cv2.imencode(suffix, pixels, options)
    if not encoded:
        raise InputError(path, f"{pixels.dtype} pixels that OpenCV cannot encode", f"an image for {suffix}")
    content = buffer.tobytes()
    write_bytes(path, content)
    return hashlib.sha256(content).hexdigest()


def _read_encoded(path: Path) -> np.ndarray:
    try:
        content = np.frombuffer(Path(path).read_bytes(), dtype=np.uint8)
    except OSError as error:
        raise InputError(path, error.strerror or error, "an image file") from error
    pixels = cv2.imdecode(content, cv2.IMREAD_UNCHANGED) if content.size else None
    if pixels is None:
        raise InputError(path, "no readable image", "a TIFF or PNG file")
    return pixels
