"""Where a C-arm can go: ranges of both angles without forbidden sectors, or a list of poses from a file."""

import csv
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from drrkit.errors import InputError
from drrkit.geometry.viewsets import View, view_set

LIMITS_DEG = {"primary": 180.0, "secondary": 90.0}
# A finer grid over the largest range would be a search without end.
MOST_POSES = 5000


@dataclass(frozen=True, order=True)
class Pose:
    """A position of the C-arm by DICOM positioner angles, as in :mod:`drrkit.geometry.carm`; valid when it exists.

    Args:
        primary_deg: -180 to 180; positive is LAO.
        secondary_deg: -90 to 90; positive is cranial.

    Raises:
        InputError: An angle out of range.
    """

    primary_deg: float
    secondary_deg: float

    def __post_init__(self) -> None:
        for name in ("primary_deg", "secondary_deg"):
            value = float(getattr(self, name))
            limit_deg = LIMITS_DEG[name.removesuffix("_deg")]
            if not abs(value) <= limit_deg:
                raise InputError(f"pose, {name}", value, f"-{limit_deg:g} to {limit_deg:g} degrees")
            object.__setattr__(self, name, value + 0.0)  # no -0

    @property
    def clinical_name(self) -> str:
        """As C-arms display it, for example ``LAO 30, CRA 15``."""
        return View("pose", "misc", round(self.primary_deg, 1), round(self.secondary_deg, 1)).clinical_name


@dataclass(frozen=True)
class Sector:
    """A forbidden box of angles, its borders included: where table, patient or staff are in the way.

    Args:
        primary_deg: Lowest and highest primary angle.
        secondary_deg: Lowest and highest secondary angle.
    """

    primary_deg: tuple[float, float]
    secondary_deg: tuple[float, float]

    def __post_init__(self) -> None:
        _checked_range("forbidden sector, primary", self.primary_deg, LIMITS_DEG["primary"])
        _checked_range("forbidden sector, secondary", self.secondary_deg, LIMITS_DEG["secondary"])

    def __contains__(self, pose: Pose) -> bool:
        low, high = self.primary_deg
        down, up = self.secondary_deg
        return low <= pose.primary_deg <= high and down <= pose.secondary_deg <= up


def reachable_poses(
    primary_range_deg: tuple[float, float],
    secondary_range_deg: tuple[float, float],
    step_deg: float,
    forbidden: Sequence[Sector] = (),
) -> tuple[Pose, ...]:
    """List the poses of a grid within two ranges.

    The grid counts from 0, so AP and the laterals are on it wherever they are in range and the step allows.

    Args:
        primary_range_deg: Lowest and highest primary angle.
        secondary_range_deg: Lowest and highest secondary angle.
        step_deg: Of the grid.
        forbidden: Sectors to leave out.

    Raises:
        InputError: A range that is none, a step that is not positive, no pose or too many.
    """
    if not 0 < step_deg < np.inf:
        raise InputError("step", f"{step_deg:g} degrees", "more than 0")
    primary = _steps("primary range", primary_range_deg, LIMITS_DEG["primary"], step_deg)
    secondary = _steps("secondary range", secondary_range_deg, LIMITS_DEG["secondary"], step_deg)
    if primary.size * secondary.size > MOST_POSES:
        raise InputError("reach", f"{primary.size * secondary.size} poses", f"{MOST_POSES} at most: a larger step")
    return allowed((Pose(p, s) for p in primary for s in secondary), forbidden)


def allowed(poses: Iterable[Pose], forbidden: Sequence[Sector] = ()) -> tuple[Pose, ...]:
    """Return different poses outside all forbidden sectors, in their order.

    Raises:
        InputError: None is left, or they are too many.
    """
    kept = tuple(pose for pose in dict.fromkeys(poses) if not any(pose in sector for sector in forbidden))
    if not kept:
        raise InputError("reach", "no pose", "at least one pose within the ranges and outside the forbidden sectors")
    if len(kept) > MOST_POSES:
        raise InputError("reach", f"{len(kept)} poses", f"{MOST_POSES} at most")
    return kept


