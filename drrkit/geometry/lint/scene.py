"""Rules for cameras in their scene: the CT they look at, and the DICOM angles they were taken at."""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from drrkit.geometry import rigid
from drrkit.geometry.camera import Camera
from drrkit.geometry.carm import angles_from_camera, rotation_from_angles
from drrkit.geometry.lint.finding import Finding

# Denser than this is patient or table; air and lung are below.
BODY_HU = -500
# The body's box is searched on about this many voxels.
SEARCH_VOXELS = 2_000_000
ANGLE_LIMIT_DEG = 10.0
# Central rays that spread less than this, in degrees, do not fix where they meet.
SPREAD_LIMIT_DEG = 5.0

LPS_FROM_RAS = np.diag([-1.0, -1.0, 1.0])

_error = partial(Finding, "error")


@runtime_checkable
class CtLike(Protocol):
    """What the rules need of a CT; ``drrkit.Volume`` has it."""

    @property
    def hu(self) -> np.ndarray:
        """(Z, Y, X) Hounsfield units."""

    @property
    def world_from_voxel(self) -> np.ndarray:
        """(4, 4) affine from voxel (x, y, z) to world."""


class _Box:
    """A box along the voxel axes of a CT."""

    def __init__(self, world_from_voxel: np.ndarray, low: np.ndarray, high: np.ndarray) -> None:
        self.world_from_voxel, self.low, self.high = world_from_voxel, low, high
        self.voxel_from_world = np.linalg.inv(world_from_voxel)

    def distance_mm(self, point_world: np.ndarray) -> float:
        """Return how far a point is outside; 0 inside."""
        voxel = rigid.apply(self.voxel_from_world, point_world)
        nearest = np.clip(voxel, self.low, self.high)
        return float(np.linalg.norm(self.world_from_voxel[:3, :3] @ (voxel - nearest)))

    def grid_world(self, count: int = 9) -> Float[np.ndarray, "n 3"]:
        """Return points spread through the box."""
        steps = np.linspace(0, 1, count)
        fractions = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(-1, 3)
        return rigid.apply(self.world_from_voxel, self.low + fractions * (self.high - self.low))

    @property
    def center_world(self) -> np.ndarray:
        """Its middle."""
        return rigid.apply(self.world_from_voxel, (self.low + self.high) / 2)


def lint_scene(cameras: Mapping[str, Camera], volume: CtLike) -> list[Finding]:
    """Check valid cameras against the CT that they look at.

    Args:
        cameras: By id.
        volume: The CT, in the same world.
    """
    whole, body = _whole_box(volume), _body_box(volume)
    findings = [finding for name, camera in cameras.items() for finding in _lint_view(camera, body, f"camera {name}")]
    return findings + list(_isocenter(cameras, whole))


def lint_angles(cameras: Mapping[str, Camera], angles: Mapping[str, tuple[float, float]]) -> list[Finding]:
    """Check valid cameras against DICOM positioner angles.

    Args:
        cameras: By id.
        angles: (primary, secondary) in degrees by id.
    """
    findings = list(_unmatched(cameras, angles))
    off = {
        name: angle_deg
        for name in cameras
        if name in angles and (angle_deg := _off_deg(cameras[name], *angles[name])) > ANGLE_LIMIT_DEG
    }
    if not off:
        return findings
    stories = _explanations({name: cameras[name] for name in off}, angles)
    fix = "; or ".join(stories.values()) or (
        "check that camera and DICOM file are of one exposure; mobile C-arms are off by degrees, not by this"
    )
    for name, angle_deg in off.items():
        primary_deg, secondary_deg, _ = angles_from_camera(cameras[name])
        stated_primary_deg, stated_secondary_deg = angles[name]
        findings.append(
            _error(
                f"camera {name}",
                "angles",
                f"primary {primary_deg:.1f}, secondary {secondary_deg:.1f} by the matrix: {angle_deg:.0f} degrees off",
                f"primary {stated_primary_deg:.1f}, secondary {stated_secondary_deg:.1f} as in DICOM, to "
                f"{ANGLE_LIMIT_DEG:.0f} degrees",
                fix,
            )
        )
    if list(stories) == ["ras"]:
        findings.append(_ras(f"{len(off)} cameras", "view directions that fit the DICOM angles with x and y negated"))
    return findings


