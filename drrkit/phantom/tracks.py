"""Soft tissue as tracks: an ellipse for every slice, painted one over the other."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32
from numba import njit, prange

from drrkit.geometry.rigid import Matrix4

Heights = Float[np.ndarray, " z"]


@dataclass(frozen=True, eq=False)
class Track:
    """One structure through all slices.

    Args:
        x_mm: (Z,) its center in the world; y_mm the same.
        y_mm: Center.
        wide_mm: (Z,) half width; 0 where the structure is absent.
        deep_mm: (Z,) half depth.
        turn_rad: (Z,) rotation of the ellipse about the long axis.
        roundness: 2 for an ellipse, more for a rounded box.
        hu: Its tissue.
    """

    x_mm: Heights
    y_mm: Heights
    wide_mm: Heights
    deep_mm: Heights
    turn_rad: Heights
    roundness: float
    hu: float


@dataclass(frozen=True, eq=False)
class Column:
    """Where the spine runs: the frame that soft tissue follows, at the heights of the slices.

    Args:
        z_mm: (Z,) heights of the slices in the world, from foot to head.
        level: (Z,) height in vertebrae: 0 at the middle of L1, 4 at that of L5, beyond in proportion.
        x_mm: (Z,) middle of the bodies.
        y_mm: (Z,) the same.
        turn_rad: (Z,) axial rotation.
        straight_x_mm: Middle of the trunk, which follows a scoliosis only in part.
    """

    z_mm: Heights
    level: Heights
    x_mm: Heights
    y_mm: Heights
    turn_rad: Heights
    straight_x_mm: Heights


def spinal_column(z_mm: Heights, poses: Mapping[str, Matrix4]) -> Column:
    """Interpolate the vertebrae's poses over the slices.

    Args:
        z_mm: Heights of the slices.
        poses: ``world_from_vertebra`` from T11 to L5.
    """
    from_foot = [poses[level] for level in ("L5", "L4", "L3", "L2", "L1", "T12", "T11")]
    centers = np.array([pose[:3, 3] for pose in from_foot])
    turns = np.array([np.arctan2(pose[1, 0], pose[0, 0]) for pose in from_foot])
    numbers = np.array([4.0, 3, 2, 1, 0, -1, -2])
    spacing_mm = (centers[-1, 2] - centers[0, 2]) / 6
    # Below L5 the tissue keeps L5's place, while its height counts on.
    level = np.interp(z_mm, centers[:, 2], numbers)
    level += np.maximum(centers[0, 2] - z_mm, 0) / spacing_mm - np.maximum(z_mm - centers[-1, 2], 0) / spacing_mm
    x_mm, y_mm = np.interp(z_mm, centers[:, 2], centers[:, 0]), np.interp(z_mm, centers[:, 2], centers[:, 1])
    straight_x_mm = centers[:, 0].mean() + 0.35 * (x_mm - centers[:, 0].mean())
    return Column(z_mm, level, x_mm, y_mm, np.interp(z_mm, centers[:, 2], turns), straight_x_mm)


def beside(
    column: Column,
    x_mm: Heights | float,
    y_mm: Heights | float,
    wide: Heights,
    deep: Heights,
    turn: Heights | float,
    hu: float,
) -> Track:
    """Place a track in the frame of the spine."""
    cos, sin = np.cos(column.turn_rad), np.sin(column.turn_rad)
    x, y = column.x_mm + cos * x_mm - sin * y_mm, column.y_mm + sin * x_mm + cos * y_mm
    return Track(
        x, y, np.asarray(wide, dtype=np.float64), np.asarray(deep, dtype=np.float64), column.turn_rad + turn, 2.2, hu
    )


def blob(
    column: Column, x_mm: Heights, y_mm: Heights, level: float, radii_mm: Float[np.ndarray, " 3"], hu: float
) -> Track:
    """Cut an ellipsoid, whose middle lies at a level, into the slices' ellipses."""
    middle_mm = np.interp(level, column.level[::-1], column.z_mm[::-1])
    section = np.sqrt(np.clip(1 - ((column.z_mm - middle_mm) / radii_mm[2]) ** 2, 0, 1))
    return Track(x_mm, y_mm, radii_mm[0] * section, radii_mm[1] * section, np.zeros_like(section), 2.0, hu)


def paint(
    hu: Float32[np.ndarray, "z y x"],
    tracks: Sequence[Track],
    x_mm: Float[np.ndarray, " x"],
    y_mm: Float[np.ndarray, " y"],
) -> None:
    """Paint tracks into a volume in their order, in place; edges are one voxel soft.

    Args:
        hu: The volume.
        tracks: Later ones cover earlier ones.
        x_mm: World coordinates of the volume's columns.
        y_mm: World coordinates of its rows.
    """
    table = np.empty((len(hu), len(tracks), 8))
    for number, track in enumerate(tracks):
        columns = [track.x_mm, track.y_mm, track.wide_mm, track.deep_mm, np.cos(track.turn_rad), np.sin(track.turn_rad)]
        table[:, number, :6] = np.stack(columns, axis=-1)
        table[:, number, 6:] = track.roundness, track.hu
    _paint(hu, table, x_mm, y_mm)


@njit(cache=True, parallel=True)
def _paint(hu: np.ndarray, table: np.ndarray, x_mm: np.ndarray, y_mm: np.ndarray) -> None:
    step = abs(x_mm[1] - x_mm[0])
    for z in prange(hu.shape[0]):
        for track in range(table.shape[1]):
            center_x, center_y, wide, deep, cos, sin, roundness, tissue = table[z, track]
            if wide < 0.5 or deep < 0.5:
                continue
            # The turned ellipse's own box, a voxel larger.
            reach_x, reach_y = abs(cos) * wide + abs(sin) * deep + step, abs(sin) * wide + abs(cos) * deep + step
            first_x = max(int(np.ceil((center_x - reach_x - x_mm[0]) / step)), 0)
            last_x = min(int(np.floor((center_x + reach_x - x_mm[0]) / step)), x_mm.shape[0] - 1)
            first_y = max(int(np.ceil((center_y - reach_y - y_mm[0]) / step)), 0)
            last_y = min(int(np.floor((center_y + reach_y - y_mm[0]) / step)), y_mm.shape[0] - 1)
            edge = step / min(wide, deep)
            for row in range(first_y, last_y + 1):
                v = y_mm[row] - center_y
                for place in range(first_x, last_x + 1):
                    u = x_mm[place] - center_x
                    along, over = abs(cos * u + sin * v) / wide, abs(cos * v - sin * u) / deep
                    # A superellipse lies between the ellipse and the box, so powers are needed near its edge only.
                    radius = np.sqrt(along * along + over * over)
                    if radius < 1 - edge:
                        hu[z, row, place] = tissue
                        continue
                    if max(along, over) > 1 + edge:
                        continue
                    if roundness != 2.0:
                        radius = (along**roundness + over**roundness) ** (1 / roundness)
                    distance = (radius - 1) * np.sqrt(u * u + v * v) / radius
                    share = min(max(0.5 - distance / step, 0.0), 1.0)
                    hu[z, row, place] += np.float32(share * (tissue - hu[z, row, place]))
