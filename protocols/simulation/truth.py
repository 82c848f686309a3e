"""What really was, in a file of its own: no stage may read it, only what measures the stages."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from drrkit.errors import InputError
from drrkit.geometry.camera import Camera
from drrkit.io.store import write_json

TRUTH_CONVENTION = "drrkit-simulation-truth/1"


@dataclass(frozen=True, eq=False)
class ExposureTruth:
    """One simulated exposure.

    Args:
        exposure_id: Its name.
        fault: What was done to it on purpose; empty for a sound one.
        camera: The true one, of the image without what distortion adds to it off its center; None where another
            specimen was exposed.
        vertebrae_px: Where the centers of the vertebrae appear in the image as it was taken, by level.
        balls_px: Where the balls appear, by ball id; empty for another specimen.
    """

    exposure_id: str
    fault: str
    camera: Camera | None
    vertebrae_px: Mapping[str, tuple[float, float]]
    balls_px: Mapping[str, tuple[float, float]]


@dataclass(frozen=True, eq=False)
class Truth:
    """A whole simulated session; positions in world millimeters, of the balls in the CT."""

    acquisition_id: str
    balls_world: Mapping[str, tuple[float, float, float]]
    vertebrae_world: Mapping[str, tuple[float, float, float]]
    exposures: tuple[ExposureTruth, ...]


def named_points(names: list[str], points: Float[np.ndarray, "n k"]) -> dict[str, Any]:
    """Return points by name as tuples of plain floats."""
    return {name: tuple(float(value) for value in point) for name, point in zip(names, points, strict=True)}


def write_truth(truth: Truth, path: Path) -> None:
    """Write the truth of a session."""
    exposures = []
    for exposure in truth.exposures:
        record = dict(vars(exposure))
        record["camera"] = exposure.camera and exposure.camera.to_record(exposure.exposure_id)
        exposures.append(record)
    content = {**vars(truth), "exposures": exposures}
    write_json(path, {"convention": TRUTH_CONVENTION, "simulated": True, **content})


def read_truth(path: Path) -> Truth:
    """Read what :func:`write_truth` wrote.

    Raises:
        InputError: No such file, or another kind of file.
    """
    wanted = f"a {TRUTH_CONVENTION} file, as drrkit acquisition simulate writes it"
    try:
        content = json.loads(path.read_text())
        if content["convention"] != TRUTH_CONVENTION:
            raise InputError(path, f"convention {content['convention']!r}", wanted)
        exposures = tuple(
            ExposureTruth(
                exposure_id=record["exposure_id"],
                fault=record["fault"],
                camera=record["camera"] and Camera.from_record(record["camera"], str(path)),
                vertebrae_px={name: tuple(point) for name, point in record["vertebrae_px"].items()},
                balls_px={name: tuple(point) for name, point in record["balls_px"].items()},
            )
            for record in content["exposures"]
        )
        places = {
            kind: {name: tuple(point) for name, point in content[kind].items()}
            for kind in ("balls_world", "vertebrae_world")
        }
        return Truth(content["acquisition_id"], places["balls_world"], places["vertebrae_world"], exposures)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(path, f"unreadable ({error})", wanted) from error