def _lint_view(camera: Camera, body: _Box, where: str) -> Iterator[Finding]:
    if body.distance_mm(camera.source_world) == 0:
        yield _error(
            where,
            "source-inside-body",
            f"source at {_point(camera.source_world)}",
            "a source outside the patient",
            "check the units, and whether the matrix is camera_from_world, not its inverse",
        )
        return
    depth_mm = float(camera.depth_mm(body.center_world))
    if depth_mm < 0:
        yield _error(
            where,
            "z-toward-source",
            f"the patient {-depth_mm:.0f} mm behind the source",
            "the patient between source and detector",
            "if z points to the source: negate fx and the rows of y and z of camera_from_world; the pixels stay",
        )
    elif depth_mm > camera.source_to_detector_mm:
        yield _error(
            where,
            "behind-detector",
            f"patient {depth_mm:.0f} mm from the source, detector {camera.source_to_detector_mm:.0f} mm",
            "the patient between source and detector",
            "check pixel_spacing_mm, which sets the detector's distance",
        )
    elif not _in_image(camera, body.grid_world()).any():
        yield _error(
            where,
            "not-seen",
            "no point of the patient on the detector",
            "a view of the CT",
            "check that CT and cameras are of one session and one frame (LPS, mm)",
        )


def _isocenter(cameras: Mapping[str, Camera], whole: _Box) -> Iterator[Finding]:
    """Where all central rays (nearly) meet; for rays of one direction, whether each passes the CT."""
    if not cameras:
        return
    sources = np.array([camera.source_world for camera in cameras.values()])
    directions = np.array([camera.view_direction_world for camera in cameras.values()])
    meeting = _meeting_point(sources, directions)
    if meeting is None:
        reach_mm = [camera.source_to_detector_mm for camera in cameras.values()]
        for name, source, direction, length_mm in zip(cameras, sources, directions, reach_mm, strict=True):
            passing_mm = min(
                whole.distance_mm(source + fraction * length_mm * direction) for fraction in np.linspace(0, 1, 201)
            )
            if passing_mm > 0:
                yield _outside(f"camera {name}", f"a central ray that passes the CT at {passing_mm:.0f} mm")
        return
    outside_mm = whole.distance_mm(meeting)
    if outside_mm > 0:
        yield _outside(
            f"{len(cameras)} cameras",
            f"central rays that meet at {_point(meeting)}, {outside_mm:.0f} mm outside the CT",
        )
        in_lps = _meeting_point(sources @ LPS_FROM_RAS, directions @ LPS_FROM_RAS)
        if in_lps is not None and whole.distance_mm(in_lps) == 0:
            yield _ras(f"{len(cameras)} cameras", "central rays that meet inside the CT with x and y negated")


def _meeting_point(sources: np.ndarray, directions: np.ndarray) -> np.ndarray | None:
    """Return the point nearest to all rays, or None where they run side by side."""
    projectors = np.eye(3) - directions[:, :, None] * directions[:, None, :]
    normal = projectors.sum(axis=0)
    if np.linalg.eigvalsh(normal)[0] < len(sources) * np.sin(np.radians(SPREAD_LIMIT_DEG) / 2) ** 2:
        return None
    return np.linalg.solve(normal, (projectors @ sources[:, :, None]).sum(axis=0)[:, 0])


