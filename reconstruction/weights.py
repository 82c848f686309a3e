"""Networks on disk: weights as safetensors, and beside them the JSON that says what they are."""

import hashlib
import inspect
import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from drrkit.errors import InputError
from drrkit.io.store import write_bytes, write_json
from reconstruction import networks
from reconstruction.model import MODEL_CONVENTION, ModelSpec

WEIGHTS_SUFFIX = ".safetensors"
_SPEC = TypeAdapter(ModelSpec)


def build_network(spec: ModelSpec, where: object = "model") -> nn.Module:
    """Make the network of a description, with fresh weights.

    Args:
        spec: What to build; its classes and the background give the channels.
        where: Named in errors.

    Raises:
        InputError: No such network, or settings that it does not take.
    """
    constructor = networks.NETWORKS.get(spec.network)
    if constructor is None:
        raise InputError(f"{where}, network", repr(spec.network), " or ".join(sorted(networks.NETWORKS)))
    arguments = {"classes": len(spec.classes) + 1, **spec.settings}
    try:
        inspect.signature(constructor).bind(**arguments)
    except TypeError as error:
        raise InputError(f"{where}, settings of {spec.network}", error, "the settings of that network") from error
    return constructor(**arguments)


def save_model(path: Path, network: nn.Module, spec: ModelSpec) -> None:
    """Write ``<name>.safetensors`` and then ``<name>.json``, which holds the hash of the first.

    Each file appears whole or not at all. After a kill between the two the hash differs, and loading says so.

    Raises:
        InputError: A path without the suffix ``.safetensors``, or one that cannot be written.
    """
    spec_path = _spec_path(path)
    content = weights_content(network.state_dict())
    write_bytes(path, content)
    digest = hashlib.sha256(content).hexdigest()
    write_json(spec_path, {"convention": MODEL_CONVENTION, "weights_sha256": digest, **asdict(spec)})


def weights_content(weights: Mapping[str, Tensor]) -> bytes:
    """Return weights as the content of a safetensors file, whatever their device, memory format and sharing."""
    copies = {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format) for name, tensor in weights.items()
    }
    return save(copies)


def load_model(path: Path, device: torch.device | str = "cpu") -> tuple[nn.Module, ModelSpec]:
    """Read a model, ready to predict.

    Returns:
        The network in eval mode on ``device``, and its description.

    Raises:
        InputError: A file is missing, of another convention or changed since, or the weights are of another network.
    """
    path = Path(path)
    record = _record(path)
    spec = _spec(record, path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(path, error.strerror or error, f"weights ({WEIGHTS_SUFFIX})") from error
    if hashlib.sha256(content).hexdigest() != record["weights_sha256"]:
        raise InputError(path, "weights with another hash than its JSON says", "the two files of one training")
    try:
        state = load(content)
    except SafetensorError as error:
        raise InputError(path, f"no safetensors ({error})", f"weights ({WEIGHTS_SUFFIX})") from error
    network = build_network(spec, _spec_path(path))
    check_state(state, network, path)
    network.load_state_dict(state)
    return network.eval().to(device), spec


def read_spec(path: Path) -> ModelSpec:
    """Read what a model is; its weights are not opened.

    Args:
        path: ``<name>.safetensors``.

    Raises:
        InputError: No JSON beside it, another convention, a field missing or wrong.
    """
    path = Path(path)
    return _spec(_record(path), path)


def check_state(state: Mapping[str, Tensor], network: nn.Module, where: object) -> None:
    """Assert that weights fit a network.

    Raises:
        InputError: They do not; it names the first tensor at fault.
    """
    wanted = network.state_dict()
    for name in [*wanted, *(name for name in state if name not in wanted)]:
        found = tuple(state[name].shape) if name in state else "nothing"
        want = tuple(wanted[name].shape) if name in wanted else "nothing"
        if found != want:
            raise InputError(where, f"a model of another kind or size: {name} is {found}", f"{name} of {want}")


def _spec_path(path: Path) -> Path:
    if path.suffix != WEIGHTS_SUFFIX:
        raise InputError(path, f"a file name that ends in {path.suffix!r}", f"<name>{WEIGHTS_SUFFIX}")
    return path.with_suffix(".json")


def _record(path: Path) -> dict[str, Any]:
    spec_path = _spec_path(path)
    if not path.exists():
        raise InputError(path, "no such file", f"a trained model: <name>{WEIGHTS_SUFFIX} and <name>.json beside it")
    try:
        record = json.loads(spec_path.read_text())
    except OSError as error:
        raise InputError(spec_path, error.strerror or error, f"the JSON that belongs to {path.name}") from error
    except ValueError as error:
        raise InputError(spec_path, f"no JSON ({error})", f"the JSON that belongs to {path.name}") from error
    convention = record.get("convention") if isinstance(record, dict) else None
    if convention != MODEL_CONVENTION:
        raise InputError(spec_path, f"convention {convention!r}", f'"convention": "{MODEL_CONVENTION}"')
    return record


def _spec(record: dict[str, Any], path: Path) -> ModelSpec:
    spec_path = _spec_path(path)
    names = {field.name for field in fields(ModelSpec)}
    strange = sorted(set(record) - names - {"convention", "weights_sha256"})
    if strange:
        raise InputError(f"{spec_path}, {strange[0]}", "a field that a model does not have", ", ".join(sorted(names)))
    if not isinstance(record.get("weights_sha256"), str):
        raise InputError(f"{spec_path}, weights_sha256", record.get("weights_sha256"), "the hash of the weights")
    try:
        # Through JSON, because there a list is a tuple; Python values would have to be tuples already.
        return _SPEC.validate_json(json.dumps({name: record[name] for name in names if name in record}))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise InputError(f"{spec_path}, {place}", repr(first["input"]), first["msg"]) from error