def read_poses(path: Path) -> tuple[Pose, ...]:
    """Read poses: CSV with columns ``primary_deg`` and ``secondary_deg``, or JSON with a list of such records.

    JSON may also hold pairs ``[primary, secondary]``; further columns and fields are ignored.

    Raises:
        InputError: No such file, another suffix, no pose, or an angle that is none.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(path, error, "a CSV or JSON file of poses") from error
    if path.suffix.lower() == ".json":
        records = _json_records(path, text)
    elif path.suffix.lower() == ".csv":
        records = list(csv.DictReader(io.StringIO(text)))
    else:
        raise InputError(path, f"the suffix {path.suffix!r}", ".csv or .json")
    return tuple(_pose(record, f"{path}, pose {number}") for number, record in enumerate(records, start=1))


def parse_sector(text: str) -> Sector:
    """Read a forbidden sector as it is typed: ``60:80,-25:0``, primary then secondary angles in degrees.

    Raises:
        InputError: Another form, or angles out of range.
    """
    try:
        primary, secondary = (tuple(float(value) for value in part.split(":")) for part in text.split(","))
        (low, high), (down, up) = primary, secondary
    except ValueError as error:
        raise InputError("forbidden sector", text, "LOW:HIGH,LOW:HIGH in degrees, as 60:80,-25:0") from error
    return Sector((low, high), (down, up))


def pose_record(pose: Pose) -> dict[str, Any]:
    """Return a pose as a record of a view set, which ``drrkit render --views`` reads."""
    name = pose.clinical_name.lower().replace(", ", "-").replace(" ", "-")
    return {"id": name, "group": "misc", "primary_deg": pose.primary_deg, "secondary_deg": pose.secondary_deg}


def directions_world(poses: Sequence[Pose]) -> Float[np.ndarray, "n 3"]:
    """Return where each pose looks, from source to detector (:mod:`drrkit.geometry.carm` has the formula)."""
    primary, secondary = np.radians([(pose.primary_deg, pose.secondary_deg) for pose in poses]).reshape(-1, 2).T
    across = np.cos(secondary)
    return np.stack([np.sin(primary) * across, -np.cos(primary) * across, np.sin(secondary)], axis=-1)


def pose_of(direction_world: Float[np.ndarray, " 3"]) -> Pose:
    """Return the pose that looks along a unit vector; the inverse of :func:`directions_world`."""
    x, y, z = direction_world
    secondary_deg = float(np.degrees(np.arcsin(np.clip(z, -1, 1))))
    return Pose(float(np.degrees(np.arctan2(x, -y))), secondary_deg)


def standard_poses(set_name: str) -> dict[str, Pose]:
    """Return the poses of a view set by id."""
    return {view.id: Pose(view.primary_deg, view.secondary_deg) for view in view_set(set_name).views}


def line_angles_deg(
    first_world: Float[np.ndarray, "n 3"], second_world: Float[np.ndarray, "m 3"]
) -> Float[np.ndarray, "n m"]:
    """Return the angles between lines of sight, 0 to 90 degrees: opposite directions are one line."""
    cosine = np.abs(np.asarray(first_world) @ np.asarray(second_world).T)
    return np.degrees(np.arccos(np.clip(cosine, 0, 1)))


def far_enough(poses: Sequence[Pose], least_deg: float) -> Bool[np.ndarray, "n n"]:
    """Say which pairs of poses have lines of sight at least so far apart; none is far enough from itself."""
    directions = directions_world(poses)
    apart = line_angles_deg(directions, directions) >= least_deg - 1e-6
    np.fill_diagonal(apart, False)
    return apart


def _steps(where: str, range_deg: tuple[float, float], limit_deg: float, step_deg: float) -> Float[np.ndarray, " n"]:
    low, high = _checked_range(where, range_deg, limit_deg)
    slack = 1e-9
    first, last = int(np.ceil(low / step_deg - slack)), int(np.floor(high / step_deg + slack))
    # A range too narrow for the grid is its middle: a C-arm that does not tilt at all is no mistake.
    return np.arange(first, last + 1) * step_deg if first <= last else np.array([(low + high) / 2])


def _checked_range(where: str, range_deg: tuple[float, float], limit_deg: float) -> tuple[float, float]:
    low, high = (float(value) for value in range_deg)
    if not -limit_deg <= low <= high <= limit_deg:
        raise InputError(where, f"{low:g} to {high:g}", f"low to high within -{limit_deg:g} to {limit_deg:g} degrees")
    return low, high


def _json_records(path: Path, text: str) -> list[Any]:
    try:
        content = json.loads(text)
    except ValueError as error:
        raise InputError(path, f"no JSON ({error})", "a list of poses") from error
    if isinstance(content, dict):
        content = content.get("poses")
    if not isinstance(content, list):
        raise InputError(path, "no list", 'a list of poses, or {"poses": [...]}')
    return content


def _pose(record: Any, where: str) -> Pose:
    wanted = "primary_deg and secondary_deg in degrees"
    try:
        if isinstance(record, dict):
            values = record["primary_deg"], record["secondary_deg"]
        else:
            first, second = record
            values = first, second
        primary_deg, secondary_deg = (float(value) for value in values)
    except KeyError as error:
        raise InputError(where, f"no {error.args[0]}", wanted) from error
    except (TypeError, ValueError) as error:
        raise InputError(where, repr(record), wanted) from error
    try:
        return Pose(primary_deg, secondary_deg)
    except InputError as error:
        raise InputError(f"{where}, {error.where}", error.found, error.wanted) from error
