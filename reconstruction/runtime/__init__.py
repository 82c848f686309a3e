"""A trained network ready to run, whatever runs it: arrays in, logits out."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from jaxtyping import Float32

from drrkit.errors import InputError
from reconstruction.model import ModelSpec

Backend = Literal["torch", "onnx"]
BACKENDS: tuple[str, ...] = ("auto", *get_args(Backend))
_BACKEND_OF_SUFFIX: Mapping[str, Backend] = {".safetensors": "torch", ".onnx": "onnx"}

# (V, 1, H, W) windows and (V, 3, 4) pixel_from_grid, as reconstruction.views makes them -> (C, Z, Y, X) logits.
Predict = Callable[[Float32[np.ndarray, "v 1 h w"], Float32[np.ndarray, "v 3 4"]], Float32[np.ndarray, "c z y x"]]


@dataclass(frozen=True, eq=False)
class Runtime:
    """A loaded network.

    Args:
        predict: From windows and matrices of any number of views to logits; background is class 0.
        spec: What the network is.
        backend: What runs it.
        device: Where.
        precision: Of its arithmetic: ``float32`` or ``bfloat16``.
        threads: Of the processor; None for the backend's own choice.
        model_sha256: Hash of the model file.
        versions: Of the libraries that run it.
    """

    predict: Predict
    spec: ModelSpec
    backend: Backend
    device: str
    precision: str
    threads: int | None
    model_sha256: str
    versions: Mapping[str, str]


def open_runtime(
    model_path: Path,
    backend: str = "auto",
    threads: int | None = None,
    device: str = "cpu",
    precision: str = "float32",
) -> Runtime:
    """Load a model.

    Args:
        model_path: ``<name>.safetensors`` with its JSON beside it, or a ``.onnx`` of ``export_onnx``, which needs
            nothing beside it. For ``<name>.safetensors`` the backend ``onnx`` takes the ``<name>.onnx`` beside it.
        backend: ``torch``, ``onnx``, or ``auto`` for that of the file.
        threads: Of the processor; None for the backend's own choice.
        device: Of torch; ONNX Runtime runs on the processor.
        precision: ``float32`` or ``bfloat16``; ONNX Runtime has only the first.

    Raises:
        InputError: No such file, another kind of file, an unknown backend or one that cannot run the file, or a model
            that does not agree with its description.
    """
    model_path = Path(model_path)
    if backend not in BACKENDS:
        raise InputError("backend", backend, " or ".join(BACKENDS))
    if precision not in ("float32", "bfloat16"):
        raise InputError("precision", precision, "float32 or bfloat16")
    if threads is not None and threads < 1:
        raise InputError("threads", threads, "at least 1")
    if model_path.suffix not in _BACKEND_OF_SUFFIX:
        raise InputError(model_path, f"a file name that ends in {model_path.suffix!r}", " or ".join(_BACKEND_OF_SUFFIX))
    own = _BACKEND_OF_SUFFIX[model_path.suffix]
    chosen = own if backend == "auto" else backend
    if chosen == "torch":
        if own != "torch":
            raise InputError(model_path, "an ONNX model for the backend torch", "--backend onnx, or the .safetensors")
        from reconstruction.runtime.torch_runtime import open_torch

        return open_torch(model_path, threads, device, precision)
    if device != "cpu" or precision != "float32":
        raise InputError("backend onnx", f"{precision} on {device}", "float32 on cpu, or the backend torch")
    from reconstruction.runtime.onnx import open_onnx

    return open_onnx(model_path, threads)
