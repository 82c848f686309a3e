"""Where the cameras of a dataset come from: a view set placed on each patient, or a file of fixed cameras."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from drrkit.errors import InputError
from drrkit.geometry.camera import Camera
from drrkit.geometry.carm import CArm
from drrkit.geometry.viewsets import ViewSet
from drrkit.volume import LUMBAR_LEVELS, Volume

Isocenter = str | tuple[float, float, float]


@runtime_checkable
class Rig(Protocol):
    """Names views without a CT, and places cameras when there is one."""

    @property
    def view_ids(self) -> Sequence[str]:
        """Ids of the views, in order."""

    def fingerprint(self, view_id: str) -> str:
        """Hash of all that decides the camera, other than the CT and its labels."""

    def cameras(self, volume: Volume) -> Mapping[str, Camera]:
        """Cameras by view id for this CT."""


@dataclass(frozen=True)
class FixedRig:
    """The same cameras, in world coordinates, for every CT."""

    fixed: Mapping[str, Camera]

    @property
    def view_ids(self) -> Sequence[str]:
        """Ids of the cameras, in order."""
        return list(self.fixed)

    def fingerprint(self, view_id: str) -> str:
        """Hash of the camera's record."""
        return _sha256(self.fixed[view_id].to_record(view_id))

    def cameras(self, volume: Volume) -> Mapping[str, Camera]:
        """The cameras as they are."""
        return self.fixed


@dataclass(frozen=True)
class ViewRig:
    """A view set about each patient's own isocenter.

    Args:
        views: The angles.
        carm: The machine.
        isocenter: ``auto`` (middle of the labelled lumbar levels, else of the volume), ``volume``, or a world point.
    """

    views: ViewSet
    carm: CArm
    isocenter: Isocenter = "auto"

    def __post_init__(self) -> None:
        if isinstance(self.isocenter, str) and self.isocenter not in ("auto", "volume"):
            raise InputError("isocenter", self.isocenter, "auto, volume, or three world coordinates in mm")

    @property
    def view_ids(self) -> Sequence[str]:
        """Ids of the views, in order."""
        return [view.id for view in self.views.views]

    def fingerprint(self, view_id: str) -> str:
        """Hash of the view's angles, the machine and the rule for the isocenter."""
        view = next(view for view in self.views.views if view.id == view_id)
        machine = {name: value for name, value in asdict(self.carm).items() if name != "source"}
        return _sha256([asdict(view), machine, self.isocenter])

    def cameras(self, volume: Volume) -> Mapping[str, Camera]:
        """The view set about this CT's isocenter."""
        return self.views.cameras(self.carm, isocenter_world(volume, self.isocenter))


def isocenter_world(volume: Volume, rule: Isocenter) -> Float[np.ndarray, " 3"]:
    """Choose where the C-arm turns about, in world millimeters."""
    if not isinstance(rule, str):
        return np.asarray(rule, dtype=np.float64)
    lumbar = [level for level in LUMBAR_LEVELS if level in volume.levels]
    if rule == "auto" and lumbar:
        return np.mean([volume.level_centroid_world(level) for level in lumbar], axis=0)
    return volume.center_world


def with_detector(camera: Camera, size: tuple[int, int] | None, spacing_mm: float | None) -> Camera:
    """Read the detector out with other pixels, about the same image center.

    A size (rows, columns) alone keeps the detector's area, a spacing alone keeps it to the next whole pixel, and both
    together make a detector of that size and spacing.
    """
    if size is not None and min(size) < 1:
        raise InputError("--size", size, "at least 1 x 1 pixel")
    if spacing_mm is None:
        return camera if size is None else camera.resized(*size)
    if not spacing_mm > 0:
        raise InputError("--spacing", spacing_mm, "a positive pixel spacing in mm")
    scale_v, scale_u = (native_mm / spacing_mm for native_mm in camera.pixel_spacing_mm)
    height, width = size or (max(1, round(camera.height * scale_v)), max(1, round(camera.width * scale_u)))
    shift_u = (width - 1) / 2 - scale_u * (camera.width - 1) / 2
    shift_v = (height - 1) / 2 - scale_v * (camera.height - 1) / 2
    warp = np.array([[scale_u, 0, shift_u], [0, scale_v, shift_v], [0, 0, 1]])
    return camera.warped(warp, height, width)


def carm_with_detector(carm: CArm, size: tuple[int, int] | None, spacing_mm: float | None) -> CArm:
    """Read a C-arm's detector out with other pixels; see :func:`with_detector`."""
    camera = with_detector(carm.camera(0.0, 0.0), size, spacing_mm)
    center_u, center_v = camera.pixel_from_camera[:2, 2]
    return replace(
        carm,
        height=camera.height,
        width=camera.width,
        pixel_spacing_mm=camera.pixel_spacing_mm,
        principal_point_px=(float(center_u), float(center_v)),
    )


def parse_isocenter(text: str) -> Isocenter:
    """Read ``auto``, ``volume`` or ``X,Y,Z`` in world millimeters."""
    if text in ("auto", "volume"):
        return text
    try:
        x, y, z = (float(number) for number in text.split(","))
    except ValueError as error:
        raise InputError("--isocenter", text, "auto, volume, or X,Y,Z in mm (LPS)") from error
    return x, y, z


def _sha256(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
