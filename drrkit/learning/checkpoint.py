"""The full state of a training on disk: a killed run goes on from it as if nothing had happened."""

import hashlib
import json
import pickle
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from drrkit.errors import InputError
from drrkit.io.store import atomic_path, write_json

STATE_NAME = "state/state.pt"
INPUTS_NAME = "state/inputs.json"
STATE_CONVENTION = "drrkit-training-state/1"


def write_state(out: Path, run: Mapping[str, Any], progress: Mapping[str, Any], tensors: Mapping[str, Any]) -> None:
    """Write the state of a training; the one before stays until the new one is whole.

    Args:
        out: Folder of the training.
        run: What the training was asked to do, as JSON values; only the same may go on.
        progress: How far it is, as JSON values.
        tensors: State dictionaries by name: raw weights, their average, the optimizer.
    """
    state = {"convention": STATE_CONVENTION, "run": dict(run), "progress": dict(progress), **tensors}
    with atomic_path(out / STATE_NAME) as temporary:
        torch.save(state, temporary)


def read_state(out: Path, run: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """Read the state of a training that was asked for the same.

    Returns:
        Progress and the state dictionaries by name; None if there is no state.

    Raises:
        InputError: The state is of another training (it names the first difference), or no state at all.
    """
    path = out / STATE_NAME
    if not path.exists():
        return None
    try:
        # Only tensors and plain values are read: a state from elsewhere can run no code.
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise InputError(path, f"no state of a training ({error})", "a state, or --force to start anew") from error
    if not isinstance(state, dict) or state.pop("convention", None) != STATE_CONVENTION:
        raise InputError(path, "another kind of file", f"a {STATE_CONVENTION}, or --force to start anew")
    for name, now, then in differences(run, state.pop("run")):
        wanted = f"{then!r}, as the training in this folder has it; or another folder, or --force to start anew"
        raise InputError(f"{out}, {name}", repr(now), wanted)
    return state.pop("progress"), state


@contextmanager
def going_on(out: Path, parameters: Mapping[str, Any], paths: Iterable[Path]) -> Iterator[None]:
    """Let the training of a pipeline's stage go on where a killed run of it stopped, if nothing changed since.

    What is in the folder stays while parameters and files are those of the run that left it; else it is removed, and
    the training starts anew. When the training is done its state is removed: a stage runs again because something
    changed, and shall find nothing to go on from.

    Args:
        out: Folder of the training.
        parameters: Of the stage, as JSON values.
        paths: Files and folders that it depends on, sources among them; a file counts as changed when its size or its
            time of change did.
    """
    inputs = {"parameters": dict(parameters), "files_sha256": _files_sha256(paths)}
    noted = out / INPUTS_NAME
    if not noted.is_file() or json.loads(noted.read_text()) != json.loads(json.dumps(inputs)):
        if out.exists():
            shutil.rmtree(out)
        write_json(noted, inputs)
    yield
    shutil.rmtree(noted.parent)


def _files_sha256(paths: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file() and "__pycache__" not in file.parts:
                known = file.stat()
                digest.update(f"{file.as_posix()} {known.st_size} {known.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def differences(one: Any, other: Any, place: str = "") -> list[tuple[str, Any, Any]]:
    """List where two nested values differ, as (name with dots, in the one, in the other)."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        found = []
        for name in [*one, *(name for name in other if name not in one)]:
            found += differences(one.get(name), other.get(name), f"{place}.{name}" if place else str(name))
        return found
    return [] if one == other else [(place, one, other)]


def forget(out: Path) -> None:
    """Remove the state, so that a training in this folder starts anew."""
    (out / STATE_NAME).unlink(missing_ok=True)
