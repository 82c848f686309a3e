"""View sets: named lists of C-arm angles that place cameras about an isocenter.

`x23d-20`, `adapt-28` and `orbit` follow two papers in their groups and counts. The papers' angles are not known here:
those below are this project's choice, listed in docs/view-sets.md. In names, left and right say on which side of the
patient the detector is (left: a positive primary angle, LAO), cranial and caudal to which end it is tilted.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

import numpy as np

from drrkit.errors import InputError
from drrkit.geometry.camera import Camera
from drrkit.geometry.carm import CArm
from drrkit.geometry.rigid import ArrayLike

ViewGroup = Literal["ap", "lateral", "oblique", "misc"]

_SAFE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_NUMBERS = ("primary_deg", "secondary_deg", "roll_deg")


@dataclass(frozen=True)
class View:
    """One position of the C-arm; valid when it exists.

    Args:
        id: Name that is safe in file names, for example ``lat-left``.
        group: ``ap``, ``lateral``, ``oblique``, or ``misc`` (tilted in two planes, or anything else).
        primary_deg: DICOM positioner primary angle (0018,1510), -180 to 180.
        secondary_deg: DICOM positioner secondary angle (0018,1511), -90 to 90.
        roll_deg: Turns the image clockwise as seen on a screen.
        isocenter_offset_mm: (3,) shift of the isocenter for this view alone, in world axes (LPS).

    Raises:
        InputError: An id that is no file name, an unknown group, or an angle out of range.
    """

    id: str
    group: ViewGroup
    primary_deg: float
    secondary_deg: float
    roll_deg: float = 0.0
    isocenter_offset_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def __post_init__(self) -> None:
        if not isinstance(self.id, str) or not _SAFE_ID.fullmatch(self.id):
            raise InputError("view id", repr(self.id), "letters, digits, and - _ . between them")
        if self.group not in get_args(ViewGroup):
            raise InputError(f"view {self.id}, group", repr(self.group), " or ".join(get_args(ViewGroup)))
        try:
            for name in _NUMBERS:
                object.__setattr__(self, name, float(getattr(self, name)))
            x_mm, y_mm, z_mm = (float(offset) for offset in self.isocenter_offset_mm)
        except (TypeError, ValueError) as error:
            raise InputError(f"view {self.id}", f"no number ({error})", "angles in degrees, three offsets") from error
        object.__setattr__(self, "isocenter_offset_mm", (x_mm, y_mm, z_mm))
        if not np.isfinite([self.roll_deg, x_mm, y_mm, z_mm]).all():
            raise InputError(f"view {self.id}", "a roll or offset that is NaN or infinite", "finite numbers")
        for name, limit_deg in (("primary_deg", 180.0), ("secondary_deg", 90.0)):
            if not abs(getattr(self, name)) <= limit_deg:
                raise InputError(f"view {self.id}, {name}", getattr(self, name), f"-{limit_deg:g} to {limit_deg:g}")

    @property
    def clinical_name(self) -> str:
        """The angles as C-arms display them, for example ``LAO 30, CRA 15``."""
        primary = f"{'LAO' if self.primary_deg > 0 else 'RAO'} {abs(self.primary_deg):g}" if self.primary_deg else ""
        tilt = f"{'CRA' if self.secondary_deg > 0 else 'CAU'} {abs(self.secondary_deg):g}" if self.secondary_deg else ""
        return ", ".join(part for part in (primary, tilt) if part) or "AP"


@dataclass(frozen=True)
class ViewSet:
    """Named views with unique ids; valid when it exists.

    Args:
        name: Name of the set.
        views: The views, in order.
        source: Where the angles come from.

    Raises:
        InputError: No view, or an id twice (also if only the case of letters differs).
    """

    name: str
    views: tuple[View, ...]
    source: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "views", tuple(self.views))
        if not self.views:
            raise InputError(f"view set {self.name}", "no view", "at least one view")
        seen: set[str] = set()
        for view in self.views:
            # Some file systems take ap.tif and AP.tif for one file.
            if view.id.lower() in seen:
                raise InputError(f"view set {self.name}", f"the id {view.id} twice", "a name of its own for every view")
            seen.add(view.id.lower())

    def cameras(self, carm: CArm, isocenter_world: ArrayLike = (0.0, 0.0, 0.0)) -> dict[str, Camera]:
        """Place the C-arm at every view.

        Args:
            carm: The machine.
            isocenter_world: (3,) center of rotation in world millimeters; each view's own offset is added.

        Returns:
            Cameras by view id, in the order of the views.
        """
        isocenter = np.asarray(isocenter_world, dtype=np.float64)
        return {
            view.id: carm.camera(
                view.primary_deg, view.secondary_deg, view.roll_deg, isocenter + view.isocenter_offset_mm
            )
            for view in self.views
        }

    def jittered(
        self, seed: int, angle_deg: float = 5.0, roll_deg: float = 3.0, isocenter_mm: float = 10.0
    ) -> "ViewSet":
        """Shake every view, each number uniformly within plus or minus the given one.

        A view's shake depends on the seed and its id alone, so views added to a set leave the others where they are.
        The numbers are digits of a hash, hence the same on every machine and with every library version. The defaults
        are what manual positioning of a mobile C-arm is off by, in order of magnitude.

        Args:
            seed: Any integer.
            angle_deg: Largest change of the primary and of the secondary angle.
            roll_deg: Largest change of the roll.
            isocenter_mm: Largest shift of the isocenter along each world axis.

        Raises:
            InputError: A negative or infinite amplitude.
        """
        amplitudes = np.array([angle_deg, angle_deg, roll_deg, isocenter_mm, isocenter_mm, isocenter_mm], dtype=float)
        if not (np.isfinite(amplitudes).all() and (amplitudes >= 0).all()):
            raise InputError("jitter", (angle_deg, roll_deg, isocenter_mm), "finite amplitudes, zero or more")
        views = tuple(_shaken(view, seed, amplitudes) for view in self.views)
        return replace(self, views=views, source=f"{self.source} Jittered with seed {seed}.".strip())

    def to_records(self) -> list[dict[str, Any]]:
        """Return the views as plain records for JSON or YAML."""
        return [asdict(view) | {"isocenter_offset_mm": list(view.isocenter_offset_mm)} for view in self.views]

    @classmethod
    def from_records(cls, records: Any, name: str, source: str = "", where: str = "views") -> "ViewSet":
        """Build a view set from a list of records, as read from JSON or YAML.

        Args:
            records: List of mappings with ``id``, ``primary_deg`` and ``secondary_deg``; ``group`` (default ``misc``),
                ``roll_deg`` and ``isocenter_offset_mm`` may be left out.
            name: Name of the set.
            source: Where the angles come from.
            where: Named in errors, for example the file.

        Raises:
            InputError: No list, a missing or unknown field, or a view that cannot be.
        """
        if isinstance(records, str | Mapping) or not isinstance(records, Sequence):
            raise InputError(where, type(records).__name__, "a list of views")
        return cls(name, tuple(_view(record, f"{where}, view {n}") for n, record in enumerate(records, 1)), source)


def view_set(name: str) -> ViewSet:
    """Look up a view set by name.

    Raises:
        InputError: No set of that name; the message lists them.
    """
    if name not in VIEW_SETS:
        raise InputError("view set", name, " or ".join(VIEW_SETS))
    return VIEW_SETS[name]


def markdown_table(views: ViewSet) -> str:
    """Write a view set as the Markdown table of docs/view-sets.md."""
    rows = ["| view | group | primary (deg) | secondary (deg) | C-arm shows |", "|---|---|---|---|---|"]
    rows += [
        f"| `{view.id}` | {view.group} | {view.primary_deg:g} | {view.secondary_deg:g} | {view.clinical_name} |"
        for view in views.views
    ]
    return "\n".join(rows)


def _view(record: Any, where: str) -> View:
    if not isinstance(record, Mapping):
        raise InputError(where, repr(record), "a record with id, primary_deg and secondary_deg")
    missing = [name for name in ("id", "primary_deg", "secondary_deg") if name not in record]
    unknown = [str(name) for name in record if name not in View.__dataclass_fields__]
    if missing or unknown:
        found = f"no {', '.join(missing)}" if missing else f"the unknown field {', '.join(unknown)}"
        raise InputError(where, found, f"the fields {', '.join(View.__dataclass_fields__)}")
    try:
        return View(**{"group": "misc", **record})
    except InputError as error:
        raise InputError(f"{where}, {error.where}", error.found, error.wanted) from error


def _shaken(view: View, seed: int, amplitudes: np.ndarray) -> View:
    digest = hashlib.sha512(f"{int(seed)}/{view.id}".encode()).digest()
    primary, secondary, roll, *offset = amplitudes * (np.frombuffer(digest, "<u8")[:6] / 2.0**63 - 1.0)
    x_mm, y_mm, z_mm = np.add(view.isocenter_offset_mm, offset)
    return replace(
        view,
        primary_deg=(view.primary_deg + primary + 180.0) % 360.0 - 180.0,
        secondary_deg=float(np.clip(view.secondary_deg + secondary, -90.0, 90.0)),
        roll_deg=view.roll_deg + roll,
        isocenter_offset_mm=(float(x_mm), float(y_mm), float(z_mm)),
    )


# ---- the sets ----------------------------------------------------------------------------------------------------
# Names follow from angles. A group's standard view carries no number: ap-00, lat-left, obl-left (45 degrees).


def _side(primary_deg: float) -> str:
    return "left" if primary_deg > 0 else "right"


def _tilt(secondary_deg: float) -> str:
    return f"{'cranial' if secondary_deg > 0 else 'caudal'}-{abs(secondary_deg):02g}"


def _ap(*tilts_deg: float) -> list[View]:
    return [View(f"ap-{_tilt(tilt) if tilt else '00'}", "ap", 0.0, tilt) for tilt in tilts_deg]


def _laterals(*angles: tuple[float, float]) -> list[View]:
    return [View(f"lat-{_side(p)}" + (f"-{_tilt(s)}" if s else ""), "lateral", p, s) for p, s in angles]


def _obliques(*sizes_deg: float) -> list[View]:
    pairs = [(sign * size, "" if size == 45 else f"-{size:g}") for size in sizes_deg for sign in (1, -1)]
    return [View(f"obl-{_side(primary)}{number}", "oblique", primary, 0.0) for primary, number in pairs]


def _misc(*angles: tuple[float, float]) -> list[View]:
    return [View(f"misc-{_side(p)}-{abs(p):g}-{_tilt(s)}", "misc", p, s) for p, s in angles]


def _around(primary_deg: float, secondary_deg: float) -> list[tuple[float, float]]:
    return [(sign * primary_deg, tilt * secondary_deg) for sign in (1, -1) for tilt in (1, -1)]


def _orbit() -> list[View]:
    shots = []
    for primary in range(-102, 103, 3):
        side = f"{_side(primary)}-" if primary else ""
        group: ViewGroup = "ap" if abs(primary) < 15 else "lateral" if abs(primary) > 75 else "oblique"
        shots.append(View(f"orbit-{side}{abs(primary):03d}", group, primary, 0.0))
    tilts = [sign * size for size in range(5, 31, 5) for sign in (1, -1)]
    return shots + [View(f"orbit-{_tilt(tilt)}", "ap", 0.0, tilt) for tilt in tilts]


_X23D = "Groups and counts: Jecklin et al., J. Imaging 2022, 8(10):271. Angles: this project's choice."
_ADAPTATION = "Jecklin et al., Medical Image Analysis 2024 (arXiv 2401.16027)"

VIEW_SETS: dict[str, ViewSet] = {
    made.name: made
    for made in (
        ViewSet("ap-lateral", (*_ap(0), *_laterals((90, 0))), "The two standard radiographs."),
        ViewSet(
            "x23d-20",
            (
                *_ap(0, 15, -15),
                # The two tilted laterals are not opposite each other: that would be one line of sight twice.
                *_laterals((90, 0), (-90, 0), (90, 15), (-90, 15)),
                *_obliques(30, 60),
                *_misc(*_around(15, 15), *_around(40, 20), (70, 15)),
            ),
            _X23D,
        ),
        ViewSet(
            "adapt-28",
            (
                *_ap(0, 10, -10, 20, -20),
                # A mobile C-arm beside the table swivels by little more than ten degrees.
                *_laterals((90, 0), (-90, 0), (90, 12), (90, -12), (-90, 6), (-90, -6)),
                *_obliques(15, 30, 45, 60),
                *_misc(*_around(20, 15), *_around(40, 20), (65, 10)),
            ),
            f"Four groups and their sum: {_ADAPTATION}. Sizes of the groups and angles: this project's choice.",
        ),
        ViewSet(
            "orbit",
            tuple(_orbit()),
            f"Orbit of 69 shots, 3 degrees apart: {_ADAPTATION}. Angles of the shots tilted in the sagittal plane: "
            "this project's choice.",
        ),
    )
}