def _unmatched(cameras: Mapping[str, Camera], angles: Mapping[str, tuple[float, float]]) -> Iterator[Finding]:
    for found, extra in (("angles without a camera", angles.keys() - cameras), ("no angles", cameras.keys() - angles)):
        if extra:
            yield Finding(
                "warning",
                f"{len(extra)} ids",
                "angles-unmatched",
                f"{found}: {', '.join(sorted(extra)[:5])}{', ...' if len(extra) > 5 else ''}",
                "the same ids on both sides",
                "name cameras after the DICOM files (file name without suffix, _000 for the first of several frames)",
            )


def _explanations(cameras: Mapping[str, Camera], angles: Mapping[str, tuple[float, float]]) -> dict[str, str]:
    """Name the mistakes that would each explain all cameras, and how to mend them."""
    stories = {
        "sign": (
            lambda direction, primary, secondary: (direction, -primary, secondary),
            "turn the sign of the primary angle: DICOM counts LAO (detector at the patient's left) positive",
        ),
        "ras": (
            lambda direction, primary, secondary: (direction @ LPS_FROM_RAS, primary, secondary),
            "the pose is in RAS: multiply camera_from_world by diag(-1, -1, 1, 1) from the right",
        ),
        "reversed": (
            lambda direction, primary, secondary: (-direction, primary, secondary),
            "exchange source and detector: z must point from the source to the detector",
        ),
        "order": (
            lambda direction, primary, secondary: (direction, secondary, primary),
            "exchange primary and secondary angle",
        ),
    }
    return {
        name: fix
        for name, (change, fix) in stories.items()
        if all(
            _between_deg(*change(camera.view_direction_world, *angles[key])) <= ANGLE_LIMIT_DEG
            for key, camera in cameras.items()
        )
    }


def _off_deg(camera: Camera, primary_deg: float, secondary_deg: float) -> float:
    return _between_deg(camera.view_direction_world, primary_deg, secondary_deg)


def _between_deg(direction: np.ndarray, primary_deg: float, secondary_deg: float) -> float:
    stated = rotation_from_angles(primary_deg, secondary_deg)[2]
    return float(np.degrees(np.arctan2(np.linalg.norm(np.cross(direction, stated)), direction @ stated)))


def _in_image(camera: Camera, points_world: np.ndarray) -> np.ndarray:
    pixels = camera.project(points_world)
    inside = (pixels > -0.5) & (pixels < [camera.width - 0.5, camera.height - 0.5])
    return np.asarray(inside.all(axis=-1))


def _whole_box(volume: CtLike) -> _Box:
    high = np.array(volume.hu.shape[::-1], dtype=np.float64) - 0.5
    return _Box(np.asarray(volume.world_from_voxel), np.full(3, -0.5), high)


def _body_box(volume: CtLike) -> _Box:
    """Box around everything denser than air; the whole CT if there is no air, or nothing else."""
    stride = max(1, round((volume.hu.size / SEARCH_VOXELS) ** (1 / 3)))
    dense = volume.hu[::stride, ::stride, ::stride] > BODY_HU
    if not dense.any():
        return _whole_box(volume)
    z, y, x = (np.flatnonzero(dense.any(axis=other)) * stride for other in ((1, 2), (0, 2), (0, 1)))
    low = np.array([x[0], y[0], z[0]], dtype=np.float64) - stride / 2
    high = np.array([x[-1], y[-1], z[-1]], dtype=np.float64) + stride / 2
    return _Box(np.asarray(volume.world_from_voxel), low, high)


def _outside(where: str, found: str) -> Finding:
    return _error(
        where,
        "isocenter",
        found,
        "what the C-arm turned about inside the CT",
        "check that CT and cameras share one frame: a registration left out, an origin that was reset",
    )


def _ras(where: str, found: str) -> Finding:
    return _error(
        where,
        "ras",
        found,
        "LPS: +x to the patient's left, +y to the back",
        "multiply camera_from_world by diag(-1, -1, 1, 1) from the right",
    )


def _point(point: np.ndarray) -> str:
    return f"({', '.join(f'{coordinate:.0f}' for coordinate in point)}) mm"
