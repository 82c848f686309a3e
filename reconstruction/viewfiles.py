"""Calibrated views on disk: a camera file, and a folder with one image a camera."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from drrkit.errors import InputError
from drrkit.geometry.camera import Camera
from drrkit.io.store import content_sha256, read_cameras, read_image
from drrkit.radiograph import Radiograph
from reconstruction.sets.adapters import check_same_patient

IMAGE_SUFFIX = ".tif"


@dataclass(frozen=True, eq=False)
class ViewFiles:
    """Views of one patient, read.

    Args:
        radiographs: Line integrals with cameras, by id, in the order asked for.
        images_sha256: Hash of each file, by id.
        donor: Who it is, as far as a manifest beside the images tells; else "".
        unused: Ids of images that have no camera or were not asked for.
    """

    radiographs: dict[str, Radiograph]
    images_sha256: dict[str, str]
    donor: str
    unused: tuple[str, ...]


def read_views(cameras_path: Path, images_dir: Path, view_ids: Sequence[str] = ()) -> ViewFiles:
    """Read ``<images_dir>/<id>.tif`` of every camera, or of those asked for.

    An image without a camera is left out and told, because folders often hold more than a reconstruction needs; a
    camera without an image is an error, because fewer views than meant would pass unseen.

    Raises:
        InputError: No such file or folder, an unknown or repeated view, a camera without an image, an image of another
            size than its camera's or with NaN, or views of two patients.
    """
    cameras = read_cameras(cameras_path)
    chosen = _chosen(cameras, cameras_path, view_ids)
    if not images_dir.is_dir():
        raise InputError(images_dir, "no such folder", f"a folder with <camera id>{IMAGE_SUFFIX}")
    paths = {view_id: images_dir / f"{view_id}{IMAGE_SUFFIX}" for view_id in chosen}
    missing = [view_id for view_id, path in paths.items() if not path.is_file()]
    if missing:
        found = f"no image of {len(missing)} of {len(paths)} cameras: {_some(missing)}"
        raise InputError(images_dir, found, f"<camera id>{IMAGE_SUFFIX} of every camera, or --views to choose some")
    donor = check_same_patient(list(paths.values()))
    radiographs = {view_id: _read(path, cameras[view_id], view_id) for view_id, path in paths.items()}
    present = sorted(path.stem for path in images_dir.glob(f"*{IMAGE_SUFFIX}") if not path.name.startswith("."))
    unused = tuple(view_id for view_id in present if view_id not in paths)
    hashes = {view_id: content_sha256(path) for view_id, path in paths.items()}
    return ViewFiles(radiographs, hashes, donor, unused)


def _chosen(cameras: dict[str, Camera], cameras_path: Path, view_ids: Sequence[str]) -> list[str]:
    chosen = list(view_ids) or list(cameras)
    unknown = [view_id for view_id in chosen if view_id not in cameras]
    if unknown:
        raise InputError(cameras_path, f"no camera {_some(unknown)}", f"views out of {_some(list(cameras))}")
    if len(set(chosen)) < len(chosen):
        raise InputError("views", ", ".join(chosen), "every view once")
    return chosen


def _read(path: Path, camera: Camera, view_id: str) -> Radiograph:
    pixels = read_image(path)
    if pixels.shape != (camera.height, camera.width):
        wanted = f"{camera.height} x {camera.width}, as camera {view_id} has"
        raise InputError(path, f"{pixels.shape[0]} x {pixels.shape[1]} pixels", wanted)
    bad = int(np.count_nonzero(~np.isfinite(pixels)))
    if bad:
        raise InputError(path, f"{bad} NaN or infinite pixels", "finite line integrals")
    return Radiograph(pixels, "line_integral", camera)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
