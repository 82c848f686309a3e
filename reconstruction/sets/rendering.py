"""A CT as cases need it: its X-rays with their cameras, and its labels cut to what is asked for."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from drrkit.errors import InputError
from drrkit.geometry import rigid
from drrkit.geometry.camera import Camera
from drrkit.geometry.rigid import ArrayLike
from drrkit.io import volumefile
from drrkit.io.store import write_cameras, write_image
from drrkit.projection.attenuation import Tissue
from drrkit.projection.renderer import prepare, project
from drrkit.volume import LEVEL_CODES, Volume

IMAGES_NAME, CAMERAS_NAME = "images", "cameras.json"
LABELS_NAME, REGIONS_NAME = "labels.nii.gz", "regions.nii.gz"


def write_views(
    folder: Path,
    volume: Volume,
    cameras: Mapping[str, Camera],
    tissue: Tissue,
    bone_threshold_hu: float,
    energy_kev: float,
) -> None:
    """Render a CT from cameras of one size; write ``images/<view id>.tif`` and ``cameras.json``.

    Raises:
        InputError: As :func:`drrkit.projection.renderer.render`.
    """
    prepared = prepare(volume, tissue, bone_threshold_hu=bone_threshold_hu, energy_kev=energy_kev)
    pixels = project(prepared, list(cameras.values()), backend="siddon")
    for view_id, image in zip(cameras, pixels, strict=True):
        write_image(folder / IMAGES_NAME / f"{view_id}.tif", image, compressed=True)
    write_cameras(folder / CAMERAS_NAME, cameras)


def check_in_view(
    cameras: Mapping[str, Camera], points_world: Mapping[str, Float[np.ndarray, "n 3"]], where: object
) -> None:
    """Assert that every view shows all of every level.

    Args:
        cameras: By view id.
        points_world: Points of each level's surface, by level.
        where: Named in errors.

    Raises:
        InputError: A view cuts a level off.
    """
    for view_id, camera in cameras.items():
        for level, points in points_world.items():
            u, v = camera.project(points).T
            # False also where a point is behind the source (NaN).
            inside = (u >= 0) & (u <= camera.width - 1) & (v >= 0) & (v <= camera.height - 1)
            if not inside.all():
                share = 1 - float(inside.mean())
                raise InputError(
                    f"{where}, view {view_id}", f"{share:.0%} of {level} outside", "a panel that shows it all"
                )


def level_box(
    labels: UInt8[np.ndarray, "z y x"], levels: Sequence[str], margin_mm: float, spacing_mm: Sequence[float]
) -> tuple[slice, slice, slice]:
    """Find the box (slices along z, y, x) of some levels with a margin.

    Args:
        labels: ``LEVEL_CODES``.
        levels: By name; at least one of them is labelled.
        margin_mm: On every side, as far as the volume reaches.
        spacing_mm: Along x, y, z, as :attr:`Volume.spacing_mm` has it.

    Raises:
        InputError: None of the levels is labelled.
    """
    wanted = np.isin(labels, [LEVEL_CODES[level] for level in levels])
    if not wanted.any():
        raise InputError("labels", f"nothing of {', '.join(levels)}", "at least one of these levels")
    spans = []
    for axis, spacing in enumerate(reversed(tuple(spacing_mm))):
        filled = np.flatnonzero(wanted.any(axis=tuple({0, 1, 2} - {axis})))
        margin = int(np.ceil(margin_mm / spacing))
        spans.append(slice(max(0, int(filled[0]) - margin), min(labels.shape[axis], int(filled[-1]) + margin + 1)))
    return spans[0], spans[1], spans[2]


def write_cut(
    path: Path,
    voxels: UInt8[np.ndarray, "z y x"],
    world_from_voxel: ArrayLike,
    box: tuple[slice, slice, slice],
) -> None:
    """Write a box of a volume; its voxels stay where they are in the world."""
    corner = rigid.from_rotation_translation(np.eye(3), [box[2].start, box[1].start, box[0].start])
    volumefile.write(path, np.ascontiguousarray(voxels[box]), np.asarray(world_from_voxel, np.float64) @ corner)
