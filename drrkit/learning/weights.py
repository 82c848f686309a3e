"""Models on disk: weights as safetensors, and beside them the JSON that says what they are."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, TypeVar

import torch
from pydantic import TypeAdapter, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from drrkit.errors import InputError
from drrkit.io.store import write_bytes, write_json

WEIGHTS_SUFFIX = ".safetensors"
# What the JSON holds beside the fields of the description.
_FRAME = {"convention", "weights_sha256"}
Spec = TypeVar("Spec")


def save_weights(path: Path, weights: Mapping[str, Tensor], convention: str, spec: Any) -> None:
    """Write ``<name>.safetensors`` and then ``<name>.json``, which holds the hash of the first.

    Each file appears whole or not at all. After a kill between the two the hash differs, and loading says so.

    Args:
        path: ``<name>.safetensors``.
        weights: Tensors by name.
        convention: Name and number of the JSON's format.
        spec: Instance of the dataclass that describes the model; its fields are fields of the JSON.

    Raises:
        InputError: A path without the suffix ``.safetensors``, or one that cannot be written.
    """
    record_path = path_of_spec(path)
    content = weights_content(weights)
    write_bytes(path, content)
    digest = hashlib.sha256(content).hexdigest()
    write_json(record_path, {"convention": convention, "weights_sha256": digest, **asdict(spec)})


def load_weights(path: Path, convention: str, kind: type[Spec]) -> tuple[dict[str, Tensor], Spec]:
    """Read what :func:`save_weights` wrote; no network is needed for it.

    Args:
        path: ``<name>.safetensors``.
        convention: The JSON must be of it.
        kind: Dataclass that describes the model.

    Returns:
        Tensors by name, on the CPU, and the description.

    Raises:
        InputError: A file is missing, of another convention or changed since, or a field is missing or wrong.
    """
    path = Path(path)
    record = _record(path, convention)
    spec = _spec(record, path, kind)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(path, error.strerror or error, f"weights ({WEIGHTS_SUFFIX})") from error
    if hashlib.sha256(content).hexdigest() != record["weights_sha256"]:
        raise InputError(path, "weights with another hash than its JSON says", "the two files of one training")
    try:
        return load(content), spec
    except SafetensorError as error:
        raise InputError(path, f"no safetensors ({error})", f"weights ({WEIGHTS_SUFFIX})") from error


def read_spec(path: Path, convention: str, kind: type[Spec]) -> Spec:
    """Read what a model is; its weights are not opened. Arguments as of :func:`load_weights`.

    Raises:
        InputError: No JSON beside it, another convention, a field missing or wrong.
    """
    path = Path(path)
    return _spec(_record(path, convention), path, kind)


def weights_content(weights: Mapping[str, Tensor]) -> bytes:
    """Return weights as the content of a safetensors file, whatever their device, memory format and sharing."""
    copies = {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format) for name, tensor in weights.items()
    }
    return save(copies)


def check_state(state: Mapping[str, Tensor], network: nn.Module | Mapping[str, Tensor], where: object) -> None:
    """Assert that weights fit a network, or have the names and shapes of other weights.

    Raises:
        InputError: They do not; it names the first tensor at fault.
    """
    wanted = network.state_dict() if isinstance(network, nn.Module) else network
    for name in [*wanted, *(name for name in state if name not in wanted)]:
        found = tuple(state[name].shape) if name in state else "nothing"
        want = tuple(wanted[name].shape) if name in wanted else "nothing"
        if found != want:
            raise InputError(where, f"a model of another kind or size: {name} is {found}", f"{name} of {want}")


def path_of_spec(path: Path) -> Path:
    """Return the JSON that belongs to weights.

    Raises:
        InputError: A path without the suffix ``.safetensors``.
    """
    if path.suffix != WEIGHTS_SUFFIX:
        raise InputError(path, f"a file name that ends in {path.suffix!r}", f"<name>{WEIGHTS_SUFFIX}")
    return path.with_suffix(".json")


def _record(path: Path, wanted: str) -> dict[str, Any]:
    spec_path = path_of_spec(path)
    if not path.exists():
        raise InputError(path, "no such file", f"a trained model: <name>{WEIGHTS_SUFFIX} and <name>.json beside it")
    try:
        record = json.loads(spec_path.read_text())
    except OSError as error:
        raise InputError(spec_path, error.strerror or error, f"the JSON that belongs to {path.name}") from error
    except ValueError as error:
        raise InputError(spec_path, f"no JSON ({error})", f"the JSON that belongs to {path.name}") from error
    convention = record.get("convention") if isinstance(record, dict) else None
    if convention != wanted:
        raise InputError(spec_path, f"convention {convention!r}", f'"convention": "{wanted}"')
    return record


def _spec(record: dict[str, Any], path: Path, kind: type[Spec]) -> Spec:
    spec_path = path_of_spec(path)
    names = {field.name for field in fields(kind)}  # type: ignore[arg-type]
    strange = sorted(set(record) - names - _FRAME)
    if strange:
        raise InputError(f"{spec_path}, {strange[0]}", "a field that a model does not have", ", ".join(sorted(names)))
    if not isinstance(record.get("weights_sha256"), str):
        raise InputError(f"{spec_path}, weights_sha256", record.get("weights_sha256"), "the hash of the weights")
    try:
        # Through JSON, because there a list is a tuple; Python values would have to be tuples already.
        return TypeAdapter(kind).validate_json(json.dumps({name: record[name] for name in names if name in record}))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise InputError(f"{spec_path}, {place}", repr(first["input"]), first["msg"]) from error
