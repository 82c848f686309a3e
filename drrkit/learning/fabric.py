"""The door to lightning-fabric: one place decides on the device, the precision and the processes of a training."""

import json
import logging
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments import LightningEnvironment
from lightning_fabric.strategies import DDPStrategy, Strategy
from torch.multiprocessing.spawn import ProcessException

from drrkit.errors import InputError
from drrkit.learning.settings import Precision

__all__ = ["Fabric", "fastest_device", "launch", "make_fabric"]

_PRECISIONS: dict[str, Any] = {"32": "32-true", "bf16": "bf16-mixed"}
Result = TypeVar("Result")

# Fabric tells of its start on stderr; what a user sees is up to the commands.
logging.getLogger("lightning_fabric").setLevel(logging.WARNING)


def make_fabric(device: str, precision: Precision, processes: int) -> Fabric:
    """Say where and how a training runs.

    Args:
        device: ``cpu``, ``cuda`` or ``cuda:1``.
        precision: ``32``, or ``bf16`` for bfloat16 products with float32 weights.
        processes: On this machine; more than one share every step (DDP), on graphics cards one card each.

    Raises:
        InputError: A device that is not there, an unknown precision, or less than one process.
    """
    if precision not in _PRECISIONS:
        raise InputError("precision", repr(precision), " or ".join(_PRECISIONS))
    if processes < 1:
        raise InputError("processes", processes, "1 or more")
    kind, index = _device(device, processes)
    several = processes > 1
    strategy: str | Strategy = "auto"
    if several:
        strategy = DDPStrategy(start_method="spawn", process_group_backend="gloo" if kind == "cpu" else "nccl")
    return Fabric(
        accelerator=kind,
        devices=processes if several or kind == "cpu" else [index],
        strategy=strategy,
        precision=_PRECISIONS[precision],
        # Without it a cluster's scheduler would be asked how many processes there are.
        plugins=[LightningEnvironment()] if several else None,
    )


def fastest_device() -> str:
    """Return ``cuda`` where torch can use a graphics card, else ``cpu``: what the pipeline's stages run on."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def launch(fabric: Fabric, function: Callable[[Fabric], Result]) -> Result:
    """Call a function in every process; what the first returns comes back.

    With one process it is called here. With several they are spawned, so the function must be picklable.

    Raises:
        InputError: One of the processes raised it.
    """
    if fabric.world_size == 1:
        return function(fabric)
    # Fabric takes a free port and leaves it in the environment, where the next training would take it for an order.
    port = os.environ.get("MASTER_PORT")
    with tempfile.TemporaryDirectory(prefix="drrkit-") as faults:
        try:
            return fabric.launch(_Reporting(function, faults))
        except ProcessException as error:
            for fault in sorted(Path(faults).iterdir()):
                raise InputError(*json.loads(fault.read_text())) from error
            raise
        finally:
            if port is None:
                os.environ.pop("MASTER_PORT", None)


class _Reporting:
    """A function that leaves its InputError in a folder: across processes only text would arrive."""

    def __init__(self, function: Callable[[Fabric], Any], faults: str) -> None:
        self.function = function
        self.faults = faults

    def __call__(self, fabric: Fabric) -> Any:
        try:
            return self.function(fabric)
        except InputError as error:
            fault = Path(self.faults) / f"{fabric.global_rank}.json"
            fault.write_text(json.dumps([error.where, error.found, error.wanted]))
            raise


def _device(name: str, processes: int) -> tuple[str, int]:
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise InputError("device", repr(name), "cpu, cuda or cuda:1") from error
    if device.type not in ("cpu", "cuda"):
        raise InputError("device", repr(name), "cpu, cuda or cuda:1")
    index = device.index or 0
    if device.type == "cuda" and torch.cuda.device_count() < max(index + 1, processes):
        raise InputError("device", f"{name}, with {torch.cuda.device_count()} cards here", "cpu, or more cards")
    return device.type, index
