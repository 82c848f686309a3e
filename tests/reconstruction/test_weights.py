"""Models on disk come back as they were, and every fault is one clear error."""

import json
from dataclasses import replace

import pytest
import torch

from drrkit.errors import InputError
from reconstruction import networks
from reconstruction.weights import build_network, load_model, read_spec, save_model
from toy_network import register, toy_spec


@pytest.fixture(autouse=True)
def _toy(monkeypatch):
    monkeypatch.setattr(networks, "NETWORKS", networks.NETWORKS)
    register()


@pytest.fixture
def saved(tmp_path):
    torch.manual_seed(3)
    network = build_network(toy_spec())
    path = tmp_path / "model.safetensors"
    save_model(path, network, toy_spec())
    return path, network


def change(path, **values):
    record = json.loads(path.with_suffix(".json").read_text())
    path.with_suffix(".json").write_text(json.dumps(record | values))


def test_a_model_comes_back_bit_by_bit(saved):
    path, network = saved
    loaded, spec = load_model(path)
    assert spec == toy_spec() == read_spec(path)
    assert not loaded.training
    state = loaded.state_dict()
    assert all(torch.equal(tensor, state[name]) for name, tensor in network.state_dict().items())
    images = torch.rand(1, 2, 1, 8, 8)
    assert torch.equal(loaded(images, None, (8, 8, 8)), network.eval()(images, None, (8, 8, 8)))


def test_nothing_half_written_stays(saved):
    assert sorted(file.name for file in saved[0].parent.iterdir()) == ["model.json", "model.safetensors"]


def test_channels_last_weights_are_kept(tmp_path):
    network = build_network(toy_spec()).to(memory_format=torch.preserve_format)
    network.unet.to(memory_format=torch.channels_last_3d)
    save_model(tmp_path / "m.safetensors", network, toy_spec())
    loaded, _ = load_model(tmp_path / "m.safetensors")
    assert torch.equal(loaded.unet.body[0].weight, network.unet.body[0].weight)


def test_other_weights_under_the_json_are_refused(saved):
    path, _ = saved
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match="another hash"):
        load_model(path)


def test_a_model_of_another_size_names_the_tensor(saved):
    change(saved[0], settings={"width": 6})
    with pytest.raises(InputError, match=r"another kind or size: encoder\.0\.weight is \(4, 1, 3, 3\)"):
        load_model(saved[0])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"convention": "other/1"}, "drrkit-reconstructor/1"),
        ({"grid_shape": [8, 8]}, "grid_shape"),
        ({"mode": "thorax"}, "mode"),
        ({"classes": 5}, "classes"),
        ({"weights_sha256": None}, "weights_sha256"),
        ({"color": "red"}, "color"),
        ({"network": "nobody"}, "nobody"),
        ({"settings": {"breadth": 4}}, "breadth"),
    ],
)
def test_a_wrong_field_is_named(saved, values, message):
    change(saved[0], **values)
    with pytest.raises(InputError, match=message):
        load_model(saved[0])


def test_missing_files_are_named(saved, tmp_path):
    path, _ = saved
    with pytest.raises(InputError, match="no such file"):
        load_model(tmp_path / "other.safetensors")
    with pytest.raises(InputError, match="file name that ends in"):
        load_model(tmp_path / "model.pt")
    path.with_suffix(".json").unlink()
    with pytest.raises(InputError, match=r"model\.json"):
        load_model(path)


def test_no_safetensors_is_refused(saved, tmp_path):
    import hashlib

    saved[0].write_bytes(b"nonsense")
    change(saved[0], weights_sha256=hashlib.sha256(b"nonsense").hexdigest())
    with pytest.raises(InputError, match="no safetensors"):
        load_model(saved[0])


def test_an_unknown_network_is_refused():
    with pytest.raises(InputError, match="toy"):
        build_network(replace(toy_spec(), network="nobody"))
