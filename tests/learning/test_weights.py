"""Weights and their description come back as they were; what does not belong together is refused."""

import hashlib
import json
from dataclasses import dataclass

import pytest
import torch
from torch import nn

from drrkit.errors import InputError
from drrkit.learning.weights import check_state, load_weights, read_spec, save_weights, weights_content

CONVENTION = "drrkit-thing/1"


@dataclass(frozen=True)
class Inner:
    center: float


@dataclass(frozen=True)
class Thing:
    name: str
    size_px: tuple[int, int]
    inner: Inner


THING = Thing("one", (3, 4), Inner(0.5))


@pytest.fixture
def saved(tmp_path):
    weights = {"a": torch.arange(6.0).reshape(2, 3), "domain.mean": torch.ones(2, dtype=torch.float64)}
    path = tmp_path / "model.safetensors"
    save_weights(path, weights, CONVENTION, THING)
    return path, weights


def change(path, **values):
    record = json.loads(path.with_suffix(".json").read_text())
    path.with_suffix(".json").write_text(json.dumps(record | values))


def test_weights_come_back_bit_by_bit(saved):
    path, weights = saved
    loaded, thing = load_weights(path, CONVENTION, Thing)
    assert thing == THING == read_spec(path, CONVENTION, Thing)
    assert set(loaded) == set(weights)
    assert all(torch.equal(loaded[name], tensor) for name, tensor in weights.items())
    assert loaded["domain.mean"].dtype == torch.float64
    assert sorted(file.name for file in path.parent.iterdir()) == ["model.json", "model.safetensors"]


def test_the_json_holds_convention_hash_and_fields(saved):
    record = json.loads(saved[0].with_suffix(".json").read_text())
    assert list(record) == ["convention", "weights_sha256", "name", "size_px", "inner"]
    assert record["convention"] == CONVENTION
    assert record["weights_sha256"] == hashlib.sha256(saved[0].read_bytes()).hexdigest()
    assert record["inner"] == {"center": 0.5}


def test_memory_format_and_sharing_do_not_matter():
    kernel = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(1))
    turned = kernel.contiguous(memory_format=torch.channels_last)
    assert turned.stride() != kernel.stride()
    assert weights_content({"a": turned, "b": turned}) == weights_content({"a": kernel, "b": kernel.clone()})


def test_other_weights_under_the_json_are_refused(saved):
    path, _ = saved
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match="another hash"):
        load_weights(path, CONVENTION, Thing)


def test_no_safetensors_is_refused(saved):
    saved[0].write_bytes(b"nonsense")
    change(saved[0], weights_sha256=hashlib.sha256(b"nonsense").hexdigest())
    with pytest.raises(InputError, match="no safetensors"):
        load_weights(saved[0], CONVENTION, Thing)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"convention": "other/1"}, r'wanted "convention": "drrkit-thing/1"'),
        ({"size_px": [3]}, r"model\.json, size_px"),
        ({"inner": {"center": "left"}}, r"inner\.center: found 'left'"),
        ({"weights_sha256": None}, "weights_sha256: found None"),
        ({"color": "red"}, "color: found a field that a model does not have; wanted inner, name, size_px"),
    ],
)
def test_a_wrong_field_is_named(saved, values, message):
    change(saved[0], **values)
    for read in (load_weights, read_spec):
        with pytest.raises(InputError, match=message):
            read(saved[0], CONVENTION, Thing)


def test_missing_files_are_named(saved, tmp_path):
    path, _ = saved
    with pytest.raises(InputError, match="no such file"):
        load_weights(tmp_path / "other.safetensors", CONVENTION, Thing)
    with pytest.raises(InputError, match=r"file name that ends in '\.pt'"):
        save_weights(tmp_path / "model.pt", {}, CONVENTION, THING)
    path.with_suffix(".json").write_text("[1")
    with pytest.raises(InputError, match="no JSON"):
        read_spec(path, CONVENTION, Thing)
    path.with_suffix(".json").unlink()
    with pytest.raises(InputError, match=r"model\.json"):
        read_spec(path, CONVENTION, Thing)


def test_the_first_tensor_that_does_not_fit_is_named():
    layer = nn.Linear(3, 2)
    state = dict(layer.state_dict())
    check_state(state, layer, "here")
    check_state(state, state, "here")
    with pytest.raises(InputError, match=r"here: found.*weight is \(2, 4\); wanted weight of \(2, 3\)"):
        check_state({**state, "weight": torch.ones(2, 4)}, layer, "here")
    with pytest.raises(InputError, match="bias is nothing"):
        check_state({"weight": state["weight"]}, layer, "here")
    with pytest.raises(InputError, match=r"more is \(1,\); wanted more of nothing"):
        check_state({**state, "more": torch.ones(1)}, state, "here")
