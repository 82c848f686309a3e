"""The network as it was trained, run by torch."""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float32

from drrkit.errors import InputError
from drrkit.io.store import content_sha256
from reconstruction.runtime import Runtime
from reconstruction.weights import load_model


def open_torch(model_path: Path, threads: int | None, device: str, precision: str) -> Runtime:
    """Load ``<name>.safetensors`` and its JSON.

    The number of threads holds for the whole process: torch has no other.

    Raises:
        InputError: As :func:`reconstruction.weights.load_model`, or a device that is not there.
    """
    if device != "cpu" and not torch.cuda.is_available():
        raise InputError("device", f"{device}, without a GPU that torch can use", "cpu")
    if threads is not None:
        torch.set_num_threads(threads)
    network, spec = load_model(model_path, device)

    def predict(
        images: Float32[np.ndarray, "v 1 h w"], pixel_from_grid: Float32[np.ndarray, "v 3 4"]
    ) -> Float32[np.ndarray, "c z y x"]:
        views, matrices = (torch.from_numpy(array)[None].to(device) for array in (images, pixel_from_grid))
        kind = torch.device(device).type
        with torch.inference_mode(), torch.autocast(kind, torch.bfloat16, enabled=precision == "bfloat16"):
            logits = network(views, matrices, spec.grid_shape)
        return logits[0].float().cpu().numpy()

    versions = {"torch": str(torch.__version__)}
    return Runtime(predict, spec, "torch", device, precision, threads, content_sha256(model_path), versions)
