"""Balls, bars and boxes: exact chord lengths of simple solids along rays.

Every primitive is convex, so a ray meets it in one interval. Rays start in the focal spot and end on the detector.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from jaxtyping import Float

from drrkit.errors import InputError
from drrkit.fluoroscopy.materials import CARBON, STEEL, TITANIUM
from drrkit.geometry.rigid import ArrayLike

Point = Float[np.ndarray, " 3"]
Rays = Float[np.ndarray, "n 3"]
Lengths = Float[np.ndarray, " n"]
Interval = tuple[Lengths, Lengths]


class Solid(Protocol):
    """What :func:`drrkit.fluoroscopy.solids.chords_mm` needs of a solid.

    ``material`` is a name of :func:`drrkit.fluoroscopy.materials.attenuation_per_mm`. ``displaces`` names the tissue
    that has to give way where the solid lies inside the CT; None keeps the tissue.
    """

    @property
    def material(self) -> str:
        """What it is made of."""

    @property
    def displaces(self) -> str | None:
        """What gives way to it."""

    def chord_mm(self, source: Point, directions: Rays) -> Lengths:
        """Length of the solid on rays from a point along unit directions."""

    def inflated(self, margin_mm: float) -> "Solid":
        """A solid that holds at least everything within a margin of this one."""

    def corners_world(self) -> Float[np.ndarray, "k 3"]:
        """Points whose convex hull holds the solid."""


@dataclass(frozen=True)
class Sphere:
    """A ball."""

    center_world: tuple[float, float, float]
    radius_mm: float
    material: str = STEEL
    displaces: str | None = None

    def __post_init__(self) -> None:
        _check(self, ("center_world",), ("radius_mm",))

    def interval(self, source: Point, directions: Rays) -> Interval:
        """Where rays enter and leave, in mm from the source; empty where the ray misses."""
        return _sphere_interval(np.asarray(self.center_world) - source, self.radius_mm, directions)

    def chord_mm(self, source: Point, directions: Rays) -> Lengths:
        """Length of the ball on each ray."""
        return _length(self.interval(source, directions))

    def inflated(self, margin_mm: float) -> "Sphere":
        """The ball with a larger radius."""
        return Sphere(self.center_world, self.radius_mm + margin_mm, self.material, self.displaces)

    def corners_world(self) -> Float[np.ndarray, "k 3"]:
        """Corners of the cube around it."""
        return np.asarray(self.center_world) + self.radius_mm * _CUBE


@dataclass(frozen=True)
class Cylinder:
    """A straight round bar between two points, cut flat; with ``is_capsule``, its ends are half balls beyond them."""

    start_world: tuple[float, float, float]
    end_world: tuple[float, float, float]
    radius_mm: float
    material: str = STEEL
    displaces: str | None = None
    is_capsule: bool = False

    def __post_init__(self) -> None:
        _check(self, ("start_world", "end_world"), ("radius_mm",))
        if not self.length_mm > 0:
            raise InputError("Cylinder", f"start and end at {self.start_world}", "two points")

    @property
    def length_mm(self) -> float:
        """Distance of the two points."""
        return float(np.linalg.norm(np.subtract(self.end_world, self.start_world)))

    @property
    def axis_world(self) -> Point:
        """Unit vector from start to end."""
        return np.subtract(self.end_world, self.start_world) / self.length_mm

    def interval(self, source: Point, directions: Rays) -> Interval:
        """Where rays enter and leave, in mm from the source; empty where the ray misses."""
        start = np.asarray(self.start_world) - source
        bar = _intersection(
            _bar_interval(start, self.axis_world, self.radius_mm, directions),
            _slab_interval(start @ self.axis_world, self.length_mm, directions @ self.axis_world),
        )
        if not self.is_capsule:
            return bar
        # The three parts make one convex solid, so their intervals on a ray join without a gap.
        ends = [_sphere_interval(np.asarray(end) - source, self.radius_mm, directions)
                for end in (self.start_world, self.end_world)]  # fmt: skip
        enter, leave = bar
        enter, leave = np.where(leave > enter, enter, np.inf), np.where(leave > enter, leave, -np.inf)
        for end_enter, end_leave in ends:
            hit = end_leave > end_enter
            enter = np.where(hit, np.minimum(enter, end_enter), enter)
            leave = np.where(hit, np.maximum(leave, end_leave), leave)
        return enter, leave

    def chord_mm(self, source: Point, directions: Rays) -> Lengths:
        """Length of the bar on each ray."""
        return _length(self.interval(source, directions))

    def inflated(self, margin_mm: float) -> "Cylinder":
        """The bar, thicker and longer."""
        step = margin_mm * self.axis_world
        start, end = np.asarray(self.start_world) - step, np.asarray(self.end_world) + step
        radius_mm = self.radius_mm + margin_mm
        return Cylinder(to_point(start), to_point(end), radius_mm, self.material, self.displaces, self.is_capsule)

    def corners_world(self) -> Float[np.ndarray, "k 3"]:
        """Corners of the box around it, along its axis."""
        beyond_mm = self.length_mm / 2 + (self.radius_mm if self.is_capsule else 0.0)
        middle = np.add(self.start_world, self.end_world) / 2
        half_mm = np.array([self.radius_mm, self.radius_mm, beyond_mm])
        return middle + (half_mm * _CUBE) @ np.stack([*_perpendicular(self.axis_world), self.axis_world])


@dataclass(frozen=True)
class Slab:
    """A box: a table's top, a plate.

    Args:
        center_world: Its middle.
        size_mm: Full size along its three axes.
        axes_world: Its axes as rows: three orthonormal vectors.
        material: What it is made of.
        displaces: See :class:`Solid`.
    """

    center_world: tuple[float, float, float]
    size_mm: tuple[float, float, float]
    axes_world: tuple[tuple[float, float, float], ...] = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
    material: str = CARBON
    displaces: str | None = None

    def __post_init__(self) -> None:
        _check(self, ("center_world", "size_mm"), ())
        axes = np.asarray(self.axes_world, np.float64)
        if axes.shape != (3, 3) or not np.allclose(axes @ axes.T, np.eye(3), atol=1e-6):
            raise InputError("Slab axes_world", self.axes_world, "three orthonormal vectors")
        if not min(self.size_mm) > 0:
            raise InputError("Slab size_mm", self.size_mm, "three positive lengths")

    def interval(self, source: Point, directions: Rays) -> Interval:
        """Where rays enter and leave, in mm from the source; empty where the ray misses."""
        axes = np.asarray(self.axes_world, np.float64)
        nearest = axes @ (np.asarray(self.center_world) - source) - np.asarray(self.size_mm) / 2
        along = directions @ axes.T
        first, second, third = (_slab_interval(nearest[k], self.size_mm[k], along[:, k]) for k in range(3))
        return _intersection(_intersection(first, second), third)

    def chord_mm(self, source: Point, directions: Rays) -> Lengths:
        """Length of the box on each ray."""
        return _length(self.interval(source, directions))

    def inflated(self, margin_mm: float) -> "Slab":
        """The box, larger on every side."""
        width, height, depth = (size + 2 * margin_mm for size in self.size_mm)
        return Slab(self.center_world, (width, height, depth), self.axes_world, self.material, self.displaces)

    def corners_world(self) -> Float[np.ndarray, "k 3"]:
        """Its corners."""
        return np.asarray(self.center_world) + (np.asarray(self.size_mm) / 2 * _CUBE) @ np.asarray(self.axes_world)


@dataclass(frozen=True)
class Union:
    """Overlapping primitives of one material as one solid: what two of them share counts once."""

    parts: tuple[Sphere | Cylinder | Slab, ...]
    material: str = TITANIUM
    displaces: str | None = None

    def __post_init__(self) -> None:
        if not self.parts:
            raise InputError("Union", "no parts", "at least one solid")

    def chord_mm(self, source: Point, directions: Rays) -> Lengths:
        """Length of the whole on each ray."""
        intervals = [part.interval(source, directions) for part in self.parts]
        enter = np.maximum(np.stack([start for start, _ in intervals]), 0)
        leave = np.stack([end for _, end in intervals])
        missed = ~(leave > enter)
        enter[missed], leave[missed] = np.inf, np.inf
        order = np.argsort(enter, axis=0)
        enter, leave = np.take_along_axis(enter, order, axis=0), np.take_along_axis(leave, order, axis=0)
        total_mm, reached = np.zeros(len(directions)), np.zeros(len(directions))
        for start, end in zip(enter, leave, strict=True):
            hit = np.isfinite(start)
            total_mm[hit] += np.maximum(end[hit] - np.maximum(start[hit], reached[hit]), 0)
            reached[hit] = np.maximum(reached[hit], end[hit])
        return total_mm

    def inflated(self, margin_mm: float) -> "Union":
        """All parts inflated."""
        return Union(tuple(part.inflated(margin_mm) for part in self.parts), self.material, self.displaces)

    def corners_world(self) -> Float[np.ndarray, "k 3"]:
        """The corners of all parts."""
        return np.concatenate([part.corners_world() for part in self.parts])


_CUBE = np.array([[x, y, z] for x in (-1.0, 1.0) for y in (-1.0, 1.0) for z in (-1.0, 1.0)])


def to_point(values: ArrayLike) -> tuple[float, float, float]:
    """Return three numbers as a tuple, as the solids want their points."""
    x, y, z = np.asarray(values, np.float64).tolist()
    return x, y, z


def _check(solid: object, points: tuple[str, ...], lengths: tuple[str, ...]) -> None:
    kind = type(solid).__name__
    for name in points:
        value = np.asarray(getattr(solid, name), np.float64)
        if value.shape != (3,) or not np.isfinite(value).all():
            raise InputError(f"{kind} {name}", value.tolist(), "three finite numbers")
    for name in lengths:
        if not 0 < getattr(solid, name) < np.inf:
            raise InputError(f"{kind} {name}", getattr(solid, name), "a positive length")


def _perpendicular(axis: Float[np.ndarray, " 3"]) -> tuple[np.ndarray, np.ndarray]:
    first = np.cross(axis, np.eye(3)[np.argmin(np.abs(axis))])
    first /= np.linalg.norm(first)
    return first, np.cross(axis, first)


def _length(interval: Interval) -> Lengths:
    enter, leave = interval
    hit = leave > np.maximum(enter, 0)
    return np.where(hit, np.where(hit, leave, 0) - np.maximum(np.where(hit, enter, 0), 0), 0.0)


def _intersection(first: Interval, second: Interval) -> Interval:
    return np.maximum(first[0], second[0]), np.minimum(first[1], second[1])


def _sphere_interval(center: np.ndarray, radius_mm: float, directions: np.ndarray) -> Interval:
    middle = directions @ center
    # Distance of ray and center by the cross product: center^2 - middle^2 would cancel to a few digits.
    away_square = ((center - middle[:, None] * directions) ** 2).sum(axis=1)
    half = np.sqrt(np.maximum(radius_mm**2 - away_square, 0))
    return middle - half, middle + half


def _bar_interval(start: np.ndarray, axis: np.ndarray, radius_mm: float, directions: np.ndarray) -> Interval:
    """Interval of an endless bar: the ray's distance from its axis is at most the radius."""
    across = directions - (directions @ axis)[:, None] * axis
    offset = start - (start @ axis) * axis
    slope_square = (across**2).sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        middle = (across @ offset) / slope_square
        away_square = ((offset - middle[:, None] * across) ** 2).sum(axis=1)
        half = np.sqrt(np.maximum(radius_mm**2 - away_square, 0) / slope_square)
    # Along the axis a ray is inside for ever or never.
    parallel = slope_square < 1e-18
    inside = bool((offset**2).sum() < radius_mm**2)
    enter = np.where(parallel, -np.inf if inside else np.inf, middle - half)
    leave = np.where(parallel, np.inf if inside else -np.inf, middle + half)
    return enter, leave


def _slab_interval(nearest_mm: float, thickness_mm: float, slopes: np.ndarray) -> Interval:
    """Interval between two parallel planes, ``nearest_mm`` and ``nearest_mm + thickness_mm`` along their normal."""
    parallel = np.abs(slopes) < 1e-12
    safe = np.where(parallel, 1.0, slopes)
    first, second = nearest_mm / safe, (nearest_mm + thickness_mm) / safe
    inside = nearest_mm <= 0 <= nearest_mm + thickness_mm
    enter = np.where(parallel, -np.inf if inside else np.inf, np.minimum(first, second))
    leave = np.where(parallel, np.inf if inside else -np.inf, np.maximum(first, second))
    return enter, leave
