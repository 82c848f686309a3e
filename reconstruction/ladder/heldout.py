"""No donor is judged by what it trained: asserted from the records that models carry."""

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from drrkit.errors import InputError
from reconstruction.weights import read_spec

# The record of a network that was trained further holds the one of the network that it started from.
_STARTED_FROM = "started_from"
_LISTS = ("train_donors", "validation_donors")


def check_network(path: Path, donors: Collection[str]) -> None:
    """Assert that a network, and whatever it started from, never saw any of some donors.

    Args:
        path: ``<name>.safetensors``.
        donors: That it shall be judged on.

    Raises:
        InputError: It did, as a train or a validation donor, or its record does not say whom it saw.
    """
    _check(path, read_spec(path).training, donors)


def check_translator(folder: Path, donors: Collection[str]) -> None:
    """Assert that a translator never saw any of some donors.

    Args:
        folder: With the JSON that belongs to its weights.
        donors: On whose images it shall be judged.

    Raises:
        InputError: As :func:`check_network`, or no such JSON.
    """
    weights = sorted(folder.glob("*.safetensors"))
    if len(weights) != 1:
        raise InputError(folder, f"{len(weights)} models", "the one translator (.safetensors, and its .json)")
    path = weights[0].with_suffix(".json")
    try:
        record = json.loads(path.read_text())
    except OSError as error:
        raise InputError(path, error.strerror or error, "the JSON that belongs to a translator") from error
    except ValueError as error:
        raise InputError(path, f"no JSON ({error})", "the JSON that belongs to a translator") from error
    _check(path, record.get("training") if isinstance(record, dict) else None, donors)


def donors_of(training: Any, where: object) -> set[str]:
    """Name every donor that a model saw while it was trained or chosen, and those of what it started from.

    Args:
        training: Record of its training.
        where: Named in errors.

    Raises:
        InputError: A record that does not list its donors.
    """
    known: set[str] = set()
    while training is not None:
        for name in _LISTS:
            listed = training.get(name) if isinstance(training, Mapping) else None
            if not isinstance(listed, list | tuple):
                found = f"a record without {name}"
                raise InputError(where, found, "the donors that it saw: else nobody can say who is held out")
            known.update(str(donor) for donor in listed)
        training = training.get(_STARTED_FROM)
    return known


def _check(path: Path, training: Any, donors: Collection[str]) -> None:
    if training is None:
        raise InputError(path, "no record of a training", "the donors that it saw")
    leaked = sorted(donors_of(training, path) & set(donors))
    if leaked:
        raise InputError(path, f"a model that saw the donor {leaked[0]}", "donors to judge that it never saw")
