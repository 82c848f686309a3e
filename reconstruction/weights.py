"""Networks on disk: weights as safetensors, and beside them the JSON that says what they are."""

import inspect
from pathlib import Path

import torch
from torch import nn

from drrkit.errors import InputError
from drrkit.learning import weights
from drrkit.learning.weights import check_state, load_weights, path_of_spec, save_weights
from reconstruction import networks
from reconstruction.model import MODEL_CONVENTION, ModelSpec


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
    save_weights(path, network.state_dict(), MODEL_CONVENTION, spec)


def load_model(path: Path, device: torch.device | str = "cpu") -> tuple[nn.Module, ModelSpec]:
    """Read a model, ready to predict.

    Returns:
        The network in eval mode on ``device``, and its description.

    Raises:
        InputError: A file is missing, of another convention or changed since, or the weights are of another network.
    """
    path = Path(path)
    state, spec = load_weights(path, MODEL_CONVENTION, ModelSpec)
    network = build_network(spec, path_of_spec(path))
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
    return weights.read_spec(path, MODEL_CONVENTION, ModelSpec)
