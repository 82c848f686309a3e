"""What finds origins: the network of heat maps, the shape of spines, and the settings; on disk as two files."""

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load, save

from drrkit.errors import InputError
from drrkit.io.store import write_bytes, write_json
from drrkit.learning.weights import WEIGHTS_SUFFIX, check_state
from drrkit.volume import LUMBAR_LEVELS
from reconstruction.origin.heatmaps import LevelHeatmaps
from reconstruction.origin.settings import NetworkSettings, OriginSettings
from reconstruction.origin.shape import POINTS, SpineShape

ORIGIN_CONVENTION = "drrkit-origin/1"


@dataclass(frozen=True, eq=False)
class OriginModel:
    """A trained origin estimator.

    Args:
        network: Heat maps of L1 to L5, in eval mode.
        shape: Of lumbar spines.
        settings: Those it was trained with.
        training: What it was trained on and how: free record.
    """

    network: LevelHeatmaps
    shape: SpineShape
    settings: OriginSettings
    training: dict[str, Any] = field(default_factory=dict)


def make_network(settings: NetworkSettings) -> LevelHeatmaps:
    """Make the network with fresh weights."""
    return LevelHeatmaps(len(LUMBAR_LEVELS), settings.stride, settings.widths)


def save_origin(path: Path, model: OriginModel) -> None:
    """Write ``<name>.safetensors`` and then ``<name>.json``, which holds the hash of the first.

    Raises:
        InputError: A path without the suffix ``.safetensors``, or one that cannot be written.
    """
    record_path = _record_path(path)
    content = save({name: tensor.contiguous() for name, tensor in model.network.state_dict().items()})
    write_bytes(path, content)
    record = {
        "convention": ORIGIN_CONVENTION,
        "weights_sha256": hashlib.sha256(content).hexdigest(),
        "settings": model.settings.model_dump(mode="json"),
        "shape": {name: getattr(model.shape, name).tolist() for name in ("mean_mm", "covariance_mm2")},
        "training": model.training,
    }
    write_json(record_path, record)


def load_origin(path: Path) -> OriginModel:
    """Read an origin model, ready to use.

    Raises:
        InputError: A file is missing, of another convention or changed since, or the weights are of another network.
    """
    record_path = _record_path(path)
    try:
        record, content = json.loads(record_path.read_text()), path.read_bytes()
    except OSError as error:
        raise InputError(error.filename, error.strerror or error, f"<name>{WEIGHTS_SUFFIX} and <name>.json") from error
    except ValueError as error:
        raise InputError(record_path, f"no JSON ({error})", f"a {ORIGIN_CONVENTION} file") from error
    convention = record.get("convention") if isinstance(record, dict) else None
    if convention != ORIGIN_CONVENTION:
        raise InputError(record_path, f"convention {convention!r}", f'"convention": "{ORIGIN_CONVENTION}"')
    try:
        settings = OriginSettings.model_validate_json(json.dumps(record["settings"]))
        shape = SpineShape(
            np.asarray(record["shape"]["mean_mm"], np.float64).reshape(POINTS, 3),
            np.asarray(record["shape"]["covariance_mm2"], np.float64).reshape(3 * POINTS, 3 * POINTS),
        )
        digest, training = record["weights_sha256"], record["training"]
    except (KeyError, TypeError, ValueError, ValidationError) as error:
        raise InputError(record_path, f"a field missing or wrong ({error})", f"all of {ORIGIN_CONVENTION}") from error
    if hashlib.sha256(content).hexdigest() != digest:
        raise InputError(path, "weights with another hash than its JSON says", "the two files of one training")
    try:
        state = load(content)
    except SafetensorError as error:
        raise InputError(path, f"no safetensors ({error})", f"weights ({WEIGHTS_SUFFIX})") from error
    network = make_network(settings.network)
    check_state(state, network, path)
    network.load_state_dict(state)
    return OriginModel(network.eval(), shape, settings, training)


def _record_path(path: Path) -> Path:
    if path.suffix != WEIGHTS_SUFFIX:
        raise InputError(path, f"a file name that ends in {path.suffix!r}", f"<name>{WEIGHTS_SUFFIX}")
    return path.with_suffix(".json")
