"""The network as ONNX: one file with graph, weights and description, run by ONNX Runtime without our networks."""

import json
import warnings
from dataclasses import asdict
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from jaxtyping import Float32
from onnxruntime.capi.onnxruntime_pybind11_state import Fail, InvalidGraph, InvalidProtobuf
from pydantic import TypeAdapter, ValidationError
from torch import Tensor, nn
from torch._dynamo.exc import UserError

from drrkit.errors import InputError
from drrkit.io.store import atomic_path, content_sha256
from reconstruction.model import MODEL_CONVENTION, ModelSpec
from reconstruction.runtime import Runtime
from reconstruction.weights import load_model

# GridSample came with opset 16. The exporter of torch speaks 18; only a newer one is converted to, an older one is not.
OPSET = 18
SPEC_KEY, WEIGHTS_KEY, CONVENTION_KEY = "drrkit_spec", "drrkit_weights_sha256", "drrkit_convention"
INPUTS, OUTPUT = ("images", "pixel_from_grid"), "logits"
# Neither 0 nor 1, which the exporter would take for constants of the graph.
_EXAMPLE_VIEWS = 3
_SPEC = TypeAdapter(ModelSpec)


class _OneCase(nn.Module):
    """A network with the grid's shape built in and without the batch's axis."""

    def __init__(self, network: nn.Module, grid_shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.network, self.grid_shape = network, grid_shape

    def forward(self, images: Tensor, pixel_from_grid: Tensor) -> Tensor:
        logits: Tensor = self.network(images[None], pixel_from_grid[None], self.grid_shape)
        return logits[0]


def export_onnx(model_path: Path, onnx_path: Path, opset: int = OPSET) -> None:
    """Write a model as ONNX for any number of views; window and grid are those of the model.

    Args:
        model_path: ``<name>.safetensors`` with its JSON beside it.
        onnx_path: File to write.
        opset: Of ONNX, at least 18.

    Raises:
        InputError: As :func:`reconstruction.weights.load_model`; an older opset; a network whose graph changes with
            the number of views, such as one with a recurrent fusion.
    """
    if opset < OPSET:
        raise InputError("opset", opset, f"at least {OPSET}")
    network, spec = load_model(model_path)
    views = torch.export.Dim("views", min=1, max=64)
    example = (torch.rand(_EXAMPLE_VIEWS, 1, *spec.window.size_px), _example_matrices(spec))
    with warnings.catch_warnings(), torch.no_grad():
        # Two axes have the same name on purpose.
        warnings.filterwarnings("ignore", message=".*The axis name.*", category=UserWarning)
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        warnings.filterwarnings("ignore", category=FutureWarning)
        # Traced here, because torch.onnx.export by itself would fall back to a graph for the example's views alone.
        try:
            traced = torch.export.export(
                _OneCase(network, spec.grid_shape).eval(),
                example,
                dynamic_shapes={name: {0: views} for name in INPUTS},
                strict=False,
            )
        except UserError as error:
            raise InputError(
                model_path,
                f"a network that cannot be exported ({' '.join(str(error).split())[:200]})",
                "a network whose graph is the same for any number of views, or the backend torch",
            ) from error
        program = torch.onnx.export(
            traced,
            input_names=list(INPUTS),
            output_names=[OUTPUT],
            opset_version=opset,
            dynamo=True,
            verbose=False,
        )
    assert program is not None  # it is for exports without a file name
    program.model.metadata_props.update(
        {
            CONVENTION_KEY: MODEL_CONVENTION,
            SPEC_KEY: json.dumps(asdict(spec)),
            WEIGHTS_KEY: content_sha256(model_path),
        }
    )
    with atomic_path(onnx_path) as temporary:
        program.save(temporary, external_data=False)


def open_onnx(model_path: Path, threads: int | None) -> Runtime:
    """Load an ``.onnx``, or the one beside ``<name>.safetensors``.

    Raises:
        InputError: No such file, not ours, made from other weights than those beside it, or a graph that does not
            agree with the description in it.
    """
    path = model_path.with_suffix(".onnx")
    if not path.is_file():
        raise InputError(path, "no such file", f"an ONNX model that export_onnx made from {path.stem}.safetensors")
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    if threads is not None:
        options.intra_op_num_threads = threads
    try:
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except (Fail, InvalidGraph, InvalidProtobuf) as error:
        raise InputError(path, f"no ONNX model ({error})", "a file of export_onnx") from error
    spec = _checked_spec(session, path)
    if model_path != path:
        weights_sha256 = session.get_modelmeta().custom_metadata_map[WEIGHTS_KEY]
        if weights_sha256 != content_sha256(model_path):
            raise InputError(path, f"a model made from other weights than {model_path.name}", "a new export")

    def predict(
        images: Float32[np.ndarray, "v 1 h w"], pixel_from_grid: Float32[np.ndarray, "v 3 4"]
    ) -> Float32[np.ndarray, "c z y x"]:
        (logits,) = session.run([OUTPUT], dict(zip(INPUTS, (images, pixel_from_grid), strict=True)))
        return np.asarray(logits, np.float32)

    versions = {"onnxruntime": onnxruntime.__version__}
    return Runtime(predict, spec, "onnx", "cpu", "float32", threads, content_sha256(path), versions)


def _checked_spec(session: onnxruntime.InferenceSession, path: Path) -> ModelSpec:
    metadata = session.get_modelmeta().custom_metadata_map
    if metadata.get(CONVENTION_KEY) != MODEL_CONVENTION or not {SPEC_KEY, WEIGHTS_KEY} <= set(metadata):
        raise InputError(path, "an ONNX model without our description", "a file of export_onnx")
    try:
        spec = _SPEC.validate_json(metadata[SPEC_KEY])
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise InputError(f"{path}, {place}", repr(first["input"]), first["msg"]) from error
    wanted = {
        OUTPUT: [len(spec.classes) + 1, *spec.grid_shape],
        INPUTS[0]: [1, *spec.window.size_px],
        INPUTS[1]: [3, 4],
    }
    found = {node.name: list(node.shape) for node in (*session.get_outputs(), *session.get_inputs())}
    for name, shape in wanted.items():
        if found.get(name, [])[-len(shape) :] != shape:
            where = f"{path}, {name}"
            raise InputError(where, f"shape {found.get(name)}", f"{shape}, as the model's description says")
    return spec


def _example_matrices(spec: ModelSpec) -> Float32[Tensor, "v 3 4"]:
    """Parallel-like views along the grid's second axis; only shapes matter to the exporter."""
    depth, height, width = spec.grid_shape
    row = [
        [1.0, 0.0, 0.0, -width / 2],
        [0.0, 0.0, -1.0, depth / 2],
        [0.0, 0.001, 0.0, 1.0 - 0.0005 * height],
    ]
    return torch.tensor([row] * _EXAMPLE_VIEWS)
