"""torch and ONNX Runtime give the same answer for any number of views; what does not fit is refused."""

import json

import numpy as np
import onnx
import pytest
import torch

import hull_network as hull
from drrkit.errors import InputError
from drrkit.geometry.carm import CArm
from reconstruction.grid import Grid
from reconstruction.model import ModelSpec, ViewWindow
from reconstruction.runtime import open_runtime
from reconstruction.runtime.onnx import SPEC_KEY, export_onnx
from reconstruction.weights import build_network, save_model

GRID_SHAPE, SPACING_MM, WINDOW = (16, 16, 16), 4.0, ViewWindow((48, 32), 2.0)
ANGLES_DEG = (0.0, 90.0, 40.0, -35.0, 15.0)
X23D = {
    "image_widths": [4, 8, 8],
    "features": 4,
    "fine_features": 2,
    "volume_widths": [4, 8],
    "fine_width": 4,
}


def spec(fusion: str) -> ModelSpec:
    settings = X23D | {"fusion": fusion}
    return ModelSpec("x23d", settings, "lumbar", ("L1", "L2"), GRID_SHAPE, SPACING_MM, WINDOW, {"seed": 1})


def saved(folder, fusion: str):
    torch.manual_seed(1)
    path = folder / f"{fusion}.safetensors"
    save_model(path, build_network(spec(fusion)), spec(fusion))
    return path


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A model and its ONNX beside it; exporting takes seconds, so tests share it."""
    path = saved(tmp_path_factory.mktemp("exported"), "mean-spread")
    export_onnx(path, path.with_suffix(".onnx"))
    return path


@pytest.fixture
def copied(exported, tmp_path):
    for suffix in (".safetensors", ".json", ".onnx"):
        (tmp_path / f"m{suffix}").write_bytes(exported.with_suffix(suffix).read_bytes())
    return tmp_path / "m.safetensors"


def views(count: int) -> tuple[np.ndarray, np.ndarray]:
    grid = Grid.centered((0.0, 0.0, 0.0), GRID_SHAPE, SPACING_MM)
    carm = CArm(1000.0, 800.0, *WINDOW.size_px, (2.5, 2.5))
    matrices = np.stack([grid.pixel_from_grid(carm.camera(angle_deg, 0.0)) for angle_deg in ANGLES_DEG[:count]])
    images = np.random.default_rng(count).random((count, 1, *WINDOW.size_px), np.float32)
    return images, matrices.astype(np.float32)


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_torch_and_onnx_agree(exported, count):
    torch_logits, onnx_logits = (
        open_runtime(exported, backend).predict(*views(count)) for backend in ("torch", "onnx")
    )
    assert torch_logits.shape == (3, *GRID_SHAPE)
    assert torch_logits.dtype == onnx_logits.dtype == np.float32
    # The answer must depend on something, or agreement says nothing.
    assert np.ptp(torch_logits[0]) > 0.1
    assert np.abs(torch_logits - onnx_logits).max() < 1e-4
    assert (torch_logits.argmax(axis=0) == onnx_logits.argmax(axis=0)).mean() > 0.9999


def test_the_onnx_follows_the_cameras(exported):
    runtime = open_runtime(exported, "onnx")
    images, matrices = views(2)
    assert np.abs(runtime.predict(images, matrices) - runtime.predict(images, matrices[::-1].copy())).max() > 1e-3


def test_an_onnx_file_alone_is_enough(exported, tmp_path):
    alone = tmp_path / "alone.onnx"
    alone.write_bytes(exported.with_suffix(".onnx").read_bytes())
    runtime = open_runtime(alone, threads=1)
    assert (runtime.backend, runtime.threads) == ("onnx", 1)
    assert runtime.spec == spec("mean-spread") == open_runtime(exported).spec
    assert runtime.predict(*views(2)).shape == (3, *GRID_SHAPE)


def test_the_graph_is_plain_onnx_with_four_axes_to_sample(exported):
    model = onnx.load(exported.with_suffix(".onnx"))
    onnx.checker.check_model(model, full_check=True)
    assert {node.domain for node in model.graph.node} == {""}
    assert all(opset.version >= 17 for opset in model.opset_import)
    shapes = {value.name: len(value.type.tensor_type.shape.dim) for value in model.graph.value_info}
    samples = [node for node in model.graph.node if node.op_type == "GridSample"]
    assert samples
    assert all(shapes[node.output[0]] == 4 for node in samples)


def test_a_recurrent_fusion_is_not_exported(tmp_path):
    path = saved(tmp_path, "conv-gru")
    with pytest.raises(InputError, match="any number of views"):
        export_onnx(path, tmp_path / "m.onnx")
    assert not (tmp_path / "m.onnx").exists()


def test_bfloat16_is_close(exported):
    full, half = (
        open_runtime(exported, "torch", precision=kind).predict(*views(3)) for kind in ("float32", "bfloat16")
    )
    assert half.dtype == np.float32
    assert 0 < np.abs(full - half).max() < 0.1 * np.abs(full).max()


def test_an_onnx_of_other_weights_is_refused(copied):
    other = build_network(spec("mean-spread"))
    save_model(copied, other, spec("mean-spread"))
    with pytest.raises(InputError, match="other weights"):
        open_runtime(copied, "onnx")


def edit_spec(path, **changes):
    model = onnx.load(path)
    for entry in model.metadata_props:
        if entry.key == SPEC_KEY:
            entry.value = json.dumps(json.loads(entry.value) | changes)
    onnx.save(model, path)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"grid_shape": [16, 16, 32]}, "logits"),
        ({"classes": ["L1"]}, "logits"),
        ({"window": {"size_px": [48, 48], "pixel_mm": 2.0}}, "images"),
        ({"mode": "neck"}, "mode"),
    ],
)
def test_an_onnx_of_another_grid_than_it_says_is_refused(copied, changes, words):
    path = copied.with_suffix(".onnx")
    edit_spec(path, **changes)
    with pytest.raises(InputError, match=words):
        open_runtime(path)


def test_a_strange_onnx_is_refused(copied):
    path = copied.with_suffix(".onnx")
    model = onnx.load(path)
    del model.metadata_props[:]
    onnx.save(model, path)
    with pytest.raises(InputError, match="without our description"):
        open_runtime(path)
    path.write_bytes(b"no model")
    with pytest.raises(InputError, match="no ONNX model"):
        open_runtime(path)
    path.unlink()
    with pytest.raises(InputError, match="no such file"):
        open_runtime(copied, "onnx")


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("m.safetensors", {"backend": "magic"}, "magic"),
        ("m.safetensors", {"threads": 0}, "threads"),
        ("m.safetensors", {"precision": "float8"}, "float8"),
        ("m.onnx", {"backend": "torch"}, "ONNX model for the backend torch"),
        ("m.onnx", {"precision": "bfloat16"}, "bfloat16"),
        ("m.pt", {}, ".pt"),
        ("gone.safetensors", {}, "no such file"),
        ("gone.onnx", {}, "no such file"),
    ],
)
def test_what_cannot_be_opened_is_said(copied, name, options, words):
    with pytest.raises(InputError, match=words):
        open_runtime(copied.with_name(name), **options)


def test_an_old_opset_is_refused(copied):
    with pytest.raises(InputError, match="opset"):
        export_onnx(copied, copied.with_suffix(".onnx"), opset=16)


def test_a_known_shape_through_onnx(tmp_path, monkeypatch):
    """The hull of a ball's shadows, by both backends: a physical case beside random weights."""
    from reconstruction.reconstruct import reconstruct

    hull.register(monkeypatch)
    path = tmp_path / "hull.safetensors"
    hull.save_hull(path)
    export_onnx(path, path.with_suffix(".onnx"))
    by_torch, by_onnx = (reconstruct(hull.radiographs(3), open_runtime(path, name), 2.0) for name in ("torch", "onnx"))
    assert by_onnx.labels.any()
    np.testing.assert_allclose(by_onnx.probabilities, by_torch.probabilities, atol=1e-4)
