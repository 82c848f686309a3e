"""The folder that shall be translated: which images it holds, as line integrals, and their cameras."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import Float, Float32
from PIL import Image, UnidentifiedImageError

from drrkit.errors import InputError
from drrkit.geometry.camera import Camera
from drrkit.io.store import read_cameras, read_image
from drrkit.io.xray import line_integral_from_intensity
from drrkit.radiograph import Radiograph
from styletransfer.images import isocenter_pixel_mm, isocenter_world

IMAGE_SUFFIX = ".tif"
CAMERAS_NAME = "cameras.json"
# Where folders of pairs and of renders keep their images.
INNER_FOLDERS = ("real", "images")
# Between these lie the 1st and 99th percentile of line integrals: exp(-20) of a beam cannot be told from nothing, and
# nobody misjudges the open beam by a factor of exp(2).
LEAST_LINE_INTEGRAL, MOST_LINE_INTEGRAL = -2.0, 20.0
_HOW = "float32 line integrals, -log(I / I0); --open-field I0 makes them of counts that are linear in the intensity"


@dataclass(frozen=True, eq=False)
class ImageFolder:
    """Images of one folder.

    Args:
        folder: Where they lie.
        names: Without suffix, sorted.
        cameras: Of those images that have one, by name.
    """

    folder: Path
    names: tuple[str, ...]
    cameras: dict[str, Camera]

    def path(self, name: str) -> Path:
        """Where an image lies."""
        return self.folder / f"{name}{IMAGE_SUFFIX}"

    def pixel_mm(self, name: str) -> float | None:
        """Return the size of an image's pixels in the middle of the patient; None if the cameras do not tell it."""
        if self._center_world is None or name not in self.cameras:
            return None
        return isocenter_pixel_mm(self.cameras[name], self._center_world)

    @cached_property
    def _center_world(self) -> Float[np.ndarray, " 3"] | None:
        return isocenter_world(list(self.cameras.values()))

    def read(self, name: str, open_field: float | None = None) -> Float32[np.ndarray, "h w"]:
        """Read an image as line integrals.

        Args:
            name: Of the image.
            open_field: I0, if the pixels are counts; None if they are line integrals.

        Raises:
            InputError: No such image, color, NaN, values that are no line integrals, another size than its camera's.
        """
        path = self.path(name)
        pixels = read_image(path) if open_field is None and _is_float(path) else _decoded(path)
        if open_field is not None:
            # One count is the least that a detector of whole numbers tells apart.
            lowest = 1.0 if pixels.dtype.kind == "u" else None
            counts = Radiograph(pixels.astype(np.float32), "intensity")
            try:
                pixels = line_integral_from_intensity(counts, open_field, lowest).pixels
            except InputError as error:
                raise InputError(f"{path}, {error.where}", error.found, error.wanted) from error
        _check(pixels, path, open_field)
        camera = self.cameras.get(name)
        if camera is not None and pixels.shape != (camera.height, camera.width):
            found = f"{pixels.shape[0]} x {pixels.shape[1]} pixels"
            raise InputError(path, found, f"{camera.height} x {camera.width}, as its camera says")
        return pixels


def find_images(images: Path) -> ImageFolder:
    """List the images of a folder, or of ``real`` or ``images`` in it, with the cameras beside them.

    Raises:
        InputError: No such folder, no image in it, or a camera file that cannot be read.
    """
    if not images.is_dir():
        raise InputError(images, "no such folder", f"a folder with images <name>{IMAGE_SUFFIX}")
    for folder in (images, *(images / inner for inner in INNER_FOLDERS)):
        names = sorted(path.stem for path in folder.glob(f"*{IMAGE_SUFFIX}") if not path.name.startswith("."))
        if names:
            return ImageFolder(folder, tuple(names), _cameras_beside(folder, names))
    raise InputError(images, "no images", f"images <name>{IMAGE_SUFFIX}, float32 line integrals")


def _cameras_beside(folder: Path, names: list[str]) -> dict[str, Camera]:
    for path in (folder / CAMERAS_NAME, folder.parent / CAMERAS_NAME):
        if path.is_file():
            cameras = read_cameras(path)
            return {name: cameras[name] for name in names if name in cameras}
    return {}


def _is_float(path: Path) -> bool:
    return _opened(path).mode == "F"


def _decoded(path: Path) -> np.ndarray:
    pixels = np.asarray(_opened(path))
    if pixels.ndim != 2:
        raise InputError(path, f"{pixels.dtype} pixels of shape {pixels.shape}", _HOW)
    return pixels


def _opened(path: Path) -> Image.Image:
    try:
        return Image.open(path)
    except UnidentifiedImageError as error:
        raise InputError(path, "no readable image", "an intact TIFF (copy it again)") from error
    except OSError as error:
        raise InputError(path, error.strerror or error, "an image file") from error


def _check(pixels: np.ndarray, path: Path, open_field: float | None) -> None:
    if pixels.dtype != np.float32:
        span = f"values from {pixels.min()} to {pixels.max()}"
        raise InputError(path, f"{pixels.dtype} pixels, {span}: intensities", _HOW)
    bad = int(np.count_nonzero(~np.isfinite(pixels)))
    if bad:
        raise InputError(path, f"{bad} NaN or infinite pixels", _HOW)
    low, high = np.percentile(pixels, [1, 99])
    if low < LEAST_LINE_INTEGRAL or high > MOST_LINE_INTEGRAL:
        found = f"values from {pixels.min():.4g} to {pixels.max():.4g}, no line integrals"
        wanted = _HOW if open_field is None else "the intensity of the open beam in the image's own counts"
        raise InputError(path, found, wanted)
