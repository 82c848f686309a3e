"""Cases in memory: images at the scale of a network's window, cameras, and labels cut to the levels' box."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float, Float16, UInt8

from drrkit.errors import InputError
from drrkit.geometry import rigid
from drrkit.geometry.camera import Camera
from drrkit.io import volumefile
from drrkit.io.labels import read_labels
from drrkit.io.store import read_cameras, read_image
from drrkit.radiograph import Radiograph
from drrkit.volume import LEVEL_CODES, LUMBAR_LEVELS, Volume
from reconstruction.cases import Case
from reconstruction.model import ModelSpec
from reconstruction.views import scaled_region

Purpose = Literal["learning", "evaluation"]


@dataclass(frozen=True, eq=False)
class LoadedCase:
    """All that is learned from one case, without a file.

    Args:
        case: Where it came from.
        images: (h, w) line integrals of each view, upright, at the scale of the window; sizes differ.
        cameras: Those of ``images``.
        codes: (z, y, x) ``LEVEL_CODES`` of the case's levels, cut to their box; 0 elsewhere.
        world_from_voxel: (4, 4) of ``codes``.
        lumbar_center_world: (3,) middle of the box around L1 to L5; of all levels where there is no lumbar one.
        level_centers_world: (3,) middle of the box around each level.
    """

    case: Case
    images: tuple[Float16[np.ndarray, "_ _"], ...]
    cameras: tuple[Camera, ...]
    codes: UInt8[np.ndarray, "z y x"]
    world_from_voxel: Float[np.ndarray, "4 4"]
    lumbar_center_world: Float[np.ndarray, " 3"]
    level_centers_world: dict[str, Float[np.ndarray, " 3"]]

    def image(self, view: int) -> Radiograph:
        """Return one view in full precision."""
        return Radiograph(self.images[view].astype(np.float32), "line_integral", self.cameras[view])


def load_case(case: Case, spec: ModelSpec, margin_mm: float, purpose: Purpose) -> LoadedCase:
    """Read a case and bring its images to the scale of the window, once.

    Args:
        case: What to read.
        spec: Whose window and mode.
        margin_mm: How far the middle of a grid will be moved at most, in any direction.
        purpose: ``learning`` refuses donors of the test split before any of their files is opened.

    Raises:
        InputError: A test donor for learning, a file that cannot be read, levels that are not there, or a view that
            does not show the region around the grid.
    """
    if purpose == "learning" and case.split == "test":
        raise InputError(f"case {case.case_id}", "a donor of the test split", "train or validation donors for learning")
    volume = read_case_labels(case)
    if purpose == "learning" and spec.mode == "lumbar":
        missing = [level for level in spec.classes if level not in case.levels]
        if missing:
            found = f"no whole {', '.join(missing)}"
            raise InputError(f"case {case.case_id}", found, "all classes: else bone would be learned as background")
    codes, world_from_voxel = cut_to_levels(volume, case.levels)
    centers = {level: levels_center_world(codes, world_from_voxel, [level]) for level in case.levels}
    center = levels_center_world(codes, world_from_voxel, _lumbar_or_all(case.levels))
    if spec.mode == "vertebra":
        margin_mm += max(float(np.linalg.norm(level - center)) for level in centers.values())
    scaled = [
        scaled_region(radiograph, center, spec.window, margin_mm, where=case.image(view_id))
        for view_id, radiograph in zip(case.views, read_case_radiographs(case), strict=True)
    ]
    return LoadedCase(
        case=case,
        images=tuple(radiograph.pixels.astype(np.float16) for radiograph in scaled),
        cameras=tuple(radiograph.camera for radiograph in scaled if radiograph.camera is not None),
        codes=codes,
        world_from_voxel=world_from_voxel,
        lumbar_center_world=center,
        level_centers_world=centers,
    )


def load_cases(
    cases: Sequence[Case],
    spec: ModelSpec,
    margin_mm: float,
    purpose: Purpose,
    workers: int = 1,
    on_case: Callable[[Case], None] = lambda case: None,
) -> list[LoadedCase]:
    """Load cases, several at a time; decoding and resampling let go of the interpreter, so threads do.

    Raises:
        InputError: As :func:`load_case`.
    """

    def load(case: Case) -> LoadedCase:
        loaded = load_case(case, spec, margin_mm, purpose)
        on_case(case)
        return loaded

    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(load, cases))


def read_case_labels(case: Case) -> Volume:
    """Read the labels of a case; the Hounsfield units of the volume are all 0.

    Raises:
        InputError: As :func:`drrkit.io.labels.read_labels`, or a level of the case that the labels do not have.
    """
    volume = read_label_volume(case.labels, case.label_scheme)
    missing = [level for level in case.levels if level not in volume.levels]
    if missing or not case.levels:
        wanted = f"labels of {', '.join(missing) or 'any level'} (case {case.case_id})"
        raise InputError(case.labels, f"labels of {', '.join(volume.levels) or 'nothing'}", wanted)
    return volume


def read_label_volume(path: Path, scheme: str) -> Volume:
    """Read labels without a CT; the Hounsfield units of the volume are all 0.

    Raises:
        InputError: As :func:`drrkit.io.labels.read_labels`.
    """
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    first = next((file for file in files if file.name.endswith(volumefile.WRITABLE)), path)
    grid = volumefile.read_grid(first)
    blank = Volume(np.zeros(grid.shape, np.int16), grid.world_from_voxel)
    return blank.with_labels(read_labels(path, scheme, blank))


def read_case_radiographs(case: Case) -> list[Radiograph]:
    """Read the views of a case, in its order.

    Raises:
        InputError: A file that cannot be read, no camera of a view's name, or a size that is not the camera's.
    """
    changed_ns = case.cameras.stat().st_mtime_ns if case.cameras.is_file() else 0
    cameras = _cameras_of(case.cameras, changed_ns)
    unknown = [view_id for view_id in case.views if view_id not in cameras]
    if unknown:
        raise InputError(case.cameras, f"no camera {', '.join(unknown)}", f"one for each view of case {case.case_id}")
    radiographs = []
    for view_id in case.views:
        pixels, camera = read_image(case.image(view_id)), cameras[view_id]
        if pixels.shape != (camera.height, camera.width):
            wanted = f"the camera's {camera.height} x {camera.width}"
            raise InputError(case.image(view_id), f"{pixels.shape[0]} x {pixels.shape[1]} pixels", wanted)
        radiographs.append(Radiograph(pixels, "line_integral", camera))
    return radiographs


def lumbar_center_world(volume: Volume) -> Float[np.ndarray, " 3"]:
    """Return the middle of the box, along the world's axes, around the labelled ones of L1 to L5.

    Raises:
        InputError: None of them is labelled.
    """
    present = [level for level in LUMBAR_LEVELS if level in volume.levels]
    codes, world_from_voxel = cut_to_levels(volume, present)
    return levels_center_world(codes, world_from_voxel, present)


def cut_to_levels(volume: Volume, levels: Sequence[str]) -> tuple[UInt8[np.ndarray, "z y x"], Float[np.ndarray, "4 4"]]:
    """Cut labels to the box of some levels, all others blanked.

    Raises:
        InputError: None of the levels is labelled.
    """
    wanted = np.zeros(256, np.uint8)
    wanted[[LEVEL_CODES[level] for level in levels]] = [LEVEL_CODES[level] for level in levels]
    codes = wanted[volume.labels] if volume.labels is not None else np.zeros(volume.shape, np.uint8)
    if not codes.any():
        raise InputError(
            "labels", f"{', '.join(volume.levels) or 'nothing'}", f"some of {', '.join(levels) or 'L1-L5'}"
        )
    slices = []
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        occupied = np.flatnonzero(codes.any(axis=others))
        slices.append(slice(int(occupied[0]), int(occupied[-1]) + 1))
    corner = [slices[2].start, slices[1].start, slices[0].start]
    shift = rigid.from_rotation_translation(np.eye(3), corner)
    return np.ascontiguousarray(codes[tuple(slices)]), volume.world_from_voxel @ shift


def levels_center_world(
    codes: UInt8[np.ndarray, "z y x"], world_from_voxel: Float[np.ndarray, "4 4"], levels: Sequence[str]
) -> Float[np.ndarray, " 3"]:
    """Return the middle of the box, along the world's axes, around some levels."""
    z, y, x = np.nonzero(np.isin(codes, [LEVEL_CODES[level] for level in levels]))
    points = rigid.apply(world_from_voxel, np.stack([x, y, z], axis=-1))
    return (points.min(axis=0) + points.max(axis=0)) / 2


def _lumbar_or_all(levels: Sequence[str]) -> list[str]:
    return [level for level in levels if level in LUMBAR_LEVELS] or list(levels)


@lru_cache(maxsize=4)
def _cameras_of(path: Path, changed_ns: int) -> dict[str, Camera]:
    """Read cameras once for all cases that share a file; a render of a cohort has one file for all."""
    return read_cameras(path)
